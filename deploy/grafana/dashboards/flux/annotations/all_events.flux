span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

from(bucket: store)
  |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "event" and r._field == "text")
  |> group()
  |> sort(columns: ["_time"], desc: true)
  |> limit(n: 200)
  |> map(
    fn: (r) => ({_time: r._time, text: r.source + " " + r.kind + ": " + r._value, tags: r.kind}),
  )
