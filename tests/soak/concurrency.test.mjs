// Half a minute of everything at once, meant for a build that watches for races: connections that
// come, go and break, subscriptions that churn, garbage. Whatever was acknowledged must have been
// seen by every steady subscriber, once and in order.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withDaemon } from '../blackbox/lib/daemon.mjs';
import { get } from '../blackbox/lib/http.mjs';
import { Client, assertIncreasing, compareIds } from '../blackbox/lib/rpc.mjs';
import { RawSocket } from '../blackbox/lib/socket.mjs';
import { RawWebSocket, text, upgradeRequest } from '../blackbox/lib/websocket.mjs';

const SECONDS = Number(process.env.SOAK_SECONDS ?? 30);
const TOPICS = ['soak/a', 'soak/b', 'soak/c/d', 'soak/c/e', 'soak'];
const FILTERS = ['soak/a', 'soak/+', 'soak/#', '#', 'soak/c/+', '+/b', '+/+/d', 'soak/none'];

// Reproducible choices, apart from what the scheduler makes of them.
let state = Number(process.env.SOAK_SEED ?? 20_011_209);
const random = (n) => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return (state >>> 8) % n;
};
const pick = (list) => list[random(list.length)];

class Soak {
  constructor(daemon) {
    this.daemon = daemon;
    this.end = Date.now() + SECONDS * 1000;
    this.acknowledged = [];
    this.unsure = new Set();
    this.rounds = {};
  }

  get isOver() {
    return Date.now() > this.end;
  }

  /** Runs one kind of behaviour again and again until the time is up. */
  async repeat(name, round) {
    while (!this.isOver) {
      await round();
      this.rounds[name] = (this.rounds[name] ?? 0) + 1;
    }
  }

  async publishSteadily() {
    const client = await Client.connect(this.daemon);
    await this.repeat('published', async () => {
      const topic = pick(TOPICS);
      this.acknowledged.push({ id: await client.publish(topic, random(1000)), topic });
    });
    await client.close();
  }

  churnSubscriptions() {
    return this.repeat('churned', async () => {
      const client = await Client.connect(this.daemon);
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
      const client = await Client.connect(this.daemon);
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
      const ws = await RawWebSocket.open(this.daemon.port);
      const mark = `unsure ${this.unsure.size}`;
      this.unsure.add(mark);
      const params = { topic: pick(TOPICS), message: mark };
      await ws.send(text(JSON.stringify({ id: 1, jsonrpc: '2.0', method: 'publish', params })));
      ws.raw.reset();
    });
  }

  sendGarbage() {
    return this.repeat('garbage', async () => {
      const raw = await RawSocket.connect(this.daemon.port);
      const noise = Buffer.from(Array.from({ length: 1 + random(200) }, () => random(256)));
      await raw.write(Buffer.concat([Buffer.from(random(3) ? upgradeRequest('/') : ''), noise]));
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
}

function assertSawEverything(soak, subscriber, matches, name) {
  const seen = subscriber.deliveries.map(({ json }) => json.result);
  const ids = seen.map((one) => one.id);
  for (const topic of TOPICS) {
    assertIncreasing(seen.filter((one) => one.topic === topic).map((one) => one.id));
  }
  assert.equal(new Set(ids).size, ids.length, `${name}: nothing twice`);
  const sure = seen.filter((one) => !soak.unsure.has(one.message) && TOPICS.includes(one.topic));
  const wanted = soak.acknowledged.filter(({ topic }) => matches(topic)).map(({ id }) => id);
  assert.deepEqual(sure.map((one) => one.id).sort(compareIds), wanted.sort(compareIds), name);
}

describe('soak', () => {
  test(
    'everything at once for a while loses, doubles and reorders nothing',
    { timeout: SECONDS * 1000 + 180_000 },
    (context) =>
      withDaemon(
        { WORKER_THREADS: '3', PING_INTERVAL: '1', MAX_SEND_QUEUE: String(64 << 20) },
        async (daemon) => {
          const filters = {
            '#': () => true,
            'soak/#': () => true,
            'soak/+': (topic) => /^soak\/.$/.test(topic),
            'soak/a': (topic) => topic === 'soak/a',
          };
          const steady = [];
          for (const filter of [...Object.keys(filters), ...Object.keys(filters)]) {
            const client = await Client.connect(daemon);
            await client.subscribe(filter);
            steady.push([client, filter]);
          }
          const soak = new Soak(daemon);
          const lanes = (count, run) => Array.from({ length: count }, () => run.call(soak));
          await Promise.all([
            ...lanes(4, soak.publishSteadily),
            ...lanes(4, soak.churnSubscriptions),
            ...lanes(2, soak.useKeys),
            ...lanes(2, soak.publishAndReset),
            ...lanes(2, soak.sendGarbage),
            ...lanes(1, soak.scrape),
          ]);
          const last = await Client.connect(daemon);
          for (const topic of TOPICS) {
            soak.acknowledged.push({ id: await last.publish(topic, 'last'), topic });
          }
          const end = Object.fromEntries(
            soak.acknowledged.slice(-TOPICS.length).map(({ id, topic }) => [topic, id]),
          );
          for (const [client, filter] of steady) {
            const final = TOPICS.filter(filters[filter]).at(-1);
            await client.until(
              () =>
                client.deliveries.some(({ json }) => json.result.id === end[final]) || undefined,
              'the last message',
            );
            assertSawEverything(soak, client, filters[filter], filter);
          }
          context.diagnostic(`rounds: ${JSON.stringify(soak.rounds)}`);
          for (const kind of ['published', 'churned', 'keys', 'reset', 'garbage', 'scraped']) {
            assert.ok(soak.rounds[kind] > 0, `some rounds of ${kind}`);
          }
          for (const client of [last, ...steady.map(([one]) => one)]) await client.close();
        },
      ),
  );
});
