// A JSON-RPC client over the `ws` library: what is answered, what is delivered, in what order.
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { DEADLINE_MS, deferred, withDeadline } from './wait.mjs';

const isDelivery = ({ result }) =>
  result !== null && typeof result === 'object' && 'message' in result && 'topic' in result;

export class Client {
  /** Fails with {status, headers} in the error where the server refuses the handshake. */
  static async connect(daemon, options = {}) {
    const { token, path = '/', headers = {}, protocols = [], ...more } = options;
    const query = token === undefined ? '' : `?auth=${token}`;
    const client = new Client(
      new WebSocket(`${daemon.url}${path}${query}`, protocols, {
        headers,
        maxPayload: 1 << 27,
        rejectUnauthorized: false,
        ...more,
      }),
    );
    await withDeadline(client.opened.promise, 'open WebSocket');
    return client;
  }

  constructor(socket) {
    this.socket = socket;
    this.opened = deferred();
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.nextId = 1;
    this.deliveries = [];
    this.others = [];
    this.notices = [];
    this.unread = 0;
    this.change = deferred();
    socket.once('open', () => this.opened.resolve());
    socket.once('unexpected-response', (request, response) => {
      const { statusCode: status, headers } = response;
      this.opened.reject(Object.assign(new Error(`refused with ${status}`), { status, headers }));
      request.destroy();
    });
    socket.on('error', (error) => this.opened.reject(error));
    socket.on('message', (data, isBinary) => this.onMessage(data.toString(), isBinary));
    this.closed.then(() => this.signal());
    this.opened.promise.catch(() => {});
  }

  onMessage(text, isBinary) {
    assert.equal(isBinary, false, 'everything that the server sends is text');
    const json = JSON.parse(text);
    const entry = { json, text, at: performance.now() };
    if (isDelivery(json)) this.deliveries.push(entry);
    else if ('method' in json) this.notices.push({ ...entry, after: this.deliveries.length });
    else this.others.push(entry);
    this.onEntry?.(entry);
    this.signal();
  }

  signal() {
    const { resolve } = this.change;
    this.change = deferred();
    resolve();
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(text) {
    this.socket.send(text);
  }

  async until(find, what, ms = DEADLINE_MS) {
    const end = Date.now() + ms;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error(`closed before ${what}`);
      await withDeadline(this.change.promise, what, Math.max(1, end - Date.now()));
    }
  }

  /** Takes the first message that is no delivery and that matches: {json, text}. */
  other(matches = () => true, what = 'answer') {
    return this.until(() => {
      const index = this.others.findIndex((entry) => matches(entry.json));
      return index < 0 ? undefined : this.others.splice(index, 1)[0];
    }, what);
  }

  /** Waits for a notification of the server: {json, text, after}, after so many deliveries. */
  notice(matches = () => true, what = 'notice') {
    return this.until(() => this.notices.find((entry) => matches(entry.json)), what);
  }

  /** Sends a text and takes the next message that is no delivery. */
  exchange(text) {
    this.send(text);
    return this.other();
  }

  /** The whole response to a request with a fresh id, or the one given. */
  async call(method, params, id = this.nextId++) {
    this.send(JSON.stringify({ id, jsonrpc: '2.0', method, params }));
    const { json } = await this.other((one) => one.id === id, `answer to ${method}`);
    return json;
  }

  async result(method, params, id) {
    const response = await this.call(method, params, id);
    assert.ok('result' in response, `${method} failed: ${JSON.stringify(response.error)}`);
    return response.result;
  }

  async error(method, params, id) {
    const response = await this.call(method, params, id);
    assert.ok('error' in response, `${method} should fail: ${JSON.stringify(response.result)}`);
    return response.error;
  }

  notify(method, params) {
    this.send(JSON.stringify({ jsonrpc: '2.0', method, params }));
  }

  /** Subscribes and returns the id that deliveries will carry. */
  async subscribe(topic, params = {}) {
    const id = this.nextId++;
    await this.result('subscribe', { topic, ...params }, id);
    return id;
  }

  /** Publishes and returns the message's id. */
  async publish(topic, message, params = {}) {
    const result = await this.result('publish', { topic, message, ...params });
    assert.equal(result.status, 'ok');
    return result.id;
  }

  eventlog(topic, params) {
    return this.result('eventlog', { topic, ...params });
  }

  /** The next delivered message that was not looked at yet: {json, text}. */
  async delivery(what = 'delivery') {
    const index = this.unread++;
    return this.until(() => this.deliveries[index], what);
  }

  /** The next n deliveries, as {id, topic, message, subscription}. */
  async take(n) {
    const taken = [];
    while (taken.length < n) {
      const { json } = await this.delivery(`delivery ${taken.length + 1} of ${n}`);
      taken.push({ ...json.result, subscription: json.id });
    }
    return taken;
  }

  /**
   * Everything delivered so far and not yet looked at. What an acknowledged publish caused comes
   * before what a later one causes, so a marker of our own bounds the wait.
   */
  async drain(publisher = this) {
    const marker = `drain/${process.pid}/${Math.random().toString(36).slice(2)}`;
    const id = await this.subscribe(marker);
    await publisher.publish(marker, 'marker');
    const seen = [];
    for (;;) {
      const { json } = await this.delivery('marker');
      if (json.id === id) break;
      seen.push({ ...json.result, subscription: json.id });
    }
    await this.result('unsubscribe', [marker]);
    return seen.filter((one) => !one.topic.startsWith('drain/'));
  }

  async close(code = 1000) {
    this.socket.close(code);
    return withDeadline(this.closed, 'close handshake');
  }

  drop() {
    this.socket.terminate();
  }
}

/** [milliseconds, sequence] of a message id, for comparing. */
export function parseId(id) {
  assert.match(id, /^\d+-\d+$/);
  return id.split('-').map(BigInt);
}

export function compareIds(a, b) {
  const [x, y] = [parseId(a), parseId(b)];
  if (x[0] !== y[0]) return x[0] < y[0] ? -1 : 1;
  return x[1] === y[1] ? 0 : x[1] < y[1] ? -1 : 1;
}

export function assertIncreasing(ids) {
  for (let i = 1; i < ids.length; i++) {
    assert.ok(compareIds(ids[i - 1], ids[i]) < 0, `${ids[i - 1]} before ${ids[i]}`);
  }
}
