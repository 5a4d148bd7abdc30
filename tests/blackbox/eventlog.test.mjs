// History: the eventlog method in all its forms, and when it says that something is gone.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { Client, assertIncreasing, parseId } from './lib/rpc.mjs';
import { eventually } from './lib/wait.mjs';

const messagesOf = ({ items }) => items.map((one) => one.message);

async function publishAll(client, topic, messages, params) {
  const ids = [];
  for (const message of messages) ids.push(await client.publish(topic, message, params));
  return ids;
}

function useClient(daemon) {
  const holder = {};
  before(async () => {
    holder.client = await Client.connect(daemon);
  });
  after(() => holder.client.close());
  return holder;
}

describe('eventlog', () => {
  const daemon = useDaemon();
  const held = useClient(daemon);

  test('answers what was published, oldest first, as it was delivered', async () => {
    const { client } = held;
    const ids = await publishAll(client, 'log/form', [1, { two: 2 }, '3']);
    const result = await client.eventlog('log/form', { since: -60_000 });
    assert.deepEqual(result, {
      action: 'eventlog',
      status: 'ok',
      topic: 'log/form',
      items: [1, { two: 2 }, '3'].map((message, i) => ({ id: ids[i], message, topic: 'log/form' })),
      recovered: true,
    });
    assertIncreasing(ids);
  });

  test('of a topic without messages is empty and complete', async () => {
    const { items, recovered } = await held.client.eventlog('log/never', { since: -60_000 });
    assert.deepEqual([items, recovered], [[], true]);
  });

  test('since a moment answers what came after it', async () => {
    const { client } = held;
    const start = Date.now() - 50_000;
    for (let i = 0; i < 5; i++) {
      await client.publish('log/since', i, { timestamp: start + i * 10_000 });
    }
    const since = async (moment) =>
      messagesOf(await client.eventlog('log/since', { since: moment }));
    assert.deepEqual(await since(1), [0, 1, 2, 3, 4]);
    assert.deepEqual(await since(start - 5), [0, 1, 2, 3, 4]);
    assert.deepEqual(await since(start + 15_000), [2, 3, 4]);
    assert.deepEqual(await since(start + 45_000), []);
    assert.deepEqual(await since(Date.now() + 3_600_000), []);
  });

  test('since 0 asks for no history', async () => {
    const { client } = held;
    await client.publish('log/zero', 1);
    assert.deepEqual((await client.eventlog('log/zero', { since: 0 })).items, []);
  });

  test('since a negative number counts back from now', async () => {
    const { client } = held;
    const now = Date.now();
    await client.publish('log/back', 'older', { timestamp: now - 40_000 });
    await client.publish('log/back', 'newer', { timestamp: now - 20_000 });
    const since = async (ms) => messagesOf(await client.eventlog('log/back', { since: ms }));
    assert.deepEqual(await since(-1000), []);
    assert.deepEqual(await since(-30_000), ['newer']);
    assert.deepEqual(await since(-50_000), ['older', 'newer']);
    assert.deepEqual(await since(-9e15), ['older', 'newer']);
  });

  test('since an id answers what follows it, by either name', async () => {
    const { client } = held;
    const ids = await publishAll(client, 'log/id', ['a', 'b', 'c', 'd']);
    for (const name of ['since', 'sinceEventId']) {
      for (let i = 0; i < ids.length; i++) {
        const result = await client.eventlog('log/id', { [name]: ids[i] });
        assert.deepEqual(messagesOf(result), ['a', 'b', 'c', 'd'].slice(i + 1), name);
        assert.equal(result.recovered, true);
      }
    }
  });

  test('keeps the newest of a limit and says that others were cut', async () => {
    const { client } = held;
    await publishAll(client, 'log/limit', [1, 2, 3, 4, 5]);
    const limited = async (limit) => {
      const result = await client.eventlog('log/limit', { since: -60_000, limit });
      return [messagesOf(result), result.recovered];
    };
    assert.deepEqual(await limited(2), [[4, 5], false]);
    assert.deepEqual(await limited(4), [[2, 3, 4, 5], false]);
    assert.deepEqual(await limited(5), [[1, 2, 3, 4, 5], true]);
    assert.deepEqual(await limited(100), [[1, 2, 3, 4, 5], true]);
  });

  test('of a pattern merges its topics by id', async () => {
    const { client } = held;
    const topics = ['merge/a', 'merge/b', 'merge/c', 'merge/b/deep', 'merge'];
    const sent = [];
    for (let i = 0; i < 25; i++) {
      const topic = topics[(i * 7) % 5];
      sent.push({ id: await client.publish(topic, i), message: i, topic });
    }
    const all = await client.eventlog('merge/#', { since: -60_000 });
    assert.deepEqual([all.items, all.recovered], [sent, true]);
    const single = await client.eventlog('merge/+', { since: -60_000 });
    assert.deepEqual(
      single.items,
      sent.filter((one) => /^merge\/.$/.test(one.topic)),
    );
    const tail = await client.eventlog('merge/#', { sinceEventId: sent[9].id, limit: 4 });
    assert.deepEqual([tail.items, tail.recovered], [sent.slice(-4), false]);
    const rest = await client.eventlog('merge/#', { sinceEventId: sent[9].id });
    assert.deepEqual([rest.items, rest.recovered], [sent.slice(10), true]);
  });

  const wrong = {
    'without a topic': { since: -1000 },
    'without a point in time': { topic: 'a' },
    'since true': { topic: 'a', since: true },
    'since an object': { topic: 'a', since: {} },
    'since a text that is no id': { topic: 'a', since: 'yesterday' },
    'since an event id that is none': { topic: 'a', sinceEventId: 'x-1' },
    'since an event id with more behind it': { topic: 'a', sinceEventId: '1-1-1' },
    'since an event id that is a list': { topic: 'a', sinceEventId: [] },
    'with a limit that is a text': { topic: 'a', since: -1000, limit: 'all' },
    'with a limit below zero': { topic: 'a', since: -1000, limit: -1 },
  };
  for (const [name, params] of Object.entries(wrong)) {
    test(`${name} is invalid params`, async () => {
      const error = await held.client.error('eventlog', params);
      assert.deepEqual([error.code, error.message], [-32602, 'Invalid params']);
      assert.ok(error.data.length > 0);
    });
    if (name !== 'without a point in time') {
      test(`subscribe ${name} is invalid params`, async () => {
        assert.equal((await held.client.error('subscribe', params)).code, -32602);
      });
    }
  }
});

describe('the timestamp of a message', () => {
  const daemon = useDaemon();
  const held = useClient(daemon);

  test('is the millisecond part of its id, as far as ids increase', async () => {
    const { client } = held;
    const t = Date.now() - 100_000;
    const at = (timestamp) => client.publish('stamp', 'x', { timestamp });
    const ids = [await at(t), await at(t + 5), await at(t + 5), await at(t + 6)];
    assert.deepEqual(
      ids.slice(0, 2).map((id) => parseId(id)[0]),
      [BigInt(t), BigInt(t + 5)],
    );
    const before = Date.now();
    ids.push(await at(t));
    assert.ok(parseId(ids[4])[0] >= BigInt(before - 1000), "the server's own next id");
    ids.push(await client.publish('stamp', 'y'));
    assertIncreasing(ids);
  });

  test('in the future pushes the topic on, and later ids still increase', async () => {
    const { client } = held;
    const future = Date.now() + 600_000;
    const ids = [await client.publish('ahead', 1, { timestamp: future })];
    assert.equal(parseId(ids[0])[0], BigInt(future));
    for (let i = 0; i < 3; i++) ids.push(await client.publish('ahead', i));
    ids.push(await client.publish('ahead', 9, { timestamp: Date.now() }));
    assertIncreasing(ids);
    const other = await client.publish('elsewhere', 1);
    assert.ok(parseId(other)[0] < BigInt(future), 'other topics are not pushed');
  });

  test('zero is no timestamp', async () => {
    const id = await held.client.publish('stamp/zero', 1, { timestamp: 0 });
    assert.ok(Math.abs(Number(parseId(id)[0]) - Date.now()) < 60_000);
  });
});

describe('what is gone', () => {
  const daemon = useDaemon({ MAX_CACHE_LENGTH: '5', MAX_CACHE_REQUEST_LIMIT: '4' });
  const held = useClient(daemon);

  test('by MAX_CACHE_LENGTH is reported by recovered, as far as it was asked for', async () => {
    const { client } = held;
    const ids = await publishAll(client, 'gone/trim', [1, 2, 3, 4, 5, 6, 7]);
    const after = async (id) => {
      const result = await client.eventlog('gone/trim', { sinceEventId: id });
      return [messagesOf(result), result.recovered];
    };
    assert.deepEqual(await after(ids[2]), [[4, 5, 6, 7], true]);
    assert.deepEqual(await after(ids[3]), [[5, 6, 7], true]);
    assert.deepEqual(await after(ids[0]), [[4, 5, 6, 7], false]);
    const byPattern = await client.eventlog('gone/+', { sinceEventId: ids[0], limit: 100 });
    assert.equal(byPattern.recovered, false);
  });

  test('is no more than MAX_CACHE_REQUEST_LIMIT in one answer', async () => {
    const { client } = held;
    await publishAll(client, 'gone/cap', [1, 2, 3, 4, 5]);
    const result = await client.eventlog('gone/cap', { since: -60_000, limit: 1_000_000 });
    assert.deepEqual([messagesOf(result), result.recovered], [[2, 3, 4, 5], false]);
  });

  test('since a moment before anything was trimmed is reported too', async () => {
    const { client } = held;
    await publishAll(client, 'gone/since', [1, 2, 3, 4, 5, 6]);
    const { recovered } = await client.eventlog('gone/since', { since: -60_000, limit: 4 });
    assert.equal(recovered, false);
  });

  test('by its ttl is never returned, and reported', async () => {
    const { client } = held;
    const first = await client.publish('gone/ttl', 'stays', { ttl: 600 });
    const second = await client.publish('gone/ttl', 'goes', { ttl: 2 });
    await client.publish('gone/ttl', 'stays too', { ttl: 600 });
    const read = (id) => client.eventlog('gone/ttl', { sinceEventId: id });
    assert.deepEqual(messagesOf(await read('1-0')), ['stays', 'goes', 'stays too']);
    const rest = await eventually(async () => {
      const result = await read(first);
      return result.items.length === 1 && result;
    }, 'expiry');
    assert.deepEqual([messagesOf(rest), rest.recovered], [['stays too'], false]);
    const later = await read(second);
    assert.deepEqual([messagesOf(later), later.recovered], [['stays too'], true]);
  });

  test('stays known when nothing is left', async () => {
    const { client } = held;
    const first = await client.publish('gone/all', 'a', { ttl: 1 });
    const second = await client.publish('gone/all', 'b', { ttl: 1 });
    await eventually(async () => {
      const { items } = await client.eventlog('gone/all', { since: -60_000 });
      return items.length === 0;
    }, 'expiry');
    const read = async (id) => (await client.eventlog('gone/all', { sinceEventId: id })).recovered;
    assert.equal(await read(first), false);
    assert.equal(await read(second), true);
  });
});

describe('DEFAULT_CACHE_TTL', () => {
  const daemon = useDaemon({ DEFAULT_CACHE_TTL: '1' });
  const held = useClient(daemon);

  test('holds where ttl is absent or 0, and only there', async () => {
    const { client } = held;
    await client.publish('ttl', 'absent');
    await client.publish('ttl', 'zero', { ttl: 0 });
    await client.publish('ttl', 'long', { ttl: 600 });
    const left = await eventually(async () => {
      const { items } = await client.eventlog('ttl', { since: -60_000 });
      return items.length === 1 && items;
    }, 'expiry');
    assert.equal(left[0].message, 'long');
  });
});

describe('ENABLE_CACHE=false', () => {
  const daemon = useDaemon({ ENABLE_CACHE: 'false' });
  const held = useClient(daemon);

  test('makes eventlog an error', async () => {
    const error = await held.client.error('eventlog', { topic: 'a', since: -1000 });
    assert.equal(error.code, -32602);
    assert.ok(error.data.length > 0);
  });

  test('leaves publish and subscribe as they are', async () => {
    const { client } = held;
    await client.subscribe('off');
    const id = await client.publish('off', 'x');
    assert.equal((await client.delivery()).json.result.id, id);
  });
});

describe('a restart', () => {
  test('of a daemon without persistence is not passed off as a complete history', async () => {
    let id;
    await withDaemon({}, async (daemon) => {
      const client = await Client.connect(daemon);
      id = await client.publish('restart', 1);
      await client.publish('restart', 2);
      await client.close();
    });
    await withDaemon({}, async (daemon) => {
      const client = await Client.connect(daemon);
      for (const topic of ['restart', 'restart/#']) {
        const { items, recovered } = await client.eventlog(topic, { sinceEventId: id });
        assert.deepEqual([items, recovered], [[], false], topic);
      }
      await client.close();
    });
  });
});
