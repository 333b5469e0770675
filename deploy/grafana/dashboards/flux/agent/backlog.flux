import "date"

from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "agent" and r._field == "oldest_pending_s")
  |> filter(fn: (r) => r.host =~ /^${host:regex}$/)
  |> last()
  |> group(columns: ["host"])
  |> keep(columns: ["host", "_time", "_value"])
