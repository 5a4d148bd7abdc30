// Bad input, as it must end: the daemon lives, serves, and does not grow.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { isSanitized, patience } from './lib/wait.mjs';
import { CONTINUATION, RawWebSocket, TEXT, frame, text, upgradeRequest } from './lib/websocket.mjs';

const MB = 1 << 20;

// Reproducible noise: a run that fails can be run again.
function makeNoise(seed) {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
  return (length) => Buffer.from(Array.from({ length }, next));
}

describe('bad input', () => {
  const daemon = useDaemon({ HANDSHAKE_TIMEOUT: '5' });

  async function assertServes() {
    const client = await Client.connect(daemon);
    const id = await client.subscribe('alive');
    await client.publish('alive', 'yes');
    assert.equal((await client.delivery()).json.id, id);
    await client.close();
  }

  async function assertFlat(bound, run) {
    const before = daemon.program.residentBytes();
    await run();
    const more = daemon.program.residentBytes() - before;
    assert.ok(isSanitized || more < bound, `${more} bytes more resident`);
  }

  // Sends until the server has enough, and returns how much went out. Each round lets the event
  // loop look for what came back.
  async function sendEndlessly(ws, makeBytes, total) {
    let sent = 0;
    while (sent < total && !ws.raw.isEnded && ws.raw.bytes.length === 0) {
      const bytes = makeBytes(sent === 0 ? TEXT : CONTINUATION);
      await ws.send(bytes);
      await new Promise(setImmediate);
      sent += bytes.length;
    }
    return sent;
  }

  for (const size of [64, 1000, 65_536]) {
    test(`40 MB by endless fragments of ${size} bytes end with 1009, memory flat`, () =>
      assertFlat(16 * MB, async () => {
        const ws = await RawWebSocket.open(daemon.port);
        const piece = Buffer.alloc(size, 0x20);
        const more = Buffer.concat(
          Array.from({ length: Math.ceil(65_536 / size) }, () =>
            frame(CONTINUATION, piece, { fin: false }),
          ),
        );
        const sent = await sendEndlessly(
          ws,
          (opcode) => (opcode === TEXT ? frame(TEXT, piece, { fin: false }) : more),
          40 * MB,
        );
        assert.ok(sent < 40 * MB, 'closed long before the end');
        await ws.expectClose(1009);
        await assertServes();
      }));
  }

  test('endless empty fragments cost nothing', { timeout: 60_000 * patience }, () =>
    assertFlat(8 * MB, async () => {
      const ws = await RawWebSocket.open(daemon.port);
      const empty = Buffer.concat(
        Array.from({ length: 1000 }, () => frame(CONTINUATION, '', { fin: false })),
      );
      await ws.send(text('{"id":1,"jsonrpc":"2.0",', { fin: false }));
      for (let i = 0; i < 200; i++) await ws.send(empty);
      await ws.send(frame(CONTINUATION, '"method":"ping"}'));
      assert.equal(JSON.parse((await ws.message()).payload).id, 1);
      await ws.close();
    }),
  );

  test('announced messages that never come cost no memory', () =>
    assertFlat(32 * MB, async () => {
      const crowd = await Promise.all(
        Array.from({ length: 200 }, () => RawWebSocket.open(daemon.port)),
      );
      const announced = frame(TEXT, 'only this', { form: 64, claims: MB });
      await Promise.all(crowd.map((ws) => ws.send(announced)));
      await assertServes();
      for (const ws of crowd) ws.destroy();
    }));

  test('a frame that claims 2^63 bytes ends with 1009', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    await ws.send(text('x', { form: 64, claims: 1n << 63n }));
    await ws.expectClose(1009);
  });

  test(
    'random bytes after the handshake end the connection and nothing else',
    { timeout: 120_000 },
    async () => {
      const connections = isSanitized ? 2000 : 10_000;
      const lanes = 50;
      const noise = makeNoise(20_240_229);
      let left = connections;
      const lane = async () => {
        while (left-- > 0) {
          const raw = await RawSocket.connect(daemon.port);
          await raw.write(
            Buffer.concat([Buffer.from(upgradeRequest('/')), noise(16 + (left % 300))]),
          );
          raw.end();
          const answer = await raw.readToEnd();
          assert.match(answer.subarray(0, 12).toString('latin1'), /^HTTP\/1.1 101$/);
          raw.destroy();
        }
      };
      await Promise.all(Array.from({ length: lanes }, lane));
      await assertServes();
    },
  );

  test('random bytes instead of a handshake are refused or dropped', async () => {
    const noise = makeNoise(4711);
    for (let batch = 0; batch < 10; batch++) {
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const raw = await RawSocket.connect(daemon.port);
          await raw.write(noise(300));
          raw.end();
          const answer = (await raw.readToEnd()).toString('latin1');
          assert.match(answer, /^(HTTP\/1\.1 [45]\d\d |$)/);
          raw.destroy();
        }),
      );
    }
    await assertServes();
  });

  test('valid frames of random text are each answered by an error', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    const noise = makeNoise(99);
    for (let i = 0; i < 500; i++) {
      await ws.send(text(noise(1 + (i % 50)).map((byte) => byte & 0x7f)));
      const { error, id } = JSON.parse((await ws.message()).payload);
      assert.ok([-32700, -32600].includes(error.code));
      assert.equal(id, null);
    }
    await ws.close();
  });

  test('requests with bytes changed at random never end the daemon', async () => {
    const noise = makeNoise(31_337);
    const model = Buffer.from(
      JSON.stringify([
        {
          id: 1,
          jsonrpc: '2.0',
          method: 'subscribe',
          params: { topic: 'a/+', since: -1000, limit: 5 },
        },
        {
          id: 'x',
          jsonrpc: '2.0',
          method: 'publish',
          params: { topic: 'a/b', message: [1.5, 'é'] },
        },
        { id: 2, jsonrpc: '2.0', method: 'set', params: { key: 'k', value: 'v', ttl: 1 } },
      ]),
    );
    const client = await Client.connect(daemon);
    for (let i = 0; i < 2000; i++) {
      const bytes = Buffer.from(model);
      const [place, value] = [noise(2).readUInt16BE(0) % bytes.length, noise(1)[0] & 0x7f];
      bytes[place] = value;
      const copy = Buffer.from(bytes.toString('utf8'));
      client.socket.send(copy, { binary: false });
    }
    await client.result('ping', [], 'the end');
    await client.close();
    await assertServes();
  });

  test(
    'a client that writes without reading its answers does not make the daemon grow',
    { timeout: 60_000 * patience },
    () =>
      assertFlat(48 * MB, async () => {
        const ws = await RawWebSocket.open(daemon.port);
        ws.raw.pause();
        const batch = Buffer.concat(
          Array.from({ length: 1000 }, () =>
            text('{"id":1,"jsonrpc":"2.0","method":"ping","params":[]}'),
          ),
        );
        // The server stops reading us, so that a write stays unfinished, or closes with 1013.
        let isStuck = false;
        for (let i = 0; i < 400 && !isStuck && !ws.raw.socket.destroyed; i++) {
          const written = ws.send(batch).then(() => false);
          const timer = new Promise((resolve) => setTimeout(resolve, 1000, true));
          isStuck = await Promise.race([written, timer]);
        }
        ws.destroy();
        await assertServes();
      }),
  );

  test('everything together left it well', async () => {
    daemon.program.assertNoReport();
    assert.ok(!daemon.program.isOver);
    await assertServes();
  });
});
