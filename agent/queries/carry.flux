// Which pair of venues pays the most to hold, net of cost?
//
// Short where funding is highest, long where it is lowest. The gap is what the pair earns as long
// as the rates stay; the cost is half a spread in and half a spread out on each leg, and the fees.
// A leg without this spread (no depth) has no cost.
//
// Columns:
//   ticker           asset
//   short_source     where to be short: its longs pay
//   long_source      where to be long
//   short_apr        funding there, fraction per year
//   long_apr         funding there, fraction per year
//   gap_apr          short_apr - long_apr
//   cost_bps         round trip of both legs, bps of the notional
//   net_bps          earned over hold_days, less the cost, bps
//   break_even_days  days until the gap has paid for the cost
//   oi_usd           smaller open interest of the two, USD
//   age_s            of the older slot, s

import "regexp"

bucket = "perps"            // raw points
start = -10m                // a source without a point since then is left out
stop = now()                // the moment that is asked about
ticker = ".+"               // tickers, a regular expression such as BTC|ETH
spread = "spread_100k_bps"  // the size to trade: spread_bps, spread_100k_bps or spread_1m_bps
fees_bps = 0.0              // fees of all four trades together, bps
hold_days = 30.0            // how long the pair is held, days

tickers = regexp.compile(v: "^(" + ticker + ")$")

legs =
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(
      fn: (r) => r._field == "funding_apr"
          or r._field == "oi_usd"
          or r._field == spread
          or r._field == "lag_ms",
    )
    |> filter(fn: (r) => r.ticker =~ tickers)
    |> last()
    |> group()
    |> map(fn: (r) => ({r with _field: if r._field == spread then "spread" else r._field}))
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
    |> filter(fn: (r) => exists r.lag_ms and exists r.funding_apr)
    |> map(
      fn: (r) => ({
        ticker: r.ticker,
        source: r.source,
        apr: r.funding_apr,
        spread: r.spread,
        oi_usd: r.oi_usd,
        age_s: float(v: int(v: stop) - int(v: r._time)) / 1000000000.0,
      }),
    )
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
      short_apr: r.apr_short,
      long_apr: r.apr_long,
      gap_apr: r.apr_short - r.apr_long,
      cost_bps: r.spread_short + r.spread_long + fees_bps,
      // Only where both are known: null is not the smaller one.
      oi_usd:
        if not exists r.oi_usd_short or r.oi_usd_short < r.oi_usd_long then
          r.oi_usd_short
        else
          r.oi_usd_long,
      age_s: if r.age_s_short > r.age_s_long then r.age_s_short else r.age_s_long,
    }),
  )
  |> map(
    fn: (r) => ({r with
      net_bps: r.gap_apr * hold_days / 365.0 * 10000.0 - r.cost_bps,
      break_even_days: r.cost_bps / 10000.0 / r.gap_apr * 365.0,
    }),
  )
  |> sort(columns: ["gap_apr"], desc: true)
