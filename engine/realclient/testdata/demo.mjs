// Opens the demo page in Chromium and tells what a visitor would see, as one line of JSON.
// Its input, one line too: {chromium, url, pin, received, screenshot, foreign}.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse((await lines.next()).value);
const patience = { timeout: 60_000 };

const browser = await chromium.launch({
  executablePath: order.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--ignore-certificate-errors-spki-list=" + order.pin], // trusts this one key, no other
});
const complaints = []; // of the console, of the page, of the policy
const requests = []; // all that the page asked for
const frames = { received: 0, sent: 0 };

async function open(colours) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: colours });
  page.on("console", (m) => { if (m.type() !== "log" && m.type() !== "info") complaints.push(m.type() + ": " + m.text()); });
  page.on("pageerror", (e) => complaints.push("page: " + e.message));
  page.on("requestfailed", (r) => complaints.push("failed: " + r.url() + " " + r.failure()?.errorText));
  page.on("request", (r) => requests.push(r.url()));
  page.on("websocket", (w) => {
    requests.push(w.url());
    w.on("framereceived", () => { frames.received++; });
    w.on("framesent", () => { frames.sent++; });
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", (v) => globalThis.violations.push(v.violatedDirective + " " + v.blockedURI));
  });
  const answer = await page.goto(order.url, patience);
  return { page, answer };
}

// look reads the page: its figures, and how much of the chart is painted.
const look = (page) => page.evaluate(() => {
  const text = (id) => document.getElementById(id).textContent;
  const canvas = document.getElementById("chart");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true }); // the page's own stays as it is
  copy.drawImage(canvas, 0, 0);
  const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
  let painted = 0, sum = 0;
  const colours = new Set();
  for (let i = 0; i < pixels.length; i += 4) {
    if (pixels[i + 3] === 0) continue;
    painted++;
    const colour = (pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2];
    colours.add(colour);
    sum = (sum * 31 + colour + i) | 0;
  }
  return {
    state: text("state"), price: text("price"), rate: text("rate"), latency: text("latency"), received: Number(text("received").replaceAll(",", "")),
    symbols: [...document.querySelectorAll("#list li")].map((li) => li.textContent),
    painted: painted / (canvas.width * canvas.height), colours: colours.size, sum,
  };
});
const arrived = (page, n) => page.waitForFunction(
  (n) => Number(document.getElementById("received").textContent.replaceAll(",", "")) >= n, n, patience);

const { page, answer } = await open("light");
await page.waitForFunction(() => document.body.dataset.state === "connected", null, patience);
await arrived(page, 5);
const before = await look(page);
await arrived(page, before.received + 15);
const after = await look(page);

// A page of another origin tries the same with the same browser.
const stranger = createServer((_, response) => response.end("<!doctype html><title>another origin</title>")).listen(0, "127.0.0.1");
await new Promise((resolve) => { stranger.once("listening", resolve); });
const visitor = await browser.newPage();
const refusals = [];
visitor.on("console", (m) => refusals.push(m.text()));
await visitor.goto("http://127.0.0.1:" + stranger.address().port + "/", patience);
const told = visitor.waitForEvent("console", patience);
const foreign = await visitor.evaluate((url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => resolve({ event: "open" });
  socket.onclose = (c) => resolve({ event: "close", code: c.code });
}), order.foreign);
await told;
await visitor.close();
stranger.close();

// The same page from the right origin, with the same code: it is the origin that made the difference.
const own = await page.evaluate((url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => { socket.close(); resolve({ event: "open" }); };
  socket.onclose = (c) => resolve({ event: "close", code: c.code });
}), order.foreign);

await arrived(page, order.received);
await page.screenshot({ path: order.screenshot });
const dark = await open("dark");
await arrived(dark.page, 5);
const darkBackground = await dark.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const lightBackground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const violations = [...await page.evaluate(() => globalThis.violations), ...await dark.page.evaluate(() => globalThis.violations)];

console.log(JSON.stringify({
  status: answer.status(), policy: answer.headers()["content-security-policy"] ?? "", before, after, complaints, violations, requests, frames,
  foreign, refusals, own, lightBackground, darkBackground,
}));
await browser.close();
process.exit(0);
