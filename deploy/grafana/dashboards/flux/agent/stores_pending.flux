span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "sink" and r._field == "pending")
  |> filter(fn: (r) => r.host =~ /^${host:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: true)
