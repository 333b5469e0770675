// Who trades it? Each venue's share of the volume.
//
// Columns:
//   ticker          asset
//   source          venue
//   volume_24h_usd  traded in the last 24 hours, USD
//   share           of all venues here, 0 to 1
//   turnover        volume / open interest

import "regexp"

bucket = "perps"  // raw points
start = -10m      // a source without a point since then is left out
stop = now()      // the moment that is asked about
ticker = ".+"     // tickers, a regular expression such as BTC|ETH

tickers = regexp.compile(v: "^(" + ticker + ")$")

volumes =
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(
      fn: (r) => r._field == "volume_24h_usd"
          or r._field == "oi_usd"
          or r._field == "lag_ms",
    )
    |> filter(fn: (r) => r.ticker =~ tickers)
    |> last()
    |> group()
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
    |> filter(fn: (r) => exists r.lag_ms and exists r.volume_24h_usd)

join(
  tables: {
    each: volumes,
    all: volumes |> group(columns: ["ticker"]) |> sum(column: "volume_24h_usd") |> group(),
  },
  on: ["ticker"],
)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      volume_24h_usd: r.volume_24h_usd_each,
      share: r.volume_24h_usd_each / r.volume_24h_usd_all,
      turnover: r.volume_24h_usd_each / r.oi_usd,
    }),
  )
  |> sort(columns: ["ticker", "source"])
