// Opens the demo page in Chromium and tells what a visitor would see, as one line of JSON.
// Its input, one line too: {chromium, url, pin, received, busy, screenshot, foreign, witness, api, key}.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const order = JSON.parse((await lines.next()).value);
const desktop = { width: 1280, height: 1000 };
const patience = { timeout: 120_000 };

const browser = await chromium.launch({
  ...patience, executablePath: order.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--ignore-certificate-errors-spki-list=" + order.pin], // trusts this one key, no other
});
const complaints = []; // of the console, of the page, of the policy
const requests = []; // all that the page asked for
const frames = { received: 0, sent: 0 };

async function open(colours) {
  const page = await browser.newPage({ viewport: desktop, colorScheme: colours });
  page.setDefaultTimeout(patience.timeout);
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

// After a reload the chart shows at once what the server kept.
const publish = (channel, data) => fetch(order.api + "/api/publish", {
  method: "POST", headers: { "X-API-Key": order.key }, body: JSON.stringify({ channel, data }),
});
for (let ago = 10_000; ago > 0; ago -= 1000) await publish("feeds:prices", { symbol: "ACME", price: Number((101.25 + Math.sin(ago / 1500) / 3).toFixed(2)), time: Date.now() - ago });
await page.reload(patience);
await page.waitForFunction(() => document.getElementById("kept").textContent !== "0" && document.querySelectorAll("#list li").length === 8, null, patience);
const history = {
  kept: Number(await page.textContent("#kept")), symbols: (await look(page)).symbols,
  columns: await page.evaluate(() => new Promise((resolve) => { // of the chart, with a pixel in the colour of history
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const hex = getComputedStyle(document.documentElement).getPropertyValue("--quiet").trim().slice(1);
      const want = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
      const canvas = document.getElementById("chart");
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data, width } = copy.getImageData(0, 0, canvas.width - 80, canvas.height - 30); // without the labels
      const columns = new Set();
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255 && want.every((c, k) => c === data[i + k])) columns.add((i / 4) % width);
      resolve(columns.size);
    }));
  })),
};

// Channels come and go with their switches, and those that are on survive a reload.
const chip = (name) => page.locator("#channels button", { hasText: name });
const groups = () => page.locator("#list h3 code").allTextContents();
const turned = (name, state) => page.waitForFunction(([name, state]) =>
  [...document.querySelectorAll("#channels button")].some((b) => b.textContent === name && b.dataset.state === state), [name, state], patience);
const shows = (text) => page.waitForFunction((text) => document.getElementById("list").textContent.includes(text), text, patience);
const channels = {};
await chip("feeds:metals").click();
await turned("feeds:metals", "on");
await shows("GOLD");
channels.more = await groups();
await chip("feeds:prices").click();
await turned("feeds:prices", "off");
channels.less = await groups();
channels.selected = await page.textContent("#symbol");
await page.fill("#other", "feeds:mine");
await page.press("#other", "Enter");
await turned("feeds:mine", "on");
await publish("feeds:mine", { mine: "<b>&" });
await shows('{"mine":"<b>&"}');
await page.fill("#other", "nowhere:x");
await page.click("#subscribe button");
await turned("nowhere:x", "refused");
channels.notice = await page.textContent("#notice");
await page.reload(patience);
await turned("feeds:metals", "on");
await turned("feeds:mine", "on");
await shows('{"mine":"<b>&"}'); // which its history has
channels.recalled = await groups();
await chip("feeds:metals").click();
await chip("feeds:mine").click();
await turned("feeds:mine", "off");
channels.none = await groups();
await chip("feeds:prices").click();
await turned("feeds:prices", "on");
await arrived(page, 5);

// Who else is here: another tab comes, is listed, and leaves.
const here = (n) => page.waitForFunction((n) => document.getElementById("here").textContent === n, n, patience);
const presence = {};
await here("1");
presence.alone = await page.locator("#people li").allTextContents();
const other = (await open("light")).page;
await here("2");
presence.both = await page.locator("#people li").allTextContents();
presence.users = await page.textContent("#users");
presence.came = await page.textContent("#event");
await other.close();
await here("1");
presence.left = await page.textContent("#event");

// A slow reader beside the tab: it lacks what was superseded, and has the newest all the same.
const number = (id) => page.textContent("#" + id).then((text) => Number(text.replaceAll(",", "")));
await page.click("#slow-switch", patience);
await page.waitForFunction(() => document.getElementById("slow-same").textContent === "8 of 8" &&
  Number(document.getElementById("slow-left-out").textContent.replaceAll(",", "")) > 0, null, patience);
await page.click("#slow-switch", patience); // the numbers stay
const slow = {
  fast: [await number("fast-received"), await number("fast-left-out")], slow: [await number("slow-received"), await number("slow-left-out")],
  off: await page.getAttribute("#slow-switch", "aria-checked"),
};

// On a phone nothing is beside the screen.
await page.setViewportSize({ width: 320, height: 740 });
const phone = await page.evaluate(() => document.documentElement.scrollWidth);
await page.setViewportSize(desktop);

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

// So does one of another origin on the same site, from where the browser sends the cookie that it has for the server.
const victim = await browser.newContext();
await victim.addCookies([{ name: "session", value: "victim", domain: "localhost", path: "/", secure: true, httpOnly: true, sameSite: "None" }]);
const neighbour = await victim.newPage();
const rebuffs = [];
neighbour.on("console", (m) => rebuffs.push(m.text()));
await neighbour.goto(order.witness, patience);
const rebuffed = neighbour.waitForEvent("console", patience);
const withCookie = await neighbour.evaluate((url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => resolve({ event: "open" });
  socket.onclose = (c) => resolve({ event: "close", code: c.code });
}), order.foreign);
await rebuffed;
await neighbour.evaluate((url) => new Promise((resolve) => { // the same handshake to one who writes it down
  new WebSocket(url).onclose = resolve;
}), order.witness.replace("https", "wss") + "connection/websocket");
await victim.close();

// The same page from the right origin, with the same code: it is the origin that made the difference.
const own = await page.evaluate((url) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  socket.onopen = () => { socket.close(); resolve({ event: "open" }); };
  socket.onclose = (c) => resolve({ event: "close", code: c.code });
}), order.foreign);

await page.goto("about:blank");
await page.goto(order.url, patience); // as a visitor sees it who has touched nothing
await arrived(page, order.received);
const dark = await open("dark");
await arrived(dark.page, 5);
if (order.busy) { // a picture of everything at work
  await page.click("#slow-switch", patience);
  await page.waitForFunction(() => Number(document.getElementById("slow-left-out").textContent.replaceAll(",", "")) > 6000, null, patience);
}
await page.screenshot({ ...patience, path: order.screenshot });
const darkBackground = await dark.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const lightBackground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const violations = [...await page.evaluate(() => globalThis.violations), ...await dark.page.evaluate(() => globalThis.violations)];

console.log(JSON.stringify({
  status: answer.status(), policy: answer.headers()["content-security-policy"] ?? "", before, after, complaints, violations, requests, frames,
  history, channels, presence, slow, phone, foreign, refusals, withCookie, rebuffs, own, lightBackground, darkBackground,
}));
await browser.close();
process.exit(0);
