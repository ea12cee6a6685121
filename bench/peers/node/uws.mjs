// The feed on uWebSockets.js: topics and publish are its own.
import { createRequire } from 'node:module';
import uWS from '@trufflesuite/uws-js-unofficial';
import { channels, flags, serve, version } from './common.mjs';

const MAX_WAITING_BYTES = 1 << 20; // for one connection, which is closed above it

// The package has another implementation, in JavaScript, for machines without a binary. That is not the one to compare with.
if (!Object.keys(createRequire(import.meta.url).cache).some((file) => file.endsWith('.node'))) {
  console.error(`uws: no binary for ${process.platform} ${process.arch}, modules ${process.versions.modules}`);
  process.exit(1);
}

const app = uWS.SSLApp({ cert_file_name: flags.cert, key_file_name: flags.key, ssl_prefer_low_memory_usage: true });

const behavior = { compression: uWS.DISABLED, maxBackpressure: MAX_WAITING_BYTES, closeOnBackpressureLimit: 1 };

app.ws('/feed', {
  ...behavior,
  upgrade: (response, request, context) => response.upgrade(
    { channels: channels(request.getQuery()) },
    request.getHeader('sec-websocket-key'), request.getHeader('sec-websocket-protocol'), request.getHeader('sec-websocket-extensions'), context,
  ),
  open: (socket) => socket.channels.forEach((channel) => socket.subscribe(channel)),
});

app.ws('/echo', { ...behavior, message: (socket, message, binary) => socket.send(message, binary) });

app.listen(flags.listen.host, flags.listen.port, (listener) => {
  if (!listener) throw new Error('cannot listen');
  const broadcast = (channel, text) => app.publish(channel, text);
  serve('uws', version('@trufflesuite/uws-js-unofficial'), uWS.us_socket_local_port(listener), broadcast);
});
