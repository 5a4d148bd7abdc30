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
    server.on('data', (chunk) => this.isMuted || client.write(chunk));
    server.on('end', () => client.end());
    client.on('close', () => {
      this.pairs.delete(pair);
      server.destroy();
    });
  }

  get port() {
    return this.server.address().port;
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
