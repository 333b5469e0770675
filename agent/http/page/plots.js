// The last hour of one ticker, and all its numbers.

async function pick(source, ticker) {
  state.picked = { source, ticker };
  state.first = false;
  state.history = [];
  remember();
  drawPlots();
  draw();
  if (!SIDE_BY_SIDE.matches) $("detail").scrollIntoView({ block: "nearest" });
  await loadHistory();
  await showAll();
}
function close() {
  const { source, ticker } = state.picked;
  state.picked = null;
  remember();
  drawPlots();
  draw();
  const line = [...$("rows").rows].find((each) => each.dataset.key === keyOf(source, ticker));
  line?.querySelector("button").focus();
}
async function loadHistory() {
  const { picked } = state;
  if (!picked) return;
  const fields = PLOTS.map((plot) => plot.key).join();
  const query = new URLSearchParams({ ticker: picked.ticker, fields, points: PLOT_POINTS });
  try {
    const past = await ask(`/api/history?${query}`);
    if (picked !== state.picked) return; // another was picked meanwhile
    for (const row of past.points) row.slot_ms = Date.parse(row.ts);
    state.step_ms = past.step_s * 1000;
    state.history = past.points;
  } catch {
    // The plots stay as they are; what is wrong is said above.
  }
  draw();
}
function extendPlots(row) {
  if (row.ticker !== state.picked?.ticker) return;
  const last = state.history.findLast((each) => each.source === row.source);
  if (last && row.slot_ms - last.slot_ms < state.step_ms) return;
  state.history.push({ ...row, before: null });
  const oldest_ms = agentNow() - HOUR_MS;
  state.history = state.history.filter((each) => each.slot_ms >= oldest_ms);
}
function drawPlots() {
  const { picked } = state;
  $("detail").hidden = !picked;
  if (!picked) return;
  put($("detail-title"), `${picked.ticker}, the last hour`);
  const holder = $("plots");
  if (!holder.children.length) holder.append(...PLOTS.map(emptyPlot));
  PLOTS.forEach((plot, index) => drawPlot(holder.children[index], plot, picked));
}
function emptyPlot() {
  const figure = element("figure");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("role", "img");
  svg.addEventListener("pointermove", (event) => {
    svg.dataset.at = event.offsetX;
    draw();
  });
  svg.addEventListener("pointerleave", () => {
    delete svg.dataset.at;
    draw();
  });
  figure.append(element("figcaption"), svg);
  return figure;
}
function drawPlot(figure, plot, picked) {
  const [caption, svg] = figure.children;
  const names = plot.alone ? [picked.source] : Object.keys(state.sources).sort();
  const lines = names
    .map((name) => ({
      name,
      points: state.history.filter((row) => row.source === name && row[plot.key] !== undefined)
        .map((row) => [row.slot_ms, row[plot.key]]),
    }))
    .filter((line) => line.points.length);
  const others = Object.keys(state.sources).filter((name) => name !== picked.source).sort();
  const title = plot.alone ? `${plot.name}: ${picked.source} against ${others[0] ?? "nobody"}` : plot.name;
  const frame = frameOf(svg, lines);
  const at_ms = svg.dataset.at === undefined ? null : frame.timeAt(Number(svg.dataset.at));
  const shown = lines.map((line) => ({ ...line, point: nearest(line.points, at_ms) }));
  caption.replaceChildren(
    document.createTextNode(`${title}, ${plot.unit}`),
    ...shown.map(({ name, point }) => element("span", sourceClass(name), `${plot.alone ? "" : `${name} `}${plot.show(point[1])}`)),
    element("span", "read quiet", at_ms === null || !shown.length ? "" : new Date(shown[0].point[0]).toLocaleTimeString([], { hour12: false })),
  );
  svg.setAttribute("aria-label", summary(title, plot, lines));
  svg.replaceChildren(...(lines.length ? curves(frame, plot, shown, at_ms) : [words(8, 60, "nothing in this hour")]));
}
function frameOf(svg, lines) {
  const width = svg.clientWidth || 300;
  const [left, right, top, bottom] = [4, width - 4, 18, 112];
  const until_ms = agentNow();
  const values = lines.flatMap((line) => line.points.map((point) => point[1]));
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - Math.abs(low || 1) / 10, high + Math.abs(high || 1) / 10];
  return {
    left, right, top, bottom, low, high, until_ms,
    x: (ms) => right - ((until_ms - ms) / HOUR_MS) * (right - left),
    y: (value) => bottom - ((value - low) / (high - low)) * (bottom - top),
    timeAt: (x) => until_ms - ((right - x) / (right - left)) * HOUR_MS,
  };
}
function nearest(points, at_ms) {
  if (at_ms === null) return points.at(-1);
  return points.reduce((best, point) => (Math.abs(point[0] - at_ms) < Math.abs(best[0] - at_ms) ? point : best));
}
function curves(frame, plot, shown, at_ms) {
  const drawn = [
    straight("grid", frame.left, frame.right, frame.top, frame.top),
    straight("grid", frame.left, frame.right, frame.bottom, frame.bottom),
  ];
  if (frame.low < 0 && frame.high > 0) {
    drawn.push(straight("zero", frame.left, frame.right, frame.y(0), frame.y(0)));
  }
  for (const { name, points, point } of shown) {
    const group = svgElement("g", { class: sourceClass(name) });
    for (const run of runs(points)) {
      const at = run.map(([ms, value]) => `${frame.x(ms).toFixed(1)},${frame.y(value).toFixed(1)}`);
      if (run.length > 1) group.append(svgElement("polyline", { points: at.join(" ") }));
      else group.append(svgElement("circle", { cx: frame.x(run[0][0]), cy: frame.y(run[0][1]), r: 1.5 }));
    }
    group.append(svgElement("circle", { cx: frame.x(point[0]), cy: frame.y(point[1]), r: 2.5 }));
    drawn.push(group);
  }
  if (at_ms !== null) drawn.push(straight("cursor", frame.x(at_ms), frame.x(at_ms), frame.top, frame.bottom));
  drawn.push(
    words(frame.left, frame.top - 3, plot.show(frame.high)),
    words(frame.left, frame.bottom - 3, plot.show(frame.low)),
    words(frame.left, frame.bottom + 14, clock(frame.until_ms - HOUR_MS)),
    words(frame.right, frame.bottom + 14, clock(frame.until_ms), "end"),
  );
  return drawn;
}
// Where points are missing the line has a hole: three steps and more, or three polls of a slow source.
function runs(points) {
  const apart = points.slice(1).map((point, index) => point[0] - points[index][0]).sort((a, b) => a - b);
  const limit_ms = 3 * Math.max(state.step_ms, apart[Math.floor(apart.length / 2)] ?? 0);
  const found = [[]];
  for (const point of points) {
    const run = found.at(-1);
    if (run.length && point[0] - run.at(-1)[0] > limit_ms) found.push([point]);
    else run.push(point);
  }
  return found;
}
function summary(title, plot, lines) {
  if (!lines.length) return `${title}: nothing in the last hour`;
  const told = lines.map(({ name, points }) => {
    const values = points.map((point) => point[1]);
    return `${name} from ${plot.show(Math.min(...values))} to ${plot.show(Math.max(...values))}, ` +
      `now ${plot.show(values.at(-1))}`;
  });
  return `${title}, last hour, ${plot.unit}: ${told.join("; ")}`;
}
function svgElement(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
function straight(kind, x1, x2, y1, y2) {
  return svgElement("line", { class: kind, x1, x2, y1, y2 });
}
function words(x, y, text, anchor = "start") {
  const made = svgElement("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}

async function showAll() {
  if (!$("all").open || !state.picked) return;
  const query = new URLSearchParams({ ticker: state.picked.ticker });
  const now = await ask(`/api/snapshots?${query}`).catch(() => null);
  if (!now) return; // it stays as it is; what is wrong is said above
  const { snapshots } = now;
  const names = [...new Set(snapshots.flatMap((row) => Object.keys(row)))]
    .filter((name) => !["source", "ticker"].includes(name));
  const head = element("tr");
  head.append(...["", ...snapshots.map((row) => row.source)].map((name) => element("th", "", name)));
  for (const cell of head.cells) cell.scope = "col";
  $("all-head").replaceChildren(head);
  $("all-rows").replaceChildren(...names.map((name) => {
    const line = element("tr");
    const title = element("th", "text", name);
    title.scope = "row";
    line.append(title, ...snapshots.map((row) => element("td", "", String(row[name] ?? DASH))));
    return line;
  }));
}
