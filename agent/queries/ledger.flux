// Was a point lost? The agent's own account.
//
// collected = stored + rejected + evicted + pending. Cumulative since the journal was made.
//
// Columns:
//   host              machine
//   time              when this was so
//   collected         points taken
//   stored            points that InfluxDB has
//   rejected          points that InfluxDB refused
//   evicted           points that were removed unsent
//   pending           points that wait
//   oldest_pending_s  how long the oldest has waited, s

bucket = "perps"  // raw points
start = -24h      // how far to look back
stop = now()      // the moment that is asked about

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "agent")
  |> last()
  |> group()
  |> pivot(rowKey: ["host", "_time"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.collected)
  |> map(
    fn: (r) => ({
      host: r.host,
      time: r._time,
      collected: r.collected,
      stored: r.stored,
      rejected: r.rejected,
      evicted: r.evicted,
      pending: r.pending,
      oldest_pending_s: r.oldest_pending_s,
    }),
  )
  |> sort(columns: ["host"])
