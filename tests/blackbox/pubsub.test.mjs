// Topics, patterns, subscriptions, and what arrives on them.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client, assertIncreasing } from './lib/rpc.mjs';

const VALID_TOPICS = [
  'a',
  'a/b',
  'a//b',
  'a///b',
  'A-Z_0-9',
  '-',
  '_',
  '0',
  'a/b/c/d/e/f/g/h/i/j',
  't'.repeat(1024),
  Array(513).fill('x').join('/').slice(0, 1023),
];
const VALID_PATTERNS = [
  '+',
  '#',
  'a/+',
  'a/#',
  '+/b',
  '+/+',
  '+/#',
  'a/+/c',
  'a//+',
  'a//#',
  'a/+/#',
];
const INVALID = [
  '/',
  '/a',
  'a/',
  '//',
  'a/b/',
  ' ',
  'a b',
  'é',
  'a.b',
  'a*',
  'a\u0000',
  'a\n',
  'a"b',
  'a+',
  '+a',
  'a+/b',
  '#a',
  'a#',
  '#/a',
  'a/#/b',
  '##',
  '++',
  '/+',
  '/#',
  '+/',
  '#/',
  '$a',
  'a\\b',
  't'.repeat(1025),
];

describe('publish and subscribe', () => {
  const daemon = useDaemon();
  let client;

  beforeEach(async () => {
    client = await Client.connect(daemon);
  });
  afterEach(() => client.close());

  async function assertInvalidTopic(method, params, topic) {
    const error = await client.error(method, params);
    assert.equal(error.code, -32602);
    assert.equal(error.message, 'Invalid params');
    // A topic that is too long may be cut in the sentence.
    assert.ok(error.data.startsWith(`Invalid topic in request: ${topic.slice(0, 64)}`), error.data);
  }

  test('every valid topic can be subscribed and published to', async () => {
    for (const topic of VALID_TOPICS) {
      const result = await client.result('subscribe', { topic });
      assert.deepEqual(result, { action: 'subscribe', status: 'ok', topic });
      const sent = await client.result('publish', { topic, message: 'x' });
      assert.match(sent.id, /^\d{13}-\d+$/);
      assert.deepEqual(sent, { action: 'publish', id: sent.id, status: 'ok', topic });
      const [{ id, message, topic: where }] = await client.take(1);
      assert.deepEqual([id, message, where], [sent.id, 'x', topic]);
    }
  });

  test('every valid pattern can be subscribed, and none published to', async () => {
    for (const topic of VALID_PATTERNS) {
      const result = await client.result('subscribe', { topic });
      assert.deepEqual(result, { action: 'subscribe', status: 'ok', topic });
      await assertInvalidTopic('publish', { topic, message: 'x' }, topic);
    }
  });

  test('an invalid topic or pattern is named in the error', async () => {
    for (const topic of INVALID) {
      await assertInvalidTopic('subscribe', { topic }, topic);
      await assertInvalidTopic('publish', { topic, message: 'x' }, topic);
      await assertInvalidTopic('eventlog', { topic, since: -1000 }, topic);
    }
  });

  const wrongParams = {
    'subscribe without params': ['subscribe', undefined],
    'subscribe without a topic': ['subscribe', {}],
    'subscribe to a number': ['subscribe', { topic: 5 }],
    'subscribe to nothing': ['subscribe', { topic: '' }],
    'subscribe to null': ['subscribe', { topic: null }],
    'subscribe to a list': ['subscribe', { topic: ['a'] }],
    'subscribe by position': ['subscribe', ['a']],
    'publish without params': ['publish', undefined],
    'publish without a topic': ['publish', { message: 'x' }],
    'publish to a number': ['publish', { topic: 1, message: 'x' }],
    'publish without a message': ['publish', { topic: 'a' }],
    'publish null': ['publish', { topic: 'a', message: null }],
    'publish the empty string': ['publish', { topic: 'a', message: '' }],
    'publish with a text as ttl': ['publish', { topic: 'a', message: 'x', ttl: 'x' }],
    'publish with a negative ttl': ['publish', { topic: 'a', message: 'x', ttl: -1 }],
    'publish with a text as timestamp': ['publish', { topic: 'a', message: 'x', timestamp: 'x' }],
    'unsubscribe without params': ['unsubscribe', undefined],
    'unsubscribe an object': ['unsubscribe', { topic: 'a' }],
  };
  for (const [name, [method, params]] of Object.entries(wrongParams)) {
    test(`${name} is invalid params`, async () => {
      const error = await client.error(method, params);
      assert.equal(error.code, -32602);
      assert.equal(error.message, 'Invalid params');
      assert.ok(error.data.length > 0);
    });
  }

  const matches = {
    '#': ['a', 'a/b', 'a//b', 'x/y/z'],
    '+': ['a', 'x'],
    'a/+': ['a/b', 'a/x'],
    'a/#': ['a', 'a/b', 'a/x', 'a//b', 'a/b/c'],
    '+/b': ['a/b', 'x/b'],
    'a/+/b': ['a//b', 'a/x/b'],
    'a/+/#': ['a/b', 'a/x', 'a//b', 'a/b/c', 'a/x/b'],
    '+/+': ['a/b', 'a/x', 'x/b'],
    'a//b': ['a//b'],
  };
  const published = [
    'a',
    'x',
    'a/b',
    'a/x',
    'x/b',
    'a//b',
    'a/b/c',
    'a/x/b',
    'x/y/z',
    'ab',
    'ab/c',
  ];
  const expected = (pattern) =>
    published.filter((topic) => {
      const regex = pattern.split('/').reduce((all, level, i) => {
        if (level === '#') return i === 0 ? '.*' : `${all}(/.*)?`;
        return `${all}${i ? '/' : ''}${level === '+' ? '[^/]*' : level}`;
      }, '');
      return new RegExp(`^${regex}$`).test(topic);
    });
  for (const pattern of Object.keys(matches)) {
    test(`${pattern} delivers what it matches and no more`, async () => {
      const id = await client.subscribe(pattern);
      for (const topic of published) await client.publish(topic, topic);
      const seen = (await client.drain()).filter((one) => one.subscription === id);
      assert.deepEqual(
        seen.map((one) => one.topic),
        expected(pattern),
      );
      const wanted = matches[pattern].filter((topic) => published.includes(topic));
      for (const topic of wanted)
        assert.ok(
          seen.some((one) => one.topic === topic),
          topic,
        );
    });
  }

  test('overlapping subscriptions each deliver, with their own ids', async () => {
    const filters = ['o/x', 'o/+', 'o/#', '#', '+/x'];
    for (const filter of filters) await client.result('subscribe', { topic: filter }, filter);
    const id = await client.publish('o/x', 'once each');
    const seen = await client.take(filters.length);
    assert.deepEqual(seen.map((one) => one.subscription).sort(), [...filters].sort());
    for (const one of seen) assert.equal(one.id, id);
    assert.deepEqual(
      (await client.drain()).filter((one) => one.subscription !== '#'),
      [],
    );
  });

  test('subscribing again replaces the id', async () => {
    await client.result('subscribe', { topic: 'r' }, 'old');
    await client.result('subscribe', { topic: 'r/+' }, 'old pattern');
    await client.result('subscribe', { topic: 'r' }, 'new');
    await client.result('subscribe', { topic: 'r/+' }, 'new pattern');
    await client.publish('r', 1);
    await client.publish('r/x', 2);
    const seen = await client.drain();
    assert.deepEqual(
      seen.map((one) => one.subscription),
      ['new', 'new pattern'],
    );
    assert.deepEqual((await client.result('list', [])).sort(), ['r', 'r/+']);
  });

  test('topics compare with case', async () => {
    await client.subscribe('Case/A');
    for (const topic of ['case/a', 'CASE/A', 'Case/A']) await client.publish(topic, topic);
    assert.deepEqual(
      (await client.drain()).map((one) => one.topic),
      ['Case/A'],
    );
  });

  test('a publisher that is not subscribed hears nothing of its own', async () => {
    await client.publish('silent', 'x');
    assert.deepEqual(await client.drain(), []);
  });

  test('messages of one topic arrive in the order of their ids, on every connection', async () => {
    const others = await Promise.all(Array.from({ length: 6 }, () => Client.connect(daemon)));
    for (const other of others) await other.subscribe('order');
    const publishers = await Promise.all(Array.from({ length: 4 }, () => Client.connect(daemon)));
    const rounds = Array.from({ length: 100 }, (_, i) => i);
    const sent = await Promise.all(
      publishers.map((publisher, p) =>
        Promise.all(rounds.map((i) => publisher.publish('order', [p, i]))),
      ),
    );
    const orders = await Promise.all(
      others.map(async (other) => (await other.take(400)).map((one) => one.id)),
    );
    assertIncreasing(orders[0]);
    for (const order of orders) assert.deepEqual(order, orders[0]);
    for (const ids of sent) assertIncreasing(ids);
    assert.deepEqual([...orders[0]].sort(), sent.flat().sort());
    await Promise.all([...others, ...publishers].map((one) => one.close()));
  });

  test('unsubscribe counts what was there', async () => {
    for (const topic of ['u/a', 'u/b', 'u/+']) await client.subscribe(topic);
    const unsubscribe = async (topics) =>
      (await client.result('unsubscribe', topics)).unsubscribe_count;
    assert.equal(await unsubscribe([]), 0);
    assert.equal(await unsubscribe(['never', 'u/c', 'u/#']), 0);
    assert.equal(await unsubscribe(['u/a', 'never', 'u/a']), 1);
    await client.publish('u/a', 1);
    const seen = await client.drain();
    assert.equal(seen.length, 1, 'the pattern still delivers');
    assert.equal(await unsubscribe(['u/+', 'u/b']), 2);
    await client.publish('u/b', 2);
    assert.deepEqual(await client.drain(), []);
    assert.deepEqual(await client.result('list', []), []);
  });

  test('unsubscribeAll counts and ends everything', async () => {
    for (const topic of ['v/a', 'v/+', '#']) await client.subscribe(topic);
    assert.deepEqual(await client.result('unsubscribeAll', []), { unsubscribe_count: 3 });
    assert.deepEqual(await client.result('unsubscribeAll', []), { unsubscribe_count: 0 });
    await client.publish('v/a', 1);
    assert.deepEqual(await client.drain(), []);
  });

  test('list names the topics and patterns of this connection only', async () => {
    const other = await Client.connect(daemon);
    await other.subscribe('not/mine');
    assert.deepEqual(await client.result('list', []), []);
    for (const topic of ['l/b', 'l/+', 'l/a']) await client.subscribe(topic);
    assert.deepEqual((await client.result('list', [])).sort(), ['l/+', 'l/a', 'l/b']);
    await other.close();
  });

  test('subscribing and unsubscribing in a burst ends as the last request says', async () => {
    for (let i = 0; i < 200; i++) {
      client.notify('subscribe', { topic: 'burst' });
      client.notify('unsubscribe', ['burst']);
    }
    const id = await client.subscribe('burst');
    await client.publish('burst', 'x');
    assert.deepEqual(
      (await client.drain()).map((one) => one.subscription),
      [id],
    );
  });
});

describe('MAX_SUBSCRIPTIONS', () => {
  const daemon = useDaemon({ MAX_SUBSCRIPTIONS: '3' });

  test('is the most that one connection may hold', async () => {
    const client = await Client.connect(daemon);
    for (const topic of ['a', 'b/+', 'c']) await client.subscribe(topic);
    const error = await client.error('subscribe', { topic: 'd' });
    assert.ok(error.data.length > 0);
    assert.equal((await client.result('list', [])).length, 3);
    await client.subscribe('a');
    await client.result('unsubscribe', ['a']);
    await client.subscribe('d');
    const other = await Client.connect(daemon);
    await other.subscribe('e');
    await other.close();
    await client.close();
  });
});
