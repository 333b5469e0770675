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

import "experimental"
import "regexp"

bucket = "perps"     // raw points
start = -10m         // a pair without a common slot since then is left out
stop = now()         // the moment that is asked about
ticker = ".+"        // tickers, a regular expression such as BTC|ETH
reference = "bybit"  // the source that the others are measured against

tickers = regexp.compile(v: "^(" + ticker + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "mid")
  |> filter(fn: (r) => r.ticker =~ tickers)
  |> group(columns: ["ticker"])
  |> pivot(rowKey: ["_time"], columnKey: ["source"], valueColumn: "_value")
  // A column a source: the reference stays one, the others become rows again.
  |> rename(fn: (column) => if column == reference then "reference_mid" else column)
  |> filter(fn: (r) => exists r.reference_mid)
  |> experimental.unpivot(otherColumns: ["_time", "ticker", "reference_mid"])
  |> group(columns: ["ticker", "_field"])
  |> sort(columns: ["_time"])
  |> tail(n: 1)
  |> group()
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r._field,
      time: r._time,
      mid: r._value,
      reference_mid: r.reference_mid,
      gap_bps: (r._value - r.reference_mid) / r.reference_mid * 10000.0,
    }),
  )
  |> sort(columns: ["ticker", "source"])
