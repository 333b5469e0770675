import "date"

from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(fn: (r) => r._field == "oi_usd" or r._field == "lag_ms")
  |> filter(fn: (r) => r.ticker =~ /^${asset:regex}$/)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> filter(fn: (r) => exists r.oi_usd)
  |> map(fn: (r) => ({_time: r._time, source: r.source, _value: r.oi_usd}))
  |> group(columns: ["source"])
