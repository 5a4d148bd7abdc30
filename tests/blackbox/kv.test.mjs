// The key/value store.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';
import { makeToken } from './lib/token.mjs';
import { eventually } from './lib/wait.mjs';

const NOT_FOUND = 'KVStore: key not found';

describe('the key/value store', () => {
  const daemon = useDaemon();
  let client;

  before(async () => {
    client = await Client.connect(daemon);
  });
  after(() => client.close());

  async function assertMissing(key) {
    const error = await client.error('get', { key });
    assert.equal(error.code, -32602);
    assert.equal(error.message, 'Invalid params');
    assert.ok(error.data.startsWith(NOT_FOUND), error.data);
  }

  test('gives back what was set, on every connection', async () => {
    const other = await Client.connect(daemon);
    assert.deepEqual(await client.result('set', { key: 'a/b', value: 'v' }), {
      action: 'set',
      key: 'a/b',
      success: true,
    });
    assert.deepEqual(await other.result('get', { key: 'a/b' }), {
      action: 'get',
      key: 'a/b',
      value: 'v',
    });
    await other.close();
  });

  test('keeps the last value', async () => {
    for (const value of ['one', 'two']) await client.result('set', { key: 'last', value });
    assert.equal((await client.result('get', { key: 'last' })).value, 'two');
  });

  for (const value of ['', 'text', '"quoted" \\ é 🦄 \u0000', 'x'.repeat(100_000)]) {
    test(`holds the text ${JSON.stringify(value).slice(0, 40)}`, async () => {
      await client.result('set', { key: 'text', value });
      assert.equal((await client.result('get', { key: 'text' })).value, value);
    });
  }

  for (const value of ['5', '1.10', 'true', '{"a":[1,null]}', '[]']) {
    test(`holds ${value} byte for byte`, async () => {
      client.send(
        `{"id":"s","jsonrpc":"2.0","method":"set","params":{"key":"raw","value":${value}}}`,
      );
      assert.equal((await client.other()).json.result.success, true);
      const { text } = await client.exchange(
        '{"id":"g","jsonrpc":"2.0","method":"get","params":{"key":"raw"}}',
      );
      assert.ok(text.includes(`"value":${value}`), text);
    });
  }

  test('del removes, and tells whether there was something', async () => {
    await client.result('set', { key: 'gone', value: 'v' });
    assert.deepEqual(await client.result('del', { key: 'gone' }), {
      action: 'del',
      key: 'gone',
      success: true,
    });
    assert.deepEqual(await client.result('del', { key: 'gone' }), {
      action: 'del',
      key: 'gone',
      success: false,
    });
    await assertMissing('gone');
  });

  test('get of a key that never was is an error', () => assertMissing('never'));

  test('a key with a ttl goes, one without stays', async () => {
    await client.result('set', { key: 'ttl/short', value: 'v', ttl: 1 });
    await client.result('set', { key: 'ttl/zero', value: 'v', ttl: 0 });
    await client.result('set', { key: 'ttl/none', value: 'v' });
    await client.result('set', { key: 'ttl/long', value: 'v', ttl: 600 });
    await eventually(
      async () => 'error' in (await client.call('get', { key: 'ttl/short' })),
      'expiry',
    );
    await assertMissing('ttl/short');
    for (const key of ['ttl/zero', 'ttl/none', 'ttl/long']) {
      assert.equal((await client.result('get', { key })).value, 'v');
    }
    assert.equal((await client.result('del', { key: 'ttl/short' })).success, false);
  });

  test('setting again replaces the ttl', async () => {
    await client.result('set', { key: 'again', value: 'v', ttl: 1 });
    await client.result('set', { key: 'again', value: 'w' });
    await client.result('set', { key: 'witness', value: 'v', ttl: 1 });
    await eventually(
      async () => 'error' in (await client.call('get', { key: 'witness' })),
      'expiry',
    );
    assert.equal((await client.result('get', { key: 'again' })).value, 'w');
  });

  const wrong = {
    'get without a key': ['get', {}],
    'get without params': ['get', undefined],
    'get of a number': ['get', { key: 1 }],
    'set without a key': ['set', { value: 'v' }],
    'set without a value': ['set', { key: 'k' }],
    'set of null': ['set', { key: 'k', value: null }],
    'set with a text as ttl': ['set', { key: 'k', value: 'v', ttl: 'long' }],
    'set with a negative ttl': ['set', { key: 'k', value: 'v', ttl: -5 }],
    'del without a key': ['del', {}],
    'del of null': ['del', { key: null }],
  };
  for (const [name, [method, params]] of Object.entries(wrong)) {
    test(`${name} is invalid params`, async () => {
      const error = await client.error(method, params);
      assert.equal(error.code, -32602);
      assert.ok(error.data.length > 0);
    });
  }

  test('many keys are independent', async () => {
    const keys = Array.from({ length: 500 }, (_, i) => `many/${i}`);
    await Promise.all(keys.map((key) => client.result('set', { key, value: `value of ${key}` })));
    const values = await Promise.all(keys.map((key) => client.result('get', { key })));
    values.forEach((one, i) => assert.equal(one.value, `value of ${keys[i]}`));
  });
});

describe('keys and tokens', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });

  test('a key is checked like a topic', async () => {
    const token = makeToken({ read: ['r/#', 'both/+'], write: ['w/+', 'both/+'] });
    const client = await Client.connect(daemon, { token });
    const denied = async (method, key) => {
      const error = await client.error(method, { key, value: 'v' });
      assert.equal(error.code, -32602);
      assert.ok(error.data.includes(key), error.data);
    };
    assert.equal((await client.result('set', { key: 'w/a', value: 'v' })).success, true);
    assert.equal((await client.result('del', { key: 'w/a' })).success, true);
    await client.result('set', { key: 'both/x', value: 'v' });
    assert.equal((await client.result('get', { key: 'both/x' })).value, 'v');
    assert.ok((await client.error('get', { key: 'r/deep/er' })).data.startsWith(NOT_FOUND));
    await denied('get', 'w/a');
    await denied('set', 'r/a');
    await denied('del', 'r/a');
    await denied('set', 'w/a/b');
    await denied('get', 'elsewhere');
    await client.close();
  });
});

describe('ENABLE_KVSTORE=false', () => {
  const daemon = useDaemon({ ENABLE_KVSTORE: 'false' });

  for (const method of ['get', 'set', 'del']) {
    test(`makes ${method} an error`, async () => {
      const client = await Client.connect(daemon);
      const error = await client.error(method, { key: 'k', value: 'v' });
      assert.deepEqual(
        [error.code, error.message, error.data],
        [-32602, 'Invalid params', 'KVStore is not enabled.'],
      );
      await client.close();
    });
  }
});
