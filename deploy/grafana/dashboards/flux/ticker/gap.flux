import "experimental"

span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket
unknown = float(v: "NaN")

// One row a window with a column a source, then again a row a source beside the reference: a join
// takes twenty times as long. Nulls would not come back from that: so they are NaN meanwhile.
from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "mid")
  |> filter(fn: (r) => r.ticker =~ /^${asset:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: true)
  |> fill(value: unknown)
  |> group(columns: ["ticker"])
  |> pivot(rowKey: ["_time"], columnKey: ["source"], valueColumn: "_value")
  |> rename(fn: (column) => if column == "${reference}" then "reference" else column)
  // A ticker that the reference does not list.
  |> filter(fn: (r) => exists r.reference)
  |> experimental.unpivot(otherColumns: ["_time", "reference"])
  |> map(fn: (r) => ({r with gap: (r._value - r.reference) / r.reference * 10000.0}))
  // NaN is not even equal to itself; a column that is not there is null.
  |> map(
    fn: (r) => ({
      _time: r._time,
      ticker: r.ticker,
      source: r._field,
      _value: if r.gap == r.gap then r.gap else r.missing,
    }),
  )
  |> group(columns: ["ticker", "source"])
