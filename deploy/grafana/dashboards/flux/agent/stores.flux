import "date"

// What each store said last; one that is silent for ten minutes has no row.
from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "sink")
  |> filter(
    fn: (r) => r._field == "pending"
      or r._field == "oldest_pending_s"
      or r._field == "stored"
      or r._field == "rejected"
      or r._field == "evicted"
      or r._field == "write_ms",
  )
  |> filter(fn: (r) => r.host =~ /^${host:regex}$/)
  |> last()
  |> group()
  |> pivot(rowKey: ["host", "sink", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // pending is always there: what is left is the newest point, a field that it lacks stays null.
  |> filter(fn: (r) => exists r.pending)
  |> map(
    fn: (r) => ({
      store: r.host + " " + r.sink,
      pending: r.pending,
      oldest_pending_s: r.oldest_pending_s,
      stored: r.stored,
      lost: r.rejected + r.evicted,
      write_ms: r.write_ms,
    }),
  )
  |> sort(columns: ["store"])
