// What is the funding of every ticker on every venue?
//
// A row a ticker, a column a venue: fraction per year, positive = longs pay shorts.
//
// Columns:
//   ticker       asset
//   bybit        funding_apr there
//   variational  funding_apr there

import "regexp"

bucket = "perps"  // raw points
start = -10m      // a source without a point since then is left out
stop = now()      // the moment that is asked about
ticker = ".+"     // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(
    fn: (r) => r._field == "funding_apr"
        or r._field == "lag_ms",
  )
  |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> filter(fn: (r) => exists r.funding_apr)
  |> pivot(rowKey: ["ticker"], columnKey: ["source"], valueColumn: "funding_apr")
  |> sort(columns: ["ticker"])
