// How far apart are the venues' prices?
//
// gap = (mid - mid of the reference) / mid of the reference * 10^4, on the newest slot that both
// have: prices of the same moment.
//
// Columns:
//   ticker         asset
//   source         venue
//   time           the common slot
//   mid            of this venue
//   reference_mid  of the reference
//   gap_bps        positive: dearer than the reference, bps

import "regexp"

bucket = "perps"        // raw points
start = -10m            // a pair without a common slot since then is left out
stop = now()            // the moment that is asked about
ticker = ".+"           // tickers, a regular expression such as BTC|ETH
source = "variational"  // the source that is measured
reference = "bybit"     // the source it is measured against

tickers = regexp.compile(v: "^(" + ticker + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "mid")
  |> filter(fn: (r) => r.ticker =~ tickers)
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
  |> sort(columns: ["_time"])
  |> tail(n: 1)
  |> group()
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: source,
      time: r._time,
      mid: r.mid,
      reference_mid: r.reference_mid,
      gap_bps: (r.mid - r.reference_mid) / r.reference_mid * 10000.0,
    }),
  )
  |> sort(columns: ["ticker", "source"])
