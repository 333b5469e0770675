import "date"

from(bucket: v.defaultBucket)
  |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(
    fn: (r) => r._field == "spread_bps"
      or r._field == "spread_100k_bps"
      or r._field == "spread_1m_bps"
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
      spread_bps: r.spread_bps,
      spread_100k_bps: r.spread_100k_bps,
      spread_1m_bps: r.spread_1m_bps,
      age_s: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0
        + (if exists r.quote_age_ms then (r.quote_age_ms - r.lag_ms) / 1000.0 else 0.0),
    }),
  )
  |> sort(columns: ["ticker", "source"])
