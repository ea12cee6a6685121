// Canvases: the lines of the list, and the chart.

const windowMs = 60_000; // what the chart shows
const leastMs = 8000;    // and what it shows at first
const colours = {};      // of the style, as canvases want them

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["panel", "line", "quiet", "accent", "up", "down", "slow"]) colours[name] = style.getPropertyValue("--" + name).trim();
}

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

// stroke traces and draws the points.
function stroke(context, points, x, y, colour, width) {
  trace(context, points, x, y);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.stroke();
}

// recent are the points that a window shows, with the one before them.
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
  stroke(context, points, x, y, row.change < 0 ? colours.down : colours.up, 1.5);
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

// drawChart draws what came from history in a quiet colour, and what came live behind it.
function drawChart(row, now) {
  const { context, width, height } = fit(byId("chart"));
  const points = recent(row.points, now);
  easeScale(points);
  const right = width - 78, bottom = height - 28;
  const span = Math.min(Math.max(now - points[0].at, leastMs), windowMs);
  const x = (at) => right - ((now - at) / span) * right;
  const y = (price) => bottom - ((price - scale.low) / (scale.high - scale.low)) * bottom;
  drawGrid(context, span, right, bottom, y, y(row.last));
  context.save();
  context.beginPath();
  context.rect(0, 0, right, bottom);
  context.clip();
  const all = points.concat({ at: now, price: row.last });
  trace(context, all, x, y);
  context.lineTo(right, bottom);
  context.lineTo(x(all[0].at), bottom);
  const fill = context.createLinearGradient(0, 0, 0, bottom);
  fill.addColorStop(0, colours.accent + "30");
  fill.addColorStop(1, colours.accent + "00");
  context.fillStyle = fill;
  context.fill();
  drawRuns(context, all, x, y);
  if (all.some((p) => p.kept)) drawJoin(context, x(row.channel.joined), bottom);
  context.restore();
  drawTag(context, row, right, y(row.last));
}

// drawRuns draws each run of points of one kind, from the point before it on.
function drawRuns(context, points, x, y) {
  const kept = (i) => Boolean(points[i].kept);
  for (let from = 0, i = 1; i <= points.length; i++) {
    if (i < points.length && kept(i) === kept(from)) continue;
    stroke(context, points.slice(Math.max(from - 1, 0), i), x, y, kept(from) ? colours.quiet : colours.accent, 2);
    from = i;
  }
}

// drawJoin marks where the page subscribed: what is left of it came from history.
function drawJoin(context, at, bottom) {
  context.save();
  context.setLineDash([3, 4]);
  context.strokeStyle = colours.quiet;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(Math.round(at) + 0.5, 0);
  context.lineTo(Math.round(at) + 0.5, bottom);
  context.stroke();
  context.restore();
}

// drawGrid leaves out the label that the tag would cover.
function drawGrid(context, span, right, bottom, y, tag) {
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  const distance = step(scale.high - scale.low, 5);
  for (let price = Math.ceil(scale.low / distance) * distance; price < scale.high; price += distance) {
    const at = Math.round(y(price)) + 0.5;
    line(context, 0, at, right, at);
    context.fillStyle = colours.quiet;
    context.textAlign = "left";
    if (at > 8 && at < bottom - 4 && Math.abs(at - tag) > 18) context.fillText(money(price), right + 12, at);
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
  context.fillStyle = row.change < 0 ? colours.down : colours.up;
  context.beginPath();
  context.arc(right, at, 4, 0, 2 * Math.PI);
  context.fill();
  context.beginPath();
  context.roundRect(right + 8, at - 11, 66, 22, 5);
  context.fill();
  context.fillStyle = colours.panel;
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillText(money(row.last), right + 41, at + 0.5);
}
