// What a token allows: read and write lists, pattern containment, rate limits.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';
import { makeToken } from './lib/token.mjs';
import { eventually } from './lib/wait.mjs';

const LIMITED = 'ERR_RATE_LIMIT_EXCEEDED';

describe('access lists', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });

  const connect = (claims) => Client.connect(daemon, { token: makeToken(claims) });

  // read list: what it lets subscribe, what it does not
  const containment = [
    [['a'], ['a'], ['b', 'a/b', '+', '#', 'a/#', 'a/+']],
    [['a/x'], ['a/x'], ['a', 'a/+', 'a/#', '+/x', 'a/x/y', 'a/x/#']],
    [['a/+'], ['a/x', 'a/+', 'a/y'], ['a', 'a/#', 'a/x/y', '+/x', '+/+', '#', 'a/+/#']],
    [['+'], ['a', '+'], ['a/b', '#', '+/+', '+/#']],
    [
      ['a/#'],
      ['a', 'a/+', 'a/#', 'a/b/#', 'a/+/c', 'a/+/#', 'a/b/c/d'],
      ['#', '+', '+/b', '+/#', 'ab', 'b'],
    ],
    [['#'], ['a', 'a/b', '+', '#', '+/+', 'a/#', '+/#'], []],
    [['+/#'], ['a', '+', 'a/b', '+/+', 'a/#', '+/#', '#'], []],
    [['a/+/c'], ['a/b/c', 'a/+/c', 'a//c'], ['a/+/+', 'a/#', 'a/b', 'a/b/c/d', '+/b/c', 'a/b/+']],
    [['a/+/#'], ['a/b', 'a/+', 'a/b/c', 'a/+/#', 'a/b/#', 'a/+/+'], ['a', 'a/#', '#', '+/b']],
    [['+/b'], ['a/b', '+/b'], ['a/+', 'b', '+/+', '+/b/c', '#']],
    [
      ['a/x', 'a/y'],
      ['a/x', 'a/y'],
      ['a/+', 'a/z', 'a/#'],
    ],
    [
      ['a', 'a/+'],
      ['a', 'a/b', 'a/+'],
      ['a/#', 'a/b/c'],
    ],
  ];
  for (const [read, allowed, refused] of containment) {
    test(`read ${JSON.stringify(read)} allows just what one entry contains`, async () => {
      const client = await connect({ read });
      for (const topic of allowed) {
        assert.equal((await client.result('subscribe', { topic })).status, 'ok', topic);
        await client.eventlog(topic, { since: -1000 });
      }
      for (const topic of refused) {
        const error = await client.error('subscribe', { topic });
        assert.deepEqual([error.code, error.message], [-32602, 'Invalid params'], topic);
        assert.ok(
          error.data.startsWith(`You are not allowed to subscribe to topic: ${topic}`),
          error.data,
        );
        const log = await client.error('eventlog', { topic, since: -1000 });
        assert.equal(log.code, -32602);
        assert.ok(log.data.includes(topic), log.data);
      }
      assert.deepEqual((await client.result('list', [])).sort(), [...allowed].sort());
      await client.close();
    });
  }

  test('write lists say what may be published', async () => {
    const client = await connect({ write: ['w/+', 'deep/#', 'one'] });
    for (const topic of ['w/a', 'deep', 'deep/a/b', 'one']) await client.publish(topic, 'x');
    for (const topic of ['w', 'w/a/b', 'deeper', 'one/more', 'other']) {
      const error = await client.error('publish', { topic, message: 'x' });
      assert.deepEqual([error.code, error.message], [-32602, 'Invalid params']);
      assert.ok(error.data.startsWith(`Insufficient access to topic: ${topic}`), error.data);
    }
    await client.close();
  });

  test('reading does not allow writing, nor writing reading', async () => {
    const client = await connect({ read: ['r'], write: ['w'] });
    assert.equal((await client.error('publish', { topic: 'r', message: 'x' })).code, -32602);
    assert.equal((await client.error('subscribe', { topic: 'w' })).code, -32602);
    await client.close();
  });

  test('a refused publish reaches nobody and leaves no history', async () => {
    const reader = await connect({ read: ['#'], write: ['#'] });
    const writer = await connect({ write: ['allowed'] });
    await reader.subscribe('#');
    await writer.error('publish', { topic: 'refused', message: 'x' });
    assert.deepEqual(await reader.drain(), []);
    assert.deepEqual((await reader.eventlog('refused', { since: -60_000 })).items, []);
    await reader.close();
    await writer.close();
  });
});

describe('rate limits', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });
  const DAY = 86_400;

  const connect = (sub, rlimit) =>
    Client.connect(daemon, { token: makeToken({ sub, read: ['#'], write: ['#'], rlimit }) });

  const status = async (client, topic) =>
    (await client.result('publish', { topic, message: 'x' })).status;

  test('are a result, and count over all connections of a subject', async () => {
    const rlimit = [{ topic: 'rl/#', interval: DAY, max: 5 }];
    const one = await connect('shared', rlimit);
    const two = await connect('shared', rlimit);
    const other = await connect('other', rlimit);
    await other.subscribe('#');
    for (let i = 0; i < 5; i++) {
      assert.equal(await status(i % 2 ? one : two, `rl/${i}`), 'ok');
    }
    for (const client of [one, two]) {
      assert.deepEqual(await client.result('publish', { topic: 'rl/x', message: 'x' }), {
        action: 'publish',
        topic: 'rl/x',
        status: LIMITED,
      });
    }
    assert.equal(await status(one, 'unlimited'), 'ok');
    assert.equal(await status(other, 'rl/x'), 'ok');
    const seen = (await other.drain()).map((message) => message.topic);
    assert.deepEqual(seen, ['rl/0', 'rl/1', 'rl/2', 'rl/3', 'rl/4', 'unlimited', 'rl/x']);
    for (const client of [one, two, other]) await client.close();
  });

  test('hold for a subject that leaves and comes back', async () => {
    const rlimit = [{ topic: 'back', interval: DAY, max: 1 }];
    const first = await connect('returning', rlimit);
    assert.equal(await status(first, 'back'), 'ok');
    await first.close();
    const second = await connect('returning', rlimit);
    assert.equal(await status(second, 'back'), LIMITED);
    await second.close();
  });

  test('are exact when all connections publish at once', async () => {
    const rlimit = [{ topic: 'race', interval: DAY, max: 50 }];
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect('racer', rlimit)));
    const results = await Promise.all(
      clients.flatMap((client) => Array.from({ length: 40 }, () => status(client, 'race'))),
    );
    assert.equal(results.filter((one) => one === 'ok').length, 50);
    assert.equal(results.filter((one) => one === LIMITED).length, 150);
    await Promise.all(clients.map((client) => client.close()));
  });

  test("of the exact topic come first, then the longest pattern's", async () => {
    const client = await connect('longest', [
      { topic: '#', interval: DAY, max: 100 },
      { topic: 'l/#', interval: DAY, max: 3 },
      { topic: 'l/deep/#', interval: DAY, max: 2 },
      { topic: 'l/deep/exact', interval: DAY, max: 1 },
    ]);
    const allowed = async (topic) => {
      let count = 0;
      while (count < 10 && (await status(client, topic)) === 'ok') count++;
      return count;
    };
    assert.equal(await allowed('l/deep/exact'), 1);
    assert.equal(await allowed('l/deep/other'), 2);
    assert.equal(await allowed('l/shallow'), 3);
    assert.equal(await allowed('elsewhere'), 10);
    await client.close();
  });

  test('end with their window', async () => {
    const client = await connect('window', [{ topic: 'win', interval: 1, max: 2 }]);
    await eventually(async () => (await status(client, 'win')) === LIMITED, 'limit', { every: 0 });
    await eventually(async () => (await status(client, 'win')) === 'ok', 'next window');
    const log = await client.eventlog('win', { since: -60_000 });
    const perSecond = new Map();
    for (const { id } of log.items) {
      const start = id.split('-')[0].slice(0, -3);
      perSecond.set(start, (perSecond.get(start) ?? 0) + 1);
    }
    assert.ok(
      [...perSecond.values()].every((count) => count <= 4),
      'never two windows in one',
    );
    await client.close();
  });

  test('of zero allow nothing', async () => {
    const client = await connect('zero', [{ topic: 'z', interval: 60, max: 0 }]);
    assert.equal(await status(client, 'z'), LIMITED);
    await client.close();
  });

  test('that are malformed are not taken for a limit on others', async () => {
    const client = await connect('odd', [
      7,
      null,
      {},
      { topic: '/bad', interval: 1, max: 1 },
      { topic: 'good', interval: DAY, max: 1 },
    ]);
    assert.equal(await status(client, 'good'), 'ok');
    assert.equal(await status(client, 'good'), LIMITED);
    assert.equal(await status(client, 'free'), 'ok');
    await client.close();
  });
});
