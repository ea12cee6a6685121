// The list of symbols, by channel. A publisher may invent any: all of it is bounded.

const maxPoints = 1500; // kept for one symbol: 60 s at 25 prices a second
const maxSymbols = 24;  // of one channel
const maxPrice = 1e9;   // readable
const maxRaw = 200;     // characters of a message that is no price

const byId = (id) => document.getElementById(id);
const rows = new Set(); // of all channels
let selected = null;

const money = (n) => n.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = (n) => n.toLocaleString("en-US");
const side = (n) => (n > 0 ? "up" : n < 0 ? "down" : "");

// quote is the price in a publication's data, or null.
function quote(data) {
  if (data === null || typeof data !== "object") return null;
  const { symbol, price, change, time } = data;
  if (typeof symbol !== "string" || symbol === "" || !Number.isFinite(price) || Math.abs(price) > maxPrice) return null;
  return { symbol, price, change: Number.isFinite(change) ? change : NaN, time: Number.isFinite(time) ? time : NaN };
}

// newGroup is the place of a channel in the list.
function newGroup(channel) {
  const group = element("section", "group"), head = element("h3"), name = element("code"), place = element("span", "place");
  const list = element("ul"), raw = element("p", "raw");
  name.textContent = channel.name;
  raw.textContent = "Waiting for the first message";
  head.append(name, place);
  group.append(head, raw, list);
  group.setAttribute("aria-label", channel.name);
  byId("list").append(group);
  return { group, place, raw, list };
}

function element(name, className = "") {
  const e = document.createElement(name);
  e.className = className;
  return e;
}

// rowOf is the row of a symbol, made if there is room for one more; else null.
function rowOf(channel, name) {
  const known = channel.symbols.get(name);
  if (known || channel.symbols.size >= maxSymbols) return known ?? null;
  const item = element("li"), button = element("button"), label = element("strong"), canvas = element("canvas");
  const price = element("span", "price"), change = element("span", "change");
  label.textContent = name;
  canvas.setAttribute("aria-hidden", "true");
  button.type = "button";
  button.setAttribute("aria-pressed", "false");
  button.append(label, canvas, price, change);
  item.append(button);
  const row = { channel, name, item, button, line: canvas, price, changeText: change, points: [], open: NaN, last: NaN, change: 0, direction: 0, dirty: false };
  button.addEventListener("click", () => select(row));
  channel.symbols.set(name, row);
  rows.add(row);
  // The list is in order of names whatever came first.
  const next = [...channel.symbols.values()].filter((r) => r.name > name).sort((a, b) => (a.name < b.name ? -1 : 1))[0];
  channel.group.list.insertBefore(item, next ? next.item : null);
  if (!selected || (name === "ACME" && selected.untouched)) {
    select(row);
    row.untouched = true; // the page chose, not its user
  }
  return row;
}

function select(row) {
  if (selected) selected.button.setAttribute("aria-pressed", "false");
  selected = row;
  scale.low = scale.high = NaN;
  document.body.toggleAttribute("data-empty", row === null);
  byId("symbol").textContent = row ? row.name : "No symbol";
  showPeople();
  if (!row) return;
  row.untouched = false;
  row.dirty = true;
  row.button.setAttribute("aria-pressed", "true");
}

// move puts a price behind the others of its row.
function move(row, q, at) {
  if (Number.isNaN(row.open)) row.open = q.price - (q.change || 0);
  const before = row.points.at(-1);
  row.direction = !before || q.price === before.price ? 0 : Math.sign(q.price - before.price);
  row.points.push({ at, price: q.price });
  if (row.points.length > maxPoints) row.points.shift();
  row.last = q.price;
  row.change = Number.isNaN(q.change) ? q.price - row.open : q.change;
  row.dirty = true;
}

// fill puts prices from history in their places; those that came live where history begins to tell of them are told twice.
function fill(row, quotes) {
  const oldest = quotes[0], newest = quotes.at(-1);
  const live = row.points.filter((p) => !p.kept && (p.at < oldest.at || p.at > newest.at));
  const kept = quotes.map((q) => ({ at: q.at, price: q.price, kept: true }));
  row.points = [...kept, ...live].sort((a, b) => a.at - b.at).slice(-maxPoints);
  if (Number.isNaN(row.last)) {
    row.open = newest.price - (newest.change || 0);
    row.last = newest.price;
    row.change = newest.change || 0;
  }
  row.dirty = true;
}

// removeGroup takes a channel out of the list.
function removeGroup(channel) {
  for (const row of channel.symbols.values()) rows.delete(row);
  channel.symbols.clear();
  channel.group.group.remove();
  if (selected?.channel === channel) select(rows.values().next().value ?? null);
}

function showRaw(channel, data) {
  const text = JSON.stringify(data);
  channel.group.raw.textContent = text.length > maxRaw ? text.slice(0, maxRaw) + " …" : text;
}

function percent(row) {
  const open = row.last - row.change;
  const value = open > 0 ? (100 * row.change) / open : 0;
  const arrow = value > 0 ? "▲ " : value < 0 ? "▼ " : "";
  return arrow + Math.abs(value).toFixed(2) + " %";
}

function showRow(row) {
  row.price.textContent = money(row.last);
  row.price.className = "price " + side(row.direction);
  row.changeText.textContent = percent(row);
  row.changeText.className = "change " + side(row.change);
  clearTimeout(row.calm);
  row.calm = setTimeout(() => { row.price.className = "price"; }, 120);
}

function showSelected(row) {
  byId("price").textContent = money(row.last);
  byId("change").textContent = (row.change > 0 ? "+" : row.change < 0 ? "−" : "") + money(Math.abs(row.change)) + "  " + percent(row);
  byId("change").className = side(row.change);
  const { low, high } = bounds(row.points);
  byId("range").textContent = "low " + money(low) + " · high " + money(high);
  byId("kept").textContent = whole(row.channel.kept);
}
