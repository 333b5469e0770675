// What did holding really cost? Settled funding.
//
// From the settled rates: what a long paid (positive) or got (negative). Variational publishes
// none: its rates are what it predicted last (field predicted).
//
// Columns:
//   ticker       asset
//   source       venue
//   settlements  how many
//   paid_bps     sum of the rates, bps of the notional
//   apr          the same as a fraction per year of the settled time

import "regexp"

bucket = "perps"  // raw points
start = -30d      // beginning
stop = now()      // end
ticker = ".+"     // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

settled = (field) =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "funding" and r._field == field)
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
    |> group(columns: ["ticker", "source"])

named = (tables=<-, name) => tables |> set(key: "_field", value: name) |> group()

union(
  tables: [
    settled(field: "rate") |> sum() |> named(name: "rate"),
    settled(field: "interval_s") |> mean() |> named(name: "interval_s"),
    settled(field: "rate") |> count() |> toFloat() |> named(name: "settlements"),
  ],
)
  |> pivot(rowKey: ["ticker", "source"], columnKey: ["_field"], valueColumn: "_value")
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      settlements: int(v: r.settlements),
      paid_bps: r.rate * 10000.0,
      apr: r.rate / (r.settlements * r.interval_s) * 31536000.0,
    }),
  )
  |> sort(columns: ["ticker", "source"])
