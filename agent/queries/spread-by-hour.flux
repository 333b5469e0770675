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

// Sums and counts of whole hours are the storage's work; what is left are a few hundred rows.
hours = (fn, name) =>
  from(bucket: rollup)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == spread)
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
    // A point of the rollup ends its minute: 10:00 belongs to the hour that begins at 9.
    |> aggregateWindow(every: 1h, offset: 1ns, fn: fn, createEmpty: false)
    |> toFloat()
    |> map(fn: (r) => ({r with _field: name, hour: date.hour(t: date.sub(d: 2ns, from: r._time))}))
    |> group(columns: ["ticker", "source", "hour", "_field"])
    |> sum()
    |> group()

union(tables: [hours(fn: sum, name: "sum"), hours(fn: count, name: "count")])
  |> pivot(rowKey: ["ticker", "source", "hour"], columnKey: ["_field"], valueColumn: "_value")
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      hour: r.hour,
      mean_bps: r.sum / r.count,
      minutes: int(v: r.count),
    }),
  )
  |> sort(columns: ["ticker", "source", "hour"])
