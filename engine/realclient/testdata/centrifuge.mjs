// The centrifuge SDK, unmodified, over `ws`.
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { drive, tell, tls } from "./lines.mjs";

drive((where) => {
  let socket = null; // the newest
  // Socket is `ws` with the options that the SDK has no place for. It also tells what the SDK sends.
  class Socket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { ...tls(where), perMessageDeflate: where.compression === true });
      socket = this;
      this.on("open", () => tell("open", { protocol: this.protocol, extensions: this.extensions }));
      if (where.pushes) this.on("message", (data) => { // before the SDK sees them: it hides the field channel of a publication
        for (const { push } of String(data).split("\n").map((line) => JSON.parse(line))) {
          if (push?.pub) tell("pushed", { channel: push.channel, text: push.pub.channel, data: push.pub.data });
        }
      });
    }
    send(data) {
      if (data === "{}") {
        tell("pong");
        if (where.mute) return; // swallows pongs
      } else {
        tell("sent", { lines: data.split("\n").map((line) => Object.keys(JSON.parse(line)).find((k) => k !== "id")) });
      }
      super.send(data);
    }
  }

  const options = { websocket: Socket, name: "realclient", minReconnectDelay: 20, maxReconnectDelay: 200,
    timeout: 120_000, maxServerPingDelay: 0, ...where.options }; // a loaded machine is not a dead server
  if (where.token) options.token = where.token;
  const tokens = []; // who waits for a token
  const wanted = (of) => () => new Promise((resolve) => { tell("token wanted", of); tokens.push(resolve); });
  if (where.askForToken) {
    options.getToken = wanted();
  }
  const client = new Centrifuge(where.url, options);
  for (const state of ["connecting", "disconnected"]) client.on(state, (c) => tell(state, { code: c.code, reason: c.reason }));
  client.on("connected", (c) => tell("connected", { client: c.client, transport: c.transport, data: c.data }));
  client.on("error", (e) => tell("error", { code: e.error?.code, text: e.error?.message, type: e.type }));
  client.on("publication", (p) => tell("publication", { channel: p.channel, data: p.data, offset: p.offset }));
  client.on("subscribed", (s) => tell("server subscribed", { channel: s.channel, recovered: s.recovered }));
  client.on("unsubscribed", (s) => tell("server unsubscribed", { channel: s.channel }));
  const subscriptions = new Map();

  return {
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),
    pause: () => { socket.pause(); tell("paused"); }, // reads nothing more
    resume: () => socket.resume(),
    "give token": (o) => tokens.shift()(o.token),
    subscribe: (o) => {
      const options = o.askForToken ? { ...o.options, getToken: wanted({ channel: o.channel }) } : o.options;
      const sub = client.newSubscription(o.channel, options);
      subscriptions.set(o.channel, sub);
      sub.on("subscribed", (s) => tell("subscribed", { channel: s.channel, position: s.streamPosition, recovered: s.recovered, data: s.data }));
      sub.on("subscribing", (s) => tell("subscribing", { channel: s.channel, code: s.code }));
      sub.on("unsubscribed", (s) => tell("unsubscribed", { channel: s.channel, code: s.code, reason: s.reason }));
      sub.on("error", (e) => tell("subscription error", { channel: o.channel, code: e.error.code, text: e.error.message }));
      if (!o.quiet) sub.on("publication", (p) => tell("publication", { channel: p.channel, data: p.data, offset: p.offset, info: p.info }));
      for (const kind of ["join", "leave"]) sub.on(kind, (e) => tell(kind, { channel: e.channel, client: e.info.client, text: e.info.user, info: e.info.connInfo }));
      sub.subscribe();
    },
    history: (o) => client.history(o.channel, o.options).then(
      (h) => tell("history", { channel: o.channel, offset: h.offset, epoch: h.epoch, data: h.publications }),
      (e) => tell("history error", { channel: o.channel, code: e.code, text: e.message })),
    presence: (o) => client.presence(o.channel).then(
      (p) => tell("presence", { channel: o.channel, clients: p.clients }), (e) => tell("presence error", { code: e.code, text: e.message })),
    presenceStats: (o) => client.presenceStats(o.channel).then(
      (p) => tell("presence stats", { channel: o.channel, clients: p.numClients, users: p.numUsers }),
      (e) => tell("presence error", { code: e.code, text: e.message })),
    "subscribe again": (o) => subscriptions.get(o.channel).subscribe(),
    "delta stats": (o) => tell("delta stats", subscriptions.get(o.channel).deltaStats()),
    rpc: (o) => client.rpc(o.method, o.data).then(
      (r) => tell("rpc answered", { data: r.data }), (e) => tell("rpc error", { code: e.code, text: e.message })),
    send: (o) => client.send(o.data),
    unsubscribe: (o) => subscriptions.get(o.channel).unsubscribe(),
    publish: (o) => client.publish(o.channel, o.data).then(
      () => tell("published", { channel: o.channel }), (e) => tell("publish error", { channel: o.channel, code: e.code, text: e.message })),
  };
});
