// Who gets in and for how long: tokens, their sources and their claims.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { assertRefusal, exchange, get } from './lib/http.mjs';
import { Client } from './lib/rpc.mjs';
import { fullToken, makeToken, nowSeconds } from './lib/token.mjs';
import { isSanitized, withDeadline } from './lib/wait.mjs';
import { RawWebSocket, upgradeRequest } from './lib/websocket.mjs';

const BAD = 'not.a.token';

describe('the token', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });
  const good = fullToken();

  const sources = {
    'Authorization alone': { headers: { Authorization: good } },
    'Authorization with Bearer': { headers: { Authorization: `Bearer ${good}` } },
    'the query': { path: `/?auth=${good}` },
    'the query among others': { path: `/some/path?x=1&auth=${good}&y=2` },
    'the query with escapes': { path: `/?auth=${good.replaceAll('.', '%2E')}` },
    'the subprotocol': {
      headers: { 'Sec-WebSocket-Protocol': `eventhub.v1, eventhub.auth.${good}` },
    },
    'the subprotocol in two lines': {
      headers: { 'Sec-WebSocket-Protocol': [`eventhub.auth.${good}`, 'eventhub.v1'] },
    },
    'Authorization before the query': {
      path: `/?auth=${BAD}`,
      headers: { Authorization: good },
    },
    'the query before the subprotocol': {
      path: `/?auth=${good}`,
      headers: { 'Sec-WebSocket-Protocol': `eventhub.v1, eventhub.auth.${BAD}` },
    },
  };
  for (const [name, options] of Object.entries(sources)) {
    test(`comes from ${name}`, async () => {
      const ws = await RawWebSocket.open(daemon.port, options);
      const offered = options.headers?.['Sec-WebSocket-Protocol'];
      assert.equal(ws.response.headers['sec-websocket-protocol'], offered && 'eventhub.v1');
      await ws.close();
    });
  }

  const refusedSources = {
    'is absent': upgradeRequest('/'),
    'is empty': upgradeRequest('/?auth='),
    'is "undefined"': upgradeRequest('/?auth=undefined'),
    'is bad in Authorization, though good in the query': upgradeRequest(`/?auth=${good}`, {
      Authorization: BAD,
    }),
    'is bad in the query, though good in the subprotocol': upgradeRequest(`/?auth=${BAD}`, {
      'Sec-WebSocket-Protocol': `eventhub.v1, eventhub.auth.${good}`,
    }),
    'is bad in the subprotocol': upgradeRequest('/', {
      'Sec-WebSocket-Protocol': `eventhub.v1, eventhub.auth.${BAD}`,
    }),
  };
  for (const [name, request] of Object.entries(refusedSources)) {
    test(`that ${name} is refused by 401`, async () => {
      assertRefusal(await exchange(daemon.port, request), 401);
    });
  }

  const [head, body, signature] = good.split('.');
  const claims = { read: ['#'], write: ['#'] };
  const now = nowSeconds();
  const forged = {
    'not in three parts': `${head}.${body}`,
    'in four parts': `${good}.x`,
    'with a signature of another secret': makeToken(claims, { secret: 'wrong' }),
    'with its signature cut off': `${head}.${body}.`,
    'with a changed body': `${head}.${fullToken({ sub: 'x' }).split('.')[1]}.${signature}`,
    'with alg none': makeToken(claims, { alg: 'none' }),
    'with alg none and a signature': `${makeToken(claims, { alg: 'none' })}${signature}`,
    'with alg NONE': makeToken(claims, { alg: 'NONE' }),
    'with HS512': makeToken(claims, { alg: 'HS512' }),
    'with HS384': makeToken(claims, { alg: 'HS384' }),
    'that has expired': fullToken({ exp: now - 10 }),
    'that is not valid yet': fullToken({ nbf: now + 3600 }),
    'whose exp is a text': fullToken({ exp: 'tomorrow' }),
    'with neither read nor write': makeToken({ sub: 'x' }),
    'with empty lists': makeToken({ read: [], write: [] }),
    'with only invalid entries': makeToken({ read: ['/a', 'b#'], write: ['', 'a b'] }),
    'whose read is no list': makeToken({ read: '#' }),
    'whose body is no object': makeToken(['read']),
  };
  for (const [name, token] of Object.entries(forged)) {
    test(`${name} is refused by 401`, async () => {
      assertRefusal(await exchange(daemon.port, upgradeRequest(`/?auth=${token}`)), 401);
    });
  }

  const accepted = {
    'that expires later': fullToken({ exp: now + 3600 }),
    'that has become valid': fullToken({ nbf: now - 10 }),
    'with read only': makeToken({ read: ['a'] }),
    'with write only': makeToken({ write: ['a/+'] }),
    'with one valid entry among invalid ones': makeToken({ read: ['/bad', 'good', 7, null] }),
    'with claims that we do not know': fullToken({
      iss: 'x',
      aud: ['y'],
      iat: now,
      more: { a: 1 },
    }),
    'with more in its header': makeToken(claims, { header: { kid: '1' } }),
  };
  for (const [name, token] of Object.entries(accepted)) {
    test(`${name} is accepted`, async () => {
      const client = await Client.connect(daemon, { token });
      assert.equal(typeof (await client.result('ping', [])).pong, 'number');
      await client.close();
    });
  }

  for (const path of ['/healthz', '/readyz', '/metrics']) {
    test(`is not needed for ${path}`, async () => {
      assert.equal((await get(daemon.port, path)).status, 200);
    });
  }

  test('is never in the log', async () => {
    const client = await Client.connect(daemon, { token: good });
    await client.close();
    assert.ok(!daemon.stderr.includes(signature));
  });

  test('that expires on a live connection closes it with 1008', async () => {
    const exp = nowSeconds() + (isSanitized ? 5 : 2);
    const client = await Client.connect(daemon, { token: fullToken({ exp }) });
    const forever = await Client.connect(daemon, { token: fullToken() });
    await client.subscribe('a');
    const { code } = await withDeadline(client.closed, 'close at expiry');
    assert.equal(code, 1008);
    assert.ok(Date.now() >= exp * 1000 - 50, 'not before it expired');
    assert.ok(forever.isOpen);
    await forever.close();
  });
});

describe('with DISABLE_AUTH', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'true' });

  for (const [name, options] of Object.entries({
    'no token': {},
    'auth=undefined': { token: 'undefined' },
    'a token of ours': { token: fullToken() },
  })) {
    test(`${name} may do everything`, async () => {
      const client = await Client.connect(daemon, options);
      const id = await client.subscribe('#');
      await client.publish('any/thing', 'x');
      const { json } = await client.delivery();
      assert.equal(json.id, id);
      await client.close();
    });
  }
});

describe('the origin of a message', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });

  test("is the publisher's sub, in deliveries and in history", async () => {
    const sub = 'user "quoted" é@example.org';
    const publisher = await Client.connect(daemon, { token: fullToken({ sub }) });
    const reader = await Client.connect(daemon, { token: fullToken() });
    await reader.subscribe('o');
    await publisher.publish('o', 'with');
    await reader.publish('o', 'without');
    const [first, second] = await reader.take(2);
    assert.equal(first.origin, sub);
    assert.ok(!('origin' in second));
    const { items } = await reader.eventlog('o', { since: -60_000 });
    assert.equal(items[0].origin, sub);
    assert.ok(!('origin' in items[1]));
    await publisher.close();
    await reader.close();
  });
});

describe('authenticate', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });
  const connect = (claims) => Client.connect(daemon, { token: makeToken(claims) });
  const renew = (client, claims) => client.result('authenticate', { token: makeToken(claims) });

  test('goes on with the rights of the new token, and without a gap where they are the same', async () => {
    const client = await connect({ sub: 'before', read: ['a/#', 'b'], write: ['a/#'] });
    const publisher = await connect({ write: ['#'] });
    for (const topic of ['a/1', 'a/+', 'b']) await client.subscribe(topic);
    for (let i = 0; i < 20; i++) publisher.notify('publish', { topic: 'a/1', message: i });
    const renewed = renew(client, { sub: 'after', read: ['a/1'], write: ['b'], exp: nowSeconds() + 1000 });
    for (let i = 20; i < 40; i++) publisher.notify('publish', { topic: 'a/1', message: i });
    const { action, status, expires } = await renewed;
    assert.deepEqual([action, status], ['authenticate', 'ok']);
    assert.ok(Math.abs(expires - nowSeconds() - 1000) <= 5);
    const ended = client.notices.map(({ json }) => json).filter(({ method }) => method === 'unsubscribed');
    assert.deepEqual(ended.map(({ params }) => params.topic).sort(), ['a/+', 'b']);
    for (const { params } of ended) assert.match(params.reason, /does not allow/);
    assert.deepEqual(await client.result('list', {}), ['a/1']);
    await publisher.publish('b', 'for nobody');
    await publisher.publish('a/1', 40);
    const got = [];
    while (!got.includes(40)) {
      const [{ message, topic }] = await client.take(1);
      if (topic === 'a/1' && !got.includes(message)) got.push(message);
    }
    assert.deepEqual(got, Array.from({ length: 41 }, (_, i) => i));
    assert.match((await client.error('subscribe', { topic: 'a/+' })).data, /not allowed/);
    assert.match((await client.error('publish', { topic: 'a/1', message: 1 })).data, /Insufficient access/);
    await publisher.close();
    const reader = await connect({ read: ['b'] });
    await reader.subscribe('b');
    await client.publish('b', 'mine');
    assert.equal((await reader.take(1))[0].origin, 'after');
    await reader.close();
    await client.close();
  });

  test('renews before the old token runs out', async () => {
    const client = await connect({ read: ['a'], exp: nowSeconds() + 2 });
    await client.subscribe('a');
    assert.equal((await renew(client, { read: ['a'] })).expires, null);
    await new Promise((resolve) => setTimeout(resolve, 3500));
    await client.result('ping', {});
    await renew(client, { read: ['a'], exp: nowSeconds() + 1 });
    const { code } = await withDeadline(client.closed, 'the end');
    assert.equal(code, 1008);
  });

  const refused = {
    'that is no token': [{ token: BAD }, /does not verify/],
    'that is forged': [{ token: makeToken({ read: ['#'] }, { secret: 'guessed' }) }, /does not verify/],
    'that has run out': [{ token: makeToken({ read: ['#'], exp: 1 }) }, /has expired/],
    'that allows nothing': [{ token: makeToken({ read: [] }) }, /no valid entry/],
    'that is missing': [{}, /token/],
    'that is no text': [{ token: 7 }, /token/],
  };
  for (const [name, [params, words]] of Object.entries(refused)) {
    test(`changes nothing with one ${name}`, async () => {
      const client = await connect({ read: ['a'], write: ['a'] });
      await client.subscribe('a');
      const { code, data } = await client.error('authenticate', params);
      assert.equal(code, -32602);
      assert.match(data, words);
      await client.publish('a', 1);
      assert.equal((await client.take(1))[0].message, 1);
      await client.close();
    });
  }

  test('is no method over HTTP', async () => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'authenticate', params: { token: fullToken() } });
    const response = await fetch(`http://127.0.0.1:${daemon.port}/`, { method: 'POST', body, headers: { Authorization: `Bearer ${fullToken()}`, 'Content-Type': 'application/json' } });
    assert.equal((await response.json()).error.code, -32601);
  });
});
