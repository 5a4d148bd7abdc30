// A TCP client that sends any bytes and reads what comes, with deadlines.
import net from 'node:net';
import tls from 'node:tls';
import { DEADLINE_MS, deferred, withDeadline } from './wait.mjs';

/** Ports on which TLS is spoken; what certificate is shown there does not matter. */
export const tlsPorts = new Set();

export class RawSocket {
  static async connect(port, host = '127.0.0.1') {
    const tcp = net.connect({ port, host, allowHalfOpen: true });
    const raw = tlsPorts.has(port) ? RawSocket.secured(tcp) : new RawSocket(tcp);
    await withDeadline(raw.opened.promise, 'connection');
    return raw;
  }

  /** TLS above a connection that is not open yet. */
  static secured(tcp, options = {}) {
    tcp.on('error', () => {}); // the one above has it, too
    const socket = tls.connect({ socket: tcp, allowHalfOpen: true, rejectUnauthorized: false, ...options });
    return new RawSocket(socket, tcp);
  }

  constructor(socket, tcp = socket) {
    this.socket = socket;
    this.tcp = tcp;
    this.opened = deferred();
    this.opened.promise.catch(() => {}); // perhaps nobody waits for it
    this.bytes = Buffer.alloc(0);
    this.store = this.bytes;
    this.isEnded = false;
    this.change = deferred();
    socket.setNoDelay(true);
    socket.once(socket === tcp ? 'connect' : 'secureConnect', () => this.opened.resolve());
    socket.on('data', (chunk) => this.onData(chunk));
    socket.on('end', () => this.onEnd());
    socket.on('close', () => this.onEnd());
    socket.on('error', (error) => {
      this.error = error;
      this.opened.reject(error);
      this.onEnd();
    });
  }

  onData(chunk) {
    this.append(chunk);
    this.signal();
  }

  // The unread bytes lie at the end of what is used of the store. A full store is left to those who
  // took slices of it, and a new one is begun.
  append(chunk) {
    const unread = this.bytes.length;
    const start = unread ? this.bytes.byteOffset - this.store.byteOffset : 0;
    const used = unread ? start + unread : (this.used ?? 0);
    if (used + chunk.length > this.store.length) {
      this.store = Buffer.allocUnsafeSlow(2 * (unread + chunk.length) + 4096);
      this.bytes.copy(this.store);
      chunk.copy(this.store, unread);
      this.used = unread + chunk.length;
      this.bytes = this.store.subarray(0, this.used);
      return;
    }
    chunk.copy(this.store, used);
    this.used = used + chunk.length;
    this.bytes = this.store.subarray(used - unread, this.used);
  }

  onEnd() {
    this.isEnded = true;
    this.signal();
  }

  signal() {
    const { resolve } = this.change;
    this.change = deferred();
    resolve();
  }

  /** Resolves once the bytes are handed to the kernel; a peer that has gone is not an error. */
  write(bytes) {
    return new Promise((resolve) => {
      if (this.socket.destroyed || !this.socket.writable) return resolve();
      this.socket.write(bytes, () => resolve());
    });
  }

  /** Returns what take() finds in the bytes so far; take answers undefined to ask for more. */
  async read(take, what, ms = DEADLINE_MS) {
    const end = Date.now() + ms;
    for (;;) {
      const found = take(this);
      if (found !== undefined) return found;
      if (this.isEnded) throw new Error(`the peer closed before ${what}: ${this.describe()}`);
      await withDeadline(this.change.promise, what, Math.max(1, end - Date.now()));
    }
  }

  /** Waits until the peer closes, and returns all bytes that were not taken before. */
  async readToEnd(ms = DEADLINE_MS) {
    const end = Date.now() + ms;
    while (!this.isEnded) {
      await withDeadline(
        this.change.promise,
        'end of the connection',
        Math.max(1, end - Date.now()),
      );
    }
    return this.bytes;
  }

  take(length) {
    const taken = this.bytes.subarray(0, length);
    this.bytes = this.bytes.subarray(length);
    return taken;
  }

  describe() {
    const seen = this.bytes.subarray(0, 200).toString('latin1');
    return `${this.bytes.length} bytes unread ${JSON.stringify(seen)}${this.error ?? ''}`;
  }

  pause() {
    this.socket.pause();
  }

  resume() {
    this.socket.resume();
  }

  end() {
    this.socket.end();
  }

  /** Drops the connection with a TCP reset. */
  reset() {
    this.tcp.resetAndDestroy();
  }

  destroy() {
    this.socket.destroy();
  }
}
