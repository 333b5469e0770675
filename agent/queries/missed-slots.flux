// How well does polling work: what failed, and which slots were missed?
//
// Columns:
//   source           venue
//   endpoint         what was asked
//   host             machine
//   polls            attempted slots
//   failed           attempts that failed
//   missed           slots that were skipped
//   success          share of attempts that succeeded
//   mean_latency_ms  of the slowest request of a slot, ms
//   max_latency_ms   the slowest of all, ms

import "regexp"

bucket = "perps"  // raw points
start = -24h      // beginning
stop = now()      // end
source = ".+"     // sources, a regular expression

sources = regexp.compile(v: "^(" + source + ")$")

polls = (field) =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "poll" and r._field == field)
    |> filter(fn: (r) => r.source =~ sources)

named = (tables=<-, name) => tables |> toFloat() |> set(key: "_field", value: name) |> group()

union(
  tables: [
    polls(field: "ok") |> count() |> named(name: "polls"),
    polls(field: "ok") |> sum() |> named(name: "ok"),
    polls(field: "missed_slots") |> sum() |> named(name: "missed"),
    polls(field: "latency_ms") |> mean() |> named(name: "mean_latency_ms"),
    polls(field: "latency_ms") |> max() |> named(name: "max_latency_ms"),
  ],
)
  |> pivot(rowKey: ["source", "endpoint", "host"], columnKey: ["_field"], valueColumn: "_value")
  |> map(
    fn: (r) => ({
      source: r.source,
      endpoint: r.endpoint,
      host: r.host,
      polls: r.polls,
      failed: r.polls - r.ok,
      missed: r.missed,
      success: r.ok / r.polls,
      mean_latency_ms: r.mean_latency_ms,
      max_latency_ms: r.max_latency_ms,
    }),
  )
  |> sort(columns: ["source", "endpoint", "host"])
