// What both servers of this folder have in common: flags, the API, the line and the end.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:0' },
    api: { type: 'string', default: '127.0.0.1:0' },
    cert: { type: 'string' },
    key: { type: 'string' },
  },
});

const address = (text) => {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
};

export const flags = { listen: address(values.listen), api: address(values.api), cert: values.cert, key: values.key };

// version is that of a package in node_modules.
export const version = (name) =>
  JSON.parse(readFileSync(createRequire(import.meta.url).resolve(`${name}/package.json`))).version;

// channels are those that the query of a subscriber names.
export const channels = (query) => new URLSearchParams(query).getAll('channel');

// api serves POST /api/publish; broadcast hands one message to a channel's subscribers.
const api = (broadcast) => {
  const offsets = new Map();
  return createServer(async (request, response) => {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    try {
      if (request.method !== 'POST' || request.url !== '/api/publish') throw new Error('POST /api/publish is all there is');
      const { channel, data } = JSON.parse(body);
      if (!channel || data === undefined) throw new Error('a publication has a channel and data');
      const offset = (offsets.get(channel) ?? 0) + 1;
      offsets.set(channel, offset);
      broadcast(channel, JSON.stringify({ channel, offset, epoch: 'e', data }));
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ result: { offset, epoch: 'e' } }));
    } catch (error) {
      response.statusCode = 400;
      response.end(error.message);
    }
  });
};

// serve opens the API, says where everything is, and ends with the input.
export const serve = (name, version, port, broadcast) => {
  process.stdin.on('end', () => process.exit(0)).resume();
  process.on('SIGTERM', () => process.exit(0));
  const server = api(broadcast);
  server.listen(flags.api, () => {
    const { address, port: apiPort } = server.address();
    console.log(JSON.stringify({
      name, version, url: `wss://${flags.listen.host}:${port}/feed`, protocol: 'feed', api: `http://${address}:${apiPort}`, pid: process.pid,
    }));
  });
};
