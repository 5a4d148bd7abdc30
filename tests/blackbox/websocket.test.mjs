// RFC 6455 against the daemon, by raw bytes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import {
  closeTests,
  controlTests,
  fragmentTests,
  headerTests,
  lengthTests,
  utf8Tests,
} from './lib/framing_suite.mjs';
import { Client } from './lib/rpc.mjs';
import { daemonTarget } from './lib/vehicle.mjs';
import { BINARY, RawWebSocket, TEXT, fragments, frame, text } from './lib/websocket.mjs';

const suites = {
  'frame lengths': lengthTests,
  'frame headers': headerTests,
  fragments: fragmentTests,
  'control frames': controlTests,
  'UTF-8': utf8Tests,
  'close handshake': closeTests,
};

describe('RFC 6455', () => {
  const daemon = useDaemon();
  const target = daemonTarget(daemon);

  for (const [name, define] of Object.entries(suites)) describe(name, () => define(target));

  describe('binary data', () => {
    for (const [name, frames] of Object.entries({
      'a binary frame': () => [frame(BINARY, 'x')],
      'an empty binary frame': () => [frame(BINARY)],
      'a fragmented binary message': () => fragments(BINARY, 'xyz', [1, 2]),
    })) {
      test(`${name} ends with 1003`, async () => {
        const ws = await RawWebSocket.open(daemon.port);
        await ws.send(...frames());
        await ws.expectClose(1003);
      });
    }
  });

  test('a connection closed for one client leaves the others alone', async () => {
    const client = await Client.connect(daemon);
    const id = await client.subscribe('steady');
    const bad = await RawWebSocket.open(daemon.port);
    await bad.send(frame(15, ''));
    await bad.expectClose(1002);
    await client.publish('steady', 'still here');
    assert.equal((await client.delivery()).json.id, id);
    await client.close();
  });

  test('a client that never answers our close is dropped', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    await ws.send(frame(3, ''));
    assert.equal((await ws.closeFrame()).code, 1002);
    await ws.raw.readToEnd();
    ws.destroy();
  });
});

describe('message size', () => {
  const LIMIT = 4096;
  const daemon = useDaemon({ MAX_MESSAGE_SIZE: String(LIMIT) });
  const target = daemonTarget(daemon);

  test('a message of MAX_MESSAGE_SIZE is served', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    const payload = target.makeText(LIMIT);
    await ws.send(text(payload));
    target.assertAnswer(payload, (await ws.message()).payload);
    await ws.send(...fragments(TEXT, target.makeText(LIMIT), [1, 100, 1000]));
    await ws.message();
    await ws.close();
  });

  const tooBig = {
    'one byte more': () => [text(target.makeText(LIMIT + 1))],
    'one byte more in fragments': () => fragments(TEXT, target.makeText(LIMIT + 1), [10, 2000]),
    'a header that announces more': () => [text('x', { form: 64, claims: 1 << 20 })],
    'a last fragment that announces more': () => [
      text('x', { fin: false }),
      frame(0, 'x', { form: 16, claims: LIMIT }),
    ],
  };
  for (const [name, makeFrames] of Object.entries(tooBig)) {
    test(`${name} ends with 1009`, async () => {
      const ws = await RawWebSocket.open(daemon.port);
      await ws.send(...makeFrames());
      await ws.expectClose(1009);
    });
  }
});

describe('large messages', () => {
  const SIZE = 8 << 20;
  const daemon = useDaemon({
    MAX_MESSAGE_SIZE: String(10 << 20),
    MAX_SEND_QUEUE: String(64 << 20),
  });

  test('8 MB by fragments arrive whole', async () => {
    const ws = await RawWebSocket.open(daemon.port);
    const subscriber = await Client.connect(daemon);
    await subscriber.subscribe('large');
    const message = `${'0123456789abcdef'.repeat(SIZE / 16)}é`;
    const payload = Buffer.from(
      JSON.stringify({
        id: 1,
        jsonrpc: '2.0',
        method: 'publish',
        params: { topic: 'large', message },
      }),
    );
    const cuts = Array.from({ length: 500 }, (_, i) =>
      Math.floor((payload.length * (i + 1)) / 501),
    );
    for (const one of fragments(TEXT, payload, cuts)) await ws.send(one);
    assert.equal(JSON.parse((await ws.message()).payload).result.status, 'ok');
    const { json } = await subscriber.delivery();
    assert.ok(json.result.message === message, 'the same 8 MB');
    await ws.close();
    await subscriber.close();
  });
});
