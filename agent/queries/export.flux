// Everything that is known, a row a slot: for CSV, pandas and spreadsheets.
//
// A value that is not known is empty. For hours of all tickers use `perpflux export`, which reads
// the local journal.
//
// Columns:
//   time                the slot
//   source              venue
//   ticker              asset
//   lag_ms              ms: receipt minus slot: what a backtest adds to avoid looking ahead
//   quote_age_ms        ms: receipt minus the time the source gives its quotes, at least 0
//   mark_price          quote currency: mark price; last_price when the source gives none
//   index_price         quote currency: index price
//   last_price          quote currency: price of the last trade
//   best_bid            quote currency: tightest published bid
//   best_ask            quote currency: tightest published ask
//   bid_1k              quote currency: average price to sell USD 1,000 of notional at once
//   ask_1k              quote currency: average price to buy USD 1,000 of notional at once
//   bid_100k            quote currency: average price to sell USD 100,000 of notional at once
//   ask_100k            quote currency: average price to buy USD 100,000 of notional at once
//   bid_1m              quote currency: average price to sell USD 1,000,000 of notional at once
//   ask_1m              quote currency: average price to buy USD 1,000,000 of notional at once
//   mid                 quote currency: (bid_1k + ask_1k) / 2
//   spread_bps          bps: (ask_1k - bid_1k) / their mid * 10^4
//   spread_100k_bps     bps: (ask_100k - bid_100k) / their mid * 10^4
//   spread_1m_bps       bps: (ask_1m - bid_1m) / their mid * 10^4
//   impact_buy_bps      bps: (ask_100k - mid) / mid * 10^4
//   impact_sell_bps     bps: (mid - bid_100k) / mid * 10^4
//   basis_bps           bps: (mark_price - index_price) / index_price * 10^4
//   funding_rate        fraction: as the source publishes it (see sources)
//   funding_interval_s  s: settlement interval of this very row
//   funding_apr         fraction per year: simple annualisation; comparable over sources
//   next_funding_s      s: from the slot to the next settlement
//   long_oi             as published: Variational: USD of longs; Bybit: base coin, both sides
//   short_oi            as published: Variational: USD of shorts
//   oi_usd              USD: open interest, one-sided notional; comparable over sources
//   volume_24h          as published: Variational: USD; Bybit: base coin
//   volume_24h_usd      USD: traded in the last 24 hours; comparable over sources

import "regexp"

bucket = "perps"  // raw points
start = -1h       // beginning
stop = now()      // end
ticker = "BTC"    // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "snapshot")
  |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
  |> group(columns: ["source", "ticker"])
  |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
  |> group()
  |> drop(columns: ["_start", "_stop"])
  |> rename(columns: {_time: "time"})
  |> sort(columns: ["ticker", "source", "time"])
