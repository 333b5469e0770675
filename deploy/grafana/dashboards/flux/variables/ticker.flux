import "date"

// By open interest. lag_ms is always there: a ticker without open interest comes last.
from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 1d, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(fn: (r) => r._field == "oi_usd" or r._field == "lag_ms")
  |> last()
  |> group(columns: ["ticker"])
  |> sum()
  |> group()
  |> sort(columns: ["_value"], desc: true)
  |> keep(columns: ["ticker"])
