// JSON-RPC 2.0: ids, batches, notifications, and what is an error of which kind.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';

const PHRASES = {
  [-32700]: 'Parse error',
  [-32600]: 'Invalid request',
  [-32601]: 'Method not found',
  [-32602]: 'Invalid params',
};

function assertError(response, code, id) {
  assert.equal(response.jsonrpc, '2.0');
  assert.deepEqual(response.id, id);
  assert.equal(response.error?.code, code, JSON.stringify(response));
  assert.equal(response.error.message, PHRASES[code]);
  assert.equal(typeof response.error.data, 'string');
  assert.ok(response.error.data.length > 0, 'a sentence for a person');
  assert.ok(!('result' in response));
}

function assertPong(response, id) {
  assert.deepEqual(Object.keys(response).sort(), ['id', 'jsonrpc', 'result']);
  assert.equal(response.jsonrpc, '2.0');
  assert.deepEqual(response.id, id);
  assert.ok(Math.abs(response.result.pong - Date.now()) < 60_000);
}

describe('JSON-RPC', () => {
  const daemon = useDaemon();
  let client;

  before(async () => {
    client = await Client.connect(daemon);
  });
  after(() => client.close());

  const ping = (id) => `{"id":${id},"jsonrpc":"2.0","method":"ping","params":[]}`;

  describe('an id comes back exactly', () => {
    for (const id of [
      '0',
      '1',
      '-1',
      '9007199254740991',
      '-9007199254740991',
      '18446744073709551615',
      '"text"',
      '""',
      '"with \\"quotes\\" and \\\\"',
      '"/"',
      '"\\u0000"',
      '"\\ud83e\\udd84"',
      '"🦄 é"',
      '"\\n\\t"',
      'null',
    ]) {
      test(id, async () => {
        const { json, text } = await client.exchange(ping(id));
        assertPong(json, JSON.parse(id));
        if (/^-?\d+$/.test(id)) assert.ok(text.includes(`"id":${id},`), text);
      });
    }

    test('also with an error', async () => {
      const { json } = await client.exchange('{"id":"\\"","jsonrpc":"2.0","method":"none"}');
      assertError(json, -32601, '"');
    });

    test('also with a delivery', async () => {
      const id = 'the "id" 🦄';
      await client.result('subscribe', { topic: 'ids' }, id);
      await client.publish('ids', 'x');
      assert.equal((await client.delivery()).json.id, id);
    });
  });

  describe('a method name', () => {
    for (const name of ['ping', 'PING', 'Ping', 'pInG']) {
      test(`${name} is the same method`, async () => {
        assertPong(await client.call(name, []), client.nextId - 1);
      });
    }

    test('compares without case in every method', async () => {
      const other = await Client.connect(daemon);
      await other.result('SubScribe', { topic: 'case' });
      assert.equal((await other.result('PUBLISH', { topic: 'case', message: 1 })).status, 'ok');
      assert.ok((await other.result('LIST', [])).includes('case'));
      await other.result('EventLog', { topic: 'case', since: -1000 });
      assert.equal((await other.result('unSUBscribe', ['case'])).unsubscribe_count, 1);
      await other.result('UNSUBSCRIBEALL', []);
      await other.result('Set', { key: 'case', value: 'v' });
      assert.equal((await other.result('GET', { key: 'case' })).value, 'v');
      assert.equal((await other.result('dEl', { key: 'case' })).success, true);
      await other.close();
    });

    for (const name of ['', 'pin', 'pings', 'ping ', 'ping\u0000', 'subscribe_all', 'é']) {
      test(`${JSON.stringify(name)} is not found`, async () => {
        assertError(await client.call(name, []), -32601, client.nextId - 1);
      });
    }
  });

  describe('a request', () => {
    for (const [name, text] of Object.entries({
      'without params': '{"id":1,"jsonrpc":"2.0","method":"ping"}',
      'with an object as params': '{"id":1,"jsonrpc":"2.0","method":"ping","params":{}}',
      'with members in another order': '{"params":[],"method":"ping","jsonrpc":"2.0","id":1}',
      'with white space':
        ' \t\r\n{ "id" : 1 , "jsonrpc":"2.0"\n,"method":"ping" , "params" : [ ] }\n',
      'with members that we do not know': '{"id":1,"x":{"y":[1]},"jsonrpc":"2.0","method":"ping"}',
      'with escapes in names': '{"\\u0069d":1,"jsonrpc":"2.\\u0030","met\\u0068od":"p\\u0069ng"}',
    })) {
      test(`${name} is served`, async () => {
        assertPong((await client.exchange(text)).json, 1);
      });
    }
  });

  describe('a text is a parse error when it is', () => {
    for (const [name, text] of Object.entries({
      empty: '',
      blank: ' ',
      'a word': 'hello',
      'cut short': '{"id":1',
      'a lone brace': '{',
      'followed by more': '{"id":1,"jsonrpc":"2.0","method":"ping"} x',
      'two requests': `${ping(1)}${ping(2)}`,
      'with a trailing comma': '[1,]',
      'with single quotes': "{'id':1}",
      'a leading zero': '[01]',
      'not a number': '[NaN]',
      'a plus sign': '[+1]',
      'a bare point': '[1.]',
      'half an exponent': '[1e]',
      'a raw control character': '["\n"]',
      'a bad escape': '["\\x"]',
      'half a \\u escape': '["\\u12"]',
      'a comment': '/**/[]',
      'a byte order mark': '\ufeff{}',
      'a key without quotes': '{id:1}',
      'a missing colon': '{"id" 1}',
      'a stray bracket': ']',
      'mismatched brackets': '[}',
    })) {
      test(name, async () => assertError((await client.exchange(text)).json, -32700, null));
    }
  });

  describe('JSON is an invalid request when it is', () => {
    const cases = {
      'a number': ['1', null],
      'a string': ['"x"', null],
      true: ['true', null],
      null: ['null', null],
      'an empty object': ['{}', null],
      'an empty batch': ['[]', null],
      'without jsonrpc': ['{"id":1,"method":"ping"}', 1],
      'of jsonrpc 1.0': ['{"id":1,"jsonrpc":"1.0","method":"ping"}', 1],
      'of jsonrpc as a number': ['{"id":1,"jsonrpc":2.0,"method":"ping"}', 1],
      'without a method': ['{"id":1,"jsonrpc":"2.0","params":[]}', 1],
      'with a number as method': ['{"id":"a","jsonrpc":"2.0","method":1}', 'a'],
      'with null as method': ['{"id":"a","jsonrpc":"2.0","method":null}', 'a'],
      'with a string as params': ['{"id":1,"jsonrpc":"2.0","method":"ping","params":"x"}', 1],
      'with a number as params': ['{"id":1,"jsonrpc":"2.0","method":"ping","params":5}', 1],
      'with true as id': ['{"id":true,"jsonrpc":"2.0","method":"ping"}', null],
      'with a list as id': ['{"id":[1],"jsonrpc":"2.0","method":"ping"}', null],
      'with an object as id': ['{"id":{"a":1},"jsonrpc":"2.0","method":"ping"}', null],
    };
    for (const [name, [text, id]] of Object.entries(cases)) {
      test(name, async () => assertError((await client.exchange(text)).json, -32600, id));
    }
  });

  describe('nesting', () => {
    // The request and its params are two levels.
    const nested = (levels) => {
      const message = `${'['.repeat(levels - 2)}${']'.repeat(levels - 2)}`;
      const params = `{"topic":"n","message":${message}}`;
      return `{"id":1,"jsonrpc":"2.0","method":"publish","params":${params}}`;
    };

    test('of 64 levels is served', async () => {
      const { json } = await client.exchange(nested(64));
      assert.equal(json.result?.status, 'ok', JSON.stringify(json));
    });

    for (const levels of [65, 66, 1000, 100_000]) {
      test(`of ${levels} levels is an invalid request`, async () => {
        assertError((await client.exchange(nested(levels))).json, -32600, null);
      });
    }

    for (const [name, text] of Object.entries({
      'open brackets': '['.repeat(100_000),
      'open braces': '{"a":'.repeat(100_000),
      brackets: `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    })) {
      test(`of 100,000 ${name} is answered, and the connection goes on`, async () => {
        const { json } = await client.exchange(text);
        assert.ok([-32600, -32700].includes(json.error.code), JSON.stringify(json));
        assert.equal(json.id, null);
        assertPong((await client.exchange(ping(5))).json, 5);
      });
    }
  });

  describe('a notification', () => {
    test('runs, and nothing is answered', async () => {
      const id = await client.subscribe('notify');
      client.notify('publish', { topic: 'notify', message: 'quietly' });
      const { json } = await client.delivery();
      assert.deepEqual([json.id, json.result.message], [id, 'quietly']);
      assertPong((await client.exchange(ping('"next"'))).json, 'next');
    });

    test('that fails is not answered either', async () => {
      client.notify('no such method', []);
      client.notify('publish', { topic: '+', message: 'x' });
      client.notify('get', { key: 'missing' });
      assertPong((await client.exchange(ping('"after"'))).json, 'after');
    });
  });

  describe('a batch', () => {
    const byId = (list) => Object.fromEntries(list.map((one) => [String(one.id), one]));

    test('is answered by one array', async () => {
      const { json } = await client.exchange(`[${ping(1)},${ping('"b"')},${ping('null')}]`);
      assert.equal(json.length, 3);
      const answers = byId(json);
      assertPong(answers['1'], 1);
      assertPong(answers.b, 'b');
      assertPong(answers.null, null);
    });

    test('of one is still answered by an array', async () => {
      const { json } = await client.exchange(`[${ping(7)}]`);
      assert.equal(json.length, 1);
      assertPong(json[0], 7);
    });

    test('waits for the store, and mixes results and errors', async () => {
      const { json } = await client.exchange(
        JSON.stringify([
          { id: 1, jsonrpc: '2.0', method: 'publish', params: { topic: 'batch', message: 1 } },
          { id: 2, jsonrpc: '2.0', method: 'set', params: { key: 'batch', value: 'v' } },
          { id: 3, jsonrpc: '2.0', method: 'get', params: { key: 'batch' } },
          { id: 4, jsonrpc: '2.0', method: 'nothing' },
          { id: 5, jsonrpc: '2.0', method: 'eventlog', params: { topic: 'batch', since: -60_000 } },
          { id: 6, jsonrpc: '2.0', method: 'publish', params: { topic: 'b/#', message: 1 } },
          7,
        ]),
      );
      assert.equal(json.length, 7);
      const answers = byId(json);
      assert.equal(answers[1].result.status, 'ok');
      assert.equal(answers[2].result.success, true);
      assert.equal(answers[3].result.value, 'v');
      assertError(answers[4], -32601, 4);
      assert.equal(answers[5].result.items.length, 1);
      assertError(answers[6], -32602, 6);
      assertError(answers.null, -32600, null);
    });

    test('with a disconnect is answered before the connection closes', async () => {
      const leaving = await Client.connect(daemon);
      const { json } = await leaving.exchange(
        JSON.stringify([
          { id: 1, jsonrpc: '2.0', method: 'disconnect', params: [] },
          { id: 2, jsonrpc: '2.0', method: 'ping', params: [] },
          { id: 3, jsonrpc: '2.0', method: 'publish', params: { topic: 'left', message: 1 } },
        ]),
      );
      assert.deepEqual(json.map((one) => one.id), [2, 3]);
      assertPong(json[0], 2);
      assert.equal(json[1].result.status, 'ok');
      assert.equal((await leaving.closed).code, 1000);
    });

    test('leaves its notifications unanswered', async () => {
      const note = '{"jsonrpc":"2.0","method":"ping"}';
      const { json } = await client.exchange(`[${note},${ping(1)},${note}]`);
      assert.equal(json.length, 1);
      assertPong(json[0], 1);
    });

    test('of notifications is not answered at all', async () => {
      const note = '{"jsonrpc":"2.0","method":"publish","params":{"topic":"q","message":1}}';
      client.send(`[${note},${note}]`);
      assertPong((await client.exchange(ping('"sole answer"'))).json, 'sole answer');
    });

    test('of things that are no requests is answered by as many errors', async () => {
      const { json } = await client.exchange('[1,"x",null,[],{}]');
      assert.equal(json.length, 5);
      for (const one of json) assertError(one, -32600, null);
    });

    test('that is cut short is one parse error', async () => {
      assertError((await client.exchange(`[${ping(1)},`)).json, -32700, null);
    });

    test('of 2,000 requests is served', async () => {
      const { json } = await client.exchange(
        `[${Array.from({ length: 2000 }, (_, i) => ping(i)).join(',')}]`,
      );
      assert.equal(json.length, 2000);
      assert.equal(new Set(json.map((one) => one.id)).size, 2000);
    });
  });

  test('disconnect closes with 1000', async () => {
    const leaver = await Client.connect(daemon);
    leaver.send('{"id":1,"jsonrpc":"2.0","method":"disconnect","params":[]}');
    assert.equal((await leaver.closed).code, 1000);
    assert.deepEqual(leaver.others, []);
  });

  test('what is answered before a disconnect arrives before the close', async () => {
    const leaver = await Client.connect(daemon);
    const requests = Array.from({ length: 20 }, (_, i) => ping(i));
    for (const one of requests) leaver.send(one);
    leaver.send('{"jsonrpc":"2.0","method":"disconnect","params":[]}');
    assert.equal((await leaver.closed).code, 1000);
    assert.deepEqual(
      leaver.others.map(({ json }) => json.id),
      requests.map((_, i) => i),
    );
  });
});
