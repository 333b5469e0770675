span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "agent")
  |> filter(fn: (r) => r._field == "collected" or r._field == "stored")
  |> filter(fn: (r) => r.host =~ /^${host:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: last, createEmpty: true)
  |> derivative(unit: 1s, nonNegative: true)
