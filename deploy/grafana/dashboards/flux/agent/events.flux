span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "event" and r._field == "text")
  |> filter(fn: (r) => r.source =~ /^${source:regex}$/ and r.host =~ /^${host:regex}$/)
  |> group()
  |> sort(columns: ["_time"], desc: true)
  |> limit(n: 100)
  |> keep(columns: ["_time", "host", "source", "kind", "_value"])
