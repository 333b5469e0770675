// How far does a trade of 100k move away from the middle?
//
// impact: (ask_100k - mid) / mid and (mid - bid_100k) / mid, * 10^4. Unequal sides: the book leans.
//
// Columns:
//   ticker           asset
//   source           venue
//   impact_buy_bps   to buy 100k, bps
//   impact_sell_bps  to sell 100k, bps
//   lean_bps         buy - sell: positive = buying costs more, bps

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
    fn: (r) => r._field == "impact_buy_bps"
        or r._field == "impact_sell_bps"
        or r._field == "lag_ms",
  )
  |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> filter(fn: (r) => exists r.impact_buy_bps or exists r.impact_sell_bps)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      impact_buy_bps: r.impact_buy_bps,
      impact_sell_bps: r.impact_sell_bps,
      lean_bps: r.impact_buy_bps - r.impact_sell_bps,
    }),
  )
  |> sort(columns: ["ticker", "impact_buy_bps"])
