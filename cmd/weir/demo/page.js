
"use strict";
(() => {
  const channel = "feeds:prices";
  const windowMs = 60_000;   // what the chart shows
  const leastMs = 8000;      // and what it shows at first
  const maxPoints = 1500;    // kept for one symbol: 60 s at 25 prices a second
  const maxSymbols = 24;     // a publisher may invent some; the page stays bounded
  const maxPrice = 1e9;      // and readable
  const sampleMs = 10_000;   // messages per second and latency look back this far
  const maxSamples = 2000;

  const byId = (id) => document.getElementById(id);
  const symbols = new Map(); // name → row
  const arrivals = [];       // {at, latency}, oldest first; latency is null without a time
  let selected = null;
  let received = 0;
  let colours = {};

  // ---- the feed

  function onPublication(data) {
    if (data === null || typeof data !== "object") return;
    const { symbol, price, change, time } = data;
    if (typeof symbol !== "string" || symbol === "" || !Number.isFinite(price) || Math.abs(price) > maxPrice) return;
    const now = Date.now();
    received++;
    arrivals.push({ at: now, latency: Number.isFinite(time) ? Math.max(0, now - time) : null });
    if (arrivals.length > maxSamples) arrivals.shift();
    const row = symbols.get(symbol) ?? newRow(symbol);
    if (row) update(row, price, Number.isFinite(change) ? change : price - row.open, now);
  }

  function update(row, price, change, now) {
    if (Number.isNaN(row.open)) row.open = price - (Number.isFinite(change) ? change : 0);
    if (Number.isNaN(change)) change = 0;
    const before = row.points.at(-1);
    row.direction = !before || price === before.price ? 0 : Math.sign(price - before.price);
    row.points.push({ at: now, price });
    if (row.points.length > maxPoints) row.points.shift();
    row.last = price;
    row.change = change;
    row.dirty = true;
  }

  // ---- rows of the list

  function newRow(name) {
    if (symbols.size >= maxSymbols) return null;
    const item = document.createElement("li");
    const button = document.createElement("button");
    const label = document.createElement("strong");
    const line = document.createElement("canvas");
    const price = document.createElement("span");
    const change = document.createElement("span");
    label.textContent = name;
    price.className = "price";
    change.className = "change";
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(label, line, price, change);
    item.append(button);
    const row = { name, item, button, line, price, changeText: change, points: [], open: NaN, last: NaN, change: 0, direction: 0, dirty: false };
    button.addEventListener("click", () => select(row));
    symbols.set(name, row);
    // The list is in order of names whatever came first.
    const next = [...symbols.values()].filter((r) => r.name > name).sort((a, b) => (a.name < b.name ? -1 : 1))[0];
    byId("list").insertBefore(item, next ? next.item : null);
    if (!selected || name === "ACME") select(row);
    return row;
  }

  function select(row) {
    if (selected) selected.button.setAttribute("aria-pressed", "false");
    selected = row;
    row.button.setAttribute("aria-pressed", "true");
    byId("symbol").textContent = row.name;
    scale.low = scale.high = NaN;
    row.dirty = true;
  }

  const money = (n) => n.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const side = (n) => (n > 0 ? "up" : n < 0 ? "down" : "");

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

  // ---- canvases

  // fit sizes a canvas to its box in device pixels and returns its context with CSS pixels as units.
  function fit(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const context = canvas.getContext("2d");
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return { context, width, height };
  }

  function bounds(points) {
    let low = Infinity, high = -Infinity;
    for (const p of points) {
      if (p.price < low) low = p.price;
      if (p.price > high) high = p.price;
    }
    return { low, high };
  }

  // trace draws the points as a line; the path stays open for a fill.
  function trace(context, points, x, y) {
    context.beginPath();
    points.forEach((p, i) => (i === 0 ? context.moveTo(x(p.at), y(p.price)) : context.lineTo(x(p.at), y(p.price))));
  }

  function recent(points, now) {
    const first = points.findIndex((p) => p.at >= now - windowMs);
    return first < 0 ? points.slice(-1) : points.slice(Math.max(0, first - 1));
  }

  function drawSpark(row, now) {
    const { context, width, height } = fit(row.line);
    const points = recent(row.points, now);
    const { low, high } = bounds(points);
    const spread = high - low || 1;
    const begin = Math.max(points[0].at, now - windowMs);
    const x = (at) => (width * (at - begin)) / Math.max(now - begin, 1000);
    const y = (price) => 3 + (height - 6) * (1 - (price - low) / spread);
    trace(context, points, x, y);
    context.strokeStyle = row.change < 0 ? colours.down : colours.up;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
  }

  const scale = { low: NaN, high: NaN }; // of the chart, eased so that it does not jump

  function easeScale(points) {
    const { low, high } = bounds(points);
    const margin = Math.max((high - low) * 0.15, Math.abs(high) * 0.0005, 0.01);
    const ease = Number.isNaN(scale.low) ? 1 : 0.12;
    scale.low = ease === 1 ? low - margin : scale.low + (low - margin - scale.low) * ease;
    scale.high = ease === 1 ? high + margin : scale.high + (high + margin - scale.high) * ease;
  }

  // step is a round distance between grid lines, about count of them in spread.
  function step(spread, count) {
    const raw = spread / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  }

  function drawChart(row, now) {
    const { context, width, height } = fit(byId("chart"));
    const points = recent(row.points, now);
    easeScale(points);
    const right = width - 74, bottom = height - 28;
    const span = Math.min(Math.max(now - points[0].at, leastMs), windowMs);
    const x = (at) => right - ((now - at) / span) * right;
    const y = (price) => bottom - ((price - scale.low) / (scale.high - scale.low)) * bottom;
    drawGrid(context, span, right, bottom, y);
    context.save();
    context.beginPath();
    context.rect(0, 0, right, bottom);
    context.clip();
    const line = points.concat({ at: now, price: row.last });
    trace(context, line, x, y);
    context.strokeStyle = colours.accent;
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.stroke();
    context.lineTo(right, bottom);
    context.lineTo(x(line[0].at), bottom);
    const fill = context.createLinearGradient(0, 0, 0, bottom);
    fill.addColorStop(0, colours.accent + "38");
    fill.addColorStop(1, colours.accent + "00");
    context.fillStyle = fill;
    context.fill();
    context.restore();
    drawTag(context, row, right, y(row.last));
  }

  function drawGrid(context, span, right, bottom, y) {
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.lineWidth = 1;
    const distance = step(scale.high - scale.low, 5);
    for (let price = Math.ceil(scale.low / distance) * distance; price < scale.high; price += distance) {
      const at = Math.round(y(price)) + 0.5;
      line(context, 0, at, right, at);
      context.fillStyle = colours.quiet;
      context.textAlign = "left";
      if (at > 8 && at < bottom - 4) context.fillText(money(price), right + 10, at);
    }
    const apart = span > 40_000 ? 15_000 : span > 20_000 ? 10_000 : 5000;
    context.textAlign = "center";
    for (let ago = 0; ago < span; ago += apart) {
      const at = Math.round(right - (ago / span) * right) + 0.5;
      line(context, at, 0, at, bottom);
      context.fillStyle = colours.quiet;
      if (at > 24) context.fillText(ago === 0 ? "now" : "−" + ago / 1000 + " s", at, bottom + 15);
    }
  }

  function line(context, x0, y0, x1, y1) {
    context.strokeStyle = colours.line;
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
  }

  // drawTag marks the last price at the right edge.
  function drawTag(context, row, right, at) {
    const colour = row.change < 0 ? colours.down : colours.up;
    context.fillStyle = colour;
    context.beginPath();
    context.arc(right, at, 4, 0, 2 * Math.PI);
    context.fill();
    context.beginPath();
    context.roundRect(right + 8, at - 11, 62, 22, 5);
    context.fill();
    context.fillStyle = colours.panel;
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillText(money(row.last), right + 39, at + 0.5);
  }

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["panel", "line", "quiet", "accent", "up", "down"]) colours[name] = style.getPropertyValue("--" + name).trim();
    for (const row of symbols.values()) row.dirty = true;
  }

  // ---- one frame

  function showFigures(now) {
    while (arrivals.length > 0 && arrivals[0].at < now - sampleMs) arrivals.shift();
    // While the page is younger than the sample, or faster than it holds, divide by the time that it covers.
    const covered = arrivals.length > 1 ? Math.max(now - arrivals[0].at, 1000) : sampleMs;
    const rate = (1000 * arrivals.length) / covered;
    byId("rate").textContent = received === 0 ? "–" : rate >= 100 ? rate.toFixed(0) : rate.toFixed(1);
    const latencies = arrivals.map((a) => a.latency).filter((l) => l !== null).sort((a, b) => a - b);
    const at = (share) => (latencies.length === 0 ? "–" : latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))].toFixed(0));
    byId("latency").textContent = at(0.5);
    byId("latency99").textContent = at(0.99);
    byId("received").textContent = received.toLocaleString("en-US");
  }

  function showSelected() {
    byId("price").textContent = money(selected.last);
    byId("change").textContent = (selected.change > 0 ? "+" : selected.change < 0 ? "−" : "") + money(Math.abs(selected.change)) + "  " + percent(selected);
    byId("change").className = side(selected.change);
    const { low, high } = bounds(selected.points);
    byId("range").textContent = "low " + money(low) + " · high " + money(high);
  }

  let figuresAt = 0;
  function frame() {
    const now = Date.now();
    for (const row of symbols.values()) {
      if (!row.dirty) continue;
      row.dirty = false;
      showRow(row);
      drawSpark(row, now);
      if (row === selected) showSelected();
    }
    if (selected && document.body.dataset.state !== "disconnected") drawChart(selected, now);
    if (now - figuresAt > 250) {
      figuresAt = now;
      showFigures(now);
    }
    requestAnimationFrame(frame);
  }

  // ---- the connection

  function show(state, text) {
    document.body.dataset.state = state;
    byId("state").textContent = text;
  }

  const endpoint = "wss://" + location.host + "/connection/websocket";
  const client = new Centrifuge(endpoint, { token: document.querySelector("meta[name=weir-token]").content, name: "weir-demo" });
  client.on("connecting", (c) => show("connecting", c.code === 0 ? "Connecting" : "Reconnecting (" + c.reason + ")"));
  client.on("connected", () => show("connected", "Connected"));
  client.on("disconnected", (c) => show("disconnected", "Disconnected (" + c.code + " " + c.reason + ")"));
  const subscription = client.newSubscription(channel);
  subscription.on("publication", (p) => onPublication(p.data));
  subscription.on("unsubscribed", (u) => show("disconnected", "Not subscribed (" + u.code + " " + u.reason + ")"));
  subscription.subscribe();
  client.connect();

  byId("endpoint").textContent = endpoint;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
  window.addEventListener("resize", () => { for (const row of symbols.values()) row.dirty = true; });
  readColours();
  requestAnimationFrame(frame);
})();
