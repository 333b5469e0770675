// One point a minute under the same names, for long ranges.
//
// Snapshots: prices, spreads, impacts and basis are the minute's mean, ages its largest, everything
// else its last value; spread_bps_max is the widest spread. Settled funding and events are copied
// as they are. A point's time is the end of its minute: it looks ahead of nothing. Each run writes
// the last ten minutes again (a day of settlements), so that points which came late are taken in.
// Once a day, at 00:30 UTC, all settlements are copied: those of a backfill lie far back.

import "date"

bucket = "perps"  // raw points
rollup = "perps_1m"  // one-minute points

option task = {name: "perpflux rollup 1m", every: 1m, offset: 30s}

stop = date.truncate(t: now(), unit: 1m)
start = date.sub(d: 10m, from: stop)

points = (measurement) =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == measurement)

// Functions: a stream that is read once for several aggregates is not aggregated in the storage.
snapshots = () => points(measurement: "snapshot")
averaged = /^(mid|(mark|index|last)_price|(best_)?(bid|ask)(_1k|_100k|_1m)?|.*_bps)$/
ages = /^(lag|quote_age)_ms$/

snapshots()
  |> filter(fn: (r) => r._field =~ averaged)
  |> aggregateWindow(every: 1m, fn: mean, createEmpty: false)
  |> to(bucket: rollup)

snapshots()
  |> filter(fn: (r) => r._field =~ ages)
  |> aggregateWindow(every: 1m, fn: max, createEmpty: false)
  |> to(bucket: rollup)

snapshots()
  |> filter(fn: (r) => r._field !~ averaged and r._field !~ ages)
  |> aggregateWindow(every: 1m, fn: last, createEmpty: false)
  |> to(bucket: rollup)

snapshots()
  |> filter(fn: (r) => r._field == "spread_bps")
  |> aggregateWindow(every: 1m, fn: max, createEmpty: false)
  |> set(key: "_field", value: "spread_bps_max")
  |> to(bucket: rollup)

points(measurement: "platform")
  |> aggregateWindow(every: 1m, fn: last, createEmpty: false)
  |> to(bucket: rollup)

settled = if date.hour(t: stop) == 0 and date.minute(t: stop) == 30 then 400d else 1d

from(bucket: bucket)
  |> range(start: date.sub(d: settled, from: stop), stop: stop)
  |> filter(fn: (r) => r._measurement == "funding")
  |> to(bucket: rollup)

points(measurement: "event") |> to(bucket: rollup)

polls = () => points(measurement: "poll")

polls()
  |> filter(fn: (r) => r._field == "ok" or r._field == "rows" or r._field == "bytes")
  |> aggregateWindow(every: 1m, fn: mean, createEmpty: false)
  |> to(bucket: rollup)

polls()
  |> filter(
    fn: (r) => r._field == "bad_rows" or r._field == "missed_slots" or r._field == "left_out",
  )
  |> aggregateWindow(every: 1m, fn: sum, createEmpty: false)
  |> to(bucket: rollup)

polls()
  |> filter(fn: (r) => r._field == "latency_ms")
  |> aggregateWindow(every: 1m, fn: max, createEmpty: false)
  |> to(bucket: rollup)

agents = () =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "agent" or r._measurement == "sink")

worst = /^(pending|pending_bytes|oldest_pending_s|write_ms)$/

agents()
  |> filter(fn: (r) => r._field =~ worst)
  |> aggregateWindow(every: 1m, fn: max, createEmpty: false)
  |> to(bucket: rollup)

agents()
  |> filter(fn: (r) => r._field !~ worst)
  |> aggregateWindow(every: 1m, fn: last, createEmpty: false)
  |> to(bucket: rollup)
