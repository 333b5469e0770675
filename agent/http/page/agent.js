// What comes from the agent: the stream, and its own state.

function take(data, everything) {
  const message = JSON.parse(data);
  state.ahead_ms = Date.parse(message.now) - Date.now();
  state.sources = message.sources;
  if (everything) state.rows.clear();
  for (const row of message.snapshots) {
    const key = keyOf(row.source, row.ticker);
    row.slot_ms = Date.parse(row.ts);
    row.quote_ms = row.quotes_updated_at ? Date.parse(row.quotes_updated_at) : null;
    row.settles_ms = row.next_settlement ? Date.parse(row.next_settlement) : null;
    row.before = everything ? null : state.rows.get(key);
    if (row.before) row.before.before = null;
    state.rows.set(key, row);
    state.changed.add(key);
    extendPlots(row);
  }
  for (const [source, ticker] of message.gone ?? []) state.rows.delete(keyOf(source, ticker));
  if (everything) offerSources();
  if (everything || message.gone?.length || state.order.length === 0) arrange();
  if (!state.picked && state.first && SIDE_BY_SIDE.matches && state.order.length) pickFirst();
  draw();
}

function pickFirst() {
  state.first = false;
  const { source, ticker } = state.rows.get(state.order[0]);
  pick(source, ticker);
}

let stream = null;
function connect() {
  stream?.close();
  stream = new EventSource(`/api/stream?fields=${STREAM_FIELDS}`);
  stream.addEventListener("all", (event) => {
    tell("live", "live");
    take(event.data, true);
  });
  stream.addEventListener("changes", (event) => take(event.data, false));
  stream.addEventListener("error", async () => {
    cut("the stream ended");
    if (stream.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    const answer = await ask("/api/snapshots?fields=mid").catch(() => null);
    if (answer) cut("the agent refuses another stream; close another page of it");
    setTimeout(connect, RECONNECT_MS);
  });
}
async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(STATUS_WAIT_MS) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
function tell(what, words) {
  $("connection").dataset.state = what;
  put($("connection"), words);
  document.body.classList.toggle("cut", what === "cut");
  $("alert").hidden = what !== "cut";
}
function cut(why) {
  if ($("connection").dataset.state !== "cut") {
    put($("alert"), `Cut off from the agent at ${new Date().toLocaleTimeString([], { hour12: false })}: ${why}. ` +
      "What is shown is old. It is tried again by itself.");
  }
  tell("cut", "cut off");
}

async function showStatus() {
  try {
    const status = await ask("/status");
    showFacts(status);
    if ($("connection").dataset.state === "cut" && stream.readyState === EventSource.OPEN) connect();
  } catch {
    cut("it does not answer");
    if (stream.readyState === EventSource.OPEN) connect(); // half open: nobody told us
  }
}
function showFacts(status) {
  put($("version"), `perpflux ${status.version} on ${status.host}`);
  const { ledger, shipping } = status;
  const facts = [["agent", status.state, { ok: "good", degraded: "warn" }[status.state] ?? "bad"]];
  for (const [name, source] of Object.entries(status.sources)) {
    const late = source.state === "ok" ? "good" : source.state === "starting" ? "warn" : "bad";
    const failures = source.failures ? `, ${source.failures} failures` : "";
    facts.push([name, `${source.state}${failures}`, late, source.last_error]);
  }
  const count = (number) => fixed(number, 0);
  const waits = shipping.oldest_pending_s > 0 ? `, oldest ${duration(shipping.oldest_pending_s)}` : "";
  const off = shipping.state === "off";
  facts.push(["InfluxDB", off ? "none, stored locally" : shipping.state,
    off ? "" : ["shipping", "idle"].includes(shipping.state) ? "good" : "bad", shipping.last_error]);
  facts.push(["ledger", `${count(ledger.collected)} collected = ${count(ledger.stored)} stored + ` +
    `${count(ledger.rejected)} rejected + ${count(ledger.evicted)} evicted + ` +
    `${count(ledger.pending)} pending${off ? "" : waits}`,
    ledger.rejected || ledger.evicted ? "warn" : ""]);
  if (!status.journal.takes_writes) facts.push(["journal", "takes no writes", "bad", status.journal.last_error]);
  $("facts").replaceChildren(...facts.map(([name, words, tone, why]) => {
    const pair = element("div");
    const value = element("dd", "", why ? `${words}: ${why}` : words);
    if (tone) value.dataset.tone = tone;
    pair.append(element("dt", "", name), value);
    return pair;
  }));
}
