// What was known of both venues at each moment? A join without looking ahead.
//
// A point is known from slot + lag_ms on, not from its slot. At each moment at which a point of
// `left` became known, this gives the newest point of `right` that was known already.
//
// Columns:
//   known_at      when the point of left was known: slot + lag_ms
//   ticker        asset
//   left_slot     slot of the point of left
//   left_mid      its price
//   right_slot    slot of the newest known point of right
//   right_mid     its price
//   gap_bps       (left_mid - right_mid) / right_mid * 10^4
//   right_age_ms  how long the point of right had been known, ms

import "regexp"

bucket = "perps"      // raw points
start = -1h           // beginning
stop = now()          // end
ticker = "BTC"        // tickers, a regular expression such as BTC|ETH
left = "variational"  // the source whose points make the rows
right = "bybit"       // the source that is looked up

tickers = regexp.compile(v: "^(" + ticker + ")$")

known = (name, side) =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r.source == name)
    |> filter(fn: (r) => r._field == "mid" or r._field == "lag_ms")
    |> filter(fn: (r) => r.ticker =~ tickers)
    |> group(columns: ["ticker"])
    |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.mid)
    |> map(
      fn: (r) => ({
        ticker: r.ticker,
        _time: time(v: int(v: r._time) + int(v: r.lag_ms * 1000000.0)),
        side: side,
        slot: r._time,
        mid: r.mid,
      }),
    )

// Right comes before left where both became known at the same instant.
union(
  tables: [
    known(name: right, side: 0)
      |> duplicate(column: "_time", as: "right_known_at")
      |> rename(columns: {slot: "right_slot", mid: "right_mid"}),
    known(name: left, side: 1) |> rename(columns: {slot: "left_slot", mid: "left_mid"}),
  ],
)
  |> sort(columns: ["_time", "side"])
  |> fill(column: "right_slot", usePrevious: true)
  |> fill(column: "right_mid", usePrevious: true)
  |> fill(column: "right_known_at", usePrevious: true)
  |> filter(fn: (r) => r.side == 1 and exists r.right_mid)
  |> group()
  |> map(
    fn: (r) => ({
      known_at: r._time,
      ticker: r.ticker,
      left_slot: r.left_slot,
      left_mid: r.left_mid,
      right_slot: r.right_slot,
      right_mid: r.right_mid,
      gap_bps: (r.left_mid - r.right_mid) / r.right_mid * 10000.0,
      right_age_ms: (int(v: r._time) - int(v: r.right_known_at)) / 1000000,
    }),
  )
  |> sort(columns: ["ticker", "known_at"])
