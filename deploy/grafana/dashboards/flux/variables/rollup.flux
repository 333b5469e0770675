// The bucket that long ranges read: the rollup where there is one, else the raw points.
buckets()
  |> filter(fn: (r) => r.name == v.defaultBucket or r.name == v.defaultBucket + "_1m")
  |> keep(columns: ["name"])
  |> sort(columns: ["name"], desc: true)
