// A TCP proxy that loses connections or bytes on demand, for clients that have to come back.
import net from 'node:net';

export class Proxy {
  static async start(port) {
    const proxy = new Proxy(port);
    await new Promise((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  constructor(port) {
    this.pairs = new Set();
    this.isDown = false;
    this.isMuted = false;
    this.delayMs = 0;
    this.server = net.createServer((client) => this.onClient(client, port));
  }

  onClient(client, port) {
    client.on('error', () => {});
    if (this.isDown) {
      client.resetAndDestroy();
      return;
    }
    const server = net.connect(port, '127.0.0.1');
    server.on('error', () => client.destroy());
    const pair = [client, server];
    this.pairs.add(pair);
    client.pipe(server);
    server.on('data', (chunk) => this.passOn(client, chunk));
    server.on('end', () => client.end());
    client.on('close', () => {
      this.pairs.delete(pair);
      server.destroy();
    });
  }

  // Delays may change; the order of the bytes may not.
  passOn(client, chunk) {
    if (this.isMuted) return;
    const due = Date.now() + this.delayMs;
    client.due = Math.max(due, client.due ?? 0);
    if (client.due <= Date.now()) client.write(chunk);
    else setTimeout(() => client.write(chunk), client.due - Date.now());
  }

  get port() {
    return this.server.address().port;
  }

  /** What a daemon needs to know to reach Redis through it. */
  get env() {
    return { BACKEND: 'redis', REDIS_HOST: '127.0.0.1', REDIS_PORT: String(this.port) };
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** What the server says is lost, until the connections are: down(). */
  mute() {
    this.isMuted = true;
  }

  /** Resets every connection and refuses new ones until up(). */
  down() {
    this.isDown = true;
    this.isMuted = false;
    for (const [client, server] of this.pairs) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  up() {
    this.isDown = false;
  }

  stop() {
    this.down();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** A proxy for the length of one function. */
export async function withProxy(port, run) {
  const proxy = await Proxy.start(port);
  try {
    return await run(proxy);
  } finally {
    await proxy.stop();
  }
}
