rates =
  from(bucket: v.defaultBucket)
    |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "funding_apr")
    |> last()
    |> group(columns: ["ticker"])

join(
  tables: {
    short: rates |> max() |> group(),
    long: rates |> min() |> group(),
  },
  on: ["ticker"],
)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      _time: v.timeRangeStop,
      _value: r._value_short - r._value_long,
    }),
  )
  |> group(columns: ["ticker"])
