// Which side is crowded? Longs against shorts.
//
// skew = (long - short) / (long + short): 1 = only longs, -1 = only shorts.
// Of venues that publish both sides (Variational).
//
// Columns:
//   ticker    asset
//   source    venue
//   long_oi   open interest of longs, as published (Variational: USD)
//   short_oi  of shorts
//   skew      -1 to 1

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
    fn: (r) => r._field == "long_oi"
        or r._field == "short_oi"
        or r._field == "lag_ms",
  )
  |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> filter(fn: (r) => exists r.long_oi and exists r.short_oi)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      long_oi: r.long_oi,
      short_oi: r.short_oi,
      skew: (r.long_oi - r.short_oi) / (r.long_oi + r.short_oi),
    }),
  )
  |> sort(columns: ["skew"], desc: true)
