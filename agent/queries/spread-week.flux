// Is the spread wide or narrow today? Mean and percentiles of the last 7 days.
//
// From the rollup: each minute counts once. max_bps is the widest single moment.
//
// Columns:
//   ticker    asset
//   source    venue
//   now_bps   spread of the newest point, bps; null = none in the last 10 minutes
//   mean_bps  mean of the minutes, bps
//   p05_bps   5 % of the minutes were narrower, bps
//   p50_bps   half of the minutes were narrower, bps
//   p95_bps   95 % of the minutes were narrower, bps
//   max_bps   widest moment, bps

import "date"
import "regexp"

bucket = "perps"       // raw points
start = -7d            // beginning
stop = now()           // end
ticker = ".+"          // tickers, a regular expression such as BTC|ETH
source = ".+"          // sources, a regular expression
rollup = "perps_1m"    // one-minute points
spread = "spread_bps"  // spread_bps, spread_100k_bps or spread_1m_bps

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

chosen = (tables=<-, field) =>
  tables
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == field)
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)

minutes = () => from(bucket: rollup) |> range(start: start, stop: stop) |> chosen(field: spread)

named = (tables=<-, name) => tables |> set(key: "_field", value: name) |> group()

union(
  tables: [
    from(bucket: bucket)
      |> range(start: date.sub(d: 10m, from: stop), stop: stop)
      |> chosen(field: spread)
      |> last()
      |> named(name: "now_bps"),
    minutes() |> mean() |> named(name: "mean_bps"),
    minutes() |> quantile(q: 0.05, method: "exact_mean") |> named(name: "p05_bps"),
    minutes() |> quantile(q: 0.5, method: "exact_mean") |> named(name: "p50_bps"),
    minutes() |> quantile(q: 0.95, method: "exact_mean") |> named(name: "p95_bps"),
    // The rollup keeps the widest moment of the 1k spread only.
    from(bucket: rollup)
      |> range(start: start, stop: stop)
      |> chosen(field: if spread == "spread_bps" then "spread_bps_max" else spread)
      |> max()
      |> named(name: "max_bps"),
  ],
)
  |> pivot(rowKey: ["ticker", "source"], columnKey: ["_field"], valueColumn: "_value")
  |> sort(columns: ["ticker", "source"])
