// Everything at once, for a while, from hundreds of connections, half of them within TLS: clients that
// come, go, break, stall, half-close and return for what they missed; subscriptions that churn; garbage.
// Meant for builds that watch for races and for wrong memory (SOAK_SECONDS, SOAK_SEED).
//
// Whatever was acknowledged must be seen by every healthy subscriber, once and in order. That is
// compared again and again while it runs, so that it may run for hours; at the end nothing may be left.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'node:test';
import { makeCertificate } from '../blackbox/lib/certificate.mjs';
import { BACKEND, withDaemon } from '../blackbox/lib/daemon.mjs';
import { get, requestText } from '../blackbox/lib/http.mjs';
import { freePort } from '../blackbox/lib/process.mjs';
import { Client, compareIds } from '../blackbox/lib/rpc.mjs';
import { RawSocket, tlsPorts } from '../blackbox/lib/socket.mjs';
import { EventStream } from '../blackbox/lib/sse.mjs';
import { eventually, isSanitized } from '../blackbox/lib/wait.mjs';
import { RawWebSocket, text, upgradeRequest } from '../blackbox/lib/websocket.mjs';

const MB = 1 << 20;
const SECONDS = Number(process.env.SOAK_SECONDS ?? 30);
const CHECK_EVERY_MS = Math.max(5, Math.min(60, SECONDS / 4)) * 1000;
const CROWD = 150; // idle subscribers beside all the others
// What reads history by pattern is dear in Redis, and under a sanitizer more than it can do: the broker
// would say, rightly, that it is not available.
const STALLED = BACKEND === 'redis' ? { clients: 4, reads: 2, messages: 50 } : { clients: 20, reads: 20, messages: 1000 };
const TOPICS = ['soak/a', 'soak/b', 'soak/c/d', 'soak/c/e', 'soak'];
const FILTERS = ['soak/a', 'soak/+', 'soak/#', '#', 'soak/c/+', '+/b', '+/+/d', 'soak/none'];
const STEADY = {
  '#': () => true,
  'soak/#': () => true,
  'soak/+': (topic) => /^soak\/.$/.test(topic),
  'soak/a': (topic) => topic === 'soak/a',
};

// Reproducible choices, apart from what the scheduler makes of them.
let state = Number(process.env.SOAK_SEED ?? 20_011_209);
const random = (n) => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return (state >>> 8) % n;
};
const pick = (list) => list[random(list.length)];

function hash(id) {
  let sum = 2_166_136_261;
  for (let i = 0; i < id.length; i++) sum = Math.imul(sum ^ id.charCodeAt(i), 16_777_619) >>> 0;
  return sum;
}

/** How many messages of each topic, and which: as a sum over their ids. */
class Tally {
  constructor() {
    this.topics = Object.fromEntries(TOPICS.map((topic) => [topic, { count: 0, sum: 0, last: '' }]));
  }

  add(topic, id) {
    const one = this.topics[topic];
    one.count++;
    one.sum = (one.sum + hash(id)) >>> 0;
  }

  sameAs(other, topic) {
    const [a, b] = [this.topics[topic], other.topics[topic]];
    return a.count === b.count && a.sum === b.sum;
  }

  describe(topic) {
    return JSON.stringify(this.topics[topic]);
  }
}

/** Counts what a subscriber gets, each topic in order and nothing twice. */
class Witness {
  constructor(name, matches) {
    this.name = name;
    this.topics = TOPICS.filter(matches);
    this.tally = new Tally();
    this.problems = [];
  }

  see({ topic, id, message }) {
    const of = this.tally.topics[topic];
    if (!of) return;
    if (of.last !== '' && compareIds(id, of.last) <= 0) this.problems.push(`${topic}: ${id} after ${of.last}`);
    of.last = id;
    if (!String(message).startsWith('unsure')) this.tally.add(topic, id);
  }

  watch(client) {
    client.onEntry = ({ json }) => {
      client.deliveries.length = 0;
      if (json.method === 'gap') this.problems.push('a gap');
      if (json.result?.topic && 'message' in json.result) this.see(json.result);
    };
    return client;
  }
}

class Soak {
  constructor(daemon, ports) {
    this.daemon = daemon;
    this.ports = ports;
    this.end = Date.now() + SECONDS * 1000;
    this.acknowledged = new Tally();
    this.witnesses = [];
    this.rounds = {};
    this.publishing = 0;
    this.isHeld = false;
  }

  get isOver() {
    return Date.now() > this.end;
  }

  get port() {
    return pick(this.ports);
  }

  open(options) {
    const port = this.port;
    const url = `${tlsPorts.has(port) ? 'wss' : 'ws'}://127.0.0.1:${port}`;
    return Client.connect({ url }, options);
  }

  /** Runs one kind of behaviour again and again until the time is up. */
  async repeat(name, round) {
    while (!this.isOver) {
      await round();
      this.rounds[name] = (this.rounds[name] ?? 0) + 1;
    }
  }

  async publish(client, topic, message) {
    while (this.isHeld) await sleep(5);
    this.publishing++;
    this.acknowledged.add(topic, await client.publish(topic, message));
    this.publishing--;
  }

  async publishSteadily() {
    const client = await this.open();
    await this.repeat('published', () => this.publish(client, pick(TOPICS), random(1000)));
    await client.close();
  }

  churnSubscriptions() {
    return this.repeat('churned', async () => {
      const client = await this.open({ perMessageDeflate: random(2) === 0 });
      for (let i = random(20); i >= 0; i--) {
        const since = random(2) ? { since: -1000 * random(10), limit: random(50) + 1 } : {};
        await client.result('subscribe', { topic: pick(FILTERS), ...since });
        if (random(3) === 0) await client.result('unsubscribe', [pick(FILTERS)]);
        if (random(9) === 0) await client.result('unsubscribeAll', []);
      }
      await client.eventlog(pick(FILTERS), { since: -5000, limit: 20 });
      await (random(2) ? client.close() : client.drop());
    });
  }

  useKeys() {
    return this.repeat('keys', async () => {
      const client = await this.open();
      const key = `key/${random(50)}`;
      await client.result('set', { key, value: String(random(1000)), ttl: random(3) });
      await client.call('get', { key });
      await client.result('del', { key });
      await client.close();
    });
  }

  // What a connection published just before its reset may have been taken or lost.
  publishAndReset() {
    return this.repeat('reset', async () => {
      while (this.isHeld) await sleep(5);
      const ws = await RawWebSocket.open(this.port);
      const params = { topic: pick(TOPICS), message: 'unsure' };
      await ws.send(text(JSON.stringify({ id: 1, jsonrpc: '2.0', method: 'publish', params })));
      ws.raw.reset();
    });
  }

  // Asks for much, reads nothing for a while, and goes on or goes away.
  stall() {
    return this.repeat('stalled', async () => {
      const ws = await RawWebSocket.open(this.port);
      const request = (method, params) => text(JSON.stringify({ id: 1, jsonrpc: '2.0', method, params }));
      const history = { topic: '#', since: -60_000, limit: STALLED.messages };
      await ws.send(request('subscribe', history));
      ws.raw.pause();
      for (let i = 0; i < STALLED.reads; i++) await ws.send(request('eventlog', history));
      await sleep(random(4000));
      ws.raw.resume();
      await sleep(random(200));
      if (random(2)) ws.raw.reset();
      else ws.destroy();
    });
  }

  // The answer to what came before its end still comes.
  halfClose() {
    return this.repeat('half-closed', async () => {
      const raw = await RawSocket.connect(this.port);
      await raw.write(requestText('GET', pick(['/healthz', '/metrics', '/nothing'])));
      raw.end();
      const bytes = await raw.readToEnd();
      assert.match(bytes.subarray(0, 12).toString(), /^HTTP\/1\.1 \d{3}$/);
      raw.destroy();
    });
  }

  // Loses its connection again and again, and misses nothing.
  async comeBack({ topic, witness, client: first }) {
    let client = first;
    await this.repeat('returned', async () => {
      await sleep(random(500));
      const { last } = witness.tally.topics[topic];
      if (last === '') return;
      client.drop();
      client.onEntry = undefined;
      client = witness.watch(await this.open());
      const since = witness.tally.topics[topic].last;
      const { recovered } = await client.result('subscribe', { topic, sinceEventId: since });
      if (recovered === false) witness.problems.push('not recovered');
    });
    return client;
  }

  /** A client that watches a filter from now on. */
  async witness(name, filter, matches) {
    const witness = new Witness(name, matches);
    const client = witness.watch(await this.open());
    await client.subscribe(filter);
    this.witnesses.push(witness);
    return { topic: filter, witness, client };
  }

  followEvents() {
    return this.repeat('streamed', async () => {
      const stream = await EventStream.open(this.port, '/soak/%23');
      await sleep(random(300));
      stream.close();
    });
  }

  sendGarbage() {
    return this.repeat('garbage', async () => {
      const raw = await RawSocket.connect(this.port);
      const noise = Buffer.from(Array.from({ length: 1 + random(200) }, () => random(256)));
      await raw.write(Buffer.concat([Buffer.from(random(3) ? upgradeRequest('/') : ''), noise]));
      raw.end();
      await raw.readToEnd();
      raw.destroy();
    });
  }

  // Where a handshake of TLS should be.
  sendGarbageToTls() {
    const port = this.ports.find((one) => tlsPorts.has(one));
    return this.repeat('garbage to TLS', async () => {
      const raw = new RawSocket(connect(port, '127.0.0.1'));
      const noise = Buffer.from(Array.from({ length: 1 + random(500) }, () => random(256)));
      await raw.write(Buffer.concat([Buffer.from(random(2) ? [22, 3, 1, random(3), random(256)] : []), noise]));
      raw.end();
      await raw.readToEnd();
      raw.destroy();
    });
  }

  scrape() {
    return this.repeat('scraped', () =>
      get(this.daemon.port, pick(['/metrics', '/metrics?format=json', '/healthz', '/readyz'])),
    );
  }

  /** Holds the publishers, and compares what was acknowledged with what was seen. */
  async check() {
    this.isHeld = true;
    await eventually(() => this.publishing === 0, 'the last answers');
    const settled = (witness) => witness.topics.every((topic) => this.acknowledged.sameAs(witness.tally, topic));
    try {
      await eventually(() => this.witnesses.every(settled), 'all to have seen everything');
    } catch {
      for (const witness of this.witnesses) {
        for (const topic of witness.topics.filter((one) => !this.acknowledged.sameAs(witness.tally, one)))
          witness.problems.push(`${topic}: saw ${witness.tally.describe(topic)} of ${this.acknowledged.describe(topic)}`);
      }
    }
    for (const { name, problems } of this.witnesses) assert.deepEqual(problems, [], name);
    this.rounds.checks = (this.rounds.checks ?? 0) + 1;
    this.isHeld = false;
  }

  async checkSteadily() {
    while (!this.isOver) {
      await sleep(Math.min(CHECK_EVERY_MS, Math.max(0, this.end - Date.now()) + 1));
      await this.check();
      this.memory ??= this.daemon.program.residentBytes();
    }
  }
}

const openDescriptors = (pid) => readdirSync(`/proc/${pid}/fd`).length;

async function withBothListeners(run) {
  const { cert, key } = await makeCertificate();
  const port = await freePort();
  tlsPorts.add(port);
  const env = {
    WORKER_THREADS: '3',
    PING_INTERVAL: '1',
    MAX_SEND_QUEUE: String(64 * MB),
    MAX_CACHE_LENGTH: '100000',
    MAX_CACHE_REQUEST_LIMIT: '100000',
    ENABLE_SSL: 'true',
    SSL_LISTEN_PORT: String(port),
    SSL_CERTIFICATE: cert,
    SSL_PRIVATE_KEY: key,
  };
  await withDaemon(env, (daemon) => run(daemon, [daemon.port, port]), { tls: false });
}

describe('soak', () => {
  test('everything at once for a while loses, doubles and reorders nothing, and leaves nothing behind',
    { timeout: SECONDS * 1000 + 300_000 },
    (context) => withBothListeners(async (daemon, ports) => {
      const soak = new Soak(daemon, ports);
      const before = openDescriptors(daemon.pid);
      const steady = [];
      for (const filter of [...Object.keys(STEADY), ...Object.keys(STEADY)]) {
        steady.push((await soak.witness(filter, filter, STEADY[filter])).client);
      }
      for (let i = 0; i < CROWD; i++) {
        const client = await soak.open();
        await client.subscribe(`crowd/${i}`);
        steady.push(client);
      }
      const restless = [];
      for (const topic of [...TOPICS, 'soak/a'])
        restless.push(await soak.witness(`one that returns to ${topic}`, topic, (one) => one === topic));
      const lanes = (count, run) => Array.from({ length: count }, () => run.call(soak));
      const returned = restless.map((one) => soak.comeBack(one));
      await Promise.all([
        ...returned,
        ...lanes(8, soak.publishSteadily),
        ...lanes(4, soak.churnSubscriptions),
        ...lanes(2, soak.useKeys),
        ...lanes(2, soak.publishAndReset),
        ...lanes(STALLED.clients, soak.stall),
        ...lanes(2, soak.halfClose),
        ...lanes(2, soak.followEvents),
        ...lanes(2, soak.sendGarbage),
        ...lanes(2, soak.sendGarbageToTls),
        ...lanes(1, soak.scrape),
        soak.checkSteadily(),
      ]);
      await soak.check();
      const total = Object.values(soak.acknowledged.topics).reduce((sum, { count }) => sum + count, 0);
      const connections = await daemon.metric('total_connect_count');
      const more = daemon.program.residentBytes() - soak.memory;
      context.diagnostic(`${total} messages acknowledged, ${await daemon.metric('messages_delivered_total')} delivered, ` +
        `${connections} connections, ${await daemon.metric('tls_handshakes_total')} within TLS, ` +
        `${Math.round(more / MB)} MB more than at the first check, rounds: ${JSON.stringify(soak.rounds)}`);
      for (const [kind, count] of Object.entries(soak.rounds)) assert.ok(count > 0, `some rounds of ${kind}`);
      assert.ok(Object.keys(soak.rounds).length >= 12, 'all kinds');
      assert.ok(more < (isSanitized ? 700 : 150) * MB, `${more} bytes more resident`);
      for (const client of [...steady, ...(await Promise.all(returned))]) await client.close();
      // One is the connection that asks.
      await eventually(async () => (await daemon.metric('current_connections_count')) <= 1, 'all to have left');
      await eventually(() => openDescriptors(daemon.pid) <= before + 1, 'the descriptors to be closed');
      for (const gauge of ['subscriptions', 'filters', 'sse_streams']) assert.equal(await daemon.metric(gauge), 0, gauge);
    }));
});
