// Begin.

for (const column of COLUMNS) {
  const head = element("th", column.from ?? "");
  head.scope = "col";
  head.dataset.key = column.key;
  if (column.text) head.classList.add("text");
  const button = element("button");
  button.type = "button";
  const name = element("span");
  if (column.short) name.append(element("span", "long", column.name), element("span", "short", column.short));
  else name.textContent = column.name;
  button.append(name);
  if (column.unit) button.append(element("small", "", column.unit));
  button.addEventListener("click", () => sortBy(column.key));
  head.append(button);
  $("heads").append(head);
}
recall();
showSort();
$("filter").addEventListener("input", rearrange);
$("source").addEventListener("change", rearrange);
$("paired").addEventListener("change", rearrange);
$("back").addEventListener("click", () => { state.page -= 1; arrange(); draw(); });
$("forth").addEventListener("click", () => { state.page += 1; arrange(); draw(); });
$("rows").addEventListener("click", (event) => {
  const line = event.target.closest("tr");
  const row = line && state.rows.get(line.dataset.key);
  if (row) pick(row.source, row.ticker);
});
$("close").addEventListener("click", close);
$("all").addEventListener("toggle", showAll);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.matches("input, select")) {
    event.preventDefault();
    $("filter").focus();
  }
});
addEventListener("resize", draw);
connect();
showStatus();
loadHistory();
setInterval(showStatus, STATUS_EVERY_MS);
setInterval(showAll, STATUS_EVERY_MS);
setInterval(loadHistory, PLOT_REFRESH_MS);
setInterval(draw, 1000); // ages and countdowns
