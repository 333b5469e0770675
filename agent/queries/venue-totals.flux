// How big is the venue as a whole?
//
// Of venues that publish it (Variational).
//
// Columns:
//   source                 venue
//   markets                number of markets
//   oi_usd                 open interest, one-sided, USD
//   volume_24h_usd         traded in the last 24 hours, USD
//   cumulative_volume_usd  traded since the start, USD
//   tvl_usd                total value locked, USD

bucket = "perps"  // raw points
start = -10m      // a source without a point since then is left out
stop = now()      // the moment that is asked about

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "platform")
  |> last()
  |> group()
  |> pivot(rowKey: ["source"], columnKey: ["_field"], valueColumn: "_value")
  |> map(
    fn: (r) => ({
      source: r.source,
      markets: r.markets,
      oi_usd: r.oi_usd,
      volume_24h_usd: r.volume_24h_usd,
      cumulative_volume_usd: r.cumulative_volume_usd,
      tvl_usd: r.tvl_usd,
    }),
  )
  |> sort(columns: ["source"])
