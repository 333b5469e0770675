// Candles of the middle price, for charts and backtests.
//
// A candle is named by the end of its window, at which all of it was known (but for lag_ms).
//
// Columns:
//   time    end of the window
//   ticker  asset
//   source  venue
//   open    first mid
//   high    highest mid
//   low     lowest mid
//   close   last mid
//   points  how many

import "regexp"

bucket = "perps"  // raw points
start = -1h       // beginning
stop = now()      // end
ticker = "BTC"    // tickers, a regular expression such as BTC|ETH
source = ".+"     // sources, a regular expression
every = 5m        // length of a candle

tickers = regexp.compile(v: "^(" + ticker + ")$")
sources = regexp.compile(v: "^(" + source + ")$")

// A source of its own for each: what is read once for all of them is not aggregated in the storage.
windows = (fn, name) =>
  from(bucket: bucket)
    |> range(start: start, stop: stop)
    |> filter(fn: (r) => r._measurement == "snapshot" and r._field == "mid")
    |> filter(fn: (r) => r.ticker =~ tickers and r.source =~ sources)
    |> aggregateWindow(every: every, fn: fn, createEmpty: false)
    |> toFloat()
    |> set(key: "_field", value: name)
    |> group()

union(
  tables: [
    windows(fn: first, name: "open"),
    windows(fn: max, name: "high"),
    windows(fn: min, name: "low"),
    windows(fn: last, name: "close"),
    windows(fn: count, name: "points"),
  ],
)
  |> pivot(rowKey: ["_time", "ticker", "source"], columnKey: ["_field"], valueColumn: "_value")
  |> rename(columns: {_time: "time"})
  |> keep(columns: ["time", "ticker", "source", "open", "high", "low", "close", "points"])
  |> sort(columns: ["ticker", "source", "time"])
