// Settlements are few, and may be stored long after their time: the raw points at any range.
from(bucket: v.defaultBucket)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "funding" and r._field == "apr")
  |> filter(fn: (r) => r.ticker =~ /^${asset:regex}$/)
