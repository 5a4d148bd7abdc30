// What Redis suffers while messages flow: nothing acknowledged is lost, doubled or reordered.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withCluster } from './lib/cluster.mjs';
import { ACKNOWLEDGED, NO_EFFECT, RATE_LIMITED, UNKNOWN, outcomeOf } from './lib/ledger.mjs';
import { Load } from './lib/load.mjs';
import { withRedis } from './lib/redis.mjs';
import { Client } from './lib/rpc.mjs';
import { makeToken } from './lib/token.mjs';
import { eventually, patience } from './lib/wait.mjs';

const SECOND = 1000;
const SETTLED_MS = 5 * SECOND + SECOND * patience; // a publish is answered within 5 s, whatever is
const UNDER_WAY = 16; // publishes of a load on two nodes
const LONG = { timeout: 120_000 * patience };
const UNLIMITED = {
  MAX_CACHE_LENGTH: '0',
  MAX_CACHE_REQUEST_LIMIT: '1000000',
  DEFAULT_CACHE_TTL: '3600',
};

/** A load on two nodes; `disturb` is run under it, then the books are compared. */
function underLoad(redis, disturb, env) {
  const run = async (cluster) => {
    const load = await new Load(cluster).start();
    await load.more(100);
    const options = await disturb(load, cluster);
    await load.more(100);
    assert.ok(load.slowestMs < SETTLED_MS, `an answer took ${load.slowestMs} ms`);
    await load.finish(await options?.());
    if (options) return;
    for (const node of cluster.nodes) assert.equal(await node.metric('redis_gaps_lost_total'), 0);
  };
  return withCluster(redis, 2, run, { ...UNLIMITED, ...env });
}

const sumOf = async (nodes, name) => {
  const values = await Promise.all(nodes.map((node) => node.metric(name)));
  return values.reduce((sum, value) => sum + value, 0);
};

describe('under load', () => {
  for (const [types, pool] of [
    [['pubsub'], '5'],
    [['normal'], '5'],
    [['normal', 'pubsub'], '1'],
  ]) {
    test(`connections of type ${types.join(' and ')} may be killed again and again`, LONG, () =>
      withRedis({}, (redis) => {
        const disturb = async (load, { nodes }) => {
          for (let i = 0; i < 20; i++) {
            for (const type of types) {
              const drop = async () => (await redis.dropClients(type)) > 0;
              await eventually(drop, `connection of type ${type}`, { every: 5 });
            }
            await load.more(i % 2 ? 40 : 5, { ms: SETTLED_MS + 5 * SECOND });
          }
          const reconnects = () => sumOf(nodes, 'redis_reconnects_total');
          await eventually(async () => (await reconnects()) >= 20, '20 connections made again');
          assert.equal(load.ledger.count(NO_EFFECT), 0, 'a short loss is bridged');
          const unknown = load.ledger.count(UNKNOWN);
          assert.ok(unknown <= UNDER_WAY, `a short loss is bridged: ${unknown}`);
        };
        return underLoad(redis, disturb, { REDIS_POOL_SIZE: pool });
      }),
    );
  }

  test('scripts may be flushed', LONG, () =>
    withRedis({}, (redis) =>
      underLoad(redis, async (load) => {
        for (let i = 0; i < 30; i++) {
          await redis.command('SCRIPT', 'FLUSH');
          await load.more(20);
        }
        assert.equal(load.ledger.count(NO_EFFECT), 0);
      }),
    ),
  );

  test('Redis may be killed, and started again with its append-only file', LONG, () =>
    withRedis({ appendOnly: true }, (redis) =>
      underLoad(redis, async (load, { nodes }) => {
        for (let i = 0; i < 4; i++) {
          await redis.kill();
          if (i === 3) await Promise.all(nodes.map((node) => node.readiness(503)));
          await redis.restart();
          await load.more(100, { ms: 20 * SECOND * patience });
        }
        await Promise.all(nodes.map((node) => node.readiness(200)));
      }),
    ),
  );

  test('Redis may be killed and come back empty: what it then keeps is right', LONG, () =>
    withRedis({}, (redis) =>
      underLoad(redis, async (load) => {
        for (let i = 0; i < 3; i++) {
          await redis.kill();
          await redis.restart();
          await load.more(100, { ms: 20 * SECOND * patience });
        }
        return async () => ({ isKept: await load.keptBy(redis), mayGap: () => true });
      }),
    ),
  );

  test('a node may hang, and Redis lose patience with it', LONG, () =>
    withRedis({}, (redis) =>
      underLoad(redis, async (load, { nodes: [a, b] }) => {
        await redis.command('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1mb 1mb 1');
        const [publisher, subscriber] = [await Client.connect(a), await Client.connect(b)];
        await subscriber.subscribe('large/+');
        const pubsubs = async () =>
          (await redis.command('CLIENT', 'LIST', 'TYPE', 'pubsub')).trim().split('\n').length;
        assert.equal(await pubsubs(), 2);
        b.program.kill('SIGSTOP');
        const ids = [];
        while ((await pubsubs()) === 2) {
          ids.push(await publisher.publish(`large/${ids.length % 5}`, 'x'.repeat(50_000)));
        }
        b.program.kill('SIGCONT');
        await b.readiness(200);
        for (let i = 0; i < 5; i++) ids.push(await publisher.publish(`large/${i}`, 'last'));
        const seen = (await subscriber.take(ids.length)).map((one) => one.id);
        assert.deepEqual([...seen].sort(), [...ids].sort());
        assert.deepEqual(subscriber.notices, []);
        await Promise.all([publisher.close(), subscriber.close()]);
        load.slowestMs = 0; // what a node that hangs answers, it answers later
      }),
    ),
  );

  test('Redis may hang for 10 s: it counts as away after 3 s, and pings are answered', LONG, () =>
    withRedis({}, (redis) =>
      underLoad(redis, async (load, { nodes }) => {
        const clients = await Promise.all(nodes.map((node) => Client.connect(node)));
        const start = Date.now();
        redis.hang();
        let slowestPing = 0;
        const away = new Map();
        await eventually(
          async () => {
            for (const [i, client] of clients.entries()) {
              const asked = performance.now();
              await client.result('ping', []);
              slowestPing = Math.max(slowestPing, performance.now() - asked);
              if (away.has(nodes[i]) || (await nodes[i].status('/readyz')) === 200) continue;
              away.set(nodes[i], Date.now() - start);
            }
            return Date.now() - start >= 10 * SECOND;
          },
          'end of 10 s',
          { ms: 20 * SECOND * patience },
        );
        assert.equal(away.size, 2, 'both became not ready');
        for (const ms of away.values()) {
          assert.ok(ms > 1.5 * SECOND && ms < 3 * SECOND + 2 * SECOND * patience, `after ${ms} ms`);
        }
        assert.ok(slowestPing < 100 * patience, `a ping took ${slowestPing} ms`);
        for (const node of nodes) assert.equal(await node.metric('redis_connected'), 0);
        assert.ok(load.ledger.count(UNKNOWN) + load.ledger.count(NO_EFFECT) > 0);
        redis.resume();
        await Promise.all(nodes.map((node) => node.readiness(200)));
        await Promise.all(clients.map((client) => client.close()));
      }),
    ),
  );
});

describe('nodes that come and go under load', () => {
  test('cost the others nothing', LONG, () =>
    withRedis({}, (redis) =>
      underLoad(redis, async (load, { prefix }) => {
        for (let i = 0; i < 4; i++) {
          await withCluster(
            redis,
            1,
            async ({ nodes: [guest] }) => {
              const client = await Client.connect(guest);
              await client.subscribe('load/#');
              await client.publish('guest', 'x');
              await client.take(20);
              if (i % 2) await client.close();
            },
            { REDIS_PREFIX: prefix, ...UNLIMITED },
          );
          await load.more(20);
        }
        assert.ok(load.ledger.count(NO_EFFECT) + load.ledger.count(UNKNOWN) <= UNDER_WAY);
        assert.ok(load.ledger.count(ACKNOWLEDGED) > 0);
      }),
    ),
  );
});

describe('a rate limit, while connections are killed', () => {
  const DAY = 86_400;

  test('lets through exactly as many as it allows', LONG, () =>
    withRedis({}, (redis) =>
      withCluster(
        redis,
        2,
        async ({ nodes }) => {
          const rlimit = [{ topic: 'limited', interval: DAY, max: 200 }];
          const token = makeToken({ sub: 'one', read: ['#'], write: ['#'], rlimit });
          const clients = await Promise.all(nodes.map((node) => Client.connect(node, { token })));
          const outcomes = [];
          const lane = async (client) => {
            while (outcomes.at(-1)?.outcome !== RATE_LIMITED) {
              const params = { topic: 'limited', message: 'x' };
              outcomes.push(outcomeOf(await client.call('publish', params)));
            }
          };
          const lanes = clients.flatMap((client) => [1, 2, 3, 4].map(() => lane(client)));
          while (outcomes.length < 180) {
            const before = outcomes.length;
            await redis.dropClients('normal');
            await eventually(() => outcomes.length >= before + 9, 'more answers');
          }
          await Promise.all(lanes);
          const count = (wanted) => outcomes.filter((one) => one.outcome === wanted).length;
          assert.equal(count(NO_EFFECT) + count(UNKNOWN), 0);
          assert.equal(count(ACKNOWLEDGED), 200);
          const { items } = await clients[0].eventlog('limited', { since: -600_000 });
          assert.equal(items.length, 200);
          await Promise.all(clients.map((client) => client.close()));
        },
        { DISABLE_AUTH: 'false' },
      ),
    ),
  );
});
