// Lack of descriptors, readers that stall: what one client suffers, the others do not notice.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { eventually, isSanitized, patience } from './lib/wait.mjs';
import { RawWebSocket, text, upgradeRequest } from './lib/websocket.mjs';

const MB = 1 << 20;

// The measure of idleness is CPU over time, so this one has to let time pass.
async function cpuShare(program, ms) {
  const before = program.cpuSeconds();
  await new Promise((resolve) => setTimeout(resolve, ms));
  return (program.cpuSeconds() - before) / (ms / 1000);
}

async function subscribeRaw(daemon, topic) {
  const ws = await RawWebSocket.open(daemon.port);
  const params = { topic };
  await ws.send(text(JSON.stringify({ id: 7, jsonrpc: '2.0', method: 'subscribe', params })));
  await ws.message();
  return ws;
}

describe('descriptor exhaustion', () => {
  const DESCRIPTORS = 80;

  test('pauses accepting without spinning, serves who is in, and recovers', () =>
    withDaemon(
      {},
      async (daemon) => {
        const [one, two] = [await Client.connect(daemon), await Client.connect(daemon)];
        await one.subscribe('inside');
        const crowd = await Promise.all(
          Array.from({ length: 2 * DESCRIPTORS }, () => RawSocket.connect(daemon.port)),
        );
        for (const raw of crowd) await raw.write(upgradeRequest('/'));
        await eventually(
          () => crowd.filter((raw) => raw.bytes.length > 0).length > DESCRIPTORS / 4,
          'answers to a part of the crowd',
        );
        const share = await cpuShare(daemon.program, 1000);
        assert.ok(share < (isSanitized ? 0.5 : 0.2), `CPU share ${share}`);
        for (let i = 0; i < 20; i++) {
          const id = await two.publish('inside', i);
          assert.equal((await one.delivery()).json.result.id, id);
        }
        for (const raw of crowd) raw.destroy();
        const late = await eventually(() => Client.connect(daemon), 'room for a newcomer');
        assert.equal(typeof (await late.result('ping', [])).pong, 'number');
        for (const client of [one, two, late]) await client.close();
      },
      { descriptors: DESCRIPTORS },
    ));

  test('comes and goes many times', () =>
    withDaemon(
      {},
      async (daemon) => {
        for (let round = 0; round < 5; round++) {
          const crowd = await Promise.all(
            Array.from({ length: 2 * DESCRIPTORS }, () => RawSocket.connect(daemon.port)),
          );
          for (const raw of crowd) raw.reset();
          const client = await eventually(() => Client.connect(daemon), `room in round ${round}`);
          await client.close();
        }
      },
      { descriptors: DESCRIPTORS },
    ));
});

describe('a reader that stalls', () => {
  const QUEUE = 2 * MB;
  const SIZE = 64_000;
  const daemon = useDaemon({ MAX_SEND_QUEUE: String(QUEUE), MAX_CACHE_LENGTH: '10' });

  test(
    'is closed with 1013, costs MAX_SEND_QUEUE, and delays nobody',
    { timeout: 60_000 * patience },
    async () => {
      const stalled = await subscribeRaw(daemon, 'bulk');
      const reader = await Client.connect(daemon);
      const publisher = await Client.connect(daemon);
      await reader.subscribe('bulk');
      await publisher.publish('bulk', 'x'.repeat(SIZE));
      await reader.delivery();
      stalled.raw.pause();
      const before = daemon.program.residentBytes();
      let slowest = 0;
      let most = 0;
      for (let i = 0; i < 500; i++) {
        const start = performance.now();
        await publisher.publish('bulk', `${i} `.padEnd(SIZE, 'x'));
        const { at } = await reader.delivery();
        slowest = Math.max(slowest, at - start);
        if (i % 25 === 0) most = Math.max(most, daemon.program.residentBytes() - before);
      }
      assert.ok(slowest < 1000 * patience, `the slowest delivery took ${slowest} ms`);
      assert.ok(most < (isSanitized ? 512 : 24) * MB, `${most} bytes more resident`);
      stalled.raw.resume();
      await stalled.expectClose(1013);
      await publisher.close();
      await reader.close();
    },
  );

  test('gets whole messages up to the close', async () => {
    const stalled = await subscribeRaw(daemon, 'whole');
    const publisher = await Client.connect(daemon);
    stalled.raw.pause();
    for (let i = 0; i < 300; i++) await publisher.publish('whole', [i, 'x'.repeat(SIZE)]);
    stalled.raw.resume();
    const seen = [];
    for (;;) {
      const one = await stalled.next();
      if (one.opcode === 8) {
        assert.equal(one.payload.readUInt16BE(0), 1013);
        break;
      }
      if (one.opcode === 1) seen.push(JSON.parse(one.payload).result.message[0]);
    }
    assert.deepEqual(
      seen,
      seen.map((_, i) => i),
      'from the first, without a gap',
    );
    stalled.destroy();
    await publisher.close();
  });

  test('is noticed for answers as for deliveries', { timeout: 60_000 * patience }, async () => {
    const publisher = await Client.connect(daemon);
    await publisher.publish('answers', 'x'.repeat(500_000), { ttl: 600 });
    await publisher.close();
    const ws = await RawWebSocket.open(daemon.port);
    ws.raw.pause();
    const ask = text(
      JSON.stringify({
        id: 1,
        jsonrpc: '2.0',
        method: 'eventlog',
        params: { topic: 'answers', since: -600_000 },
      }),
    );
    for (let i = 0; i < 100; i++) await ws.send(ask);
    ws.raw.resume();
    let answers = 0;
    for (;;) {
      const one = await ws.next('answer or close', 10_000 * patience);
      if (one.opcode === 1) answers++;
      if (one.opcode === 8) assert.equal(one.payload.readUInt16BE(0), 1013);
      if (one.opcode === 8 || answers === 100) break;
    }
    ws.destroy();
  });

  test('among many, does not hold up the others', async () => {
    const stalled = await Promise.all(
      Array.from({ length: 20 }, () => subscribeRaw(daemon, 'many')),
    );
    for (const ws of stalled) ws.raw.pause();
    const reader = await Client.connect(daemon);
    await reader.subscribe('many');
    const before = daemon.program.residentBytes();
    for (let i = 0; i < 150; i++) await reader.publish('many', `${i} `.padEnd(SIZE, 'x'));
    await reader.take(150);
    const more = daemon.program.residentBytes() - before;
    assert.ok(more < (isSanitized ? 512 : 64) * MB, `${more} bytes more resident`);
    for (const ws of stalled) ws.destroy();
    await reader.close();
  });
});

describe('peers that reset', () => {
  const daemon = useDaemon();

  test('at every moment leave the daemon well', async () => {
    const witness = await Client.connect(daemon);
    await witness.subscribe('#');
    for (let i = 0; i < 300; i++) {
      const raw = await RawSocket.connect(daemon.port);
      const bytes = Buffer.concat([
        Buffer.from(upgradeRequest('/')),
        text('{"id":1,"jsonrpc":"2.0","method":"subscribe","params":{"topic":"#","since":-1000}}'),
        text('{"id":1,"jsonrpc":"2.0","method":"publish","params":{"topic":"reset","message":1}}'),
      ]);
      await raw.write(bytes.subarray(0, Math.floor((bytes.length * i) / 300)));
      raw.reset();
    }
    const id = await witness.publish('after', 'all');
    const seen = await witness.drain();
    assert.ok(seen.some((one) => one.id === id));
    await witness.close();
  });
});
