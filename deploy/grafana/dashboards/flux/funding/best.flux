import "date"

rates =
  from(bucket: v.defaultBucket)
    |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(fn: (r) => r._field == "funding_apr" or r._field == "oi_usd" or r._field == "lag_ms")
    |> last()
    |> group()
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
    |> filter(fn: (r) => exists r.lag_ms)
    |> filter(fn: (r) => exists r.funding_apr)
    |> group(columns: ["ticker"])

// top and bottom, because max and min make zeros of nulls in the other columns.
join(
  tables: {
    short: rates |> top(n: 1, columns: ["funding_apr"]) |> group(),
    long: rates |> bottom(n: 1, columns: ["funding_apr"]) |> group(),
  },
  on: ["ticker"],
)
  |> filter(fn: (r) => r.source_short != r.source_long)
  |> map(
    fn: (r) => ({
      trade: r.ticker + ": short " + r.source_short + ", long " + r.source_long,
      gap: r.funding_apr_short - r.funding_apr_long,
      oi_usd:
        if r.oi_usd_short < r.oi_usd_long then
          r.oi_usd_short
        else if exists r.oi_usd_short then
          r.oi_usd_long
        else
          r.oi_usd_short,
    }),
  )
  |> filter(fn: (r) => r.oi_usd >= float(v: "${oi_min}") or float(v: "${oi_min}") == 0.0)
  |> sort(columns: ["gap"], desc: true)
  |> limit(n: 3)
  |> drop(columns: ["oi_usd"])
