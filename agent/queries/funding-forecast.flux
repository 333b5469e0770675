// How good is the predicted funding rate?
//
// Each settlement against the last prediction before it.
//
// Columns:
//   settled_at     time of the settlement
//   ticker         asset
//   source         venue
//   predicted_apr  in the minute before, fraction per year
//   settled_apr    what was settled, fraction per year
//   error_apr      settled - predicted

import "regexp"

bucket = "perps"  // raw points
start = -7d       // beginning
stop = now()      // end
ticker = "BTC"    // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

points = (measurement, field) =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == measurement and r._field == field)
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)

named = (tables=<-, name) =>
  tables |> set(key: "_field", value: name) |> group(columns: ["ticker", "source"])

union(
  tables: [
    points(measurement: "funding", field: "apr") |> named(name: "settled_apr"),
    // A window is named by its end, which it does not contain.
    points(measurement: "snapshot", field: "funding_apr")
      |> aggregateWindow(every: 1m, fn: last, createEmpty: false)
      |> named(name: "predicted_apr"),
  ],
)
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> filter(fn: (r) => exists r.settled_apr and exists r.predicted_apr)
  |> group()
  |> map(
    fn: (r) => ({
      settled_at: r._time,
      ticker: r.ticker,
      source: r.source,
      predicted_apr: r.predicted_apr,
      settled_apr: r.settled_apr,
      error_apr: r.settled_apr - r.predicted_apr,
    }),
  )
  |> sort(columns: ["ticker", "source", "settled_at"])
