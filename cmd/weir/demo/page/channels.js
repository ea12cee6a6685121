// Which channels are subscribed, and what the server kept of them. The address of the page remembers the choice.

const samples = ["feeds:prices", "feeds:metals", "feeds:crops"]; // what the development server feeds
const maxChannels = 12;
const historyPage = 300; // publications asked for at once
const maxHistory = 1200; // and in all

const channels = new Map(); // name → channel, subscribed or not; each has a button

function newChannel(name) {
  const item = element("li"), button = element("button", "chip");
  button.type = "button";
  button.textContent = name;
  item.append(button);
  byId("channels").append(item);
  const channel = { name, button, subscription: null, group: null, symbols: new Map(), joined: 0, kept: 0, here: null, changed: false, absent: "" };
  button.addEventListener("click", () => (channel.subscription ? leave(channel) : join(channel)));
  channels.set(name, channel);
  mark(channel, "off");
  return channel;
}

// mark shows how it is with a channel: off, wanted, on, or why not.
function mark(channel, state, why = "") {
  channel.button.dataset.state = state;
  channel.button.setAttribute("aria-pressed", String(state === "on" || state === "wanted"));
  channel.button.title = why;
  if (why) byId("notice").textContent = channel.name + ": " + why;
}

function join(channel) {
  byId("notice").textContent = "";
  const s = client.newSubscription(channel.name, { joinLeave: true });
  channel.subscription = s;
  channel.group = newGroup(channel);
  mark(channel, "wanted");
  s.on("subscribing", () => mark(channel, "wanted"));
  s.on("subscribed", (c) => onSubscribed(channel, c));
  s.on("publication", (p) => onPublication(channel, p));
  s.on("join", (j) => onJoin(channel, j.info));
  s.on("leave", (l) => onLeave(channel, l.info));
  s.on("unsubscribed", (u) => { if (channel.subscription === s) leave(channel, u.code + " " + u.reason); });
  s.on("error", (e) => mark(channel, "wanted", e.error.message));
  s.subscribe();
  remember();
}

// leave ends a subscription; with why it was the server that did.
function leave(channel, why) {
  const s = channel.subscription;
  channel.subscription = null;
  channel.here = null;
  s.unsubscribe();
  client.removeSubscription(s);
  removeGroup(channel);
  mark(channel, why ? "refused" : "off", why);
  remember();
}

function onSubscribed(channel, context) {
  mark(channel, "on");
  askWhoIsHere(channel, channel.subscription);
  if (context.wasRecovering && context.recovered) return; // what was missed has come as publications
  channel.joined = Date.now();
  if (context.streamPosition) fillFromHistory(channel, channel.subscription, context.streamPosition);
}

function onPublication(channel, { data, offset }) {
  const now = Date.now();
  const q = quote(data);
  arrived(now, q ? now - q.time : NaN);
  if (offset) channel.group.place.textContent = "offset " + whole(offset);
  const row = q && rowOf(channel, q.symbol);
  if (row) move(row, q, now);
  channel.group.raw.hidden = Boolean(row);
  if (!row) showRaw(channel, data);
}

// fillFromHistory asks for what the server keeps, the newest first, and puts what was there before we subscribed into
// the chart. What came since then comes live, and once.
async function fillFromHistory(channel, subscription, position) {
  const kept = [];
  try {
    for (let since; kept.length < maxHistory;) {
      const page = await subscription.history({ limit: historyPage, reverse: true, since });
      kept.push(...page.publications);
      if (page.publications.length < historyPage) break;
      since = { offset: kept.at(-1).offset, epoch: page.epoch };
    }
  } catch (e) {
    if (channel.subscription === subscription && e.code !== 108) mark(channel, "on", "no history: " + e.message);
  }
  if (channel.subscription !== subscription) return;
  const now = Date.now();
  const before = kept.filter((p) => p.offset <= position.offset).reverse();
  channel.kept = before.length;
  for (const [symbol, quotes] of bySymbol(before, now)) {
    const row = rowOf(channel, symbol);
    if (row) fill(row, quotes);
  }
  const last = before.at(-1);
  if (!last) return;
  if (channel.group.place.textContent === "") channel.group.place.textContent = "offset " + whole(last.offset);
  channel.group.raw.hidden = channel.symbols.size > 0;
  if (channel.symbols.size === 0) showRaw(channel, last.data);
}

function bySymbol(publications, now) {
  const all = new Map();
  for (const { data } of publications) {
    const q = quote(data);
    if (!q || Number.isNaN(q.time)) continue;
    if (!all.has(q.symbol)) all.set(q.symbol, []);
    all.get(q.symbol).push({ ...q, at: Math.min(q.time, now) });
  }
  return all;
}

// remember puts the subscribed channels into the address, so that a reload finds them again.
function remember() {
  const names = [...channels.values()].filter((c) => c.subscription).map((c) => encodeURIComponent(c.name));
  history.replaceState(null, "", "#" + names.join(","));
}

function recall() {
  let names = [];
  try {
    names = location.hash.slice(1).split(",").filter(Boolean).map(decodeURIComponent);
  } catch {
    // the address was written by hand; the page begins as without it
  }
  for (const name of samples) newChannel(name);
  for (const name of names.length > 0 ? names : samples.slice(0, 1)) {
    if (channels.has(name) || channels.size < maxChannels) join(channels.get(name) ?? newChannel(name));
  }
}

function onOther(event) {
  event.preventDefault();
  const name = byId("other").value.trim();
  if (name === "") return;
  const known = channels.get(name);
  if (!known && channels.size >= maxChannels) {
    byId("notice").textContent = "This page shows at most " + maxChannels + " channels.";
    return;
  }
  byId("other").value = "";
  if (!known?.subscription) join(known ?? newChannel(name));
}
