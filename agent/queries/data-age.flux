// How old is what I see? Dead sources included.
//
// The look-back is long, so that a source that died shows with its age instead of vanishing.
//
// Columns:
//   ticker       asset
//   source       venue
//   slot         newest slot
//   slot_age_s   from the slot to stop, s
//   quote_age_s  age of the venue's own quote at stop, s

import "regexp"

bucket = "perps"  // raw points
start = -24h      // how far to look back
stop = now()      // the moment that is asked about
ticker = ".+"     // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(
    fn: (r) => r._field == "quote_age_ms"
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
      slot: r._time,
      slot_age_s: float(v: int(v: stop) - int(v: r._time)) / 1000000000.0,
      quote_age_s: float(v: int(v: stop) - int(v: r._time)) / 1000000000.0
        + (r.quote_age_ms - r.lag_ms) / 1000.0,
    }),
  )
  |> sort(columns: ["slot", "ticker", "source"])
