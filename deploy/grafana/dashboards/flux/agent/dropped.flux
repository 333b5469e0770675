span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "poll")
  |> filter(
    fn: (r) => r._field == "bad_rows" or r._field == "missed_slots" or r._field == "left_out",
  )
  |> filter(fn: (r) => r.host =~ /^${host:regex}$/ and r.source =~ /^${source:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: sum, createEmpty: true)
  |> fill(value: 0.0)
