// The way in: what a handshake must look like, and every refusal.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { assertRefusal, exchange, readResponse } from './lib/http.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { eventually } from './lib/wait.mjs';
import { RawWebSocket, closePayload, frame, text, upgradeRequest } from './lib/websocket.mjs';

const PING = '{"id":1,"jsonrpc":"2.0","method":"ping","params":[]}';

describe('a handshake is accepted', () => {
  const daemon = useDaemon();

  async function assertAccepted(options) {
    const ws = await RawWebSocket.open(daemon.port, options);
    await ws.send(text(PING));
    assert.equal(JSON.parse((await ws.message()).payload).id, 1);
    await ws.close();
    return ws.response;
  }

  test('with the headers of RFC 6455', async () => {
    const { headers } = await assertAccepted({});
    assert.equal(headers.upgrade.toLowerCase(), 'websocket');
    assert.equal(headers.connection.toLowerCase(), 'upgrade');
    assert.equal(headers['sec-websocket-extensions'], undefined);
    assert.equal(headers['sec-websocket-protocol'], undefined);
  });

  for (const path of ['/', '/any/path', '/a?b=c', '/%41%20b', '/?auth=undefined', '/a//b/', '/?']) {
    test(`at ${path}`, () => assertAccepted({ path }));
  }

  const variants = {
    'tokens in upper case': { Upgrade: 'WEBSOCKET', Connection: 'UPGRADE' },
    'tokens in mixed case': { Upgrade: 'WebSocket', Connection: 'upGrade' },
    'Connection as a list': { Connection: 'keep-alive, Upgrade' },
    'Connection as a list without spaces': { Connection: 'keep-alive,Upgrade,x' },
    'Connection in two lines': { Connection: ['keep-alive', 'Upgrade'] },
    'an offered extension': {
      'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
    },
    'an Origin': { Origin: 'https://anywhere.example' },
    'cookies and other headers': { Cookie: 'a=b; c=d', 'User-Agent': 'x', 'X-Empty': '' },
  };
  for (const [name, headers] of Object.entries(variants)) {
    test(`with ${name}`, () => assertAccepted({ headers }));
  }

  for (const [name, change] of [
    ['lower', (s) => s.toLowerCase()],
    ['upper', (s) => s.toUpperCase()],
  ]) {
    test(`with header names in ${name} case`, async () => {
      const request = upgradeRequest('/').replace(/^[A-Za-z-]+(?=: )/gm, change);
      const raw = await RawSocket.connect(daemon.port);
      await raw.write(request);
      assert.equal((await readResponse(raw)).status, 101);
      raw.destroy();
    });
  }

  test('and frames in the same packet are served', async () => {
    const ws = await RawWebSocket.open(daemon.port, {
      first: Buffer.concat([text(PING), text(PING)]),
    });
    assert.equal(JSON.parse((await ws.message()).payload).id, 1);
    assert.equal(JSON.parse((await ws.message()).payload).id, 1);
    await ws.close();
  });

  test('and a frame that is cut by the packet is served', async () => {
    const bytes = text(PING);
    const ws = await RawWebSocket.open(daemon.port, { first: bytes.subarray(0, 7) });
    await ws.send(bytes.subarray(7));
    assert.equal(JSON.parse((await ws.message()).payload).id, 1);
    await ws.close();
  });

  test('and a close in the same packet is answered', async () => {
    const ws = await RawWebSocket.open(daemon.port, { first: frame(8, closePayload(1000)) });
    await ws.expectClose(1000);
  });

  test('when it comes byte by byte', async () => {
    const raw = await RawSocket.connect(daemon.port);
    for (const byte of Buffer.from(upgradeRequest('/'))) await raw.write(Buffer.from([byte]));
    assert.equal((await readResponse(raw)).status, 101);
    raw.destroy();
  });

  test('after a plain request on the same connection', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await readResponse(raw)).status, 200);
    await raw.write(upgradeRequest('/'));
    assert.equal((await readResponse(raw)).status, 101);
    raw.destroy();
  });

  test('and eventhub.v1 is the subprotocol that is selected', async () => {
    const pick = async (value) => {
      const { headers } = await assertAccepted({ headers: { 'Sec-WebSocket-Protocol': value } });
      return headers['sec-websocket-protocol'];
    };
    assert.equal(await pick('eventhub.v1'), 'eventhub.v1');
    assert.equal(await pick('chat, eventhub.v1'), 'eventhub.v1');
    assert.equal(await pick('eventhub.v1,eventhub.auth.abc'), 'eventhub.v1');
    assert.equal(await pick(['chat', 'eventhub.v1']), 'eventhub.v1');
    assert.equal(await pick('chat, superchat'), undefined);
  });
});

describe('a handshake is refused', () => {
  const daemon = useDaemon();

  const refusals = {
    'without a key': [400, upgradeRequest('/', { 'Sec-WebSocket-Key': undefined })],
    'with an empty key': [400, upgradeRequest('/', { 'Sec-WebSocket-Key': '' })],
    'with a short key': [400, upgradeRequest('/', { 'Sec-WebSocket-Key': 'c2hvcnQ=' })],
    'with a long key': [400, upgradeRequest('/', { 'Sec-WebSocket-Key': `${'A'.repeat(24)}==` })],
    'with a key that is not base64': [
      400,
      upgradeRequest('/', { 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' }),
    ],
    'without a host': [400, upgradeRequest('/', { Host: undefined })],
    'with a broken escape in the path': [400, upgradeRequest('/%zz')],
    'with a cut escape in the path': [400, upgradeRequest('/%4')],
    'with a path that is none': [400, upgradeRequest('?a=b')],
    'with a NUL in the path': [400, upgradeRequest('/a\0b')],
    'with an escaped NUL in the path': [400, upgradeRequest('/a%00b')],
    'with a broken escape in the query': [400, upgradeRequest('/?auth=%zz')],
    'with a space before the colon': [400, upgradeRequest('/').replace('Upgrade:', 'Upgrade :')],
    'with a folded header': [400, upgradeRequest('/', { 'X-Folded': 'a\r\n b' })],
    'with a NUL in a header': [400, upgradeRequest('/', { 'X-Nul': 'a\0b' })],
    'with a header without a colon': [
      400,
      upgradeRequest('/').replace('\r\n\r\n', '\r\nbad\r\n\r\n'),
    ],
    'with a header without a name': [
      400,
      upgradeRequest('/').replace('\r\n\r\n', '\r\n: x\r\n\r\n'),
    ],
    'in no HTTP at all': [400, 'hello there\r\n\r\n'],
    'with version 8': [426, upgradeRequest('/', { 'Sec-WebSocket-Version': '8' })],
    'with version 14': [426, upgradeRequest('/', { 'Sec-WebSocket-Version': '14' })],
    'with a version that is no number': [
      426,
      upgradeRequest('/', { 'Sec-WebSocket-Version': 'x' }),
    ],
    'with a header of 20 kB': [431, upgradeRequest('/', { 'X-Large': 'x'.repeat(20_000) })],
    'with many headers over 16 kB in all': [
      431,
      upgradeRequest(
        '/',
        Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`X-${i}`, 'y'.repeat(200)])),
      ),
    ],
    'with a path of 20 kB': [431, upgradeRequest(`/${'p'.repeat(20_000)}`)],
  };
  for (const [name, [status, bytes]] of Object.entries(refusals)) {
    test(`${name} by ${status}`, async () => {
      const response = await exchange(daemon.port, bytes);
      assertRefusal(response, status);
      if (status === 426) assert.equal(response.headers['sec-websocket-version'], '13');
    });
  }

  test('with another method', async () => {
    const response = await exchange(daemon.port, upgradeRequest('/', {}, 'POST'));
    assert.ok([400, 405].includes(response.status), `status ${response.status}`);
    assertRefusal(response, response.status);
  });

  test('with a head that never ends by 431, however much more comes', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(`GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(200_000)}`);
    assertRefusal(await readResponse(raw), 431);
    raw.destroy();
  });

  test('with a head of just 16 KiB it is not', async () => {
    const empty = upgradeRequest('/', { 'X-Fill': '' });
    const request = upgradeRequest('/', { 'X-Fill': 'x'.repeat(16_384 - empty.length) });
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(request);
    assert.equal((await readResponse(raw)).status, 101);
    raw.destroy();
  });

  test('and the daemon goes on serving', async () => {
    const client = await Client.connect(daemon);
    assert.equal(typeof (await client.result('ping', [])).pong, 'number');
    await client.close();
  });
});

describe('ALLOWED_ORIGINS', () => {
  const daemon = useDaemon({ ALLOWED_ORIGINS: 'https://app.example, http://localhost:3000, https://*.many.example' });

  const open = (headers) => RawWebSocket.open(daemon.port, { headers });

  for (const origin of ['https://app.example', 'http://localhost:3000', 'https://one.many.example']) {
    test(`lets ${origin} in`, async () => (await open({ Origin: origin })).destroy());
  }

  for (const origin of [
    'https://evil.example',
    'https://app.example.evil',
    'http://app.example',
    'http://localhost:3001',
    'https://many.example',
    'https://many.example.evil',
    'null',
  ]) {
    test(`refuses ${origin} by 403`, async () => {
      assertRefusal(await exchange(daemon.port, upgradeRequest('/', { Origin: origin })), 403);
    });
  }

  test('lets a client that is no browser in', async () => (await open({})).destroy());
});

describe('MAX_CONNECTIONS', () => {
  test('refuses by 503 with Retry-After, and lets in again when someone leaves', () =>
    withDaemon({ MAX_CONNECTIONS: '3' }, async (daemon) => {
      const settled = () => eventually(() => RawWebSocket.open(daemon.port), 'free connection');
      const held = [await settled(), await settled(), await settled()];
      for (let i = 0; i < 3; i++) {
        const response = await exchange(daemon.port, upgradeRequest('/'));
        assertRefusal(response, 503);
        assert.match(response.headers['retry-after'] ?? '', /^\d+$/);
      }
      await held.pop().close();
      held.push(await settled());
      await held[0].send(text(PING));
      assert.equal(JSON.parse((await held[0].message()).payload).id, 1);
      for (const ws of held) ws.destroy();
    }));
});

describe('MAX_CONNECTIONS_PER_ADDRESS', () => {
  test('refuses by 429, and lets in again when one of that address leaves', () =>
    withDaemon({ MAX_CONNECTIONS_PER_ADDRESS: '2' }, async (daemon) => {
      const settled = () => eventually(() => RawWebSocket.open(daemon.port), 'free connection');
      const held = [await settled(), await settled()];
      assertRefusal(await exchange(daemon.port, upgradeRequest('/')), 429);
      const stream = await exchange(daemon.port, 'GET /a HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n');
      assertRefusal(stream, 429);
      const metrics = await (await fetch(`http://127.0.0.1:${daemon.port}/metrics`)).text();
      assert.match(metrics, /refused_handshakes_total\{[^}]*reason="address_limit"[^}]*\} 2\n/);
      assert.match(daemon.stderr, /connection limit of an address reached peer=127\.0\.0\.1/);
      await held.pop().close();
      held.push(await settled());
      for (const ws of held) ws.destroy();
    }));
});
