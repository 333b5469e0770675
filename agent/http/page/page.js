// The live page. Numbers come from the agent (docs/http-api.md); nothing is derived here but ages.
// Every text goes in as text: there is no innerHTML, and the policy would not let it.

const ROWS_PER_PAGE = 50;
const STATUS_EVERY_MS = 5000;
const STATUS_WAIT_MS = 4000;
const RECONNECT_MS = 5000;
const RESORT_EVERY_MS = 10000; // rows that move under the eye are hard to read
const PLOT_REFRESH_MS = 60000;
const PLOT_POINTS = 180;
const HOUR_MS = 3600000;
const DASH = "–";
const SIDE_BY_SIDE = matchMedia("(min-width: 1250px)"); // as in the style

const STREAM_FIELDS = "mid,spread_bps,spread_100k_bps,gap_bps,funding_apr,carry_apr," +
  "next_settlement,quotes_updated_at,gap_ts";

const COLUMNS = [
  { key: "ticker", name: "Ticker", text: true },
  { key: "source", name: "Source", short: "Src", text: true },
  { key: "mid", name: "Mid", show: price },
  { key: "spread_bps", name: "Spread", unit: "1k, bps", show: bps },
  { key: "spread_100k_bps", name: "Spread", unit: "100k, bps", show: bps, from: "wide-column" },
  { key: "gap_bps", name: "Gap", unit: "bps", show: (number) => signed(bps(Math.abs(number)), number) },
  { key: "funding_apr", name: "Funding", unit: "% a year", show: percent },
  { key: "carry_apr", name: "Carry", unit: "% a year", show: percent, from: "wide-column" },
  { key: "settles", name: "Settles", unit: "in", show: countdown, from: "minor-column" },
  { key: "age", name: "Age", show: duration },
];
const PLOTS = [
  { key: "spread_bps", name: "Spread 1k", unit: "bps", show: bps },
  { key: "gap_bps", name: "Gap", unit: "bps", show: (number) => signed(bps(Math.abs(number)), number), alone: true },
  { key: "funding_apr", name: "Funding", unit: "% a year", show: percent },
];

const $ = (id) => document.getElementById(id);
const state = {
  rows: new Map(), // "source ticker" -> row
  sources: {}, // name -> limits, as the agent tells them
  ahead_ms: 0, // the agent's clock less this one's
  order: [], // keys, filtered and sorted
  sorted_ms: 0,
  page: 0,
  sort: { key: "ticker", down: false },
  picked: null, // {source, ticker}
  first: true, // nobody has picked or closed anything yet
  history: [], // rows of the picked ticker, last hour
  step_ms: 1000,
  changed: new Set(), // keys since the last drawing
};
