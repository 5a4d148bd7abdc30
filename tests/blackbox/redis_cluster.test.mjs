// Many nodes on one Redis are one broker.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Cluster, withCluster } from './lib/cluster.mjs';
import { isMatch } from './lib/ledger.mjs';
import { Load } from './lib/load.mjs';
import { RedisServer, keysOf, withRedis } from './lib/redis.mjs';
import { Client, assertIncreasing, compareIds } from './lib/rpc.mjs';
import { makeToken } from './lib/token.mjs';
import { DEADLINE_MS, eventually, isSanitized, patience } from './lib/wait.mjs';

const DAY = 86_400;
const UNLIMITED = {
  MAX_CACHE_LENGTH: '0',
  MAX_CACHE_REQUEST_LIMIT: '1000000',
  DEFAULT_CACHE_TTL: '3600',
  MAX_SEND_QUEUE: String(256 << 20),
};

/** Inside a describe(): a Redis of its own and so many nodes, for all of its tests. */
function useCluster(count, env) {
  const held = {};
  before(async () => {
    held.redis = await new RedisServer().start();
    held.cluster = await new Cluster(held.redis, count, env).start();
    held.nodes = held.cluster.nodes;
    held.prefix = held.cluster.prefix;
  });
  after(async () => {
    await held.cluster?.stop();
    await held.redis?.stop();
  });
  return held;
}

/** One client on each node, closed when the function is over. */
async function withClients(nodes, run, options) {
  const clients = await Promise.all(nodes.map((node) => Client.connect(node, options)));
  await run(...clients);
  await Promise.all(clients.map((client) => client.close()));
}

describe('publishers on all nodes', () => {
  for (const count of [2, 3]) {
    test(`of ${count} reach every subscriber once, in one order per topic`, () =>
      withRedis({}, (redis) =>
        withCluster(
          redis,
          count,
          async (cluster) => {
            const load = await new Load(cluster).start();
            await load.more(1500);
            await load.finish();
            const [first] = load.ledger.views;
            for (const node of cluster.nodes) {
              const client = await Client.connect(node);
              const { items, recovered } = await client.eventlog('load/#', { since: -3_600_000 });
              assert.equal(recovered, true);
              const byId = [...first.seen].sort((a, b) => compareIds(a.id, b.id));
              assert.deepEqual(
                items.map(({ id, topic, message }) => ({ id, topic, message })),
                byId,
              );
              await client.close();
            }
          },
          UNLIMITED,
        ),
      ));
  }
});

describe('two nodes', () => {
  const held = useCluster(2, UNLIMITED);

  test('carry every value byte for byte, with its origin', () =>
    withClients(held.nodes, async (a, b) => {
      await b.subscribe('value');
      const values = ['1.10', '1e400', '"\\ud800"', '{"b":1,"a":2,"b":3}', '" "', '[null]'];
      for (const value of [...values, `"${'x'.repeat(300_000)}"`, '"\\u0000\\r\\n"']) {
        a.send(
          `{"id":"p","jsonrpc":"2.0","method":"publish","params":{"topic":"value","message":${value}}}`,
        );
        const { json } = await a.other();
        const { text, json: delivered } = await b.delivery();
        assert.ok(text.includes(`"message":${value},"topic":"value"`), text.slice(0, 200));
        assert.equal(delivered.result.id, json.result.id);
      }
    }));

  test('answer a subscribe only when it is live, whoever publishes then', () =>
    withClients(held.nodes, async (a, b) => {
      for (let i = 0; i < 300; i++) {
        const filter = ['live/x', `live/${i}`, `live/${i}/+`, `live/${i}/#`][i % 4];
        const topic = filter.replace('+', 'y').replace('/#', i % 8 === 3 ? '' : '/y/z');
        const id = await b.subscribe(filter);
        const published = await a.publish(topic, i);
        const { json } = await b.delivery(`message ${i} for ${filter}`);
        assert.deepEqual([json.id, json.result.id, json.result.message], [id, published, i]);
        if (i % 3) await b.result('unsubscribe', [filter]);
      }
      assert.equal((await b.drain(a)).length, 0);
    }));

  test('answer a subscribe only when it is live, also when others come and go', () =>
    withClients([...held.nodes, held.nodes[1]], async (a, b, restless) => {
      let isOver = false;
      const churn = (async () => {
        while (!isOver) {
          await restless.subscribe('churn/x');
          await restless.subscribe('churn/+');
          await restless.result('unsubscribe', ['churn/x', 'churn/+']);
        }
      })();
      for (let i = 0; i < 100; i++) {
        const filter = i % 2 ? 'churn/x' : 'churn/+';
        await b.subscribe(filter);
        const id = await a.publish('churn/x', i);
        assert.equal((await b.delivery(`message ${i}`)).json.result.id, id);
        await b.result('unsubscribe', [filter]);
      }
      isOver = true;
      await churn;
    }));

  test('deliver to each of overlapping subscriptions, with its own id', () =>
    withClients(held.nodes, async (a, b) => {
      const filters = ['o/x', 'o/+', 'o/#', '#', '+/x', 'o/x/#'];
      for (const filter of filters) await b.result('subscribe', { topic: filter }, filter);
      for (let i = 0; i < 20; i++) {
        const id = await a.publish('o/x', i);
        const seen = await b.take(filters.length);
        assert.deepEqual(seen.map((one) => one.subscription).sort(), [...filters].sort());
        for (const one of seen) assert.equal(one.id, id);
      }
      for (const filter of filters.slice(0, 5)) await b.result('unsubscribe', [filter]);
      await a.publish('o/x', 'last');
      const rest = await b.drain(a);
      assert.deepEqual(
        rest.map((one) => [one.subscription, one.message]),
        [['o/x/#', 'last']],
      );
    }));

  test('match patterns as one does', async () => {
    const patterns = [
      '#',
      '+',
      'w/+',
      'w/#',
      '+/b',
      'w/+/b',
      'w/+/#',
      '+/+',
      'w//b',
      '+/#',
      'w/+/+',
    ];
    const topics = ['w', 'x', 'w/b', 'w/x', 'x/b', 'w//b', 'w/b/c', 'w/x/b', 'x/y/z', 'wb', 'wb/c'];
    for (const pattern of patterns) {
      await withClients(held.nodes, async (a, b) => {
        await b.subscribe(pattern);
        for (const topic of topics) await a.publish(topic, topic);
        const seen = (await b.drain(a)).map((one) => one.topic);
        assert.deepEqual(
          seen,
          topics.filter((topic) => isMatch(pattern, topic)),
          pattern,
        );
      });
    }
  });

  test('give ids that increase, whoever publishes and whatever timestamp is wished', () =>
    withClients(held.nodes, async (a, b) => {
      const ids = [];
      const start = Date.now() - 50_000;
      for (let i = 0; i < 100; i++) {
        const timestamp = [undefined, start + i, start - i, start + 100_000][i % 4];
        ids.push(await (i % 2 ? a : b).publish('turns', i, { timestamp }));
      }
      assertIncreasing(ids);
      const { items } = await b.eventlog('turns', { sinceEventId: ids[9] });
      assert.deepEqual(
        items.map((one) => one.id),
        ids.slice(10),
      );
    }));

  test('share the key/value store', () =>
    withClients(held.nodes, async (a, b) => {
      const get = (client, key) => client.call('get', { key });
      await a.result('set', { key: 'shared/key', value: { deep: [1, 'zwei'] } });
      assert.deepEqual((await get(b, 'shared/key')).result.value, { deep: [1, 'zwei'] });
      await b.result('set', { key: 'shared/key', value: 'other' });
      assert.equal((await get(a, 'shared/key')).result.value, 'other');
      assert.equal((await b.result('del', { key: 'shared/key' })).success, true);
      assert.equal((await a.result('del', { key: 'shared/key' })).success, false);
      assert.ok((await get(a, 'shared/key')).error.data.startsWith('KVStore: key not found'));
      await a.result('set', { key: 'shared/ttl', value: 1, ttl: 1 });
      await eventually(async () => 'error' in (await get(b, 'shared/ttl')), 'expiry');
    }));

  test('a message that expires is gone on both', () =>
    withClients(held.nodes, async (a, b) => {
      const first = await a.publish('expiry', 'stays', { ttl: 600 });
      await a.publish('expiry', 'goes', { ttl: 1 });
      const last = await a.publish('expiry', 'stays too', { ttl: 600 });
      for (const client of [a, b]) {
        const rest = await eventually(async () => {
          const result = await client.eventlog('expiry', { sinceEventId: first });
          return result.items.length === 1 && result;
        }, 'expiry');
        assert.deepEqual([rest.items[0].id, rest.recovered], [last, false]);
      }
    }));
});

describe('rate limits of two nodes', () => {
  const held = useCluster(2, { DISABLE_AUTH: 'false' });

  async function okCount(rlimit, sub, topicOf) {
    const options = { token: makeToken({ sub, read: ['#'], write: ['#'], rlimit }) };
    let count;
    await withClients(
      [...held.nodes, ...held.nodes],
      async (...clients) => {
        const statuses = await Promise.all(
          clients.flatMap((client) =>
            Array.from({ length: 40 }, async (_, i) => {
              const params = { topic: topicOf(i), message: 'x' };
              return (await client.result('publish', params)).status;
            }),
          ),
        );
        count = statuses.filter((one) => one === 'ok').length;
        assert.ok(statuses.every((one) => one === 'ok' || one === 'ERR_RATE_LIMIT_EXCEEDED'));
      },
      options,
    );
    return count;
  }

  test('are exact for a topic', async () => {
    const rlimit = [{ topic: 'limited', interval: DAY, max: 50 }];
    assert.equal(await okCount(rlimit, 'one', () => 'limited'), 50);
    assert.equal(await okCount(rlimit, 'another', () => 'limited'), 50);
  });

  test('are exact for a pattern, over all of its topics', async () => {
    const rlimit = [{ topic: 'limited/#', interval: DAY, max: 30 }];
    assert.equal(await okCount(rlimit, 'wide', (i) => `limited/${i}`), 30);
    const reader = await Client.connect(held.nodes[1], { token: makeToken({ read: ['#'] }) });
    const { items } = await reader.eventlog('limited/+', { since: -60_000 });
    assert.equal(items.length, 30);
    await reader.close();
  });
});

describe('requests of one client that do not wait for each other', () => {
  const held = useCluster(1, { DISABLE_AUTH: 'false' });
  const access = { sub: 'hasty', read: ['#'], write: ['#'] };
  const rlimit = [{ topic: 'order/#', interval: DAY, max: 1_000_000 }];

  for (const [name, claims] of [
    ['', access],
    [', also where a limit is counted first', { ...access, rlimit }],
  ]) {
    test(`are done in their order${name}`, async () => {
      const client = await Client.connect(held.nodes[0], { token: makeToken(claims) });
      for (let i = 0; i < 50; i++) {
        const topic = `order/${claims.rlimit ? 'limited' : 'free'}${i}`;
        const pattern = i % 2 ? topic : `${topic}/#`;
        const [, { id }, { items }] = await Promise.all([
          client.result('subscribe', { topic: pattern }),
          client.result('publish', { topic, message: i }),
          client.result('eventlog', { topic: pattern, since: -60_000 }),
        ]);
        assert.deepEqual(
          items.map((one) => one.id),
          [id],
        );
        const [live] = await client.take(1);
        assert.equal(live.id, id);
      }
      await client.close();
    });
  }
});

describe('a node subscribes in Redis', () => {
  const held = useCluster(2);
  const channels = async () =>
    (await held.redis.command('PUBSUB', 'CHANNELS', `{${held.prefix}:*`)).filter((one) =>
      one.includes(':live:'),
    );
  const globs = () => held.redis.command('PUBSUB', 'NUMPAT');
  const nodesOn = async (topic) => {
    const { channel } = keysOf(held.prefix, topic);
    return (await held.redis.command('PUBSUB', 'NUMSUB', channel))[1];
  };

  test('to nothing that no client wants', () =>
    withClients(held.nodes, async (a) => {
      await a.publish('unwanted', 1);
      assert.deepEqual(await channels(), []);
      assert.equal(await globs(), 0);
    }));

  test('to the channel of a topic, once, until the last client leaves', () =>
    withClients([held.nodes[0], held.nodes[0], held.nodes[1]], async (one, two, elsewhere) => {
      await one.subscribe('wanted');
      assert.deepEqual(await channels(), [keysOf(held.prefix, 'wanted').channel]);
      assert.equal(await nodesOn('wanted'), 1);
      await two.subscribe('wanted');
      assert.equal(await nodesOn('wanted'), 1);
      await elsewhere.subscribe('wanted');
      assert.equal(await nodesOn('wanted'), 2);
      await one.result('unsubscribe', ['wanted']);
      await elsewhere.result('unsubscribeAll', []);
      await eventually(async () => (await nodesOn('wanted')) === 1, 'one node less');
      await two.publish('wanted', 'x');
      assert.equal((await two.delivery()).json.result.message, 'x');
      two.drop();
      await eventually(async () => (await channels()).length === 0, 'no channel');
    }));

  test('to globs of at most 64, however many patterns clients have, and all arrives', () =>
    withClients(held.nodes, async (a, b) => {
      const patterns = Array.from({ length: 300 }, (_, i) =>
        i % 3 ? `g/${i}/+` : i % 2 ? `g${i}/#` : `+/g/${i}`,
      );
      for (const [i, pattern] of patterns.entries()) {
        await b.subscribe(pattern);
        if (i % 10 === 0) assert.ok((await globs()) <= 64, `${await globs()} globs`);
      }
      assert.ok((await globs()) > 0);
      assert.ok((await globs()) <= 64, `${await globs()} globs`);
      const topics = patterns.map((pattern) => pattern.replace(/[+#]/, 'x'));
      for (const topic of topics) await a.publish(topic, topic);
      assert.deepEqual(
        (await b.drain(a)).map((one) => one.topic),
        topics,
      );
      await b.result('unsubscribe', patterns.slice(5));
      for (const topic of topics) await a.publish(topic, topic);
      assert.deepEqual(
        (await b.drain(a)).map((one) => one.topic),
        topics.slice(0, 5),
      );
      await b.result('unsubscribeAll', []);
      await eventually(async () => (await globs()) === 0, 'no glob');
      assert.deepEqual(await channels(), []);
    }));

  test('again when it is started again, to what its clients then want', () =>
    withClients([held.nodes[0]], async (a) => {
      const [, node] = held.nodes;
      const old = await Client.connect(node);
      await old.subscribe('before');
      const id = await a.publish('before', 'kept');
      await node.stop();
      await eventually(async () => (await channels()).length === 0, 'no channel');
      await node.start(node.port);
      await withClients([node], async (b) => {
        const { items, recovered } = await b.eventlog('before', { since: -60_000 });
        assert.deepEqual([items.map((one) => one.id), recovered], [[id], true]);
        await b.subscribe('after');
        await a.publish('after', 'x');
        assert.equal((await b.delivery()).json.result.message, 'x');
      });
    }));
});

describe('20,000 topics', () => {
  const TOPICS = 20_000;
  const CONNECTIONS = 4;
  const PER_BATCH = 1000;
  const LANES = 64;
  const topicOf = (i) => `many/${i % 100}/${i}`;
  const held = useCluster(2, { ...UNLIMITED, MAX_SUBSCRIPTIONS: String(TOPICS) });

  async function subscribeToAll(client, numbers) {
    for (let at = 0; at < numbers.length; at += PER_BATCH) {
      const batch = numbers.slice(at, at + PER_BATCH).map((i) => {
        return { id: i, jsonrpc: '2.0', method: 'subscribe', params: { topic: topicOf(i) } };
      });
      client.send(JSON.stringify(batch));
      const { json } = await client.other(Array.isArray);
      assert.equal(json.length, batch.length);
      assert.ok(json.every((one) => one.result?.status === 'ok'));
    }
  }

  async function publishAll(client, numbers) {
    const rest = [...numbers];
    const lane = async () => {
      while (rest.length) {
        const i = rest.pop();
        await client.publish(topicOf(i), i);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  test('over a few connections are each heard', { timeout: 120_000 * patience }, async () => {
    const publishers = await Promise.all([0, 1, 0, 1].map((i) => Client.connect(held.nodes[i])));
    const subscribers = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => Client.connect(held.nodes[1])),
    );
    const all = Array.from({ length: TOPICS }, (_, i) => i);
    const partOf = (c) => all.filter((i) => i % CONNECTIONS === c);
    await Promise.all(subscribers.map((client, c) => subscribeToAll(client, partOf(c))));

    const sample = Array.from({ length: 300 }, () => Math.floor(Math.random() * TOPICS));
    await publishAll(publishers[0], sample);
    const count = () => subscribers.reduce((sum, client) => sum + client.deliveries.length, 0);
    await eventually(() => count() === sample.length, 'sample');
    const parts = publishers.map((_, p) => all.filter((i) => (i >> 2) % publishers.length === p));
    await Promise.all(parts.map((part, p) => publishAll(publishers[p], part)));
    await eventually(() => count() === sample.length + TOPICS, 'all of them', {
      ms: 3 * DEADLINE_MS,
    });

    for (const [c, client] of subscribers.entries()) {
      const seen = client.deliveries.map(({ json }) => [json.id, json.result.message]);
      assert.ok(seen.every(([id, message]) => id === message));
      const numbers = seen.map(([id]) => id).sort((x, y) => x - y);
      const wanted = [...partOf(c), ...sample.filter((i) => i % CONNECTIONS === c)];
      assert.deepEqual(
        numbers,
        wanted.sort((x, y) => x - y),
      );
      assert.equal(client.notices.length, 0);
      await client.close();
    }
    await Promise.all(publishers.map((client) => client.close()));
    const channels = () => held.redis.command('PUBSUB', 'CHANNELS', `{${held.prefix}:??}:live:*`);
    await eventually(async () => (await channels()).length === 0, 'end of the subscriptions', {
      every: 200,
    });
  });
});

describe('history on one node, while another publishes at full speed', () => {
  const held = useCluster(2, UNLIMITED);
  const TOPICS = ['join/a', 'join/b', 'join/c/d', 'join'];
  const FILTERS = ['join/a', 'join/+', 'join/#', '#', 'join/c/+', '+/b', 'join'];
  const PUBLISHERS = 3;
  const MESSAGES = isSanitized ? 500 : 1500;
  const JOINERS = 40;

  async function flood(publisher, number, acknowledged) {
    let next = 0;
    const lane = async () => {
      while (next < MESSAGES) {
        const i = next++;
        const topic = TOPICS[(i + number) % TOPICS.length];
        acknowledged.push({ id: await publisher.publish(topic, [number, i]), topic });
      }
    };
    await Promise.all(Array.from({ length: 16 }, lane));
  }

  async function join(acknowledged, number) {
    const client = await Client.connect(held.nodes[1]);
    const filter = FILTERS[number % FILTERS.length];
    const threshold = Math.floor(Math.random() * PUBLISHERS * MESSAGES * 0.9);
    while (acknowledged.length < threshold) await client.result('ping', []);
    const known = acknowledged[Math.floor(Math.random() * acknowledged.length)]?.id ?? null;
    const from = number % 3 ? known : null;
    const point = from ? { sinceEventId: from } : { since: -3_600_000 };
    const { recovered } = await client.result('subscribe', { topic: filter, ...point });
    assert.equal(recovered, true, `${filter} from ${from}`);
    return { client, filter, from };
  }

  test('is joined to what is live: each id once, in order', { timeout: 120_000 }, async () => {
    const publishers = await Promise.all(
      Array.from({ length: PUBLISHERS }, () => Client.connect(held.nodes[0])),
    );
    // Each topic's bucket knows messages before the first one that a joiner may name: an id from
    // before them could not be told from one that was lost.
    const first = [];
    for (const topic of TOPICS) first.push({ id: await publishers[0].publish(topic, 0), topic });
    const acknowledged = [];
    const floods = publishers.map((one, i) => flood(one, i, acknowledged));
    const joiners = await Promise.all(
      Array.from({ length: JOINERS }, (_, i) => join(acknowledged, i)),
    );
    await Promise.all(floods);
    const all = [...first, ...acknowledged].sort((x, y) => compareIds(x.id, y.id));
    for (const { client, filter, from } of joiners) {
      const wanted = all.filter(
        ({ topic, id }) => isMatch(filter, topic) && (!from || compareIds(id, from) > 0),
      );
      const seen = (await client.drain(publishers[0])).filter((one) =>
        one.topic.startsWith('join'),
      );
      for (const topic of TOPICS) {
        const ofTopic = (list) => list.filter((one) => one.topic === topic).map((one) => one.id);
        assert.deepEqual(ofTopic(seen), ofTopic(wanted), `${topic} on ${filter} from ${from}`);
      }
      assert.deepEqual(client.notices, []);
    }
    await Promise.all([...publishers, ...joiners.map((one) => one.client)].map((c) => c.close()));
  });
});

describe('clusters with different prefixes on one Redis', () => {
  test('do not see each other', () =>
    withRedis({}, async (redis) => {
      await withCluster(redis, 1, ({ nodes: [one] }) =>
        withCluster(redis, 1, ({ nodes: [other] }) =>
          withClients([one, other], async (a, b) => {
            for (const client of [a, b]) await client.subscribe('#');
            await a.publish('same/topic', 'of a');
            await a.result('set', { key: 'same/key', value: 'of a' });
            await b.publish('same/topic', 'of b');
            assert.equal((await b.drain()).length, 1);
            assert.equal((await a.drain()).length, 1);
            assert.ok('error' in (await b.call('get', { key: 'same/key' })));
            const { items } = await b.eventlog('same/#', { since: -60_000 });
            assert.deepEqual(
              items.map((one) => one.message),
              ['of b'],
            );
          }),
        ),
      );
    }));
});
