import "date"

from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(
    fn: (r) => r._field == "funding_apr"
      or r._field == "funding_interval_s"
      or r._field == "next_funding_s"
      or r._field == "quote_age_ms"
      or r._field == "lag_ms",
  )
  |> filter(fn: (r) => r.source =~ /^${source:regex}$/ and r.ticker =~ /^${ticker:regex}$/)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      apr: r.funding_apr,
      interval_h: r.funding_interval_s / 3600.0,
      // From now: what has passed since the slot is taken off.
      next_s: r.next_funding_s - float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0,
      age_s: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0
        + (if exists r.quote_age_ms then (r.quote_age_ms - r.lag_ms) / 1000.0 else 0.0),
    }),
  )
  |> sort(columns: ["ticker", "source"])
