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

bucket = "perps"        // raw points
start = -1h             // beginning
stop = now()            // end
ticker = "BTC"          // tickers, a regular expression such as BTC|ETH
every = 1m              // length of a window
source = "variational"  // the source that is measured
reference = "bybit"     // the source it is measured against

tickers = regexp.compile(v: "^(" + ticker + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "mid")
  |> filter(fn: (r) => r.ticker =~ tickers)
  |> aggregateWindow(every: every, fn: last, createEmpty: false)
  |> group(columns: ["ticker"])
  |> pivot(rowKey: ["_time"], columnKey: ["source"], valueColumn: "_value")
  |> rename(
    fn: (column) => if column == source then
        "mid"
      else if column == reference then
        "reference_mid"
      else
        column,
  )
  |> filter(fn: (r) => exists r.mid and exists r.reference_mid)
  |> group()
  |> map(
    fn: (r) => ({
      time: r._time,
      ticker: r.ticker,
      source: source,
      gap_bps: (r.mid - r.reference_mid) / r.reference_mid * 10000.0,
    }),
  )
  |> sort(columns: ["ticker", "source", "time"])
