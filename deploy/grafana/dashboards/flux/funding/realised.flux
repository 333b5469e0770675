span = int(v: v.timeRangeStop) - int(v: v.timeRangeStart)
store = if span > int(v: 3d) then "${rollup}" else v.defaultBucket

points = (bucket, measurement) =>
  from(bucket: bucket)
    |> range(start: v.timeRangeStart, stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == measurement)
    |> filter(fn: (r) => r.source =~ /^${source:regex}$/ and r.ticker =~ /^${ticker:regex}$/)

means =
  points(bucket: v.defaultBucket, measurement: "funding")
    |> filter(fn: (r) => r._field == "rate" or r._field == "interval_s")
    |> mean()

settlements =
  points(bucket: v.defaultBucket, measurement: "funding")
    |> filter(fn: (r) => r._field == "rate")
    |> count()
    |> toFloat()
    |> set(key: "_field", value: "settlements")

predicted =
  points(bucket: store, measurement: "snapshot")
    |> filter(fn: (r) => r._field == "funding_apr")
    |> mean()

union(tables: [means |> group(), settlements |> group(), predicted |> group()])
  |> pivot(rowKey: ["ticker", "source"], columnKey: ["_field"], valueColumn: "_value")
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      settled_apr: r.rate / r.interval_s * 31536000.0,
      predicted_apr: r.funding_apr,
      difference: r.rate / r.interval_s * 31536000.0 - r.funding_apr,
      settlements: r.settlements,
    }),
  )
  |> sort(columns: ["ticker", "source"])
