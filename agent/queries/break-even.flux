// How many days must a funding pair be held until it has paid for itself?
//
// As carry, but of means over the last days, from the rollup: one hour of a high rate is no trade.
//
// Columns:
//   ticker           asset
//   short_source     where to be short
//   long_source      where to be long
//   mean_gap_apr     mean of the gap in funding, fraction per year
//   mean_cost_bps    mean round trip of both legs, and fees, bps
//   break_even_days  mean_cost_bps / 10^4 / mean_gap_apr * 365

import "regexp"

start = -7d                 // beginning of the means
stop = now()                // their end
ticker = ".+"               // tickers, a regular expression such as BTC|ETH
rollup = "perps_1m"         // one-minute points
spread = "spread_100k_bps"  // the size to trade: spread_bps, spread_100k_bps or spread_1m_bps
fees_bps = 0.0              // fees of all four trades together, bps

tickers = regexp.compile(v: "^(" + ticker + ")$")

legs =
  from(bucket: rollup)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(fn: (r) => r._field == "funding_apr" or r._field == spread)
    |> filter(fn: (r) => r.ticker =~ tickers)
    |> mean()
    |> group()
    |> map(fn: (r) => ({r with _field: if r._field == spread then "spread" else "apr"}))
    |> pivot(rowKey: ["source", "ticker"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.apr)
    |> group(columns: ["ticker"])

// top and bottom, because max and min would turn what is missing into 0.
join(
  tables: {
    short: legs |> top(n: 1, columns: ["apr"]) |> group(),
    long: legs |> bottom(n: 1, columns: ["apr"]) |> group(),
  },
  on: ["ticker"],
)
  |> filter(fn: (r) => r.source_short != r.source_long)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      short_source: r.source_short,
      long_source: r.source_long,
      mean_gap_apr: r.apr_short - r.apr_long,
      mean_cost_bps: r.spread_short + r.spread_long + fees_bps,
    }),
  )
  |> map(
    fn: (r) => ({r with break_even_days: r.mean_cost_bps / 10000.0 / r.mean_gap_apr * 365.0}),
  )
  |> sort(columns: ["break_even_days"])
