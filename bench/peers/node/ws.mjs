// The feed on `ws`: its README's broadcast, a loop over the clients, with the text encoded once.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { WebSocketServer } from 'ws';
import { channels, flags, serve, version } from './common.mjs';

const MAX_WAITING_BYTES = 1 << 20; // for one connection, which is closed above it

const rooms = new Map(); // channel to the set of its subscribers
const subscribers = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });
const echoes = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });

subscribers.on('connection', (socket, request) => {
  const own = channels(request.url.split('?')[1]);
  for (const channel of own) {
    if (!rooms.has(channel)) rooms.set(channel, new Set());
    rooms.get(channel).add(socket);
  }
  socket.on('error', () => {});
  socket.on('close', () => own.forEach((channel) => rooms.get(channel).delete(socket)));
});

echoes.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (message, binary) => socket.send(message, { binary }));
});

const server = createServer({
  cert: readFileSync(flags.cert), key: readFileSync(flags.key), minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256', // what the others choose; the default is AES-256
});
server.on('upgrade', (request, socket, head) => {
  const which = { '/feed': subscribers, '/echo': echoes }[request.url.split('?')[0]];
  if (!which) return socket.destroy();
  which.handleUpgrade(request, socket, head, (client) => which.emit('connection', client, request));
});
server.on('tlsClientError', () => {});

const broadcast = (channel, text) => {
  const message = Buffer.from(text);
  for (const socket of rooms.get(channel) ?? []) {
    if (socket.bufferedAmount > MAX_WAITING_BYTES) socket.terminate();
    else socket.send(message, { binary: false });
  }
};

server.listen(flags.listen, () => serve('ws', version('ws'), server.address().port, broadcast));
