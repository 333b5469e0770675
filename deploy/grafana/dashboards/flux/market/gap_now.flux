import "date"
import "math"

mids =
  from(bucket: v.defaultBucket)
    |> range(start: date.sub(d: 10m, from: v.timeRangeStop), stop: v.timeRangeStop)
    |> filter(fn: (r) => r._measurement == "snapshot")
    |> filter(fn: (r) => r._field == "mid" or r._field == "lag_ms")
    |> filter(fn: (r) => r.ticker =~ /^${ticker:regex}$/)
    |> last()
    |> group()
    |> pivot(rowKey: ["source", "ticker", "_time"], columnKey: ["_field"], valueColumn: "_value")
    // lag_ms is always there: what is left is the newest slot, a field that it lacks stays null.
    |> filter(fn: (r) => exists r.lag_ms)
    |> filter(fn: (r) => exists r.mid)

join(
  tables: {
    of: mids |> filter(fn: (r) => r.source != "${reference}" and r.source =~ /^${source:regex}$/),
    to: mids |> filter(fn: (r) => r.source == "${reference}"),
  },
  on: ["ticker"],
)
  |> map(
    fn: (r) => ({
      _time: r._time_of,
      ticker: r.ticker,
      source: r.source_of,
      _value: (r.mid_of - r.mid_to) / r.mid_to * 10000.0,
    }),
  )
  |> map(fn: (r) => ({r with size: math.abs(x: r._value)}))
  |> sort(columns: ["size"], desc: true)
  |> limit(n: 3)
  |> drop(columns: ["size"])
  |> group(columns: ["ticker", "source"])
