// What does a round trip cost right now, by venue and size?
//
// spread = (ask - bid) / mid * 10^4: what opening and closing at once would cost.
// A size that the venue does not quote has no value.
//
// Columns:
//   ticker           asset
//   source           venue
//   mid              middle of the 1k prices, quote currency
//   spread_bps       for USD 1,000, bps
//   spread_100k_bps  for USD 100,000, bps
//   spread_1m_bps    for USD 1,000,000, bps
//   age_s            age of the quote, s

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
    fn: (r) => r._field == "mid"
        or r._field == "spread_bps"
        or r._field == "spread_100k_bps"
        or r._field == "spread_1m_bps"
        or r._field == "quote_age_ms"
        or r._field == "lag_ms",
  )
  |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      mid: r.mid,
      spread_bps: r.spread_bps,
      spread_100k_bps: r.spread_100k_bps,
      spread_1m_bps: r.spread_1m_bps,
      age_s: float(v: int(v: stop) - int(v: r._time)) / 1000000000.0
        + (if exists r.quote_age_ms then (r.quote_age_ms - r.lag_ms) / 1000.0 else 0.0),
    }),
  )
  |> sort(columns: ["ticker", "spread_bps"])
