// What was added within the last 15 minutes: the counts are cumulative.
from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "agent")
  |> filter(fn: (r) => r._field == "rejected" or r._field == "evicted")
  |> difference(nonNegative: true)
  |> group(columns: ["host"])
  |> sum()
  |> map(fn: (r) => ({host: r.host, _time: v.timeRangeStop, _value: r._value}))
