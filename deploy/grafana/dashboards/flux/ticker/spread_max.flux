span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

// The rollup keeps the widest spread of each minute under a name of its own.
field = if store != v.defaultBucket then "spread_bps_max" else "spread_bps"

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == field)
  |> filter(fn: (r) => r.ticker =~ /^${asset:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: max, createEmpty: true)
