// Others who write into our Redis, and servers that are not the Redis we need.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Cluster, withCluster } from './lib/cluster.mjs';
import { assertNotReady, withDaemon, withUnreadyDaemon } from './lib/daemon.mjs';
import { FakeRedis, closesAtOnce, says, saysNothing, speaksLike } from './lib/fake_redis.mjs';
import { RedisServer, bucketOf, keysOf, newPrefix, withRedis } from './lib/redis.mjs';
import { Client } from './lib/rpc.mjs';
import { eventually, patience } from './lib/wait.mjs';

const SECOND = 1000;
const MB = 1 << 20;

/** A topic like the one given, that lies in another bucket. */
function elsewhere(topic) {
  for (let i = 0; ; i++) {
    if (bucketOf(`${topic}-${i}`) !== bucketOf(topic)) return `${topic}-${i}`;
  }
}

function useNode(env) {
  const held = {};
  before(async () => {
    held.redis = await new RedisServer().start();
    held.cluster = await new Cluster(held.redis, 1, env).start();
    [held.node] = held.cluster.nodes;
    held.keys = (topic) => keysOf(held.cluster.prefix, topic);
    held.client = await Client.connect(held.node);
  });
  after(async () => {
    await held.client?.close();
    await held.cluster?.stop();
    await held.redis?.stop();
  });
  held.skipped = () => held.node.metric('redis_skipped_messages_total');
  return held;
}

/** The next deliveries of a client are these, and nothing stands before or between them. */
async function assertNext(client, ids) {
  const seen = await client.take(ids.length);
  assert.deepEqual(
    seen.map((one) => one.id),
    ids,
  );
}

/** What Redis sends to the subscribers of a channel while run() runs. */
async function overhear(redis, channel, run) {
  const connection = await redis.connect();
  const heard = [];
  connection.onPush = (push) => heard.push(push[2]);
  await connection.command('SUBSCRIBE', channel);
  await run();
  await eventually(() => heard.length > 0, 'message on the channel');
  connection.close();
  return heard;
}

describe('garbage on the channel of a topic', () => {
  const held = useNode();

  const garbage = {
    nothing: Buffer.alloc(0),
    'a blank': Buffer.from(' '),
    'a NUL': Buffer.alloc(1),
    'a text': Buffer.from('hello'),
    'random bytes': randomBytes(200),
    'many random bytes': randomBytes(8 * MB),
    digits: Buffer.from('1'.repeat(1000)),
    'an id alone': Buffer.from('1767225600000-0'),
    'numbers that are too large': Buffer.from('99999999999999999999-1 1 0-0 0 "x"'),
    'numbers below zero': Buffer.from('-1--1 -1 -1--1 -1 "x"'),
    JSON: Buffer.from('{"id":"1-1","topic":"garbage","message":"x"}'),
    'broken JSON': Buffer.from('1767225600000-0 0 0-0 0 {"a":'),
    'a line of RESP': Buffer.from('*3\r\n$7\r\nmessage\r\n'),
    'brackets without end': Buffer.from('['.repeat(100_000)),
  };
  for (const [name, bytes] of Object.entries(garbage)) {
    test(`that is ${name} is skipped and counted`, async () => {
      const { redis, client, keys } = held;
      await client.subscribe('garbage');
      await client.subscribe('garbage/#');
      const before = await held.skipped();
      await redis.command('PUBLISH', keys('garbage').channel, bytes);
      const id = await client.publish('garbage', 'real');
      assert.deepEqual(
        (await client.drain()).map((one) => [one.id, one.message]),
        [
          [id, 'real'],
          [id, 'real'],
        ],
      );
      assert.ok((await held.skipped()) > before, 'counted');
    });
  }

  test('that is a message of ours cut short is skipped, wherever it is cut', async () => {
    const { redis, client, keys } = held;
    await client.subscribe('cut');
    const { channel } = keys('cut');
    const [message] = await overhear(redis, channel, () => client.publish('cut', 'whole'));
    assert.equal((await client.drain()).length, 1);
    const before = await held.skipped();
    for (let length = 0; length < message.length; length++) {
      await redis.command('PUBLISH', channel, message.subarray(0, length));
    }
    const id = await client.publish('cut', 'next');
    const seen = await client.drain();
    assert.equal(seen.at(-1).id, id);
    assert.ok(seen.filter((one) => one.message === 'whole').length === 0, 'nothing twice');
    assert.ok((await held.skipped()) >= before + message.length / 2, 'counted');
  });

  // A message on a channel is "1 <id> <position> <id before> <its position> <expiry> <length of the
  // origin>", a line feed, origin and payload (docs/redis-data-layout.md).
  const payloads = {
    nothing: '',
    'no JSON': 'hello',
    'JSON cut short': '{"a":',
    'two values': '1 2',
    'a value with more behind it': '"x"}',
    null: 'null',
    'no UTF-8': Buffer.from([0x22, 0xff, 0x22]),
    'a raw control character': '"\n"',
    'nested too deep': `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
  };
  const heads = {
    'of another version': (words) => words.with(0, '2'),
    'with an id that is none': (words) => words.with(1, 'x'),
    'with an id that is too large': (words) => words.with(1, `${'9'.repeat(30)}-0`),
    'with an id of zero': (words) => words.with(1, '0-0'),
    'with a position below zero': (words) => words.with(2, '-1'),
    'with a position that is too large': (words) => words.with(2, '9'.repeat(30)),
    'with an expiry that is no number': (words) => words.with(5, 'x'),
    'with an origin longer than all': (words) => words.with(6, '1000'),
    'with an origin of 2^64-1': (words) => words.with(6, '18446744073709551615'),
    'with an origin below zero': (words) => words.with(6, '-1'),
    'with a word less': (words) => words.slice(1),
    'with a word more': (words) => [...words, '1'],
  };

  async function nextForged(topic) {
    const { redis, client, keys } = held;
    await client.subscribe(topic);
    const { channel } = keys(topic);
    const [message] = await overhear(redis, channel, () => client.publish(topic, 'real'));
    const { json } = await client.delivery();
    const words = message.subarray(0, message.indexOf('\n')).toString().split(' ');
    assert.deepEqual([words[0], words[1]], ['1', json.result.id]);
    const [ms, n] = words[1].split('-');
    const next = ['1', `${ms}-${Number(n) + 64}`, String(Number(words[2]) + 1), words[1], words[2]];
    const forge = (change, payload) =>
      Buffer.concat([
        Buffer.from(`${change([...next, words[5], '0']).join(' ')}\n`),
        Buffer.from(payload),
      ]);
    return { channel, forge };
  }

  async function assertSkipped(topic, channel, bytes) {
    const { redis, client } = held;
    const before = await held.skipped();
    await redis.command('PUBLISH', channel, bytes);
    await assertNext(client, [await client.publish(topic, 'after')]);
    assert.ok((await held.skipped()) > before, 'counted');
    assert.deepEqual(client.notices, []);
  }

  for (const [name, payload] of Object.entries(payloads)) {
    test(`that is well-formed but for a payload that is ${name} is skipped`, async () => {
      const topic = `payload/${name.replace(/\W/g, '-')}`;
      const { channel, forge } = await nextForged(topic);
      await assertSkipped(
        topic,
        channel,
        forge((words) => words, payload),
      );
    });
  }
  for (const [name, change] of Object.entries(heads)) {
    test(`that is well-formed but for a head ${name} is skipped`, async () => {
      const topic = `head/${name.replace(/\W/g, '-')}`;
      const { channel, forge } = await nextForged(topic);
      await assertSkipped(topic, channel, forge(change, '"x"'));
    });
  }

  test('that is a message of ours again is not delivered again', async () => {
    const { redis, client, keys } = held;
    await client.subscribe('again');
    const { channel } = keys('again');
    const [message] = await overhear(redis, channel, () => client.publish('again', 1));
    for (let i = 0; i < 5; i++) await redis.command('PUBLISH', channel, message);
    await client.publish('again', 2);
    for (let i = 0; i < 5; i++) await redis.command('PUBLISH', channel, message);
    assert.deepEqual(
      (await client.drain()).map((one) => one.message),
      [1, 2],
    );
    assert.deepEqual(client.notices, []);
  });

  test('that is a message of ours with one byte changed harms nobody else', async () => {
    const { redis, client, keys } = held;
    await client.subscribe('changed');
    const witness = elsewhere('changed');
    await client.subscribe(witness);
    const { channel } = keys('changed');
    const [message] = await overhear(redis, channel, () => client.publish('changed', 'whole'));
    for (let i = 0; i < message.length; i++) {
      const bytes = Buffer.from(message);
      bytes[i] ^= 1 << (i % 8);
      await redis.command('PUBLISH', channel, bytes);
    }
    const id = await client.publish(witness, 'well');
    assert.ok((await client.drain()).some((one) => one.id === id));
  });

  test('on channels that no topic can have, and of nodes, is skipped', async () => {
    const { redis, client, cluster } = held;
    await client.subscribe('#');
    const { prefix } = cluster;
    const nodes = await redis.command('PUBSUB', 'CHANNELS', `{${prefix}:*}:node:*`);
    const odd = ['', '/', 'a/', '+', '#', 'with blank', '\u0000', 'x'.repeat(5000), 'é'];
    const channels = [...nodes, ...odd.map((topic) => `{${prefix}:07}:live:${topic}`)];
    for (const channel of channels) {
      for (const bytes of ['', 'x', '1 2 3', randomBytes(100)]) {
        await redis.command('PUBLISH', channel, bytes);
      }
    }
    const id = await client.publish('still', 'well');
    const seen = await client.drain();
    assert.deepEqual(
      seen.map((one) => one.id),
      [id],
    );
    await client.result('unsubscribeAll', []);
  });

  test('in floods does not keep others from their messages', async () => {
    const { redis, client, keys } = held;
    await client.subscribe('flooded');
    const before = await held.skipped();
    const flood = Array.from({ length: 20_000 }, () =>
      redis.command('PUBLISH', keys('flooded').channel, 'garbage'),
    );
    const ids = [];
    for (let i = 0; i < 100; i++) ids.push(await client.publish('flooded', i));
    await Promise.all(flood);
    assert.deepEqual(
      (await client.drain()).map((one) => one.id),
      ids,
    );
    assert.ok((await held.skipped()) >= before + 20_000);
    const lines = held.node.stderr.split('\n').length;
    assert.ok(lines < 100, `${lines} lines in the log`);
  });
});

describe('garbage in the stream of a topic', () => {
  const held = useNode({ MAX_CACHE_LENGTH: '1000' });

  const entries = {
    'a field that is not ours': ['foo', 'bar'],
    'a message without the rest': ['m', '"x"'],
    'a message that is no JSON': ['m', '{', 'e', '0', 'p', '0-0'],
    'an empty message': ['m', '', 'e', '0', 'p', '0-0'],
    'an expiry that is no number': ['m', '"x"', 'e', 'soon', 'p', '0-0'],
    'an expiry that is too large': ['m', '"x"', 'e', '9'.repeat(40), 'p', '0-0'],
    'an id of the previous that is none': ['m', '"x"', 'e', '0', 'p', 'x-y'],
    'random bytes': [randomBytes(50), randomBytes(50), 'm', randomBytes(50)],
    'many fields': Array.from({ length: 400 }, (_, i) => `f${i}`),
    'a huge value': ['x', 'y'.repeat(4 * MB)],
  };
  for (const [name, fields] of Object.entries(entries)) {
    test(`with ${name} is skipped and counted`, async () => {
      const { redis, node, keys } = held;
      const client = await Client.connect(node);
      const topic = `garbage/${name.replace(/\W/g, '-')}`;
      await client.subscribe(topic);
      const ids = [await client.publish(topic, 'before')];
      const before = await held.skipped();
      await redis.command('XADD', keys(topic).stream, '*', ...fields);
      ids.push(await client.publish(topic, 'after'));
      const { items } = await client.eventlog(topic, { since: -60_000 });
      assert.deepEqual(
        items.map((one) => one.id),
        ids,
      );
      assert.ok((await held.skipped()) > before, 'counted');
      const wide = await client.eventlog('garbage/#', { sinceEventId: ids[0] });
      assert.ok(wide.items.every((one) => ['before', 'after'].includes(one.message)));
      await assertNext(client, ids);
      assert.deepEqual(client.notices, []);
      await client.close();
    });
  }

  test('with an id from far ahead harms no other topic', async () => {
    const { redis, client, keys } = held;
    const topic = 'ahead';
    await client.publish(topic, 'before');
    await redis.command('XADD', keys(topic).stream, '99999999999999-0', 'foo', 'bar');
    const answer = await client.call('publish', { topic, message: 'after' });
    assert.ok(answer.result?.status === 'ok' || answer.error?.code === -32603);
    const other = elsewhere(topic);
    const id = await client.publish(other, 'x');
    const { items } = await client.eventlog(other, { since: -60_000 });
    assert.deepEqual(
      items.map((one) => one.id),
      [id],
    );
  });
});

describe('a key of another type', () => {
  const held = useNode();

  const spoil = {
    'a text': (key) => held.redis.command('SET', key, 'x'),
    'a list': (key) => held.redis.command('LPUSH', key, 'x'),
    'a set': (key) => held.redis.command('SADD', key, 'x'),
  };
  for (const [type, put] of Object.entries(spoil)) {
    for (const part of ['stream', 'topics', 'index']) {
      test(`${type} in the place of "${part}" is an error there, and nowhere else`, async () => {
        const { redis, keys, node } = held;
        const client = await Client.connect(node);
        const topic = `spoilt/${type.replace(' ', '-')}/${part}`;
        const other = elsewhere(topic);
        await client.subscribe(other);
        const key = keys(topic)[part];
        await redis.command('DEL', key);
        await put(key);
        try {
          const answer = await client.call('publish', { topic, message: 'x' });
          if (answer.error) assert.equal(answer.error.code, -32603);
          const log = await client.call('eventlog', { topic, since: -60_000 });
          if (log.error) assert.equal(log.error.code, -32603);
          await assertNext(client, [await client.publish(other, 'x')]);
          const ready = await client.call('subscribe', { topic: `${other}/more` });
          assert.equal(ready.result?.status, 'ok', 'others subscribe as ever');
          assert.equal(await node.status('/readyz'), 200);
        } finally {
          await redis.command('DEL', key);
        }
        await client.subscribe(topic);
        await assertNext(client, [await client.publish(topic, 'healed')]);
        await client.close();
      });
    }

    test(`${type} in the place of a value harms no other key`, async () => {
      const { client, keys } = held;
      await put(keys('spoilt').value);
      const answer = await client.call('get', { key: 'spoilt' });
      assert.ok([-32602, -32603, undefined].includes(answer.error?.code), JSON.stringify(answer));
      await client.result('set', { key: 'other', value: 'v' });
      assert.equal((await client.result('get', { key: 'other' })).value, 'v');
      await client.result('set', { key: 'spoilt', value: 'v' });
      assert.equal((await client.result('get', { key: 'spoilt' })).value, 'v');
      await client.result('del', { key: 'spoilt' });
    });
  }
});

describe('a server that is', { concurrency: true }, () => {
  const servers = {
    'too old': [speaksLike('4.0.9'), /4\.0\.9/],
    'far too old': [speaksLike('2.8.24'), /2\.8\.24/],
    silent: [saysNothing, /redis is away/],
    'closing at once': [closesAtOnce, /redis is away/],
    'speaking HTTP': [says('HTTP/1.1 400 Bad Request\r\n\r\n'), /redis is away/],
    'speaking nonsense': [says(randomBytes(5000)), /redis is away/],
    'claiming an endless answer': [says('$9223372036854775807\r\n'), /redis is away/],
    'nesting without end': [says('*1\r\n'.repeat(100_000)), /redis is away/],
    full: [says('-ERR max number of clients reached\r\n'), /redis is away/],
    loading: [says('-LOADING Redis is loading the dataset in memory\r\n'), /redis is away/],
  };
  for (const [name, [behaviour, line]] of Object.entries(servers)) {
    test(`${name} makes a clear line; the daemon runs and is not ready`, async () => {
      const fake = await FakeRedis.start(behaviour);
      const check = async (daemon) => {
        const before = fake.connections;
        const options = { ms: 15 * SECOND * patience };
        await eventually(() => fake.connections > before, 'another try', options);
        assert.equal(await daemon.status('/readyz'), 503);
        const lines = daemon.stderr.split('\n').filter((one) => /redis is away/.test(one));
        assert.ok(lines.length <= 2, daemon.stderr);
      };
      await assertNotReady(fake.env, line, check).finally(() => fake.stop());
    });
  }
});

/** The user that the documentation makes, as a line of ACL rules. */
function documentedRules() {
  const text = readFileSync(new URL('../../docs/clustering.md', import.meta.url), 'utf8');
  const [, rules] = /^ACL SETUSER (.+)$/m.exec(text);
  return rules.replace(' reset ', ' ');
}

describe('Redis is reached', () => {
  async function assertWorks(daemon) {
    const client = await Client.connect(daemon);
    await client.subscribe('reached/+');
    const id = await client.publish('reached/x', 'x');
    assert.equal((await client.delivery()).json.result.id, id);
    const { items } = await client.eventlog('reached/#', { since: -60_000 });
    assert.deepEqual(
      items.map((one) => one.id),
      [id],
    );
    await client.result('set', { key: 'k', value: 'v' });
    assert.equal((await client.result('get', { key: 'k' })).value, 'v');
    await client.close();
  }

  const assertReaches = (env) => withDaemon({ REDIS_PREFIX: newPrefix(), ...env }, assertWorks);

  test('by REDIS_SOCKET, whatever host and port say', () =>
    withRedis({ password: 'secret' }, (redis) =>
      assertReaches({
        REDIS_SOCKET: redis.socketPath,
        REDIS_PASSWORD: redis.password,
        REDIS_PORT: '1',
      }),
    ));

  test('under the name of a host', () =>
    withRedis({}, (redis) => assertReaches({ ...redis.env, REDIS_HOST: 'localhost' })));

  test('with BACKEND=auto where REDIS_PORT is set', () =>
    withRedis({}, (redis) => assertReaches({ REDIS_PORT: String(redis.port) })));

  test('with a pool of one connection, and of many', () =>
    withRedis({}, async (redis) => {
      for (const size of ['1', '64']) await assertReaches({ ...redis.env, REDIS_POOL_SIZE: size });
    }));

  test('in the database that REDIS_DB names', () =>
    withRedis({}, async (redis) => {
      await assertReaches({ ...redis.env, REDIS_DB: '3' });
      assert.equal(await redis.command('DBSIZE'), 0);
      const connection = await redis.connect({ db: 3 });
      assert.ok((await connection.command('DBSIZE')) > 0);
      connection.close();
    }));

  test('in no database that does not exist, which is said', () =>
    withRedis({}, (redis) =>
      assertNotReady({ ...redis.env, REDIS_DB: '1000' }, /redis is away.*(DB|database|SELECT)/i),
    ));

  test('as the ACL user of docs/clustering.md, who may do no more than a node needs', async () => {
    const prefix = newPrefix();
    const rules = documentedRules().replaceAll('{eventhub:', `{${prefix}:`);
    await withRedis({ password: 'the admin', users: [rules] }, (redis) =>
      assertReaches({
        ...redis.env,
        REDIS_PREFIX: prefix,
        REDIS_USERNAME: 'eventhub',
        REDIS_PASSWORD: 'the-password',
      }),
    );
  });

  test('as no user whose password is another, which is said', () =>
    withRedis({ users: ['broker on >right ~* &* +@all'] }, (redis) =>
      assertNotReady(
        { ...redis.env, REDIS_USERNAME: 'broker', REDIS_PASSWORD: 'wrong-one' },
        /redis.*(password|auth|user)/i,
        (daemon) => assert.ok(!daemon.stderr.includes('wrong-one')),
      ),
    ));

  test('as a user who may not do all that is needed, is said and not ready, or an error', () =>
    withRedis({ users: ['broker on >right ~* &* +@all -xadd'] }, (redis) =>
      withCluster(
        redis,
        1,
        async ({ nodes: [node] }) => {
          const client = await Client.connect(node);
          const error = await client.error('publish', { topic: 'x', message: 'x' });
          assert.equal(error.code, -32603);
          await client.close();
        },
        { REDIS_USERNAME: 'broker', REDIS_PASSWORD: 'right' },
        { awaits: '/healthz' },
      ),
    ));
});

describe('a Redis that refuses writes', () => {
  test('for lack of memory makes publishes fail without effect, until there is room', () =>
    withRedis({}, (redis) =>
      withCluster(redis, 1, async ({ nodes: [node] }) => {
        const client = await Client.connect(node);
        await client.subscribe('full');
        const ids = [await client.publish('full', 'before')];
        await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
        await redis.command('CONFIG', 'SET', 'maxmemory', '1');
        const error = await client.error('publish', { topic: 'full', message: 'x' });
        assert.equal(error.code, -32603);
        assert.match(error.data, /no effect/i);
        assert.equal((await client.error('set', { key: 'k', value: 'v' })).code, -32603);
        await redis.command('CONFIG', 'SET', 'maxmemory', '0');
        ids.push(await client.publish('full', 'after'));
        assert.deepEqual(
          (await client.drain()).map((one) => one.id),
          ids,
        );
        assert.deepEqual(client.notices, []);
        await client.close();
      }),
    ));

  test('because it is a replica is away', () =>
    withRedis({}, (master) =>
      withRedis({ replicaOf: master }, (replica) =>
        withUnreadyDaemon(replica.env, async (daemon) => {
          const client = await Client.connect(daemon);
          const error = await client.error('publish', { topic: 'x', message: 'x' });
          assert.equal(error.code, -32603);
          await replica.command('REPLICAOF', 'NO', 'ONE');
          await eventually(
            async () => (await client.call('publish', { topic: 'x', message: 'x' })).result,
            'publish once it is a master',
            { ms: 20 * SECOND * patience },
          );
          await client.close();
        }),
      ),
    ));
});
