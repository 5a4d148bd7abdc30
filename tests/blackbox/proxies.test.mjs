// Whom a connection is from, where a proxy stands in between: what trusted ones say counts, what others
// say does not. It is seen by a limit of one connection for each address, and in the log.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { assertRefusal, exchange } from './lib/http.mjs';
import { eventually } from './lib/wait.mjs';
import { upgradeRequest } from './lib/websocket.mjs';

const ONE_EACH = { MAX_CONNECTIONS_PER_ADDRESS: '1', LOG_LEVEL: 'debug' };
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

const v2 = (address, port) =>
  Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11, 0, 12, ...address.split('.').map(Number), 127, 0, 0, 1, port >> 8, port & 255, 0, 80])]);
const local = Buffer.concat([SIGNATURE, Buffer.from([0x20, 0, 0, 0])]);
const v1 = (address) => `PROXY TCP4 ${address} 127.0.0.1 4000 80\r\n`;
const request = (headers = {}, before = '') => Buffer.concat([Buffer.from(before), Buffer.from(upgradeRequest('/', headers))]);

/** Opens connections at the same time; how many were let in. */
async function countOpen(daemon, requests) {
  const sockets = [];
  let open = 0;
  const { connect } = await import('node:net');
  for (const bytes of requests) {
    const socket = connect(daemon.port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => {});
    const head = await new Promise((resolve) => {
      socket.once('data', (data) => resolve(data.toString('latin1')));
      socket.once('close', () => resolve(''));
      socket.write(bytes);
    });
    if (head.startsWith('HTTP/1.1 101')) open++;
    else assert.match(head, /^HTTP\/1\.1 429/);
  }
  for (const socket of sockets) socket.destroy();
  return open;
}

const isAlone = (daemon) => eventually(async () => (await daemon.metric('current_connections_count')) <= 1, 'all to leave');

describe('behind a trusted proxy', () => {
  const daemon = useDaemon({ ...ONE_EACH, TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8' });
  const cases = {
    'X-Forwarded-For': (address) => request({ 'X-Forwarded-For': `8.8.8.8, ${address}, 10.0.0.9` }),
    Forwarded: (address) => request({ Forwarded: `for=${address};proto=https`, 'X-Forwarded-For': '8.8.8.8' }),
    'version 1 of the PROXY protocol': (address) => request({}, v1(address)),
    'version 2 of the PROXY protocol': (address) => request({}, v2(address, 4000)),
    'the PROXY protocol of one that speaks for another': (address) => request({ 'X-Forwarded-For': address }, v1('10.0.0.7')),
    'headers, where the PROXY protocol names nobody': (address) => request({ 'X-Forwarded-For': address }, local),
  };
  for (const [name, make] of Object.entries(cases)) {
    test(`a client's address comes from ${name}`, async () => {
      await isAlone(daemon);
      assert.equal(await countOpen(daemon, [make('192.0.2.1'), make('192.0.2.2'), make('192.0.2.1'), make('192.0.2.2')]), 2);
      assert.match(daemon.stderr, /debug connected peer=192\.0\.2\.1/);
    });
  }

  test('what a client that the PROXY protocol has named says of itself does not count', async () => {
    await isAlone(daemon);
    const make = (claim) => request({ 'X-Forwarded-For': claim }, v1('192.0.2.9'));
    assert.equal(await countOpen(daemon, [make('1.1.1.1'), make('1.1.1.2')]), 1);
  });

  test('a header of the PROXY protocol that is none is refused', async () => {
    for (const before of ['PROXY TCP4 a b 1 2\r\n', 'PROXY TCP5\r\n', `PROXY ${'x'.repeat(200)}`]) {
      assertRefusal(await exchange(daemon.port, before + upgradeRequest('/')), 400);
    }
  });

  test('plain requests go on as ever, also byte by byte', async () => {
    const { connect } = await import('node:net');
    const socket = connect(daemon.port, '127.0.0.1');
    socket.setNoDelay(true);
    const answer = new Promise((resolve) => socket.once('data', (data) => resolve(data.toString())));
    for (const byte of 'PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n') {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.match(await answer, /^HTTP\/1\.1 200/);
    socket.destroy();
    const posted = await fetch(`http://127.0.0.1:${daemon.port}/t`, { method: 'POST', body: 'P' });
    assert.equal(posted.status, 200);
  });
});

test('from anybody else nothing of that counts', () =>
  withDaemon({ ...ONE_EACH, TRUSTED_PROXIES: '10.0.0.0/8' }, async (daemon) => {
    const make = (address) => request({ 'X-Forwarded-For': address, Forwarded: `for=${address}` });
    assert.equal(await countOpen(daemon, [make('192.0.2.1'), make('192.0.2.2')]), 1);
    assertRefusal(await exchange(daemon.port, v1('192.0.2.1') + upgradeRequest('/')), 400);
    assert.doesNotMatch(daemon.stderr, /192\.0\.2/);
  }));
