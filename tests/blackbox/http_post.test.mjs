// Publishing and JSON-RPC by POST, by raw bytes, by fetch and by curl.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { useDaemon, withDaemon, withUnreadyDaemon } from './lib/daemon.mjs';
import { assertRefusal, readResponse, requestText } from './lib/http.mjs';
import { makeDirectory } from './lib/redis.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { fullToken, makeToken } from './lib/token.mjs';
import { patience } from './lib/wait.mjs';

const JSON_TYPE = { 'Content-Type': 'application/json' };

/** One POST on a connection of its own; `keptAlive` tells whether it was. */
async function post(port, path, body, headers = {}) {
  const raw = await RawSocket.connect(port);
  try {
    const data = Buffer.from(body);
    const head = requestText('POST', path, { 'Content-Length': String(data.length), ...headers });
    await raw.write(Buffer.concat([Buffer.from(head), data]));
    const response = await readResponse(raw, 'POST');
    return { ...response, keptAlive: response.headers.connection === 'keep-alive' };
  } finally {
    raw.destroy();
  }
}

const postJson = (port, path, value, headers) =>
  post(port, path, JSON.stringify(value), { ...JSON_TYPE, ...headers });

describe('POST to a topic', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon();

  test('publishes the body as text or as JSON', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('news/#');
    for (const [path, body, headers, message] of [
      ['/news', 'hello', {}, 'hello'],
      ['/news/a%2Db', '{"not":"json"}', { 'Content-Type': 'text/plain' }, '{"not":"json"}'],
      ['/news', 'a=1&b=2', { 'Content-Type': 'application/x-www-form-urlencoded' }, 'a=1&b=2'],
      ['/news', ' {"a": [1, "ü"]}\n', JSON_TYPE, { a: [1, 'ü'] }],
      ['/news', '42', { 'content-type': 'application/json; charset=utf-8' }, 42],
      ['/news', '"\\u00e9"', { 'Content-Type': 'Application/Json' }, 'é'],
      ['/news', 'line\r\nline\u0000🦄', {}, 'line\r\nline\u0000🦄'],
    ]) {
      const response = await post(daemon.port, path, body, headers);
      assert.equal(response.status, 200, response.body);
      assert.ok(response.keptAlive);
      const result = JSON.parse(response.body);
      const topic = decodeURIComponent(path.slice(1));
      assert.deepEqual(result, { action: 'publish', id: result.id, status: 'ok', topic });
      const [delivered] = await client.take(1);
      assert.deepEqual(
        [delivered.id, delivered.topic, delivered.message],
        [result.id, topic, message],
      );
    }
    client.drop();
  });

  test('takes a time to live', async () => {
    const client = await Client.connect(daemon);
    const { id } = JSON.parse((await post(daemon.port, '/brief?ttl=1', 'x')).body);
    const first = await client.eventlog('brief', { since: -60_000 });
    assert.deepEqual(
      first.items.map((item) => item.id),
      [id],
    );
    for (;;) {
      const { items } = await client.eventlog('brief', { since: -60_000 });
      if (items.length === 0) break;
    }
    client.drop();
  });

  test('refuses what cannot be published, and goes on', async () => {
    const raw = await RawSocket.connect(daemon.port);
    for (const [body, headers] of [
      ['', {}],
      [Buffer.from([0xff, 0xfe]), {}],
      ['', JSON_TYPE],
      ['{"a":', JSON_TYPE],
      ['null', JSON_TYPE],
      ['""', JSON_TYPE],
      ['1 2', JSON_TYPE],
      ['['.repeat(65) + ']'.repeat(65), JSON_TYPE],
    ]) {
      const data = Buffer.from(body);
      const head = requestText('POST', '/a', { 'Content-Length': data.length, ...headers });
      await raw.write(Buffer.concat([Buffer.from(head), data]));
      const response = await readResponse(raw, 'POST');
      assertRefusal(response, 400);
      assert.equal(response.headers.connection, 'keep-alive');
    }
    raw.destroy();
  });

  test('refuses what is no topic', async () => {
    for (const path of ['/a/', '//a', '/a/%23', '/%2B', '/a%20b', '/%ff', '/a?ttl=-1', '/a?ttl=x',
      '/a?ttl=1.5', '/a?ttl=99999999999', `/${'a'.repeat(1025)}`]) {
      assertRefusal(await post(daemon.port, path, 'x'), 400);
    }
    for (const path of ['/healthz', '/metrics', '/readyz']) {
      const response = await post(daemon.port, path, 'x');
      assertRefusal(response, 405);
      assert.equal(response.headers.allow, 'GET, HEAD, OPTIONS');
    }
  });

  test('works for fetch, many at a time on few connections', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('many');
    const url = `http://127.0.0.1:${daemon.port}/many`;
    const ids = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const response = await fetch(url, { method: 'POST', body: `message ${i}` });
        return (await response.json()).id;
      }),
    );
    const seen = await client.take(200);
    assert.deepEqual(new Set(seen.map(({ id }) => id)), new Set(ids));
    assert.equal(new Set(seen.map(({ message }) => message)).size, 200);
    client.drop();
  });

  test('works for curl: text, files, chunks, several on one connection', async () => {
    const curl = async (...args) => (await promisify(execFile)('curl', ['-sS', ...args])).stdout;
    const client = await Client.connect(daemon);
    await client.subscribe('curl');
    const url = `http://127.0.0.1:${daemon.port}/curl`;
    const path = join(makeDirectory('curl'), 'large');
    const large = 'x'.repeat(900_000);
    writeFileSync(path, large);
    assert.equal(JSON.parse(await curl('-d', 'hello', url)).status, 'ok');
    assert.equal(JSON.parse(await curl('--json', '{"a":1}', url)).status, 'ok');
    assert.equal(JSON.parse(await curl('--data-binary', `@${path}`, url)).status, 'ok');
    const chunked = ['-H', 'Transfer-Encoding: chunked', '--data-binary', `@${path}`];
    assert.equal(JSON.parse(await curl(...chunked, url)).status, 'ok');
    const [a, b] = (await curl('-d', 'x', url, url, '-w', '\n%{num_connects}\n')).trim().split('}');
    assert.match(a, /"ok"/);
    assert.match(b, /^\s*1\s*\{.*"ok"/s);
    const messages = (await client.take(6)).map(({ message }) => message);
    assert.deepEqual(messages, ['hello', { a: 1 }, large, large, 'x', 'x']);
    writeFileSync(path, 'x'.repeat(1_048_577));
    for (const options of [['--data-binary', `@${path}`], chunked]) {
      const status = await curl(...options, url, '-o', '/dev/null', '-w', '%{http_code}');
      assert.equal(status, '413');
    }
    client.drop();
  });
});

describe('JSON-RPC by POST', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon();

  test('answers a call as a WebSocket would', async () => {
    const call = async (method, params, id = 1) => {
      const request = { jsonrpc: '2.0', id, method, params };
      const response = await postJson(daemon.port, '/', request);
      assert.equal(response.status, 200);
      return JSON.parse(response.body);
    };
    const { result } = await call('publish', { topic: 'rpc', message: { a: 1 } });
    assert.equal(result.status, 'ok');
    const log = await call('eventlog', { topic: 'rpc', since: -60_000 }, 'x');
    assert.equal(log.id, 'x');
    assert.deepEqual(log.result.items, [{ id: result.id, message: { a: 1 }, topic: 'rpc' }]);
    assert.equal((await call('set', { key: 'k', value: 'v' })).result.success, true);
    assert.equal((await call('get', { key: 'k' })).result.value, 'v');
    assert.equal((await call('del', { key: 'k' })).result.success, true);
    assert.match((await call('get', { key: 'k' })).error.data, /^KVStore: key not found/);
    assert.equal(typeof (await call('ping', [])).result.pong, 'number');
    for (const method of ['subscribe', 'unsubscribe', 'unsubscribeAll', 'list', 'disconnect']) {
      const { error } = await call(method, { topic: 'a' });
      assert.equal(error.code, -32601);
      assert.match(error.data, /WebSocket/);
    }
  });

  test('answers a batch by one array, in order', async () => {
    const batch = Array.from({ length: 500 }, (_, i) => ({
      jsonrpc: '2.0',
      id: i,
      method: 'publish',
      params: { topic: 'batch', message: i },
    }));
    batch.push({ jsonrpc: '2.0', method: 'publish', params: { topic: 'batch', message: 'note' } });
    batch.push({ jsonrpc: '2.0', id: 'log', method: 'eventlog', params: { topic: 'batch', since: -60_000 } });
    batch.push({ nonsense: true });
    const answers = JSON.parse((await postJson(daemon.port, '/', batch)).body);
    assert.equal(answers.length, 502);
    assert.deepEqual(
      answers.slice(0, 500).map(({ id }) => id),
      batch.slice(0, 500).map(({ id }) => id),
    );
    assert.equal(answers[500].id, 'log');
    // Of a batch each answer has its share of the room, so the oldest may be cut.
    assert.equal(answers[500].result.items.at(-1).message, 'note');
    assert.equal(answers[501].error.code, -32600);
  });

  test('answers notifications by 204, once they are done', async () => {
    const note = { jsonrpc: '2.0', method: 'publish', params: { topic: 'note', message: 1 } };
    for (const body of [note, [note, note]]) {
      const response = await postJson(daemon.port, '/', body);
      assert.equal(response.status, 204);
      assert.equal(response.body, '');
      assert.ok(response.keptAlive);
    }
    const log = { jsonrpc: '2.0', id: 1, method: 'eventlog', params: { topic: 'note', since: -60_000 } };
    const answer = JSON.parse((await postJson(daemon.port, '/', log)).body);
    assert.equal(answer.result.items.length, 3);
  });

  test('tells what is no request', async () => {
    for (const [body, code] of [
      ['{', -32700],
      ['', -32700],
      ['[]', -32600],
      ['1', -32600],
      ['['.repeat(70) + ']'.repeat(70), -32600],
    ]) {
      const response = await post(daemon.port, '/', body, JSON_TYPE);
      assert.equal(response.status, 200);
      assert.equal(JSON.parse(response.body).error.code, code);
    }
    assertRefusal(await post(daemon.port, '/', Buffer.from([0xff]), JSON_TYPE), 400);
    assertRefusal(await post(daemon.port, '/', '{}'), 415);
    assertRefusal(await post(daemon.port, '/', '{}', { 'Content-Type': 'text/json' }), 415);
  });
});

describe('who may POST', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false', ALLOWED_ORIGINS: 'https://good.example' });
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping', params: [] };

  test('is told by the token', async () => {
    const bearer = (token) => ({ Authorization: `Bearer ${token}` });
    const writes = bearer(makeToken({ write: ['a/#'] }));
    const missing = await post(daemon.port, '/a/b', 'x');
    assertRefusal(missing, 401);
    assert.equal(missing.headers['www-authenticate'], 'Bearer');
    assertRefusal(await postJson(daemon.port, '/', ping), 401);
    const forged = makeToken({ write: ['#'] }, { secret: 'another' });
    assertRefusal(await post(daemon.port, '/a/b', 'x', bearer(forged)), 401);
    const denied = await post(daemon.port, '/b', 'x', writes);
    assertRefusal(denied, 403);
    assert.equal(JSON.parse(denied.body).error, 'Insufficient access to topic: b');
    assert.equal((await post(daemon.port, '/a/b', 'x', writes)).status, 200);
    assert.equal((await post(daemon.port, `/a?auth=${fullToken()}`, 'x')).status, 200);
    assert.equal((await postJson(daemon.port, '/', ping, writes)).status, 200);
  });

  test('and by the page that it comes from', async () => {
    const path = `/a?auth=${fullToken()}`;
    const bad = await post(daemon.port, path, 'x', { Origin: 'https://bad.example' });
    assertRefusal(bad, 403);
    assert.equal(bad.headers['access-control-allow-origin'], undefined);
    const good = await post(daemon.port, path, 'x', { Origin: 'https://good.example' });
    assert.equal(good.headers['access-control-allow-origin'], 'https://good.example');
    assert.equal(good.status, 200);
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(requestText('OPTIONS', '/a', {
      Origin: 'https://good.example',
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'authorization,content-type',
    }));
    const preflight = await readResponse(raw, 'OPTIONS');
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers['access-control-allow-origin'], 'https://good.example');
    assert.match(preflight.headers['access-control-allow-methods'], /\bPOST\b/);
    assert.match(preflight.headers['access-control-allow-headers'], /Authorization, Content-Type/);
    raw.destroy();
  });

  test('and how often by its limit', async () => {
    const token = makeToken({
      sub: 'limited',
      write: ['#'],
      rlimit: [{ topic: 'a', interval: 3600, max: 2 }],
    });
    const path = `/a?auth=${token}`;
    const statuses = [];
    let response;
    for (let i = 0; i < 5; i++) {
      response = await post(daemon.port, path, 'x');
      statuses.push(response.status);
    }
    // Should an hour begin meanwhile, there are four.
    assert.ok(statuses.filter((status) => status === 200).length <= 4);
    assert.equal(statuses.at(-1), 429);
    const left = 3600 - ((Date.now() / 1000) % 3600);
    assert.ok(Math.abs(Number(response.headers['retry-after']) - left) < 5);
    assert.ok(response.keptAlive);
    assert.equal((await post(daemon.port, `/b?auth=${token}`, 'x')).status, 200);
  });
});

test('while the store is away, POST is told to come again', { timeout: 60_000 * patience }, () =>
  withUnreadyDaemon({ BACKEND: 'redis', REDIS_HOST: '127.0.0.1', REDIS_PORT: '1' }, async (daemon) => {
    const response = await post(daemon.port, '/a', 'x');
    assertRefusal(response, 503);
    assert.equal(response.headers['retry-after'], '5');
    const call = { jsonrpc: '2.0', id: 1, method: 'publish', params: { topic: 'a', message: 1 } };
    const rpc = await postJson(daemon.port, '/', call);
    assert.equal(JSON.parse(rpc.body).error.code, -32603);
  }),
);

test('ENABLE_HTTP_PUBLISH switches it off', () =>
  withDaemon({ ENABLE_HTTP_PUBLISH: 'false' }, async (daemon) => {
    for (const path of ['/a', '/']) {
      const response = await post(daemon.port, path, 'x', JSON_TYPE);
      assertRefusal(response, 404);
      assert.match(response.body, /ENABLE_HTTP_PUBLISH/);
    }
  }));
