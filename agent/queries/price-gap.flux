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

bucket = "perps"     // raw points
start = -10m         // a pair without a common slot since then is left out
stop = now()         // the moment that is asked about
ticker = ".+"        // tickers, a regular expression such as BTC|ETH
reference = "bybit"  // the source that the others are measured against

tickers = regexp.compile(v: "^(" + ticker + ")$")

mids =
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "mid")
    |> filter(fn: (r) => r.ticker =~ tickers)
    |> group()

join(
  tables: {
    of: mids |> filter(fn: (r) => r.source != reference),
    to: mids |> filter(fn: (r) => r.source == reference),
  },
  on: ["_time", "ticker"],
)
  |> group(columns: ["ticker", "source_of"])
  |> sort(columns: ["_time"])
  |> tail(n: 1)
  |> group()
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source_of,
      time: r._time,
      mid: r._value_of,
      reference_mid: r._value_to,
      gap_bps: (r._value_of - r._value_to) / r._value_to * 10000.0,
    }),
  )
  |> sort(columns: ["ticker", "source"])
