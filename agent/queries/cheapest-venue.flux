// Where is 100k cheapest to open now?
//
// Venues in order of what the trade costs more than the best price of all.
//
// Columns:
//   ticker     asset
//   source     venue
//   price      average price of the whole size, quote currency
//   worse_bps  than the best venue, bps of its price
//   age_s      of the slot, s

import "regexp"

bucket = "perps"  // raw points
start = -10m      // a source without a point since then is left out
stop = now()      // the moment that is asked about
ticker = ".+"     // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression
side = "buy"      // buy or sell
size = "100k"     // 1k, 100k or 1m

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

field = (if side == "buy" then "ask_" else "bid_") + size
sign = if side == "buy" then 1.0 else -1.0

prices =
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(fn: (r) => r._field == field or r._field == "lag_ms")
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
    |> last()
    |> group()
    |> map(fn: (r) => ({r with _field: if r._field == field then "price" else "lag_ms"}))
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, without a price it is no offer.
    |> filter(fn: (r) => exists r.lag_ms and exists r.price)
    |> map(fn: (r) => ({r with cost: r.price * sign}))

join(
  tables: {
    each: prices,
    best: prices |> group(columns: ["ticker"]) |> bottom(n: 1, columns: ["cost"]) |> group()
      |> keep(columns: ["ticker", "price"]),
  },
  on: ["ticker"],
)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      price: r.price_each,
      worse_bps: (r.price_each - r.price_best) / r.price_best * 10000.0 * sign,
      age_s: float(v: int(v: stop) - int(v: r._time)) / 1000000000.0,
    }),
  )
  |> sort(columns: ["ticker", "worse_bps"])
