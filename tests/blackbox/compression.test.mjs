// permessage-deflate (RFC 7692), by raw bytes and with the `ws` library, in the forms in which clients
// offer it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { createDeflateRaw, deflateRawSync, constants, inflateRawSync } from 'node:zlib';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';
import { eventually, isSanitized, patience } from './lib/wait.mjs';
import { CLOSE, CONTINUATION, PING, PONG, RawWebSocket, TEXT, frame } from './lib/websocket.mjs';

const RSV1 = 4;
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const MAX = 200_000;

const deflate = (text, options) => {
  const bytes = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH, ...options });
  return bytes.subarray(0, bytes.length - TAIL.length);
};
const inflate = (payload, options) =>
  inflateRawSync(Buffer.concat([payload, TAIL]), {
    finishFlush: constants.Z_SYNC_FLUSH,
    ...options,
  }).toString();

const offering = (value) => ({ headers: { 'Sec-WebSocket-Extensions': value } });
const open = (daemon, value = 'permessage-deflate') => RawWebSocket.open(daemon.port, offering(value));

const request = (id, method, params) => JSON.stringify({ jsonrpc: '2.0', id, method, params });
const publishing = (topic, message, id = 1) => request(id, 'publish', { topic, message });
const compressed = (text, options) => frame(TEXT, deflate(text, options), { rsv: RSV1 });

/** The next text of the server, inflated where it is compressed. */
async function read(ws, options) {
  const { payload, isCompressed } = await ws.message();
  return { json: JSON.parse(isCompressed ? inflate(payload, options) : payload), isCompressed };
}

const closeCode = async (ws) => {
  for (;;) {
    const one = await ws.next('close frame');
    if (one.opcode === CLOSE) return one.payload.readUInt16BE(0);
  }
};

/** An object of that many bytes of JSON, as applications send them. */
const order = (size, seed = 1) => {
  const items = [];
  while (JSON.stringify({ seed, items }).length < size - 60) {
    const i = items.length + seed;
    items.push({ sku: `article-${(i * 7919) % 1000}`, price: (i * 31) % 97, status: 'shipped' });
  }
  return { seed, items };
};

describe('permessage-deflate', { timeout: 120_000 * patience }, () => {
  const daemon = useDaemon({ MAX_MESSAGE_SIZE: String(MAX) });
  const BASE = 'permessage-deflate; server_no_context_takeover';

  for (const [offer, answer] of [
    ['permessage-deflate', BASE],
    ['permessage-deflate; client_max_window_bits', `${BASE}; client_max_window_bits=12`],
    ['permessage-deflate; client_max_window_bits=9', `${BASE}; client_max_window_bits=9`],
    ['permessage-deflate; server_max_window_bits=10', `${BASE}; server_max_window_bits=10`],
    ['permessage-deflate; client_no_context_takeover', `${BASE}; client_no_context_takeover`],
    ['permessage-deflate; server_max_window_bits="11"', `${BASE}; server_max_window_bits=11`],
    ['permessage-deflate; server_max_window_bits=16, permessage-deflate', BASE],
    ['x-other; a=b, permessage-deflate; server_no_context_takeover', BASE],
    ['permessage-deflate; server_max_window_bits', undefined],
    ['permessage-deflate; unknown', undefined],
    ['permessage-deflate; client_max_window_bits; client_max_window_bits', undefined],
    ['x-webkit-deflate-frame', undefined],
    ['permessage-deflate;;', undefined],
    ['', undefined],
  ]) {
    test(`offered as ${offer || 'nothing'} is answered ${answer ?? 'by nothing'}`, async () => {
      const ws = await open(daemon, offer);
      assert.equal(ws.extension, answer);
      await ws.send(frame(TEXT, request(1, 'ping', [])));
      assert.equal(typeof (await read(ws)).json.result.pong, 'number');
      ws.raw.destroy();
    });
  }

  test('compresses what is worth it, in both directions', async () => {
    const ws = await open(daemon);
    await ws.send(compressed(request('s', 'subscribe', { topic: 'both' })));
    const answer = await read(ws);
    assert.deepEqual(answer.json.result, { action: 'subscribe', status: 'ok', topic: 'both' });
    assert.equal(answer.isCompressed, false);
    const message = order(2000);
    await ws.send(compressed(publishing('both', message)));
    const seen = [await read(ws), await read(ws)];
    const delivered = seen.find(({ json }) => json.id === 's');
    assert.deepEqual(delivered.json.result.message, message);
    assert.ok(delivered.isCompressed);
    ws.raw.destroy();
  });

  test('saves bytes, and refers to nothing that was sent before', async () => {
    const ws = await open(daemon);
    await ws.send(frame(TEXT, request('s', 'subscribe', { topic: 'again' })));
    await read(ws);
    for (let i = 0; i < 3; i++) {
      await ws.send(frame(TEXT, publishing('again', order(2000))));
      for (let j = 0; j < 2; j++) {
        const { payload, isCompressed } = await ws.message();
        if (!isCompressed) continue;
        const { result } = JSON.parse(inflate(payload));
        assert.deepEqual(result.message, order(2000));
        assert.ok(payload.length * 3 < 2000, `${payload.length} bytes`);
      }
    }
    ws.raw.destroy();
  });

  test('takes messages that refer to those before', async () => {
    const ws = await open(daemon);
    const stream = createDeflateRaw({ windowBits: 15 });
    const pieces = [];
    stream.on('data', (piece) => pieces.push(piece));
    for (let i = 0; i < 20; i++) {
      pieces.length = 0;
      stream.write(publishing('context', order(1500, 7), i));
      await new Promise((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve));
      const bytes = Buffer.concat(pieces);
      await ws.send(frame(TEXT, bytes.subarray(0, bytes.length - 4), { rsv: RSV1 }));
      assert.equal((await read(ws)).json.id, i);
      if (i > 0) assert.ok(bytes.length < 100, `${bytes.length} bytes`);
    }
    ws.raw.destroy();
  });

  test('does not let them where the client has given that up', async () => {
    const ws = await open(daemon, 'permessage-deflate; client_no_context_takeover');
    await ws.send(frame(TEXT, Buffer.from('f248cdc9c90700', 'hex'), { rsv: RSV1 })); // Hello
    assert.equal((await read(ws)).json.error.code, -32700);
    await ws.send(frame(TEXT, Buffer.from('f200110000', 'hex'), { rsv: RSV1 })); // Hello, by reference
    assert.equal(await closeCode(ws), 1007);
  });

  test('takes the examples of RFC 7692', async () => {
    const ws = await open(daemon);
    const expectHello = async (...frames) => {
      await ws.send(...frames);
      // "Hello" is not JSON, and that is said of each.
      assert.equal((await read(ws)).json.error.code, -32700);
    };
    await expectHello(frame(TEXT, Buffer.from('f248cdc9c90700', 'hex'), { rsv: RSV1 }));
    await expectHello(frame(TEXT, Buffer.from('f200110000', 'hex'), { rsv: RSV1 }));
    await expectHello(
      frame(TEXT, Buffer.from('f248cd', 'hex'), { rsv: RSV1, fin: false }),
      frame(CONTINUATION, Buffer.from('c9c90700', 'hex')),
    );
    await expectHello(frame(TEXT, Buffer.from('000500faff48656c6c6f00', 'hex'), { rsv: RSV1 }));
    await expectHello(frame(TEXT, Buffer.from('f348cdc9c9070000', 'hex'), { rsv: RSV1 }));
    await expectHello(frame(TEXT, Buffer.from('f248050000 00ffffcac9c90700'.replace(' ', ''), 'hex'), { rsv: RSV1 }));
    ws.raw.destroy();
  });

  test('works in fragments with pings between, beside uncompressed messages', async () => {
    const ws = await open(daemon);
    const payload = deflate(request(1, 'ping', []));
    await ws.send(
      frame(TEXT, payload.subarray(0, 3), { rsv: RSV1, fin: false }),
      frame(PING, 'between'),
      frame(CONTINUATION, payload.subarray(3, 5), { fin: false }),
      frame(CONTINUATION, payload.subarray(5)),
      frame(TEXT, request(2, 'ping', [])),
    );
    assert.equal((await ws.next()).opcode, PONG);
    assert.equal((await read(ws)).json.id, 1);
    assert.equal((await read(ws)).json.id, 2);
    ws.raw.destroy();
  });

  for (const [name, code, ...frames] of [
    ['RSV1 on a continuation', 1002, frame(TEXT, 'x', { fin: false }), frame(CONTINUATION, 'x', { rsv: RSV1 })],
    ['RSV1 on a ping', 1002, frame(PING, 'x', { rsv: RSV1 })],
    ['RSV2', 1002, frame(TEXT, 'x', { rsv: 2 })],
    ['RSV1 and RSV3', 1002, frame(TEXT, 'x', { rsv: 5 })],
    ['what is not DEFLATE', 1007, frame(TEXT, 'Hello, world', { rsv: RSV1 })],
    ['a cut block', 1007, frame(TEXT, deflate('x'.repeat(100)).subarray(0, 3), { rsv: RSV1 })],
    ['compressed text that is not UTF-8', 1007, frame(TEXT, deflate(Buffer.from([0xff])), { rsv: RSV1 })],
    ['compressed binary data', 1003, frame(2, deflate('x'), { rsv: RSV1 })],
  ]) {
    test(`${name} closes with ${code}`, async () => {
      const ws = await open(daemon);
      await ws.send(...frames);
      assert.equal(await closeCode(ws), code);
      ws.raw.destroy();
    });
  }

  test('and without it RSV1 closes with 1002', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    await ws.send(frame(TEXT, deflate('{}'), { rsv: RSV1 }));
    assert.equal(await closeCode(ws), 1002);
    ws.raw.destroy();
  });

  test('a message may be as large as any other once it is inflated', async () => {
    const ws = await open(daemon);
    const filled = (length) => {
      const text = publishing('large', '');
      return publishing('large', 'x'.repeat(length - text.length));
    };
    await ws.send(compressed(filled(MAX)));
    assert.equal((await read(ws)).json.result.status, 'ok');
    // Noise does not become shorter, and is not refused for that.
    const noise = publishing('large', '');
    const hex = randomBytes(MAX).toString('base64').slice(0, MAX - noise.length);
    await ws.send(compressed(publishing('large', hex), { level: 0 }));
    assert.equal((await read(ws)).json.result.status, 'ok');
    await ws.send(compressed(filled(MAX + 1)));
    assert.equal(await closeCode(ws), 1009);
    ws.raw.destroy();
  });

  test('a bomb ends with 1009 and takes no memory', async () => {
    const memory = () => {
      const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
      return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)[1]);
    };
    const other = await Client.connect(daemon);
    await other.subscribe('calm');
    const bomb = deflate(Buffer.alloc(200_000_000, 'a'), { level: 9 });
    assert.ok(bomb.length < 200_000, `${bomb.length} bytes`);
    // One that is no bomb, so that what any message of that size takes is taken already.
    const first = await open(daemon);
    await first.send(compressed(publishing('calm', 'x'.repeat(MAX - 100))));
    await read(first);
    const before = memory();
    for (let i = 0; i < 5; i++) {
      const ws = await open(daemon);
      await ws.send(frame(TEXT, bomb, { rsv: RSV1 }));
      assert.equal(await closeCode(ws), 1009);
      ws.raw.destroy();
    }
    if (!isSanitized) assert.ok(memory() - before < 2048, `${memory() - before} kB more`);
    await other.publish('calm', 'still here');
    const seen = (await other.take(2)).map(({ message }) => message);
    assert.equal(seen[1], 'still here');
    other.drop();
    first.raw.destroy();
  });

  const settings = [
    ['as it comes', {}],
    ['with everything compressed', { threshold: 0 }],
    ['without context of the server', { threshold: 0, serverNoContextTakeover: true }],
    ['without context of the client', { threshold: 0, clientNoContextTakeover: true }],
    ...[9, 10, 12, 15].map((bits) => [
      `with windows of ${bits} bits`,
      { threshold: 0, serverMaxWindowBits: bits, clientMaxWindowBits: bits },
    ]),
  ];
  for (const [name, perMessageDeflate] of settings) {
    test(`works with ws ${name}`, async () => {
      const client = await Client.connect(daemon, { perMessageDeflate });
      assert.equal(client.socket.extensions, 'permessage-deflate');
      await client.subscribe('ws/#');
      const messages = ['short', 'ü🦄'.repeat(500), order(5000), order(100_000, 3), 'x'.repeat(MAX / 2)];
      for (let round = 0; round < 2; round++) {
        for (const message of messages) {
          const id = await client.publish('ws/a', message);
          const [seen] = await client.take(1);
          assert.deepEqual([seen.id, seen.message], [id, message]);
        }
      }
      const log = await client.eventlog('ws/a', { since: -60_000, limit: 10 });
      assert.deepEqual(
        log.items.map((item) => item.message),
        [...messages, ...messages],
      );
      client.drop();
    });
  }

  test('all subscribers get the same, compressed once', async () => {
    const count = async () => (await daemon.metric('compressions_total')) ?? 0;
    const clients = [];
    for (const [, perMessageDeflate] of [...settings.slice(0, 4), settings.at(-1), ['', false]]) {
      for (let i = 0; i < 4; i++) {
        const client = await Client.connect(daemon, { perMessageDeflate });
        client.nextId = 1 + i * 1000; // ids of subscriptions differ
        await client.subscribe('crowd/+');
        clients.push(client);
      }
    }
    const before = await count();
    const message = order(3000, 5);
    const publisher = await Client.connect(daemon, { perMessageDeflate: false });
    for (let i = 0; i < 10; i++) await publisher.publish('crowd/a', message);
    for (const client of clients) {
      for (const seen of await client.take(10)) assert.deepEqual(seen.message, message);
    }
    // One for each message: two workers may both be the first.
    const made = (await count()) - before;
    assert.ok(made >= 10 && made <= 20, `${made} compressions`);
    for (const client of [...clients, publisher]) client.drop();
  });

  test('history is compressed, too', async () => {
    const publisher = await Client.connect(daemon, { perMessageDeflate: false });
    for (let i = 0; i < 5; i++) await publisher.publish('old', order(2000, i));
    const ws = await open(daemon);
    await ws.send(frame(TEXT, request('s', 'subscribe', { topic: 'old', since: -60_000 })));
    assert.equal((await read(ws)).json.result.recovered, true);
    for (let i = 0; i < 5; i++) {
      const { json, isCompressed } = await read(ws);
      assert.deepEqual(json.result.message, order(2000, i));
      assert.ok(isCompressed);
    }
    await ws.send(frame(TEXT, request(2, 'eventlog', { topic: 'old', since: -60_000 })));
    const log = await read(ws);
    assert.equal(log.json.result.items.length, 5);
    assert.ok(log.isCompressed);
    publisher.drop();
    ws.raw.destroy();
  });

  test('many who come and go leave nothing behind', async () => {
    for (let i = 0; i < 50; i++) {
      const ws = await open(daemon);
      await ws.send(compressed(request(1, 'subscribe', { topic: 'leave' })));
      await read(ws);
      if (i % 2) ws.raw.reset();
      else ws.raw.destroy();
    }
    const rest = async () => (await daemon.metric('current_connections_count')) <= 1;
    await eventually(rest, 'no connection but that of the question');
  });
});

test('ENABLE_COMPRESSION switches it off', () =>
  withDaemon({ ENABLE_COMPRESSION: 'false' }, async (daemon) => {
    const ws = await open(daemon);
    assert.equal(ws.extension, undefined);
    ws.raw.destroy();
  }));
