import "date"

rows =
  from(bucket: v.defaultBucket)
    |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(
      fn: (r) => r._field == "funding_apr"
        or r._field == "oi_usd"
        or r._field == "quote_age_ms"
        or r._field == "lag_ms",
    )
    |> last()
    |> group()
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
    |> filter(fn: (r) => exists r.lag_ms)
    |> filter(fn: (r) => exists r.funding_apr)
    |> map(
      fn: (r) => ({
        ticker: r.ticker,
        source: r.source,
        apr: r.funding_apr,
        oi_usd: r.oi_usd,
        age_s: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0
          + (if exists r.quote_age_ms then (r.quote_age_ms - r.lag_ms) / 1000.0 else 0.0),
      }),
    )

rates = rows |> map(fn: (r) => ({ticker: r.ticker, column: r.source, _value: r.apr}))

sizes =
  rows
    |> group(columns: ["ticker"])
    |> sum(column: "oi_usd")
    |> map(fn: (r) => ({ticker: r.ticker, column: "oi_usd", _value: r.oi_usd}))

ages =
  rows
    |> group(columns: ["ticker"])
    |> max(column: "age_s")
    |> map(fn: (r) => ({ticker: r.ticker, column: "age_s", _value: r.age_s}))

union(tables: [rates, sizes |> group(), ages |> group()])
  |> pivot(rowKey: ["ticker"], columnKey: ["column"], valueColumn: "_value")
  |> sort(columns: ["oi_usd"], desc: true)
  |> limit(n: 100)
