// What happened? The agent's notes.
//
// Columns:
//   time    when
//   host    machine
//   kind    kind of event
//   source  venue
//   text    what happened

bucket = "perps"  // raw points
start = -7d       // beginning
stop = now()      // end

from(bucket: bucket)
  |> range(start: start, stop: stop)
  |> filter(fn: (r) => r._measurement == "event" and r._field == "text")
  |> group()
  |> rename(columns: {_time: "time", _value: "text"})
  |> keep(columns: ["time", "host", "kind", "source", "text"])
  |> sort(columns: ["time"])
