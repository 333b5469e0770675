span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "poll" and r._field == "rows")
  |> filter(fn: (r) => r.host =~ /^${host:regex}$/ and r.source =~ /^${source:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: true)
