span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

// Empty windows are NaN until a source that publishes no short_oi is left out: Bybit's long_oi is
// another unit.
from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(fn: (r) => r._field == "long_oi" or r._field == "short_oi")
  |> filter(fn: (r) => r.ticker =~ /^${asset:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: true)
  |> fill(value: float(v: "NaN"))
  |> group(columns: ["source"])
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.short_oi)
  // NaN is not even equal to itself; a column that is not there is null.
  |> map(
    fn: (r) => ({
      _time: r._time,
      source: r.source,
      long: if r.long_oi == r.long_oi then r.long_oi else r.missing,
      short: if r.short_oi == r.short_oi then r.short_oi else r.missing,
    }),
  )
