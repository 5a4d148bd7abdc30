// Pings, dead peers, slow handshakes, and the end of the daemon.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Daemon, useDaemon, withDaemon } from './lib/daemon.mjs';
import { get, readResponse, requestText } from './lib/http.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { patience, withDeadline } from './lib/wait.mjs';
import { CLOSE, PING, PONG, RawWebSocket, frame, text, upgradeRequest } from './lib/websocket.mjs';

const RPC_PING = '{"id":1,"jsonrpc":"2.0","method":"ping","params":[]}';
const SECOND = 1000;

describe('PING_INTERVAL', { concurrency: true }, () => {
  const daemon = useDaemon({ PING_INTERVAL: '1' });

  async function nextPing(ws) {
    for (;;) {
      const one = await ws.next('ping from the server');
      if (one.opcode === PING) return one.payload;
      assert.notEqual(one.opcode, CLOSE, 'still open');
    }
  }

  test('is how often a peer that answers is pinged, for as long as it likes', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    const start = Date.now();
    for (let i = 0; i < 5; i++) await ws.send(frame(PONG, await nextPing(ws)));
    const elapsed = Date.now() - start;
    assert.ok(elapsed >= 3 * SECOND, `5 pings within ${elapsed} ms`);
    assert.ok(elapsed <= 5 * SECOND + 4 * SECOND * patience, `5 pings took ${elapsed} ms`);
    await ws.close();
  });

  test('drops a peer from which nothing came for two intervals', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    const start = Date.now();
    await ws.raw.readToEnd();
    const elapsed = Date.now() - start;
    assert.ok(elapsed >= 1.5 * SECOND, `dropped after ${elapsed} ms`);
    assert.ok(elapsed <= 4 * SECOND * patience, `dropped after ${elapsed} ms`);
    ws.destroy();
  });

  test('takes any traffic as a sign of life', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    for (let i = 0; i < 4; i++) {
      await nextPing(ws);
      await ws.send(text(RPC_PING));
    }
    await ws.close();
  });

  test('lets the ws library, which answers pings, stay', async () => {
    const client = await Client.connect(daemon);
    let pings = 0;
    const enough = new Promise((resolve) => {
      client.socket.on('ping', () => ++pings === 4 && resolve());
    });
    await withDeadline(enough, 'four pings');
    assert.equal(typeof (await client.result('ping', [])).pong, 'number');
    await client.close();
  });
});

describe('HANDSHAKE_TIMEOUT', { concurrency: true }, () => {
  const daemon = useDaemon({ HANDSHAKE_TIMEOUT: '1' });

  async function assertEnds(start, raw) {
    await raw.readToEnd();
    const elapsed = Date.now() - start;
    assert.ok(elapsed >= 0.8 * SECOND, `ended after ${elapsed} ms`);
    assert.ok(elapsed <= 3 * SECOND * patience, `ended after ${elapsed} ms`);
    raw.destroy();
  }

  test('ends a connection that says nothing', async () => {
    const start = Date.now();
    await assertEnds(start, await RawSocket.connect(daemon.port));
  });

  test('ends a handshake that is dripped', async () => {
    const start = Date.now();
    const raw = await RawSocket.connect(daemon.port);
    const request = upgradeRequest('/');
    let sent = 0;
    const drip = setInterval(() => raw.write(request[sent++ % request.length]), 50);
    await assertEnds(start, raw).finally(() => clearInterval(drip));
    assert.ok(sent < request.length, 'it ended before the handshake was whole');
  });

  test('ends many of them, and leaves who came through alone', async () => {
    const client = await Client.connect(daemon);
    const start = Date.now();
    const slow = await Promise.all(
      Array.from({ length: 100 }, () => RawSocket.connect(daemon.port)),
    );
    for (const raw of slow) await raw.write('GET / HTTP/1.1\r\nHost: x\r\nX-Slow:');
    await Promise.all(slow.map((raw) => assertEnds(start, raw)));
    assert.equal(typeof (await client.result('ping', [])).pong, 'number');
    await client.close();
  });
});

describe('the end', () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`by ${signal} closes every client with 1001 and exits with 0`, async () => {
      const daemon = await new Daemon().start();
      const clients = await Promise.all(Array.from({ length: 50 }, () => Client.connect(daemon)));
      for (const client of clients) await client.subscribe('topic');
      await daemon.stop(signal);
      for (const client of clients) {
        assert.equal((await withDeadline(client.closed, 'close')).code, 1001);
      }
    });
  }

  test('does not come by SIGHUP', () =>
    withDaemon({}, async (daemon) => {
      const client = await Client.connect(daemon);
      daemon.program.kill('SIGHUP');
      for (let i = 0; i < 20; i++) await client.publish('still', i);
      assert.ok(client.isOpen);
      await client.close();
    }));

  test('without any client is quick', async () => {
    const daemon = await new Daemon().start();
    const start = Date.now();
    await daemon.stop();
    assert.ok(Date.now() - start < 3 * SECOND * patience);
  });

  test('flushes what is queued for a slow reader first', async () => {
    const MESSAGES = 110;
    const daemon = await new Daemon({ MAX_CACHE_LENGTH: '1' }).start();
    const slow = await RawWebSocket.open(daemon.port);
    await slow.send(text('{"id":7,"jsonrpc":"2.0","method":"subscribe","params":{"topic":"big"}}'));
    await slow.message();
    slow.raw.pause();
    const publisher = await Client.connect(daemon);
    for (let i = 0; i < MESSAGES; i++) await publisher.publish('big', `${i} `.padEnd(65_000, 'x'));
    const stopped = daemon.stop();
    assert.equal((await publisher.closed).code, 1001);
    slow.raw.resume();
    for (let i = 0; i < MESSAGES; i++) {
      const { result } = JSON.parse((await slow.message()).payload);
      assert.ok(result.message.startsWith(`${i} `), `message ${i}`);
    }
    await slow.expectClose(1001);
    await stopped;
  });

  test('answers what was asked before it', async () => {
    const daemon = await new Daemon().start();
    const client = await Client.connect(daemon);
    const subscriber = await Client.connect(daemon);
    await subscriber.subscribe('last');
    const ids = await Promise.all(Array.from({ length: 500 }, (_, i) => client.publish('last', i)));
    await daemon.stop();
    await subscriber.closed;
    assert.deepEqual(
      subscriber.deliveries.map(({ json }) => json.result.id),
      ids,
    );
  });

  test('waits SHUTDOWN_TIMEOUT at most for a client that never reads', async () => {
    const daemon = await new Daemon({ SHUTDOWN_TIMEOUT: '1', MAX_CACHE_LENGTH: '1' }).start();
    const stuck = await RawWebSocket.open(daemon.port);
    await stuck.send(
      text('{"id":7,"jsonrpc":"2.0","method":"subscribe","params":{"topic":"big"}}'),
    );
    await stuck.message();
    stuck.raw.pause();
    const publisher = await Client.connect(daemon);
    for (let i = 0; i < 100; i++) await publisher.publish('big', 'x'.repeat(65_000));
    const start = Date.now();
    await daemon.stop();
    assert.ok(Date.now() - start < 5 * SECOND * patience, `took ${Date.now() - start} ms`);
    stuck.destroy();
  });

  test('takes no new connection, and is not ready, while it drains', async () => {
    const daemon = await new Daemon({ SHUTDOWN_TIMEOUT: '2' }).start();
    const waiting = await RawSocket.connect(daemon.port);
    await waiting.write(requestText('GET', '/readyz'));
    assert.equal((await readResponse(waiting)).status, 200);
    const silent = await RawWebSocket.open(daemon.port);
    daemon.program.kill('SIGTERM');
    assert.equal((await silent.closeFrame()).code, 1001);
    await waiting.write(requestText('GET', '/readyz'));
    const answer = await readResponse(waiting).catch(() => null);
    assert.ok(answer === null || answer.status === 503, 'closed, or 503');
    await assert.rejects(Client.connect(daemon));
    silent.destroy();
    waiting.destroy();
    await daemon.stop();
  });

  test('leaves the port free for the next daemon', async () => {
    const daemon = await new Daemon().start();
    const client = await Client.connect(daemon);
    await daemon.stop();
    assert.equal((await client.closed).code, 1001);
    await daemon.start(daemon.port);
    assert.equal((await get(daemon.port, '/healthz')).status, 200);
    await daemon.stop();
  });
});
