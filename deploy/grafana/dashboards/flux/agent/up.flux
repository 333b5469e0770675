import "date"

// Since the agent last spoke, for up to a day: a dead one stays in sight.
from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 1d, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "agent" and r._field == "uptime_s")
  |> filter(fn: (r) => r.host =~ /^${host:regex}$/)
  |> last()
  |> map(
    fn: (r) => ({
      host: r.host,
      _time: r._time,
      _value: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0,
    }),
  )
  |> group(columns: ["host"])
