// When is funding settled next, and what would a long pay?
//
// Of venues that say when (Bybit). The rate of one settlement is funding_apr times its interval.
//
// Columns:
//   ticker      asset
//   source      venue
//   settles_at  next settlement
//   in_s        from stop until then, s
//   interval_s  from settlement to settlement, s
//   pay_bps     a long pays (negative: gets), bps of the notional

import "regexp"

bucket = "perps"  // raw points
start = -10m      // a source without a point since then is left out
stop = now()      // the moment that is asked about
ticker = ".+"     // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(
    fn: (r) => r._field == "next_funding_s"
        or r._field == "funding_interval_s"
        or r._field == "funding_apr"
        or r._field == "lag_ms",
  )
  |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
  |> last()
  |> group()
  |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
  // lag_ms is always there: what is left is the newest slot, a field it lacks stays null.
  |> filter(fn: (r) => exists r.lag_ms)
  |> filter(fn: (r) => exists r.next_funding_s)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      settles_at: time(v: int(v: r._time) + int(v: r.next_funding_s) * 1000000000),
      in_s: int(v: r.next_funding_s) - (int(v: stop) - int(v: r._time)) / 1000000000,
      interval_s: r.funding_interval_s,
      pay_bps: r.funding_apr * r.funding_interval_s / 31536000.0 * 10000.0,
    }),
  )
  |> sort(columns: ["in_s", "ticker", "source"])
