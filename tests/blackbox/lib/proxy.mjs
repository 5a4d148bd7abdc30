// A TCP proxy that loses its connections on demand, for clients that have to come back.
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
    client.pipe(server).pipe(client);
    client.on('close', () => {
      this.pairs.delete(pair);
      server.destroy();
    });
  }

  get url() {
    return `ws://127.0.0.1:${this.server.address().port}`;
  }

  /** Resets every connection and refuses new ones until up(). */
  down() {
    this.isDown = true;
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
