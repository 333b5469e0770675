// Does one venue's perpetual trade richer than the other's?
//
// basis = (mark - index) / index * 10^4, against each venue's own index, so that a gap between the
// indices does not count.
//
// Columns:
//   ticker               asset
//   source               venue
//   basis_bps            of this venue, bps
//   reference_basis_bps  of the reference, bps
//   gap_bps              basis - basis of the reference, bps

import "regexp"

bucket = "perps"     // raw points
start = -10m         // a source without a point since then is left out
stop = now()         // the moment that is asked about
ticker = ".+"        // tickers, a regular expression such as BTC|ETH
reference = "bybit"  // the source that the others are measured against

tickers = regexp.compile(v: "^(" + ticker + ")$")

bases =
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(
      fn: (r) => r._field == "basis_bps"
          or r._field == "lag_ms",
    )
    |> filter(fn: (r) => r.ticker =~ tickers)
    |> last()
    |> group()
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
    |> filter(fn: (r) => exists r.lag_ms and exists r.basis_bps)

join(
  tables: {
    of: bases |> filter(fn: (r) => r.source != reference),
    to: bases |> filter(fn: (r) => r.source == reference),
  },
  on: ["ticker"],
)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source_of,
      basis_bps: r.basis_bps_of,
      reference_basis_bps: r.basis_bps_to,
      gap_bps: r.basis_bps_of - r.basis_bps_to,
    }),
  )
  |> sort(columns: ["ticker", "source"])
