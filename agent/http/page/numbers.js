// Words for numbers.

const formats = new Map();
function fixed(number, decimals) {
  if (!formats.has(decimals)) {
    const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    formats.set(decimals, new Intl.NumberFormat("en-US", digits));
  }
  return formats.get(decimals).format(number);
}
function price(number) {
  const size = Math.abs(number);
  if (size >= 1000) return fixed(number, 2);
  if (size >= 1) return fixed(number, 4);
  // Six digits that count, however small the price is.
  return fixed(number, Math.min(12, 6 - Math.ceil(Math.log10(size || 1))));
}
function bps(number) {
  const size = Math.abs(number);
  return fixed(number, size >= 100 ? 1 : size >= 0.1 || size === 0 ? 2 : 3);
}
function signed(text, number) {
  return number > 0 ? `+${text}` : number < 0 ? `−${text}` : text;
}
function percent(number) {
  return signed(fixed(Math.abs(number) * 100, 2), number);
}
function duration(seconds) {
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}
function countdown(seconds) {
  if (seconds < 0) return "passed";
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  const two = (number) => String(number).padStart(2, "0");
  return `${hours}:${two(minutes)}:${two(seconds % 60)}`;
}
function clock(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}
function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
const agentNow = () => Date.now() + state.ahead_ms;
const keyOf = (source, ticker) => `${source} ${ticker}`;
const sourceClass = (source) => `s${Object.keys(state.sources).sort().indexOf(source) % 2}`;
