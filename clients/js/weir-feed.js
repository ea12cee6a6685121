// Weir's push-only endpoint /feed, for browsers and Node.js. What goes over the wire is in docs/feed.md.
// One class, one socket, one timer, no dependencies.

// A request head may have 8 KiB; the rest is for the headers that browsers add.
const longestRequest = 7 * 1024;

// No channel has this epoch. Who has no position yet asks with it and is told where the channel is; otherwise
// what is published between the first connection and the first publication could be lost unseen.
const unknown = { offset: 0, epoch: "-" };

// What a JWT is made of (RFC 7515 §3.1), and what a subprotocol may be. Browsers quote one that may not be in what they
// throw, and that is told to listeners: a token with a line break behind it would stand in somebody's log.
const tokenText = /^[\w.-]+$/;

// After these codes the same request would fail again.
const isFinal = (code) => (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

/**
 * Feed receives channels: each publication once, in the order of its channel. It comes back by itself and goes on
 * where it was. It connects when the code that made it has returned, so listeners added there miss nothing.
 *
 * Events and their fields:
 *   publication   channel, offset, epoch, data; no offset and epoch through a pattern
 *   gap           channel, offset, epoch: what was published up to this offset is missing; fetch the state anew
 *   open          all channels are subscribed
 *   error         message: what failed; the feed goes on, unless a close follows
 *   reconnecting  code, reason, delay: ms until the next attempt
 *   close         code, reason: the end, nothing follows
 */
export class Feed extends EventTarget {
  #url;
  #token;
  #options;
  #channels;
  #positions = new Map(); // channel → {offset, epoch} of the last that was received; patterns have none
  #socket = null;
  #turn = 0; // counts connections; what still comes of an earlier one is not listened to
  #attempts = 0; // since a connection lasted
  #timer; // for the only thing waited for: a connection, that it lasts, or the next attempt
  #closed = false;

  /**
   * @param {string} url of the endpoint: wss://push.example.com/feed
   * @param {object} options
   * @param {string[]} options.channels also patterns, as feeds:*
   * @param {string | (() => string | Promise<string>)} [options.token] a JWT, or who is asked for one each time
   * @param {Record<string, {offset: number, epoch: string}>} [options.since] the positions of an earlier feed
   * @param {number} [options.baseDelay] ms; the n-th attempt comes at random between 0 and baseDelay · 2ⁿ⁻¹
   * @param {number} [options.maxDelay] ms; the longest of these, and how long a connection lasts that was a success
   * @param {number} [options.connectTimeout] ms, for token and handshake
   * @param {Function} [options.WebSocket] where none is global, for example that of ws
   * @param {() => number} [options.random] like Math.random
   * @param {{setTimeout: Function, clearTimeout: Function}} [options.timers]
   */
  constructor(url, {
    channels, token, since = {}, baseDelay = 1000, maxDelay = 30_000, connectTimeout = 15_000,
    WebSocket = globalThis.WebSocket, random = Math.random, timers = globalThis,
  }) {
    super();
    this.#url = new URL(url);
    this.#token = token;
    this.#options = { baseDelay, maxDelay, connectTimeout, WebSocket, random, timers };
    this.#channels = new Set(channels);
    for (const channel of this.#channels) {
      if (!channel.includes("*")) this.#positions.set(channel, Object.hasOwn(since, channel) ? since[channel] : unknown);
    }
    if (this.#channels.size === 0) throw new TypeError("a feed needs a channel");
    if (!WebSocket) throw new TypeError("no WebSocket here: give one as an option, for example that of ws");
    const longest = { offset: Number.MAX_SAFE_INTEGER, epoch: "-".repeat(16) };
    const excess = tooLong(this.#request(new Map([...this.#positions.keys()].map((channel) => [channel, longest]))));
    if (excess) throw new RangeError(excess);
    queueMicrotask(() => this.#connect());
  }

  /** The position of each channel that has one: what a later feed takes as since. */
  get positions() {
    return Object.fromEntries([...this.#positions].filter(([, position]) => position !== unknown));
  }

  /** Ends the feed for good. */
  close() {
    this.#end(1000, "closed by its user");
  }

  async #connect() {
    if (this.#closed) return;
    const turn = this.#turn;
    const ours = (listener) => (event) => { if (turn === this.#turn) listener(event); };
    this.#after(this.#options.connectTimeout, () => this.#lost(1006, "no connection in time"));
    try {
      const token = typeof this.#token === "function" ? await this.#token() : this.#token;
      if (turn === this.#turn) this.#open(token, ours);
    } catch (error) {
      ours(() => this.#lost(1006, "no connection", String(error?.message ?? error)))();
    }
  }

  #open(token, ours) {
    if (token && !tokenText.test(token)) throw new TypeError("the token holds something that no JWT has, perhaps a space or a line break");
    const request = this.#request(this.#positions);
    const excess = tooLong(request, token);
    if (excess) return this.#end(1009, excess);
    const socket = new this.#options.WebSocket(request, token ? ["weir-feed", "bearer." + token] : ["weir-feed"]);
    this.#socket = socket;
    socket.onopen = ours(() => {
      this.#after(this.#options.maxDelay, () => { this.#attempts = 0; });
      this.#emit("open");
    });
    socket.onmessage = ours(({ data }) => this.#receive(data));
    socket.onerror = ours(({ message }) => this.#emit("error", { message: message || "the connection failed" }));
    socket.onclose = ours(({ code, reason }) => this.#lost(code, reason));
  }

  // request is the URL with the channels and their positions.
  #request(positions) {
    const url = new URL(this.#url);
    for (const channel of this.#channels) url.searchParams.append("channel", channel);
    for (const [channel, { offset, epoch }] of positions) url.searchParams.append("since", `${channel}:${offset}@${epoch}`);
    return url.href;
  }

  #receive(text) {
    const { channel, gap, offset, epoch, data } = parse(text);
    const last = this.#positions.get(channel);
    if (!last && (!channel || gap || offset !== undefined)) return this.#emit("error", { message: "a message that is none of /feed" });
    if (gap) {
      this.#positions.set(channel, { offset, epoch });
      if (last !== unknown) this.#emit("gap", { channel, offset, epoch });
      return;
    }
    // What comes through a pattern has no offset, what is outside the history of its channel has 0: they move nothing.
    if (offset > 0) {
      if (epoch === last.epoch && offset <= last.offset) return;
      this.#positions.set(channel, { offset, epoch });
    }
    this.#emit("publication", { channel, offset, epoch, data });
  }

  // lost goes for another connection after a pause: exponential, and random in full, so that clients that were
  // lost together do not come back together.
  #lost(code, reason, message) {
    if (message) this.#emit("error", { message });
    if (this.#closed) return;
    if (isFinal(code)) return this.#end(code, reason);
    this.#leave();
    const { baseDelay, maxDelay, random } = this.#options;
    const delay = random() * Math.min(maxDelay, baseDelay * 2 ** this.#attempts++);
    this.#after(delay, () => this.#connect());
    this.#emit("reconnecting", { code, reason, delay });
  }

  #end(code, reason) {
    if (this.#closed) return;
    this.#closed = true;
    this.#leave();
    this.#emit("close", { code, reason });
  }

  #leave() {
    this.#turn++;
    this.#options.timers.clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = null;
  }

  #after(ms, then) {
    const { timers } = this.#options;
    timers.clearTimeout(this.#timer);
    this.#timer = timers.setTimeout(then, ms);
  }

  #emit(type, fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

// tooLong says why a request does not fit; undefined if it does.
function tooLong(request, token = "") {
  const bytes = request.length + token.length;
  if (bytes > longestRequest) return `a request of ${bytes} bytes, of which a server takes ${longestRequest}: use several feeds`;
}
