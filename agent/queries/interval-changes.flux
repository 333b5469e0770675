// When did a contract change how often funding is settled?
//
// To within a minute.
//
// Columns:
//   time      when the new interval was seen
//   ticker    asset
//   source    venue
//   before_s  interval before, s
//   after_s   interval from then on, s

import "regexp"

bucket = "perps"  // raw points
start = -24h      // beginning
stop = now()      // end
ticker = ".+"     // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "funding_interval_s")
  |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
  |> aggregateWindow(every: 1m, fn: last, createEmpty: false)
  |> duplicate(column: "_value", as: "after_s")
  |> difference()
  |> filter(fn: (r) => r._value != 0.0)
  |> group()
  |> map(
    fn: (r) => ({
      time: r._time,
      ticker: r.ticker,
      source: r.source,
      before_s: r.after_s - r._value,
      after_s: r.after_s,
    }),
  )
  |> sort(columns: ["time", "ticker", "source"])
