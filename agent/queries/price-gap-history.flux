// How did the price gap between the venues move?
//
// For each window the last prices of both venues; gap as in price-gap.
//
// Columns:
//   time     end of the window
//   ticker   asset
//   source   venue
//   gap_bps  positive: dearer than the reference, bps

import "regexp"

bucket = "perps"     // raw points
start = -1h          // beginning
stop = now()         // end
ticker = "BTC"       // tickers, a regular expression such as BTC|ETH
every = 1m           // length of a window
reference = "bybit"  // the source that the others are measured against

tickers = regexp.compile(v: "^(" + ticker + ")$")

mids =
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "mid")
    |> filter(fn: (r) => r.ticker =~ tickers)
    |> aggregateWindow(every: every, fn: last, createEmpty: false)
    |> group()

join(
  tables: {
    of: mids |> filter(fn: (r) => r.source != reference),
    to: mids |> filter(fn: (r) => r.source == reference),
  },
  on: ["_time", "ticker"],
)
  |> map(
    fn: (r) => ({
      time: r._time,
      ticker: r.ticker,
      source: r.source_of,
      gap_bps: (r._value_of - r._value_to) / r._value_to * 10000.0,
    }),
  )
  |> sort(columns: ["ticker", "source", "time"])
