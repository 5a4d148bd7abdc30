// Servers that are not quite Redis: too old, silent, rude.
import net from 'node:net';
import { readValue } from './resp.mjs';

const bulk = (text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;

/** Answers as a Redis of that version would, as far as a client may ask before it gives up. */
export function speaksLike(version) {
  const answers = {
    PING: () => '+PONG\r\n',
    AUTH: () => '+OK\r\n',
    SELECT: () => '+OK\r\n',
    CLIENT: () => '+OK\r\n',
    INFO: () => bulk(`# Server\r\nredis_version:${version}\r\nredis_mode:standalone\r\n`),
    ROLE: () => `*3\r\n${bulk('master')}:0\r\n*0\r\n`,
    SUBSCRIBE: (topic) => `*3\r\n${bulk('subscribe')}${bulk(topic)}:1\r\n`,
    PSUBSCRIBE: (topic) => `*3\r\n${bulk('psubscribe')}${bulk(topic)}:1\r\n`,
  };
  return (socket) => {
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (let one = readValue(bytes); one; one = readValue(bytes)) {
        bytes = bytes.subarray(one.end);
        const [name, ...args] = one.value.map(String);
        const answer = answers[name.toUpperCase()];
        socket.write(answer ? answer(...args) : `-ERR unknown command '${name}'\r\n`);
      }
    });
  };
}

export const saysNothing = (socket) => socket.resume();
export const closesAtOnce = (socket) => socket.destroy();
export const says = (text) => (socket) => {
  socket.resume();
  socket.write(text);
};

export class FakeRedis {
  static async start(behaviour) {
    const fake = new FakeRedis(behaviour);
    await new Promise((resolve) => fake.server.listen(0, '127.0.0.1', resolve));
    return fake;
  }

  constructor(behaviour) {
    this.sockets = new Set();
    this.connections = 0;
    this.server = net.createServer((socket) => {
      this.connections++;
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
      behaviour(socket);
    });
  }

  get env() {
    const { port } = this.server.address();
    return { BACKEND: 'redis', REDIS_HOST: '127.0.0.1', REDIS_PORT: String(port) };
  }

  stop() {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => this.server.close(resolve));
  }
}
