span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(
    fn: (r) => r._field == "spread_bps"
      or r._field == "spread_100k_bps"
      or r._field == "spread_1m_bps",
  )
  |> filter(fn: (r) => r.ticker =~ /^${asset:regex}$/)
  |> aggregateWindow(every: v.windowPeriod, fn: mean, createEmpty: true)
