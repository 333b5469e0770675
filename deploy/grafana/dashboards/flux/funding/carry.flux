import "date"

// Each ticker's highest rate (to be short there) and lowest (to be long), now and over 7 days:
// as settled, or as published where a venue has no settlements yet.
rates =
  from(bucket: v.defaultBucket)
    |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(
      fn: (r) => r._field == "funding_apr"
        or r._field == "${size}"
        or r._field == "oi_usd"
        or r._field == "quote_age_ms"
        or r._field == "lag_ms",
    )
    |> last()
    |> group()
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
    |> filter(fn: (r) => exists r.lag_ms and exists r.funding_apr)
    |> map(
      fn: (r) => ({r with
        age_s: float(v: int(v: v.timeRangeStop) - int(v: r._time)) / 1000000000.0
          + (if exists r.quote_age_ms then (r.quote_age_ms - r.lag_ms) / 1000.0 else 0.0),
      }),
    )

weeks =
  from(bucket: "${rollup}")
    |> range(start: date.sub(d: 7d, from: v.timeRangeStop), stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "funding_apr")
    |> mean()
    |> group()
    |> set(key: "_field", value: "week_apr")
    |> pivot(rowKey: ["source", "ticker"], columnKey: ["_field"], valueColumn: "_value")

// Settlements are few, and may be stored long after their time: the raw points.
settled =
  from(bucket: v.defaultBucket)
    |> range(start: date.sub(d: 7d, from: v.timeRangeStop), stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == "funding")
    |> filter(fn: (r) => r._field == "rate" or r._field == "interval_s")
    |> mean()
    |> group()
    |> pivot(rowKey: ["source", "ticker"], columnKey: ["_field"], valueColumn: "_value")
    |> map(fn: (r) => ({r with settled_apr: r.rate / r.interval_s * 31536000.0}))

// A left join: the join package fails where one side is empty, as on the first day. The rows of
// the week come first within a ticker and source, for they have no rate.
legs =
  union(tables: [weeks, settled, rates])
    |> group(columns: ["ticker", "source"])
    |> sort(columns: ["funding_apr"])
    |> fill(column: "week_apr", usePrevious: true)
    |> fill(column: "settled_apr", usePrevious: true)
    |> filter(fn: (r) => exists r.funding_apr)
    |> group(columns: ["ticker"])

// top and bottom, because max and min make zeros of nulls in the other columns.
join(
  tables: {
    short: legs |> top(n: 1, columns: ["funding_apr"]) |> group(),
    long: legs |> bottom(n: 1, columns: ["funding_apr"]) |> group(),
  },
  on: ["ticker"],
)
  |> filter(fn: (r) => r.source_short != r.source_long)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      short: r.source_short,
      long: r.source_long,
      short_apr: r.funding_apr_short,
      long_apr: r.funding_apr_long,
      gap: r.funding_apr_short - r.funding_apr_long,
      week_gap:
        if exists r.settled_apr_short and exists r.settled_apr_long then
          r.settled_apr_short - r.settled_apr_long
        else
          r.week_apr_short - r.week_apr_long,
      // Half a spread in and half a spread out on each leg, and the fees of all four trades.
      cost_bps: r.${size}_short + r.${size}_long + float(v: "${fees_bps}"),
      oi_usd:
        if r.oi_usd_short < r.oi_usd_long then
          r.oi_usd_short
        else if exists r.oi_usd_short then
          r.oi_usd_long
        else
          r.oi_usd_short,
      age_s: if r.age_s_short > r.age_s_long then r.age_s_short else r.age_s_long,
    }),
  )
  |> filter(fn: (r) => r.oi_usd >= float(v: "${oi_min}") or float(v: "${oi_min}") == 0.0)
  |> map(fn: (r) => ({r with break_even_d: r.cost_bps / 10000.0 / r.gap * 365.0}))
  |> sort(columns: ["gap"], desc: true)
  |> limit(n: 100)
