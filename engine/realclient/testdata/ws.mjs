// `ws` from npm, raw. Payloads are told by length and SHA-256.
import { createHash } from "node:crypto";
import WebSocket from "ws";
import { drive, tell, tls } from "./lines.mjs";

const digest = (data) => createHash("sha256").update(data).digest("hex");

// content makes the payload of an order: text repeated, or bytes of all values, or bytes in hex.
function content(o) {
  if (o.hex !== undefined) return Buffer.from(o.hex, "hex");
  if (o.bytes !== undefined) return Buffer.alloc(o.bytes, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
  return o.text.repeat(o.times ?? 1);
}

drive((where) => {
  let socket = null;
  let received = 0; // bytes of the WebSocket after TLS

  return {
    open: (o) => {
      received = 0;
      socket = new WebSocket(where.url + o.path, o.protocols ?? [], {
        ...tls(where), perMessageDeflate: o.compression ? { threshold: 0, ...o.compression } : false, ...o.options,
      });
      socket.on("open", () => {
        socket._socket.prependListener("data", (b) => { received += b.length; });
        tell("open", { protocol: socket.protocol, extensions: socket.extensions });
      });
      socket.on("message", (data, binary) => {
        tell("message", { binary, length: data.length, sha256: digest(data), text: !binary && data.length < 2000 ? data.toString() : undefined, received });
      });
      socket.on("ping", () => tell("ping"));
      socket.on("pong", (data) => tell("pong", { text: data.toString() }));
      socket.on("close", (code, reason) => tell("close", { code, reason: reason.toString() }));
      socket.on("error", (e) => tell("error", { text: e.message }));
      socket.on("unexpected-response", (request, response) => {
        let body = "";
        response.on("data", (b) => { body += b; });
        response.on("end", () => tell("refused", { status: response.statusCode, headers: response.headers, text: body }));
      });
    },
    send: (o) => {
      const data = content(o);
      tell("sending", { length: Buffer.byteLength(data), sha256: digest(data) });
      socket.send(data, { binary: o.binary ?? o.text === undefined, compress: o.compress });
    },
    // fragments sends one message in pieces, with a ping between the first two.
    fragments: (o) => {
      const data = Buffer.from(content(o));
      const size = Math.ceil(data.length / o.pieces);
      tell("sending", { length: data.length, sha256: digest(data) });
      for (let i = 0; i < o.pieces; i++) {
        socket.send(data.subarray(i * size, (i + 1) * size), { binary: o.text === undefined, fin: i === o.pieces - 1 });
        if (i === 0) socket.ping("between");
      }
    },
    ping: (o) => socket.ping(o.text),
    // raw writes bytes past the library: what no honest client sends.
    raw: (o) => socket._socket.write(Buffer.from(o.hex, "hex")),
    close: (o) => socket.close(o.code, o.reason),
    terminate: () => socket.terminate(),
  };
});
