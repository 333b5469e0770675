// The table: filter, order, pages, rows.

function valueOf(row, key) {
  if (key === "age") return row.quote_ms ?? row.slot_ms;
  return key === "settles" ? row.settles_ms : row[key];
}
function arrange() {
  const words = $("filter").value.toUpperCase().split(/[\s,]+/).filter(Boolean);
  const source = $("source").value;
  const paired = $("paired").checked;
  const fits = (row) =>
    (!source || row.source === source) &&
    (!words.length || words.some((word) => row.ticker.toUpperCase().includes(word))) &&
    (!paired || Object.keys(state.sources).every((name) => state.rows.has(keyOf(name, row.ticker))));
  const { key, down } = state.sort;
  const column = COLUMNS.find((each) => each.key === key);
  // The older the earlier its instant: an age sorts the other way round.
  const sign = (down ? -1 : 1) * (key === "age" ? -1 : 1);
  const rows = [...state.rows.values()].filter(fits);
  rows.sort((one, other) => {
    const [a, b] = [valueOf(one, key), valueOf(other, key)];
    if (a == null || b == null) return (a == null) - (b == null);
    const by = column.text ? (a < b ? -1 : a > b ? 1 : 0) : a - b;
    return sign * by || (one.ticker < other.ticker ? -1 : one.ticker > other.ticker ? 1 : one.source < other.source ? -1 : 1);
  });
  state.order = rows.map((row) => keyOf(row.source, row.ticker));
  state.sorted_ms = Date.now();
  const pages = Math.max(1, Math.ceil(state.order.length / ROWS_PER_PAGE));
  state.page = Math.min(state.page, pages - 1);
  const total = state.rows.size;
  put($("count"), total === state.order.length ? `${total} rows` : `${state.order.length} of ${total} rows`);
  put($("empty"), total ? "No row fits the filter." : "Waiting for the first numbers.");
  $("empty").hidden = state.order.length > 0;
  $("pages").hidden = pages === 1;
  put($("page"), `Page ${state.page + 1} of ${pages}`);
  $("back").disabled = state.page === 0;
  $("forth").disabled = state.page === pages - 1;
}
function rearrange() {
  state.page = 0;
  arrange();
  remember();
  draw();
}
function sortBy(key) {
  const column = COLUMNS.find((each) => each.key === key);
  const down = state.sort.key === key ? !state.sort.down : !column.text && key !== "settles";
  state.sort = { key, down };
  showSort();
  rearrange();
}
function showSort() {
  for (const head of $("heads").children) {
    const sorted = head.dataset.key === state.sort.key;
    if (sorted) head.setAttribute("aria-sort", state.sort.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}
function offerSources() {
  const select = $("source");
  const names = Object.keys(state.sources).sort();
  if ([...select.options].slice(1).map((each) => each.value).join() === names.join()) return;
  const wanted = select.dataset.wanted ?? select.value;
  select.replaceChildren(new Option("all", ""), ...names.map((name) => new Option(name, name)));
  select.value = names.includes(wanted) ? wanted : "";
}
function remember() {
  const { sort, picked } = state;
  const words = new URLSearchParams();
  if ($("filter").value) words.set("ticker", $("filter").value);
  if ($("source").value) words.set("source", $("source").value);
  if ($("paired").checked) words.set("paired", "1");
  if (sort.key !== "ticker" || sort.down) words.set("sort", (sort.down ? "-" : "") + sort.key);
  if (picked) words.set("show", keyOf(picked.source, picked.ticker));
  history.replaceState(null, "", words.size ? `#${words}` : location.pathname);
}
function recall() {
  const words = new URLSearchParams(location.hash.slice(1));
  $("filter").value = words.get("ticker") ?? "";
  $("source").dataset.wanted = words.get("source") ?? "";
  $("paired").checked = words.has("paired");
  const sort = words.get("sort") ?? "ticker";
  const key = sort.replace(/^-/, "");
  if (COLUMNS.some((each) => each.key === key)) state.sort = { key, down: sort !== key };
  const [source, ...ticker] = (words.get("show") ?? "").split(" ");
  if (ticker.length) state.picked = { source, ticker: ticker.join(" ") };
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawTable();
    drawPlots();
  });
}
function drawTable() {
  const live = !COLUMNS.find((each) => each.key === state.sort.key).text;
  const quiet = !$("table").matches(":hover, :focus-within");
  if (live && quiet && Date.now() - state.sorted_ms > RESORT_EVERY_MS) arrange();
  const body = $("rows");
  const keys = state.order.slice(state.page * ROWS_PER_PAGE, (state.page + 1) * ROWS_PER_PAGE);
  while (body.rows.length > keys.length) body.lastChild.remove();
  while (body.rows.length < keys.length) body.append(emptyRow());
  let above = null;
  keys.forEach((key, index) => {
    const row = state.rows.get(key);
    if (row) drawRow(body.rows[index], row, above);
    above = row?.ticker;
  });
  state.changed.clear();
}
function emptyRow() {
  const line = element("tr");
  for (const column of COLUMNS) {
    const cell = element(column.key === "ticker" ? "th" : "td", column.from ?? "");
    if (column.text) cell.classList.add("text");
    if (column.key === "ticker") {
      cell.scope = "row";
      const button = element("button");
      button.type = "button";
      cell.append(button);
    }
    if (column.key === "source") cell.append(element("span", "long"), element("span", "short"));
    if (column.key === "age" || column.key === "carry_apr") cell.classList.add(column.key.split("_")[0]);
    line.append(cell);
  }
  return line;
}
function drawRow(line, row, above) {
  const key = keyOf(row.source, row.ticker);
  const moved = line.dataset.key !== key;
  line.dataset.key = key;
  line.className = row.ticker === above ? "same" : "";
  const picked = state.picked && keyOf(state.picked.source, state.picked.ticker) === key;
  line.classList.toggle("picked", Boolean(picked));
  const now_ms = agentNow();
  COLUMNS.forEach((column, index) => {
    const cell = line.cells[index];
    if (column.key === "ticker") {
      put(cell.firstChild, row.ticker);
      cell.firstChild.setAttribute("aria-pressed", String(Boolean(picked)));
      cell.firstChild.setAttribute("aria-label", `${row.ticker} on ${row.source}: show the last hour`);
    } else if (column.key === "source") {
      cell.classList.remove("s0", "s1");
      cell.classList.add(sourceClass(row.source));
      put(cell.firstChild, row.source);
      put(cell.lastChild, row.source.slice(0, 3));
    } else if (column.key === "age") {
      const seconds = Math.max(0, Math.floor((now_ms - (row.quote_ms ?? row.slot_ms)) / 1000));
      const [tone, word] = freshness(row, now_ms);
      put(cell, duration(seconds));
      cell.dataset.tone = tone;
      cell.title = word;
      cell.setAttribute("aria-label", `${cell.textContent}, ${word}`);
    } else if (column.key === "settles") {
      const text = row.settles_ms === null ? DASH : countdown(Math.floor((row.settles_ms - now_ms) / 1000));
      put(cell, text);
    } else {
      const number = row[column.key];
      const text = number === undefined ? DASH : column.show(number);
      const fresh = !moved && state.changed.has(key) && cell.textContent !== text;
      put(cell, text);
      if (column.key === "carry_apr") cell.dataset.sign = Math.sign(number ?? 0);
      if (fresh) flash(cell);
    }
  });
}
function flash(cell) {
  cell.classList.remove("new");
  requestAnimationFrame(() => cell.classList.add("new"));
}
function freshness(row, now_ms) {
  const limits = state.sources[row.source];
  if (!limits) return ["bad", "not polled"];
  const slot_s = (now_ms - row.slot_ms) / 1000;
  const quote_s = row.quote_ms === null ? 0 : (now_ms - row.quote_ms) / 1000;
  if (slot_s >= limits.slot_old_s || quote_s >= limits.quote_old_s) return ["bad", "old"];
  const late = slot_s >= limits.slot_late_s || quote_s >= limits.quote_late_s;
  return late ? ["warn", "late"] : ["good", "fresh"];
}
