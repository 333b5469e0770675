// Where are the holes in the data?
//
// Stretches without a point, longer than longer_s; the last one is open when a source died.
// For all tickers and long ranges let bucket be the rollup.
//
// Columns:
//   ticker    asset
//   source    venue
//   after     last point before the hole
//   until     first point after it, or stop
//   length_s  from one to the other, s

import "regexp"

bucket = "perps"  // raw points
start = -24h      // beginning
stop = now()      // end
ticker = "BTC"    // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression
longer_s = 60     // shorter stretches are no hole, s

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

slots =
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "lag_ms")
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)

union(tables: [slots, slots |> last() |> map(fn: (r) => ({r with _time: stop}))])
  |> sort(columns: ["_time"])
  |> elapsed(unit: 1s)
  |> filter(fn: (r) => r.elapsed > longer_s)
  |> group()
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      after: time(v: int(v: r._time) - r.elapsed * 1000000000),
      until: r._time,
      length_s: r.elapsed,
    }),
  )
  |> sort(columns: ["ticker", "source", "after"])
