// Where is money coming in or leaving? Change of open interest.
//
// Columns:
//   ticker      asset
//   source      venue
//   before_usd  first value of the range, USD
//   after_usd   last value, USD
//   change_usd  after - before, USD
//   change      change_usd / before_usd

import "regexp"

bucket = "perps"  // raw points
start = -24h      // beginning
stop = now()      // end
ticker = ".+"     // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

// Called twice, not read once for both: first and last are then the storage's work.
oi = () =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "oi_usd")
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)

join(
  tables: {first: oi() |> first() |> group(), last: oi() |> last() |> group()},
  on: ["ticker", "source"],
)
  |> map(
    fn: (r) => ({
      ticker: r.ticker,
      source: r.source,
      before_usd: r._value_first,
      after_usd: r._value_last,
      change_usd: r._value_last - r._value_first,
      change: (r._value_last - r._value_first) / r._value_first,
    }),
  )
  |> sort(columns: ["change_usd"], desc: true)
