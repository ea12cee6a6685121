// The slow reader: a second connection that the development server opens to itself and hardly reads. It runs while
// somebody is subscribed to its reports. What it is sent is compared with what this tab gets of the same channel.

const busy = "feeds:busy";
const reports = "feeds:slow-reader";
const shown = "ACME";     // the symbol of the picture, and of what the reports list
const pictureMs = 16_000; // what the picture shows
const maxSeen = 10_000;   // publications remembered to compare with: 20 s

let demonstration = null; // while it is on

function toggleSlow() {
  if (demonstration) endSlow("");
  else beginSlow();
}

function beginSlow() {
  const d = {
    seen: [], // {offset, symbol, price, at} of what this tab got, oldest first
    sent: [], // {at, price} of what the slow reader got of the symbol shown
    last: 0, fast: { received: 0, leftOut: 0 }, slow: { received: 0, leftOut: 0 }, wakes: 0, same: "–",
  };
  demonstration = d;
  d.subscriptions = [busy, reports].map((name) => client.newSubscription(name));
  d.subscriptions[0].on("subscribed", (c) => { if (!c.recovered) d.seen.length = 0; }); // offsets may begin anew
  d.subscriptions[0].on("publication", (p) => onBusy(d, p));
  d.subscriptions[1].on("publication", (p) => onReport(d, p.data));
  for (const s of d.subscriptions) {
    s.on("unsubscribed", (u) => { if (demonstration === d) endSlow("Ended: " + u.code + " " + u.reason); });
    s.subscribe();
  }
  byId("slow-switch").setAttribute("aria-checked", "true");
  byId("slow").dataset.on = "";
  byId("slow-state").textContent = "Starting";
}

function endSlow(why) {
  const { subscriptions } = demonstration;
  demonstration = null;
  for (const s of subscriptions) {
    s.unsubscribe();
    client.removeSubscription(s);
  }
  byId("slow-switch").setAttribute("aria-checked", "false");
  delete byId("slow").dataset.on;
  byId("slow-state").textContent = why;
}

function onBusy(d, { data, offset }) {
  const now = Date.now();
  const q = quote(data);
  arrived(now, q ? now - q.time : NaN);
  if (!q || !offset) return;
  d.seen.push({ offset, symbol: q.symbol, price: q.price, at: Number.isNaN(q.time) ? now : q.time });
  if (d.seen.length > maxSeen) d.seen.splice(0, maxSeen / 10);
}

// onReport adds what came between two readings for both, if this tab was there for all of it.
function onReport(d, report) {
  if (typeof report?.failed === "string") {
    byId("slow-state").textContent = "The server ended it: " + report.failed;
    return;
  }
  const { from, to, received, left_out: leftOut, prices, shown: points, nap } = report;
  d.wakes = Date.now() + nap;
  if (!d.seen.length || d.seen[0].offset > from + 1) return;
  const between = d.seen.filter((p) => p.offset > from && p.offset <= to);
  d.fast.received += between.length;
  d.fast.leftOut += to - from - between.length;
  d.slow.received += received;
  d.slow.leftOut += leftOut;
  d.same = sameAs(d.seen, prices, to);
  for (const [at, price] of points) d.sent.push({ at, price });
  d.sent = d.sent.filter((p) => p.at > Date.now() - 2 * pictureMs);
  showSlow(d);
}

// sameAs says how many of the slow reader's prices are the newest that this tab had at the same offset.
function sameAs(seen, prices, to) {
  const newest = new Map();
  for (const p of seen) if (p.offset <= to) newest.set(p.symbol, p.price);
  const symbols = Object.keys(prices);
  return symbols.filter((s) => prices[s] === newest.get(s)).length + " of " + symbols.length;
}

function showSlow(d) {
  for (const who of ["fast", "slow"]) {
    byId(who + "-received").textContent = whole(d[who].received);
    byId(who + "-left-out").textContent = whole(d[who].leftOut);
  }
  byId("slow-same").textContent = d.same;
}

function drawSlow(now) {
  const d = demonstration;
  const { context, width, height } = fit(byId("slow-chart"));
  if (!d) return say(context, "Off", width, height);
  if (d.wakes) byId("slow-state").textContent = now < d.wakes ? "Reads again in " + Math.ceil((d.wakes - now) / 1000) + " s" : "Reading";
  const line = d.seen.filter((p) => p.symbol === shown && p.at > now - pictureMs);
  if (line.length < 2) return say(context, "Waiting for prices", width, height);
  const dots = d.sent.filter((p) => p.at > now - pictureMs);
  const { low, high } = bounds(line.concat(dots));
  const spread = high - low || 1;
  const x = (at) => width - 8 - ((now - at) / pictureMs) * (width - 8);
  const y = (price) => 8 + (height - 16) * (1 - (price - low) / spread);
  stroke(context, line, x, y, colours.accent, 1.25);
  stroke(context, dots, x, y, colours.slow, 1.25);
  context.fillStyle = colours.slow;
  for (const p of dots) {
    context.beginPath();
    context.arc(x(p.at), y(p.price), 2.5, 0, 2 * Math.PI);
    context.fill();
  }
}

// say puts words where the picture will be.
function say(context, words, width, height) {
  context.font = "13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colours.quiet;
  context.fillText(words, width / 2, height / 2);
}
