// At which hour of the day is trading cheapest?
//
// From the rollup; hours are UTC.
//
// Columns:
//   ticker    asset
//   source    venue
//   hour      0 to 23, UTC
//   mean_bps  mean spread of that hour, bps
//   minutes   minutes that count

import "date"
import "regexp"

start = -7d            // beginning
stop = now()           // end
ticker = "BTC"         // tickers, a regular expression such as BTC|ETH
source = ".+"          // sources, a regular expression
rollup = "perps_1m"    // one-minute points
spread = "spread_bps"  // spread_bps, spread_100k_bps or spread_1m_bps

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

hours =
  from(bucket: rollup)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == spread)
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
    // A point of the rollup ends its minute: 10:00 belongs to the hour that begins at 9.
    |> map(fn: (r) => ({r with hour: date.hour(t: date.sub(d: 1ns, from: r._time))}))
    |> group(columns: ["ticker", "source", "hour"])

join(
  tables: {mean: hours |> mean() |> group(), count: hours |> count() |> group()},
  on: ["ticker", "source", "hour"],
)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      hour: r.hour,
      mean_bps: r._value_mean,
      minutes: r._value_count,
    }),
  )
  |> sort(columns: ["ticker", "source", "hour"])
