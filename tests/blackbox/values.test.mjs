// Any JSON value but null and '' is a message, and arrives as the bytes that were written.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';

const VALUES = [
  '1',
  '0',
  '-0',
  '1.10',
  '1e400',
  '-1E-400',
  '1.0',
  '1e5',
  '123456789012345678901234567890',
  '0.1000000000000000055511151231257827',
  'true',
  'false',
  '"text"',
  '" "',
  '"\\u0000"',
  '"\\u0041\\/"',
  '"\\ud83e\\udd84"',
  '"🦄 κόσμε"',
  '"\\"\\\\\\b\\f\\n\\r\\t"',
  '"\\ud800"',
  '"null"',
  '[]',
  '{}',
  '[[],[{}]]',
  '{"b":1,"a":2,"b":3}',
  '{"":""}',
  '{"message":null,"topic":"forged","id":"1-1"}',
  '[null,null]',
  '{"deep":{"deeper":[1.10,{"deepest":[true,null,"\\u00e9"]}]}}',
  '"</script>"',
  '"\u2028\u2029"',
  `"${'long '.repeat(20_000)}"`,
];

const short = (text) => (text.length > 60 ? `${text.slice(0, 57)}...` : text);

describe('a message', () => {
  const daemon = useDaemon();
  let publisher;
  let subscriber;

  before(async () => {
    publisher = await Client.connect(daemon);
    subscriber = await Client.connect(daemon);
    await subscriber.subscribe('values');
  });
  after(async () => {
    await publisher.close();
    await subscriber.close();
  });

  const publish = (value, topic = 'values') =>
    publisher.exchange(
      '{"id":1,"jsonrpc":"2.0","method":"publish",' +
        `"params":{"message":${value},"topic":"${topic}"}}`,
    );

  for (const value of VALUES) {
    test(`${short(value)} arrives byte for byte`, async () => {
      const { json } = await publish(value);
      assert.equal(json.result?.status, 'ok', JSON.stringify(json));
      const { text } = await subscriber.delivery();
      assert.ok(text.includes(`"message":${value},"topic":"values"`), short(text));
      assert.equal(JSON.parse(text).result.id, json.result.id);
    });
  }

  test('keeps its bytes in history', async () => {
    for (const value of VALUES) await publish(value, 'kept');
    subscriber.send(
      '{"id":"log","jsonrpc":"2.0","method":"eventlog","params":{"topic":"kept","since":-60000}}',
    );
    const { text, json } = await subscriber.other((one) => one.id === 'log');
    assert.equal(json.result.items.length, VALUES.length);
    for (const value of VALUES) assert.ok(text.includes(`"message":${value}`), short(value));
  });

  test('with white space around and inside is the same value', async () => {
    const value = ' \n{ "a" : [ 1.10 ,\t2 ] }\r\n ';
    await publish(value);
    const { text } = await subscriber.delivery();
    assert.deepEqual(JSON.parse(text).result.message, { a: [1.1, 2] });
    assert.ok(text.includes('1.10'));
  });

  for (const value of ['null', '""', ' null ', '  ""']) {
    test(`${value} is refused`, async () => {
      const { json } = await publish(value);
      assert.equal(json.error?.code, -32602);
      assert.ok(json.error.data.length > 0);
    });
  }

  test('that is named twice is the last one, and is not heard twice', async () => {
    await publish('"first","message":"second"');
    const { json } = await subscriber.delivery();
    assert.equal(json.result.message, 'second');
  });

  test('reaches a subscription with an odd id unharmed', async () => {
    const other = await Client.connect(daemon);
    await other.result('subscribe', { topic: 'values' }, '"},{"');
    await publish('"x"');
    const { json } = await other.delivery();
    assert.equal(json.id, '"},{"');
    assert.equal(json.result.message, 'x');
    await other.close();
  });
});
