// History joined to live traffic: together every message once, in order, with no gap.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client, compareIds, assertIncreasing } from './lib/rpc.mjs';
import { eventually, isSanitized } from './lib/wait.mjs';

const UNLIMITED = {
  MAX_CACHE_LENGTH: '0',
  MAX_CACHE_REQUEST_LIMIT: '1000000',
  DEFAULT_CACHE_TTL: '3600',
  MAX_SEND_QUEUE: String(256 << 20),
  WORKER_THREADS: '3',
};

describe('subscribe with history', () => {
  const daemon = useDaemon();

  test('answers first, then delivers history, then what is live', async () => {
    const client = await Client.connect(daemon);
    const old = [await client.publish('h', 'one'), await client.publish('h', 'two')];
    const texts = [];
    client.socket.on('message', (data) => texts.push(JSON.parse(data)));
    const result = await client.result('subscribe', { topic: 'h', since: -60_000 }, 'sub');
    assert.deepEqual(result, { action: 'subscribe', status: 'ok', topic: 'h', recovered: true });
    const live = await client.publish('h', 'three');
    const seen = await client.take(3);
    assert.deepEqual(
      seen.map((one) => one.id),
      [...old, live],
    );
    assert.deepEqual(
      seen.map((one) => one.subscription),
      ['sub', 'sub', 'sub'],
    );
    assert.ok('action' in texts[0].result, 'the reply comes before the history');
    await client.close();
  });

  test('without since, or with since 0, has no history', async () => {
    const client = await Client.connect(daemon);
    await client.publish('none', 'old');
    const plain = await client.result('subscribe', { topic: 'none' });
    assert.ok(!('recovered' in plain));
    await client.result('subscribe', { topic: 'none', since: 0 });
    await client.publish('none', 'new');
    assert.deepEqual(
      (await client.drain()).map((one) => one.message),
      ['new'],
    );
    await client.close();
  });

  test('takes an id, a limit and a pattern', async () => {
    const client = await Client.connect(daemon);
    const ids = [];
    for (let i = 0; i < 6; i++) ids.push(await client.publish(`p/${i % 2}`, i));
    const join = async (params) => {
      const { recovered } = await client.result('subscribe', { topic: 'p/+', ...params });
      return [(await client.drain()).map((one) => one.message), recovered];
    };
    assert.deepEqual(await join({ sinceEventId: ids[1] }), [[2, 3, 4, 5], true]);
    assert.deepEqual(await join({ since: ids[3] }), [[4, 5], true]);
    assert.deepEqual(await join({ since: -60_000, limit: 2 }), [[4, 5], false]);
    assert.deepEqual(await join({ sinceEventId: ids[5] }), [[], true]);
    await client.close();
  });

  test('says what is gone, and delivers what is left', async () => {
    const client = await Client.connect(daemon);
    const point = await client.publish('left', 'point');
    await client.publish('left', 'expires', { ttl: 1 });
    await client.publish('left', 'stays');
    await eventually(async () => {
      const { items } = await client.eventlog('left', { sinceEventId: point });
      return items.length === 1;
    }, 'expiry');
    for (const topic of ['left', 'left/#']) {
      const { recovered } = await client.result('subscribe', { topic, sinceEventId: point });
      assert.equal(recovered, false);
      assert.deepEqual(
        (await client.drain()).map((one) => one.message),
        ['stays'],
      );
    }
    await client.close();
  });

  test('in a batch comes after the answers of the batch', async () => {
    const client = await Client.connect(daemon);
    for (const message of ['a', 'b']) await client.publish('batched', message);
    const texts = [];
    client.socket.on('message', (data) => texts.push(JSON.parse(data)));
    client.send(
      JSON.stringify([
        {
          id: 's',
          jsonrpc: '2.0',
          method: 'subscribe',
          params: { topic: 'batched', since: -60_000 },
        },
        { id: 'p', jsonrpc: '2.0', method: 'publish', params: { topic: 'batched', message: 'c' } },
        { id: 'q', jsonrpc: '2.0', method: 'ping' },
      ]),
    );
    const seen = await client.take(3);
    assert.deepEqual(
      seen.map((one) => one.message),
      ['a', 'b', 'c'],
    );
    const { json } = await client.other(Array.isArray);
    assert.deepEqual(json.map((one) => one.id).sort(), ['p', 'q', 's']);
    assert.equal(json.find((one) => one.id === 's').result.recovered, true);
    assert.ok(Array.isArray(texts[0]), 'the answers come before the history');
    await client.close();
  });

  test('in a batch may be ended and made anew', async () => {
    const client = await Client.connect(daemon);
    for (const message of ['a', 'b']) await client.publish('anew', message);
    const subscribe = (id) => ({
      id,
      jsonrpc: '2.0',
      method: 'subscribe',
      params: { topic: 'anew', since: -60_000 },
    });
    const end = { jsonrpc: '2.0', method: 'unsubscribe', params: ['anew'] };
    client.send(
      JSON.stringify([subscribe('a'), end, subscribe('b'), end, subscribe('c'), subscribe('d')]),
    );
    const { json } = await client.other(Array.isArray);
    assert.deepEqual(json.map((one) => one.id).sort(), ['a', 'b', 'c', 'd']);
    await client.publish('anew', 'c');
    const last = (await client.drain()).filter((one) => one.subscription === 'd');
    assert.deepEqual(
      last.map((one) => one.message),
      ['a', 'b', 'c'],
    );
    await client.close();
  });

  test('on two overlapping subscriptions gives each its own', async () => {
    const client = await Client.connect(daemon);
    await client.publish('q/x', 'old');
    const exact = await client.subscribe('q/x', { since: -60_000 });
    const pattern = await client.subscribe('q/#', { since: -60_000 });
    await client.publish('q/x', 'new');
    const seen = await client.drain();
    for (const id of [exact, pattern]) {
      const mine = seen.filter((one) => one.subscription === id);
      assert.deepEqual(
        mine.map((one) => one.message),
        ['old', 'new'],
      );
    }
    await client.close();
  });

  test('that is replaced or ended at once confuses nobody', async () => {
    const client = await Client.connect(daemon);
    for (let i = 0; i < 20; i++) await client.publish('swap', i);
    // In one packet, so that every answer of the store comes after the last request.
    const { _socket: socket } = client.socket;
    socket.cork();
    for (let i = 0; i < 20; i++) {
      client.notify('subscribe', { topic: 'swap', since: -60_000 });
      client.notify('unsubscribe', ['swap']);
    }
    client.send(
      '{"id":"first","jsonrpc":"2.0","method":"subscribe",' +
        '"params":{"topic":"swap","since":-60000}}',
    );
    socket.uncork();
    const history = (await client.drain()).filter((one) => one.subscription === 'first');
    assert.deepEqual(
      history.map((one) => one.message),
      Array.from({ length: 20 }, (_, i) => i),
    );
    await client.result('subscribe', { topic: 'swap' }, 'second');
    await client.publish('swap', 'live');
    const seen = (await client.drain()).filter((one) => one.message === 'live');
    assert.deepEqual(
      seen.map((one) => one.subscription),
      ['second'],
    );
    await client.close();
  });
});

describe('joining a flood', () => {
  const daemon = useDaemon(UNLIMITED);
  const TOPICS = ['flood/a', 'flood/b', 'flood/c/d', 'flood'];
  const FILTERS = ['flood/a', 'flood/b', 'flood/+', 'flood/#', '#', 'flood/c/+', '+/a'];
  const PUBLISHERS = 4;
  const MESSAGES = isSanitized ? 400 : 1200;
  const JOINERS = 60;

  const isWanted = {
    'flood/+': (t) => t === 'flood/a' || t === 'flood/b',
    'flood/#': () => true,
    '#': () => true,
    'flood/c/+': (t) => t === 'flood/c/d',
    '+/a': (t) => t === 'flood/a',
  };

  // Each publisher keeps a few requests under way, so that the log grows while others join it.
  async function flood(publisher, number, acknowledged) {
    let next = 0;
    const lane = async () => {
      while (next < MESSAGES) {
        const i = next++;
        const topic = TOPICS[(i + number) % TOPICS.length];
        acknowledged.push({ id: await publisher.publish(topic, [number, i]), topic });
      }
    };
    await Promise.all(Array.from({ length: 8 }, lane));
  }

  // Joins when a random share of the flood has been acknowledged.
  async function join(acknowledged, number) {
    const client = await Client.connect(daemon);
    const filter = FILTERS[number % FILTERS.length];
    const threshold = Math.floor(Math.random() * PUBLISHERS * MESSAGES * 0.9);
    while (acknowledged.length < threshold) await client.result('ping', []);
    const from =
      number % 3 === 0
        ? null
        : (acknowledged[Math.floor(Math.random() * acknowledged.length)]?.id ?? null);
    const point = from ? { sinceEventId: from } : { since: -3_600_000 };
    const { recovered } = await client.result('subscribe', { topic: filter, ...point });
    assert.equal(recovered, true);
    return { client, filter, from };
  }

  test(
    'gives every joiner each message once, in order, with no gap',
    { timeout: 120_000 },
    async () => {
      const publishers = await Promise.all(
        Array.from({ length: PUBLISHERS }, () => Client.connect(daemon)),
      );
      // A log knows messages before the first one that a joiner may name: an id from before them
      // could not be told from one that was lost.
      const first = [];
      for (const topic of TOPICS) first.push({ id: await publishers[0].publish(topic, 0), topic });
      const acknowledged = [];
      const floods = Promise.all(publishers.map((one, i) => flood(one, i, acknowledged)));
      const joiners = await Promise.all(
        Array.from({ length: JOINERS }, (_, i) => join(acknowledged, i)),
      );
      await floods;
      const all = [...first, ...acknowledged].sort((a, b) => compareIds(a.id, b.id));
      assert.equal(all.length, TOPICS.length + PUBLISHERS * MESSAGES);
      for (const { client, filter, from } of joiners) {
        const wanted = all
          .filter(({ topic }) => (isWanted[filter] ?? ((t) => t === filter))(topic))
          .filter(({ id }) => from === null || compareIds(id, from) > 0)
          .map(({ id }) => id);
        const seen = (await client.drain(publishers[0]))
          .filter((one) => one.topic.startsWith('flood'))
          .map((one) => one.id);
        assert.equal(seen.length, wanted.length, `count on ${filter} from ${from}`);
        assertIncreasing(seen);
        assert.deepEqual(seen, wanted);
      }
      await Promise.all([...publishers, ...joiners.map((one) => one.client)].map((c) => c.close()));
    },
  );

  test('is exact also for a subscription that is renewed', { timeout: 120_000 }, async () => {
    const publisher = await Client.connect(daemon);
    const client = await Client.connect(daemon);
    const ids = [await publisher.publish('renew', 0)];
    let isOver = false;
    const publishing = (async () => {
      while (!isOver) ids.push(await publisher.publish('renew', ids.length));
    })();
    let seen = [];
    let last = ids[0];
    for (let round = 0; round < 30; round++) {
      const id = await client.subscribe('renew', { sinceEventId: last });
      const mine = [];
      while (mine.length < 10) {
        const [one] = await client.take(1);
        if (one.subscription === id) mine.push(one.id);
      }
      seen = seen.concat(mine);
      last = mine.at(-1);
    }
    isOver = true;
    await publishing;
    assert.deepEqual(seen, ids.slice(1, seen.length + 1));
    await publisher.close();
    await client.close();
  });

  test('is exact also when clients come back again and again', { timeout: 120_000 }, async () => {
    const publisher = await Client.connect(daemon);
    const expected = [];
    let isOver = false;
    const publishing = (async () => {
      while (!isOver) expected.push(await publisher.publish('return', expected.length));
    })();
    const start = await publisher.publish('return', 'start');
    const comeBackOften = async () => {
      const seen = [];
      let last = start;
      for (let round = 0; round < 12; round++) {
        const client = await Client.connect(daemon);
        const { recovered } = await client.result('subscribe', {
          topic: 'return',
          sinceEventId: last,
        });
        assert.equal(recovered, true);
        for (const one of await client.take(1 + Math.floor(Math.random() * 20))) seen.push(one.id);
        last = seen.at(-1);
        client.drop();
      }
      return seen;
    };
    const all = await Promise.all(Array.from({ length: 8 }, comeBackOften)).finally(() => {
      isOver = true;
    });
    await publishing;
    const sorted = expected.filter((id) => compareIds(id, start) > 0);
    for (const seen of all) assert.deepEqual(seen, sorted.slice(0, seen.length));
    await publisher.close();
  });
});
