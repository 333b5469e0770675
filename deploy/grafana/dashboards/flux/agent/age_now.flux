import "date"

// The newest slot of each source, however old: a dead source stays in sight for a day.
from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 1d, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(fn: (r) => r._field == "lag_ms" or r._field == "quote_age_ms")
  |> filter(fn: (r) => r.source =~ /^${source:regex}$/)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> map(
    fn: (r) => ({
      source: r.source,
      slot: int(v: r._time),
      age_s: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0
        + (if exists r.quote_age_ms then (r.quote_age_ms - r.lag_ms) / 1000.0 else 0.0),
    }),
  )
  |> group(columns: ["source"])
  // The oldest quote of that slot.
  |> reduce(
    identity: {slot: 0, age_s: 0.0},
    fn: (r, accumulator) => ({
      slot: if r.slot > accumulator.slot then r.slot else accumulator.slot,
      age_s:
        if r.slot > accumulator.slot then
          r.age_s
        else if r.slot == accumulator.slot and r.age_s > accumulator.age_s then
          r.age_s
        else
          accumulator.age_s,
    }),
  )
  |> map(fn: (r) => ({source: r.source, _time: time(v: r.slot), _value: r.age_s}))
