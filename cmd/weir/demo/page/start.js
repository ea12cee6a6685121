// The figures, the connection, and one frame after the other.

const sampleMs = 10_000; // messages per second and latency look back this far
const maxSamples = 5000;

const arrivals = []; // {at, latency}, oldest first; latency is NaN without a time
let received = 0;
let figuresAt = 0;

function arrived(at, latency) {
  received++;
  arrivals.push({ at, latency: Math.max(0, latency) });
  if (arrivals.length > maxSamples) arrivals.shift();
}

function showFigures(now) {
  while (arrivals.length > 0 && arrivals[0].at < now - sampleMs) arrivals.shift();
  // While the page is younger than the sample, or faster than it holds, divide by the time that it covers.
  const covered = arrivals.length > 1 ? Math.max(now - arrivals[0].at, 1000) : sampleMs;
  const rate = (1000 * arrivals.length) / covered;
  byId("rate").textContent = received === 0 ? "–" : rate >= 100 ? rate.toFixed(0) : rate.toFixed(1);
  const latencies = arrivals.map((a) => a.latency).filter((l) => !Number.isNaN(l)).sort((a, b) => a - b);
  const at = (share) => (latencies.length === 0 ? "–" : latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))].toFixed(0));
  byId("latency").textContent = at(0.5);
  byId("latency99").textContent = at(0.99);
  byId("received").textContent = whole(received);
}

function frame() {
  const now = Date.now();
  for (const row of rows) {
    if (!row.dirty) continue;
    row.dirty = false;
    showRow(row);
    drawSpark(row, now);
    if (row === selected) showSelected(row);
  }
  if (selected?.points.length > 0 && document.body.dataset.state !== "disconnected") drawChart(selected, now);
  if (now - figuresAt > 250) {
    figuresAt = now;
    drawSlow(now);
    showFigures(now);
  }
  requestAnimationFrame(frame);
}

function repaint() {
  readColours();
  for (const row of rows) row.dirty = row.points.length > 0;
}

function show(state, text) {
  document.body.dataset.state = state;
  byId("state").textContent = text;
}

const endpoint = "wss://" + location.host + "/connection/websocket";
const client = new Centrifuge(endpoint, { token: document.querySelector("meta[name=weir-token]").content, name: "weir-demo" });
client.on("connecting", (c) => show("connecting", c.code === 0 ? "Connecting" : "Reconnecting (" + c.reason + ")"));
client.on("connected", (c) => {
  me = c.client;
  show("connected", "Connected");
});
client.on("disconnected", (c) => show("disconnected", "Disconnected (" + c.code + " " + c.reason + ")"));

byId("endpoint").textContent = endpoint;
byId("slow-switch").addEventListener("click", toggleSlow);
byId("subscribe").addEventListener("submit", onOther);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
window.addEventListener("resize", repaint);
readColours();
recall();
client.connect();
requestAnimationFrame(frame);
