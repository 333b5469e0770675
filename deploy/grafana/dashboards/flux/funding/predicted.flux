span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "funding_apr")
  |> filter(fn: (r) => r.source =~ /^${source:regex}$/ and r.ticker =~ /^${ticker:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: true)
