import "date"

// Age of the source's youngest quote; a day back, so that a dead source keeps ageing.
from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 1d, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r.source == "variational")
  |> filter(fn: (r) => r._field == "lag_ms" or r._field == "quote_age_ms")
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> map(
    fn: (r) => ({
      source: r.source,
      _time: v.timeRangeStop,
      _value: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0
        + (if exists r.quote_age_ms then (r.quote_age_ms - r.lag_ms) / 1000.0 else 0.0),
    }),
  )
  |> group(columns: ["source"])
  |> min()
