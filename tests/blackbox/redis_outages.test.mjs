// Redis that is away for a while, in part or for good, and what a node makes of it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withCluster } from './lib/cluster.mjs';
import { assertNotReady, withUnreadyDaemon } from './lib/daemon.mjs';
import { NO_EFFECT, UNKNOWN, outcomeOf } from './lib/ledger.mjs';
import { freePort } from './lib/process.mjs';
import { withProxy } from './lib/proxy.mjs';
import { keysOf, newPrefix, withRedis } from './lib/redis.mjs';
import { Client, assertIncreasing } from './lib/rpc.mjs';
import { withStream } from './lib/sse.mjs';
import { eventually, patience } from './lib/wait.mjs';

const SECOND = 1000;
const SETTLED_MS = 5 * SECOND + SECOND * patience; // a publish is answered within 5 s, whatever is
const LONG = { timeout: 120_000 * patience };
const UNLIMITED = {
  MAX_CACHE_LENGTH: '0',
  MAX_CACHE_REQUEST_LIMIT: '1000000',
  DEFAULT_CACHE_TTL: '3600',
};

const linesWith = (text, words) => text.split('\n').filter((line) => words.test(line));

/** A node that reaches Redis through a proxy. */
function throughProxy(run) {
  return withRedis({}, (redis) =>
    withProxy(redis.port, (proxy) =>
      withCluster(proxy, 1, ({ nodes: [node], prefix }) => run({ redis, proxy, node, prefix })),
    ),
  );
}

// Most of it is waiting, so all of it waits at the same time.
describe('Redis that is away', { concurrency: true }, () => {
  describe('a publish whose answer is lost', { concurrency: true }, () => {
    test('is sent again and happens once', () =>
      throughProxy(async ({ redis, proxy, node, prefix }) => {
        const client = await Client.connect(node);
        await client.subscribe('#');
        const topics = Array.from({ length: 20 }, (_, i) => `lost/${i}`);
        for (const topic of topics) await client.publish(topic, 'before');
        proxy.mute();
        const answers = topics.map((topic) => client.result('publish', { topic, message: 'x' }));
        for (const topic of topics) {
          const length = () => redis.command('XLEN', keysOf(prefix, topic).stream);
          await eventually(async () => (await length()) === 2, `publish on ${topic} in Redis`);
        }
        proxy.down();
        proxy.up();
        const ids = (await Promise.all(answers)).map((one) => one.id);
        for (const [i, topic] of topics.entries()) {
          const entries = await redis.command('XRANGE', keysOf(prefix, topic).stream, '-', '+');
          assert.equal(entries.length, 2);
          assert.equal(entries[1][0], ids[i], 'the answer names what is in the stream');
        }
        const seen = (await client.drain()).filter((one) => one.message === 'x');
        assert.deepEqual(seen.map((one) => one.id).sort(), [...ids].sort());
        assert.ok((await node.metric('redis_resent_publishes_total')) >= topics.length);
        await client.close();
      }));

    test('is answered as unknown after 5 s, and a later one as without effect', () =>
      throughProxy(async ({ redis, proxy, node }) => {
        const client = await Client.connect(node);
        await client.publish('lost', 'before');
        proxy.mute();
        const start = performance.now();
        const first = client.call('publish', { topic: 'lost', message: 'x' });
        await eventually(
          async () =>
            (await redis.command('PUBSUB', 'CHANNELS')) && node.metric('redis_pipeline_depth'),
          'command under way',
        );
        const answer = await first;
        assert.equal(outcomeOf(answer).outcome, UNKNOWN);
        const ms = performance.now() - start;
        assert.ok(ms > 2 * SECOND && ms < SETTLED_MS, `answered after ${ms} ms`);
        proxy.down();
        await node.readiness(503);
        const late = performance.now();
        const second = await client.call('publish', { topic: 'lost', message: 'y' });
        assert.equal(outcomeOf(second).outcome, NO_EFFECT);
        assert.ok(performance.now() - late < SETTLED_MS);
        proxy.up();
        await node.readiness(200);
        await client.publish('lost', 'after');
        const { items } = await client.eventlog('lost', { since: -60_000 });
        const messages = items.map((one) => one.message);
        assert.ok(!messages.includes('y'), `${messages}`);
        assert.deepEqual(
          messages.filter((one) => one !== 'x'),
          ['before', 'after'],
        );
        await client.close();
      }));
  });

  describe('a node that was cut off', { concurrency: true }, () => {
    /** Two nodes; the second reaches Redis through a proxy. */
    function withCut(env, run) {
      const both = { REDIS_PREFIX: newPrefix(), ...env };
      return withRedis({}, (redis) =>
        withProxy(redis.port, (proxy) =>
          withCluster(
            redis,
            1,
            ({ nodes: [a], prefix }) =>
              withCluster(proxy, 1, ({ nodes: [b] }) => run({ redis, proxy, prefix, a, b }), both),
            both,
          ),
        ),
      );
    }

    async function cutWhile(proxy, node, run) {
      proxy.down();
      await node.readiness(503);
      await run();
      proxy.up();
      await node.readiness(200);
    }

    test('delivers what it missed, in order, before what is newer', () =>
      withCut(UNLIMITED, async ({ proxy, a, b }) => {
        const publisher = await Client.connect(a);
        const topics = ['cut/a', 'cut/b', 'cut/c/d', 'quiet'];
        const subscribers = [];
        for (const filter of ['cut/a', 'cut/#', '#', 'cut/+']) {
          const client = await Client.connect(b);
          await client.subscribe(filter);
          subscribers.push(client);
        }
        // More patterns than there are globs.
        const many = await Client.connect(b);
        for (let i = 0; i < 100; i++) await many.subscribe(`many/${i}/+`);
        const ids = new Map(topics.map((topic) => [topic, []]));
        const manyIds = [];
        const publish = async (n) => {
          for (let i = 0; i < n; i++) {
            const topic = topics[i % 3];
            ids.get(topic).push(await publisher.publish(topic, i));
          }
        };
        ids.get('quiet').push(await publisher.publish('quiet', 'long ago'));
        await publish(30);
        for (let round = 0; round < 3; round++) {
          await cutWhile(proxy, b, async () => {
            await publish(90);
            for (const client of subscribers) await client.result('ping', []);
            // A topic that nobody had published on before the node was cut off.
            for (let i = 0; i < 100; i += 7) {
              manyIds.push(await publisher.publish(`many/${i}/x`, round));
            }
            const fresh = `cut/fresh-${round}`;
            topics.push(fresh);
            ids.set(fresh, [await publisher.publish(fresh, 'new')]);
          });
          await publish(30);
        }
        for (const client of subscribers) {
          const seen = await client.drain(publisher);
          const seenTopics = new Set(seen.map((one) => one.topic));
          for (const topic of seenTopics) {
            if (!ids.has(topic)) continue; // of `many`
            assert.deepEqual(
              seen.filter((one) => one.topic === topic).map((one) => one.id),
              ids.get(topic),
              topic,
            );
          }
          assert.deepEqual(client.notices, []);
          assert.ok(client.isOpen);
        }
        const ofMany = (await many.drain(publisher)).map((one) => one.id);
        assert.deepEqual([...ofMany].sort(), [...manyIds].sort());
        await many.close();
        const all = subscribers[2].deliveries.map(({ json }) => json.result);
        const wanted = topics.flatMap((topic) => ids.get(topic));
        const count = all.filter((one) => topics.includes(one.topic)).length;
        assert.equal(count, wanted.length, '# missed nothing');
        assert.ok((await b.metric('redis_gaps_filled_total')) > 0);
        assert.equal(await b.metric('redis_gaps_lost_total'), 0);
        for (const client of [...subscribers, publisher]) await client.close();
      }));

    const KEPT = 10;
    const TRIMMED = { ...UNLIMITED, MAX_CACHE_LENGTH: String(KEPT) };

    test('tells subscribers of a topic that more was trimmed than it could read', () =>
      withCut(TRIMMED, async ({ proxy, a, b }) => {
        const publisher = await Client.connect(a);
        const [exact, pattern, other] = await Promise.all([1, 2, 3].map(() => Client.connect(b)));
        await exact.subscribe('trimmed/x');
        await pattern.subscribe('trimmed/#');
        await other.subscribe('whole');
        const last = await publisher.publish('trimmed/x', -1);
        await publisher.publish('whole', -1);
        for (const client of [exact, pattern, other]) await client.delivery();
        const ids = [];
        const whole = [];
        await cutWhile(proxy, b, async () => {
          for (let i = 0; i < 500; i++) ids.push(await publisher.publish('trimmed/x', i));
          whole.push(await publisher.publish('whole', 0));
        });
        ids.push(await publisher.publish('trimmed/x', 500));
        whole.push(await publisher.publish('whole', 1));
        for (const client of [exact, pattern]) {
          const notice = await client.notice();
          assert.equal(
            notice.text,
            `{"jsonrpc":"2.0","method":"gap","params":{"topic":"trimmed/x","lastId":"${last}"}}`,
          );
          assert.equal(notice.after, 1, 'told in its place: before what is newer');
          const seen = (await client.drain(publisher)).map((one) => one.id);
          assert.ok(seen.length >= 1 && seen.length < ids.length, `${seen.length} delivered`);
          assert.deepEqual(seen, ids.slice(-seen.length), 'what is left, to the end');
          assert.equal(client.notices.length, 1);
        }
        assert.deepEqual(
          (await other.drain(publisher)).map((one) => one.id),
          whole,
        );
        assert.deepEqual(other.notices, []);
        assert.ok((await b.metric('redis_gaps_lost_total')) >= 1);
        assert.equal(await a.metric('redis_gaps_lost_total'), 0);
        for (const client of [exact, pattern, other, publisher]) await client.close();
      }));

    test('tells also of a topic whose messages are all gone', () =>
      withCut(UNLIMITED, async ({ redis, prefix, proxy, a, b }) => {
        const publisher = await Client.connect(a);
        const client = await Client.connect(b);
        await client.subscribe('gone');
        const last = await publisher.publish('gone', 0);
        await client.delivery();
        await cutWhile(proxy, b, async () => {
          for (let i = 0; i < 5; i++) await publisher.publish('gone', i);
          assert.equal(await redis.command('DEL', keysOf(prefix, 'gone').stream), 1);
        });
        const id = await publisher.publish('gone', 'after');
        const { json } = await client.notice();
        assert.deepEqual(json.params, { topic: 'gone', lastId: last });
        assert.deepEqual(
          (await client.drain(publisher)).map((one) => one.id),
          [id],
        );
        for (const one of [client, publisher]) await one.close();
      }));

    test('keeps its clients, and takes up those that came meanwhile', () =>
      withCut(UNLIMITED, async ({ proxy, a, b }) => {
        const client = await Client.connect(b);
        await client.subscribe('before');
        let during;
        let id;
        await cutWhile(proxy, b, async () => {
          assert.deepEqual(await client.result('list', []), ['before']);
          during = await Client.connect(b);
          assert.equal(typeof (await during.result('ping', [])).pong, 'number');
          const other = await Client.connect(a);
          id = await other.publish('before', 'missed');
          await other.close();
        });
        assert.equal((await client.delivery()).json.result.id, id);
        await during.subscribe('during');
        await client.publish('during', 'x');
        assert.equal((await during.delivery()).json.result.message, 'x');
        for (const one of [client, during]) await one.close();
      }));

    test('does what it is asked for meanwhile, if the cut is short', () =>
      withCut(UNLIMITED, async ({ proxy, a, b }) => {
        const [one, two, three] = await Promise.all([1, 2, 3].map(() => Client.connect(b)));
        const other = await Client.connect(a);
        const old = await other.publish('short/x', 'old');
        proxy.down();
        await b.readiness(503);
        const publishing = [1, 2, 3].map((i) => one.publish('short/y', i));
        const setting = one.result('set', { key: 'short', value: 'v' });
        const subscribing = two.subscribe('short/x', { since: -60_000 });
        const reading = three.eventlog('short/#', { since: -60_000 });
        proxy.up();
        assertIncreasing(await Promise.all(publishing));
        assert.equal((await setting).success, true);
        await subscribing;
        const id = await other.publish('short/x', 'new');
        assert.deepEqual(
          (await two.take(2)).map((message) => message.id),
          [old, id],
        );
        assert.ok((await reading).items.some((message) => message.id === old));
        for (const client of [one, two, three, other]) await client.close();
      }));

    for (const [name, method, params] of [
      ['a publish', 'publish', { topic: 'x', message: 'x' }],
      ['a get', 'get', { key: 'k' }],
      ['an eventlog', 'eventlog', { topic: 'x', since: -1000 }],
    ]) {
      test(`answers a ping in milliseconds, also behind ${name} that waits`, () =>
        withCut({}, ({ proxy, b }) =>
          cutWhile(proxy, b, async () => {
            const client = await Client.connect(b);
            const waiting = client.call(method, params);
            const start = performance.now();
            await client.result('ping', []);
            const ms = performance.now() - start;
            assert.ok(ms < 500 * patience, `answered after ${ms} ms`);
            await waiting;
            await client.close();
          }),
        ));
    }

    const requests = [
      ['publish', { topic: 'x', message: 'x' }],
      ['get', { key: 'k' }],
      ['set', { key: 'k', value: 'v' }],
      ['del', { key: 'k' }],
      ['eventlog', { topic: 'x', since: -1000 }],
      ['subscribe', { topic: 'x' }],
      ['subscribe', { topic: 'x/#', since: -1000 }],
    ];

    async function assertFails(client, [method, params]) {
      const start = performance.now();
      const error = await client.error(method, params);
      const ms = performance.now() - start;
      assert.equal(error.code, -32603, method);
      assert.match(error.data, /no effect/i, method);
      assert.ok(ms < SETTLED_MS, `${method} was answered after ${ms} ms`);
    }

    test('answers every request within 5 s, with an error that says what it did', () =>
      withCut({}, ({ proxy, b }) =>
        cutWhile(proxy, b, async () => {
          const clients = await Promise.all(requests.map(() => Client.connect(b)));
          await Promise.all(clients.map((client, i) => assertFails(client, requests[i])));
          for (const client of clients) {
            assert.deepEqual(await client.result('list', []), []);
            await client.close();
          }
        }),
      ));

    test('ends a stream of events that cannot begin, so that it is tried again', () =>
      withCut({}, ({ proxy, b }) =>
        cutWhile(proxy, b, async () => {
          const begin = performance.now();
          await withStream(b.port, '/a', async (stream) => {
            assert.equal(await stream.next(SETTLED_MS), undefined);
            assert.equal(stream.comment, 'the store is not available at the moment');
            assert.ok(stream.retry >= 1000);
            assert.ok(performance.now() - begin < SETTLED_MS);
          });
        }),
      ));

    test('answers requests of one client within 5 s too, in whatever order they come', () =>
      withCut({}, ({ proxy, b }) =>
        cutWhile(proxy, b, async () => {
          const client = await Client.connect(b);
          const all = [...requests, ...requests];
          await Promise.all(all.map((one) => assertFails(client, one)));
          await client.close();
        }),
      ));
  });

  describe('at the start', { concurrency: true }, () => {
    test('is waited for, and said once', LONG, () =>
      withRedis({}, async (redis) => {
        await redis.kill();
        const options = { awaits: '/healthz' };
        await withCluster(
          redis,
          2,
          async ({ nodes }) => {
            const [node] = nodes;
            const clients = await Promise.all(nodes.map((one) => Client.connect(one)));
            for (const one of nodes) assert.equal(await one.status('/readyz'), 503);
            assert.equal(await node.metric('redis_connected'), 0);
            const start = performance.now();
            const answer = await clients[0].call('publish', { topic: 'early', message: 'x' });
            assert.equal(outcomeOf(answer).outcome, NO_EFFECT);
            assert.ok(performance.now() - start < SETTLED_MS);
            await eventually(
              async () => (await node.metric('redis_connection_fail_count')) >= 5,
              'several tries',
              { ms: 20 * SECOND * patience },
            );
            assert.equal(linesWith(node.stderr, /redis is away/).length, 1, node.stderr);
            assert.equal(linesWith(node.stderr, /connected to redis/).length, 0);
            assert.equal(await node.status('/healthz'), 200);
            await redis.restart();
            await Promise.all(nodes.map((one) => one.readiness(200)));
            await clients[1].subscribe('late');
            const id = await clients[0].publish('late', 'x');
            assert.equal((await clients[1].delivery()).json.result.id, id);
            assert.equal(linesWith(node.stderr, /redis is away/).length, 1, node.stderr);
            assert.equal(linesWith(node.stderr, /connected to redis/).length, 1, node.stderr);
            for (const client of clients) await client.close();
          },
          {},
          options,
        );
      }),
    );

    const nowhere = async () => {
      return { BACKEND: 'redis', REDIS_HOST: '127.0.0.1', REDIS_PORT: String(await freePort()) };
    };

    test('does not keep the daemon from stopping', async () =>
      withUnreadyDaemon(await nowhere(), async (daemon) => {
        const client = await Client.connect(daemon);
        const answer = client.call('publish', { topic: 'x', message: 'x' }).catch(() => null);
        const start = performance.now();
        await daemon.stop();
        assert.ok(performance.now() - start < 12 * SECOND * patience);
        await answer;
      }));

    test('does not keep a daemon without clients from stopping at once', async () =>
      withUnreadyDaemon(await nowhere(), async (daemon) => {
        const start = performance.now();
        await daemon.stop();
        const ms = performance.now() - start;
        assert.ok(ms < 3 * SECOND * patience, `it took ${ms} ms`);
      }));

    test('under a name that nobody knows, is away too', () =>
      assertNotReady(
        { BACKEND: 'redis', REDIS_HOST: 'no-such-host.invalid' },
        /redis is away.*no-such-host/,
        async (daemon) => {
          const client = await Client.connect(daemon);
          const start = performance.now();
          await client.result('ping', []);
          assert.ok(performance.now() - start < SECOND * patience, 'a look-up holds nobody up');
          await client.close();
        },
      ));
  });

  describe('a password', { concurrency: true }, () => {
    test('that is wrong is said clearly, and used as soon as it is right', LONG, () =>
      withRedis({ password: 'the right one' }, async (redis) => {
        const env = { REDIS_PASSWORD: 'another one' };
        const options = { awaits: '/healthz' };
        await withCluster(
          redis,
          1,
          async ({ nodes: [node] }) => {
            await eventually(() => /redis.*(password|auth)/i.test(node.stderr), 'line');
            await eventually(
              async () => (await node.metric('redis_connection_fail_count')) >= 4,
              'tries',
            );
            assert.equal(linesWith(node.stderr, /redis is away/).length, 1, node.stderr);
            assert.ok(!node.stderr.includes('another one'), 'the log has no secrets');
            assert.equal(await node.status('/readyz'), 503);
            assert.equal(await node.status('/healthz'), 200);
            await redis.command('CONFIG', 'SET', 'requirepass', 'another one');
            await node.readiness(200, { ms: 20 * SECOND * patience });
            const client = await Client.connect(node);
            await client.publish('x', 'x');
            await client.close();
          },
          env,
          options,
        );
      }),
    );

    test('that Redis wants and nobody gave is said clearly', () =>
      withRedis({ password: 'secret' }, (redis) => {
        const { REDIS_PASSWORD: _, ...env } = redis.env;
        return assertNotReady(env, /redis.*(password|auth)/i);
      }));
  });

  describe('FLUSHALL', () => {
    test('is not passed off as a complete history, and live messages go on', () =>
      withRedis({}, (redis) =>
        withCluster(redis, 2, async ({ nodes }) => {
          const [a, b] = await Promise.all(nodes.map((node) => Client.connect(node)));
          const subscriptions = [await b.subscribe('flushed/x'), await b.subscribe('flushed/+')];
          const ids = [];
          for (let i = 0; i < 5; i++) ids.push(await a.publish('flushed/x', i));
          await b.take(10);
          await redis.command('FLUSHALL');
          for (const client of [a, b]) {
            for (const topic of ['flushed/x', 'flushed/#', '#']) {
              const { items, recovered } = await client.eventlog(topic, { sinceEventId: ids[1] });
              assert.deepEqual([items, recovered], [[], false], topic);
            }
          }
          for (let i = 0; i < 5; i++) ids.push(await (i % 2 ? a : b).publish('flushed/x', i));
          assertIncreasing(ids);
          const seen = await b.drain(a);
          for (const subscription of subscriptions) {
            const mine = seen.filter((one) => one.subscription === subscription);
            assert.deepEqual(
              mine.map((one) => one.id),
              ids.slice(5),
            );
          }
          for (const topic of ['flushed/x', 'flushed/#']) {
            const resumed = await a.eventlog(topic, { sinceEventId: ids[1] });
            assert.equal(resumed.recovered, false, topic);
            const later = await a.eventlog(topic, { sinceEventId: ids[6] });
            assert.deepEqual(
              [later.items.map((one) => one.id), later.recovered],
              [ids.slice(7), true],
              topic,
            );
          }
          for (const client of [a, b]) await client.close();
        }),
      ));
  });
});
