// What a server cannot be made to do on demand: times, chance, and events that come late.
// How the feed gets on with a real one is in engine/realclient.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Feed } from "./weir-feed.js";

const endpoint = "wss://push.example.com/feed";
const settled = () => new Promise((resolve) => { setImmediate(resolve); }); // microtasks are done

// clock has one time, which its test moves.
class Clock {
  now = 0;
  #waiting = new Map(); // id → {at, then}
  #ids = 0;
  setTimeout = (then, ms) => { this.#waiting.set(++this.#ids, { at: this.now + ms, then }); return this.#ids; };
  clearTimeout = (id) => { this.#waiting.delete(id); };
  get count() { return this.#waiting.size; }

  async pass(ms) {
    this.now += ms;
    for (const [id, { at, then }] of [...this.#waiting]) {
      if (at <= this.now && this.#waiting.delete(id)) then();
    }
    await settled();
  }
}

// begin makes a feed whose sockets, time and chance are the test's.
async function begin(options = {}) {
  const sockets = [], events = [], clock = new Clock();
  class Socket {
    closed = false;
    constructor(url, protocols) {
      Object.assign(this, { url: new URL(url), protocols });
      sockets.push(this);
    }
    close() { this.closed = true; }
    receive(message) { this.onmessage({ data: JSON.stringify(message) }); }
  }
  const chance = { next: 0.5 };
  const feed = new Feed(endpoint, { channels: ["a"], WebSocket: Socket, random: () => chance.next, timers: clock, ...options });
  for (const type of ["publication", "gap", "open", "error", "reconnecting", "close"]) {
    feed.addEventListener(type, (event) => events.push({ ...event, type, isTrusted: undefined }));
  }
  await settled();
  const last = () => sockets.at(-1);
  const told = (type) => events.filter((e) => e.type === type);
  const reconnected = async () => { await clock.pass(told("reconnecting").at(-1).delay); last().onopen({}); };
  return { feed, sockets, events, clock, chance, last, told, reconnected };
}

const publication = (offset, channel = "a", epoch = "E") => ({ channel, offset, epoch, data: offset * 10 });
const gap = (offset, channel = "a", epoch = "E") => ({ channel, gap: true, offset, epoch });
const since = (socket) => socket.url.searchParams.getAll("since");

test("a request names each channel once, with its position, and brings the token", async () => {
  const { last } = await begin({ channels: ["feeds:a b", "x@y:z+&=#", "feeds:a b"], token: "j.w.t", since: { "feeds:a b": { offset: 7, epoch: "E" } } });
  assert.equal(last().url.href.split("?")[0], endpoint);
  assert.deepEqual(last().url.searchParams.getAll("channel"), ["feeds:a b", "x@y:z+&=#"]);
  assert.deepEqual(since(last()), ["feeds:a b:7@E", "x@y:z+&=#:0@-"]);
  assert.deepEqual(last().protocols, ["weir-feed", "bearer.j.w.t"]);
});

test("without a token there is none, and a query of the URL stays", async () => {
  const { sockets, clock } = await begin();
  assert.deepEqual(sockets[0].protocols, ["weir-feed"]);
  const feed = new Feed(endpoint + "?ticket=1", { channels: ["a"], WebSocket: sockets[0].constructor, timers: clock });
  await settled();
  assert.equal(sockets[1].url.searchParams.get("ticket"), "1");
  feed.close();
});

test("a token function is asked before each connection", async () => {
  let asked = 0;
  const { sockets, last, clock, told } = await begin({ token: async () => "t" + ++asked });
  last().onclose({ code: 3005, reason: "connection expired" });
  assert.equal(asked, 1);
  await clock.pass(told("reconnecting")[0].delay);
  assert.deepEqual(sockets.map((s) => s.protocols[1]), ["bearer.t1", "bearer.t2"]);
});

test("a token function that fails is asked again, later", async () => {
  let asked = 0;
  const { sockets, clock, told } = await begin({ token: () => { if (++asked === 1) throw new Error("no token today"); return "t"; } });
  assert.equal(sockets.length, 0);
  assert.equal(told("error")[0].message, "no token today");
  await clock.pass(told("reconnecting")[0].delay);
  assert.equal(sockets.length, 1);
});

test("a token function may fail with anything", async () => {
  for (const reason of ["logged out", undefined, null, new Error("broken")]) {
    const { told } = await begin({ token: () => Promise.reject(reason) });
    assert.deepEqual(told("error").map((e) => e.message), [String(reason?.message ?? reason)]);
    assert.equal(told("reconnecting").length, 1);
  }
});

test("a token that is none stands in no event, and is asked for again", async () => {
  for (const bad of ["secret\n", "sec ret", "secret,weir-feed", "sécret", "secret="]) {
    let asked = 0;
    const { sockets, clock, told } = await begin({ token: () => (asked++ === 0 ? bad : "j.w.t") });
    assert.equal(sockets.length, 0);
    assert.equal(told("error").length, 1);
    assert.doesNotMatch(told("error")[0].message, /s[eé]c/);
    await clock.pass(told("reconnecting")[0].delay);
    assert.deepEqual(sockets[0].protocols, ["weir-feed", "bearer.j.w.t"]);
  }
});

test("a server's word puts nothing into the request that was not asked for", async () => {
  const { last, told, feed, reconnected } = await begin({ channels: ["a", "b:*"] });
  last().onopen({});
  for (const message of [{ channel: "c", gap: true }, { channel: "b:*", gap: true }, gap(1, "c"), publication(1, "c"), { channel: "__proto__", gap: true }]) last().receive(message);
  assert.equal(told("error").length, 5);
  assert.deepEqual(feed.positions, {});
  last().onclose({ code: 3000, reason: "closed" });
  await reconnected();
  assert.deepEqual(since(last()), ["a:0@-"]);
});

test("publications come once and in order, whatever comes twice", async () => {
  const { last, told, feed } = await begin({ channels: ["a", "b"] });
  last().onopen({});
  for (const p of [publication(1), publication(1, "b"), publication(2), publication(2), publication(1), publication(3), publication(1, "b")]) last().receive(p);
  assert.deepEqual(told("publication").map((p) => [p.channel, p.offset, p.epoch, p.data]),
    [["a", 1, "E", 10], ["b", 1, "E", 10], ["a", 2, "E", 20], ["a", 3, "E", 30]]);
  assert.deepEqual(feed.positions, { a: { offset: 3, epoch: "E" }, b: { offset: 1, epoch: "E" } });
});

test("offsets of another epoch are others", async () => {
  const { last, told } = await begin();
  last().receive(publication(5));
  last().receive(publication(1, "a", "F"));
  assert.deepEqual(told("publication").map((p) => p.offset), [5, 1]);
});

test("what is outside a history has no offset: each comes, none moves the position", async () => {
  const { last, told, feed } = await begin();
  for (const p of [publication(4), publication(0), publication(0), publication(5)]) last().receive(p);
  assert.deepEqual(told("publication").map((p) => p.offset), [4, 0, 0, 5]);
  assert.deepEqual(feed.positions.a, { offset: 5, epoch: "E" });
});

test("after a loss it asks for what follows the last position", async () => {
  const { last, told, reconnected } = await begin({ channels: ["a", "b", "c"] });
  for (const m of [gap(4), gap(0, "b", "F"), gap(9, "c", "G"), publication(5), gap(11, "c", "G")]) last().receive(m);
  last().onclose({ code: 1006, reason: "" });
  await reconnected();
  assert.deepEqual(since(last()), ["a:5@E", "b:0@F", "c:11@G"]);
  last().receive(publication(5)); // a server that resumes one too early
  last().receive(publication(6));
  assert.deepEqual(told("publication").map((p) => p.offset), [5, 6]);
});

test("where a channel is at first is no gap; what is lost later is", async () => {
  const { last, told, feed } = await begin();
  assert.deepEqual(feed.positions, {});
  last().receive(gap(4));
  assert.deepEqual(told("gap"), []);
  assert.deepEqual(feed.positions, { a: { offset: 4, epoch: "E" } });
  last().receive(gap(8));
  last().receive(publication(9));
  last().receive(gap(2, "a", "F"));
  last().receive(publication(3, "a", "F"));
  assert.deepEqual(told("gap").map((g) => [g.channel, g.offset, g.epoch]), [["a", 8, "E"], ["a", 2, "F"]]);
  assert.deepEqual(told("publication").map((p) => p.offset), [9, 3]);
});

test("who brings a position of an earlier feed is told of the gap", async () => {
  const { last, told } = await begin({ since: { a: { offset: 3, epoch: "E" } } });
  last().receive(gap(4));
  assert.equal(told("gap").length, 1);
});

test("a pattern has no position, and what comes through it has none either", async () => {
  const { last, told, feed, reconnected } = await begin({ channels: ["feeds:*", "a"], since: { "feeds:*": { offset: 1, epoch: "E" } } });
  assert.deepEqual(last().url.searchParams.getAll("channel"), ["feeds:*", "a"]);
  assert.deepEqual(since(last()), ["a:0@-"]);
  for (const m of [publication(1), { channel: "feeds:x", data: 1 }, { channel: "feeds:x", data: 1 }, { channel: "a", data: 2 }]) last().receive(m);
  assert.deepEqual(told("publication").map((p) => [p.channel, p.offset, p.data]), [["a", 1, 10], ["feeds:x", undefined, 1], ["feeds:x", undefined, 1], ["a", undefined, 2]]);
  assert.deepEqual(feed.positions, { a: { offset: 1, epoch: "E" } });
  last().onclose({ code: 1006, reason: "" });
  await reconnected();
  assert.deepEqual(since(last()), ["a:1@E"]);
});

test("a channel may have the name of anything", async () => {
  const { last, feed } = await begin({ channels: ["constructor", "__proto__"] });
  assert.deepEqual(since(last()), ["constructor:0@-", "__proto__:0@-"]);
  last().receive(publication(1, "__proto__"));
  assert.deepEqual(Object.entries(feed.positions), [["__proto__", { offset: 1, epoch: "E" }]]);
  const later = await begin({ channels: ["__proto__"], since: JSON.parse(JSON.stringify(feed.positions)) });
  assert.deepEqual(since(later.last()), ["__proto__:1@E"]);
});

test("what is no message of this feed is an error, and that is all", async () => {
  const { last, told, events } = await begin();
  for (const data of ["", "<html>", "null", "7", "[]", "{}", JSON.stringify(publication(1, "another")), '{"channel":"__proto__","offset":1}']) last().onmessage({ data });
  assert.equal(told("error").length, 8);
  assert.equal(events.length, 8);
});

test("the pause grows from its base to its bound, at random over the whole of it", async () => {
  const { chance, clock, last, told, sockets } = await begin({ baseDelay: 100, maxDelay: 1000 });
  for (const [random, delay] of [[0.999, 99.9], [0.5, 100], [0, 0], [0.999, 799.2], [0.25, 250], [0.999, 999], [0.5, 500]]) {
    chance.next = random;
    const before = sockets.length;
    last().onclose({ code: 1006, reason: "" });
    assert.equal(told("reconnecting").at(-1).delay, delay);
    if (delay > 1) await clock.pass(delay - 1);
    assert.equal(sockets.length, before, "not before its time");
    await clock.pass(1);
    assert.equal(sockets.length, before + 1);
  }
});

test("the pause is bounded after any number of attempts", async () => {
  const { chance, clock, last, told } = await begin({ maxDelay: 5000 });
  chance.next = 1 - Number.EPSILON;
  for (let i = 0; i < 1200; i++) { // 2¹⁰²⁴ is no number any more
    last().onclose({ code: 1006, reason: "" });
    await clock.pass(5000);
  }
  assert.ok(told("reconnecting").every((r) => r.delay >= 0 && r.delay <= 5000));
  assert.ok(told("reconnecting").at(-1).delay > 4999);
});

test("a connection that lasted starts the pauses anew, one that only opened does not", async () => {
  const { chance, clock, last, told, reconnected } = await begin({ baseDelay: 100, maxDelay: 1000 });
  chance.next = 0.999;
  const lose = () => { last().onclose({ code: 3008, reason: "slow" }); return told("reconnecting").at(-1).delay; };
  assert.equal(lose(), 99.9);
  await reconnected();
  await clock.pass(999);
  assert.equal(lose(), 199.8);
  await reconnected();
  await clock.pass(1000);
  assert.equal(lose(), 99.9);
});

test("codes that are final end it, all others do not", async () => {
  for (const code of [3500, 3501, 3507, 3999, 4500, 4999]) {
    const { last, told, clock, events } = await begin();
    last().onclose({ code, reason: "because" });
    assert.deepEqual(told("close").map((c) => [c.code, c.reason]), [[code, "because"]]);
    assert.equal(clock.count, 0);
    assert.equal(events.length, 1);
  }
  for (const code of [1000, 1001, 1005, 1006, 1009, 1011, 1012, 3000, 3001, 3005, 3008, 3499, 4000, 4499]) {
    const { last, told, clock } = await begin();
    last().onclose({ code, reason: "because" });
    assert.deepEqual(told("reconnecting").map((r) => [r.code, r.reason, r.delay]), [[code, "because", 500]]);
    assert.equal(told("close").length, 0);
    assert.equal(clock.count, 1);
  }
});

test("a handshake that takes too long is given up, and what it still says is not heard", async () => {
  const { sockets, clock, told, last } = await begin({ connectTimeout: 2000 });
  await clock.pass(1999);
  assert.equal(told("reconnecting").length, 0);
  await clock.pass(1);
  assert.equal(sockets[0].closed, true);
  assert.equal(told("reconnecting").length, 1);
  sockets[0].onerror({ message: "closed before it was open" });
  sockets[0].onclose({ code: 3500, reason: "too late" });
  await clock.pass(500);
  sockets[0].onopen({});
  sockets[0].onmessage({ data: JSON.stringify(publication(1)) });
  assert.equal(sockets.length, 2);
  assert.deepEqual([told("error").length, told("close").length, told("open").length, told("publication").length], [0, 0, 0, 0]);
  last().onopen({});
  assert.equal(told("open").length, 1);
});

test("a token that takes too long is given up, and not used when it comes", async () => {
  const waiting = [];
  const { sockets, clock, told } = await begin({ token: () => new Promise((resolve) => { waiting.push(resolve); }), connectTimeout: 2000 });
  await clock.pass(2000);
  await clock.pass(told("reconnecting")[0].delay);
  waiting[0]("late");
  await settled();
  assert.equal(sockets.length, 0);
  waiting[1]("fresh");
  await settled();
  assert.deepEqual(sockets.map((s) => s.protocols[1]), ["bearer.fresh"]);
});

test("an open connection has all the time", async () => {
  const { clock, last, told } = await begin();
  last().onopen({});
  await clock.pass(24 * 3600 * 1000);
  assert.equal(told("reconnecting").length, 0);
  assert.equal(clock.count, 0);
});

test("close is the end, whenever it comes", async (t) => {
  const ended = async ({ feed, events, clock, sockets }, before) => {
    feed.close();
    feed.close();
    assert.deepEqual(events.slice(before).map((e) => [e.type, e.code]), [["close", 1000]]);
    assert.equal(clock.count, 0);
    assert.ok(sockets.every((s) => s.closed));
    const { length } = sockets;
    for (const s of sockets) {
      s.onopen({});
      s.receive(publication(9));
      s.onerror({});
      s.onclose({ code: 1006, reason: "" });
    }
    await clock.pass(1e9);
    assert.equal(sockets.length, length);
    assert.equal(events.length, before + 1);
  };
  await t.test("while connecting", async () => { await ended(await begin(), 0); });
  await t.test("while open", async () => {
    const all = await begin();
    all.last().onopen({});
    await ended(all, 1);
  });
  await t.test("between connections", async () => {
    const all = await begin();
    all.last().onclose({ code: 1006, reason: "" });
    all.sockets[0].closed = true;
    await ended(all, 1);
  });
  await t.test("while the token is fetched", async () => {
    let give;
    const all = await begin({ token: () => new Promise((resolve) => { give = resolve; }) });
    await ended(all, 0);
    give("late");
    await settled();
    assert.equal(all.sockets.length, 0);
  });
  await t.test("before it began", async () => {
    const { sockets, clock } = await begin();
    const feed = new Feed(endpoint, { channels: ["a"], WebSocket: sockets[0].constructor, timers: clock });
    feed.close();
    await settled();
    assert.equal(sockets.length, 1);
  });
});

test("close may be called by any listener", async () => {
  const happen = {
    open: (s) => s.onopen({}),
    publication: (s) => s.receive(publication(1)),
    gap: (s) => { s.receive(gap(1)); s.receive(gap(2)); },
    error: (s) => s.onerror({}),
    reconnecting: (s) => s.onclose({ code: 1006, reason: "" }),
  };
  for (const [type, cause] of Object.entries(happen)) {
    const { feed, last, told, clock, events } = await begin();
    feed.addEventListener(type, () => feed.close());
    cause(last());
    assert.deepEqual([events.at(-1).type, told("close").length, clock.count], ["close", 1, 0], type);
  }
  const { feed, told, clock, sockets } = await begin({ token: () => new Promise((_, reject) => { setImmediate(reject, new Error("logged out")); }) });
  feed.addEventListener("error", () => feed.close());
  await settled();
  await settled();
  assert.deepEqual([told("close").length, told("reconnecting").length, clock.count, sockets.length], [1, 0, 0, 0]);
});

test("a request that no server takes is refused, and says why", async () => {
  const many = Array.from({ length: 200 }, (_, i) => "feeds:a channel with a long name " + i);
  await assert.rejects(begin({ channels: many }), { name: "RangeError", message: /bytes.*several feeds/ });
  const { sockets, told, clock } = await begin({ token: "x".repeat(8000) });
  assert.equal(sockets.length, 0);
  assert.match(told("close")[0].reason, /bytes.*several feeds/);
  assert.equal(clock.count, 0);
  const { sockets: some } = await begin({ channels: many.slice(0, 30), token: "x".repeat(500) });
  assert.equal(some.length, 1);
});

test("what can never work is refused at once", async () => {
  await assert.rejects(begin({ channels: [] }), TypeError);
  await assert.rejects(begin({ WebSocket: null }), { name: "TypeError", message: /ws/ });
  assert.throws(() => new Feed("push.example.com", { channels: ["a"], WebSocket: class {} }), TypeError);
});

test("a WebSocket that throws is an attempt that failed", async () => {
  const { told } = await begin({ WebSocket: class { constructor() { throw new SyntaxError("bad subprotocol"); } } });
  assert.equal(told("error")[0].message, "bad subprotocol");
  assert.equal(told("reconnecting").length, 1);
});

test("an error says something, also where the browser says nothing", async () => {
  const { last, told } = await begin();
  last().onerror({});
  last().onerror({ message: "Unexpected server response: 403" });
  assert.deepEqual(told("error").map((e) => e.message), ["the connection failed", "Unexpected server response: 403"]);
});
