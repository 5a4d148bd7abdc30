// The echo server: the same connection and WebSocket modules with nothing on top.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import {
  closeTests,
  controlTests,
  fragmentTests,
  headerTests,
  lengthTests,
  utf8Tests,
} from './lib/framing_suite.mjs';
import { Program, freePort, requiredBinary } from './lib/process.mjs';
import { DEADLINE_MS, eventually, withDeadline } from './lib/wait.mjs';
import { BINARY, PING, PONG, RawWebSocket, TEXT, fragments, frame } from './lib/websocket.mjs';

const MB = 1 << 20;

let port;
let program;
let counter = 0;

async function startEcho() {
  port = await freePort();
  program = new Program(requiredBinary('ECHO_BIN'), { args: [String(port)] });
  const isUp = async () => {
    if (program.isOver) return true;
    const ws = await RawWebSocket.open(port);
    ws.destroy();
    return true;
  };
  await eventually(isUp, 'echo server');
  assert.ok(!program.isOver, `the echo server ended: ${program.stderr}`);
}

const target = {
  open: (options) => RawWebSocket.open(port, options),
  makeText: (length) => Buffer.from(`text ${++counter} `.padEnd(length, 'x')),
  makeUnicode: () => Buffer.from(`text ${++counter} $¢κ€한𐍈🦄\u{10ffff}`),
  assertAnswer: (payload, answer) => assert.ok(payload.equals(answer), 'the same bytes'),
};

const suites = {
  'frame lengths': lengthTests,
  'frame headers': headerTests,
  fragments: fragmentTests,
  'control frames': controlTests,
  'UTF-8': utf8Tests,
  'close handshake': closeTests,
};

async function echoed(ws, opcode) {
  const answer = await ws.message(3 * DEADLINE_MS);
  assert.equal(answer.opcode, opcode);
  return answer.payload;
}

describe('echo server', () => {
  before(startEcho);
  after(() => program.stop());

  for (const [name, define] of Object.entries(suites)) describe(name, () => define(target));

  for (const [name, opcode] of [
    ['text', TEXT],
    ['binary', BINARY],
  ]) {
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 70_000]) {
      test(`a ${name} of ${length} bytes comes back as it went`, async () => {
        const ws = await RawWebSocket.open(port);
        const payload = opcode === TEXT ? Buffer.alloc(length, 0x74) : randomBytes(length);
        await ws.send(frame(opcode, payload));
        assert.ok(payload.equals(await echoed(ws, opcode)));
        await ws.close();
      });
    }
  }

  test('binary data needs not be UTF-8, whole or in fragments', async () => {
    const ws = await RawWebSocket.open(port);
    const payload = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await ws.send(frame(BINARY, payload), ...fragments(BINARY, payload, [1, 128, 200]));
    assert.ok(payload.equals(await echoed(ws, BINARY)));
    assert.ok(payload.equals(await echoed(ws, BINARY)));
    await ws.close();
  });

  test('32 MB in one frame come back', async () => {
    const ws = await RawWebSocket.open(port);
    const payload = randomBytes(32 * MB);
    await ws.send(frame(BINARY, payload));
    assert.ok(payload.equals(await echoed(ws, BINARY)));
    await ws.close();
  });

  test('32 MB in 512 fragments with pings between come back', async () => {
    const ws = await RawWebSocket.open(port);
    const payload = Buffer.alloc(32 * MB, 'wörter ');
    const cuts = Array.from({ length: 511 }, (_, i) => (i + 1) * 65_536);
    for (const one of fragments(TEXT, payload, cuts)) {
      await ws.send(frame(PING, 'between'), one);
      const { opcode } = await ws.next('pong between');
      assert.equal(opcode, PONG);
    }
    assert.ok(payload.equals(await echoed(ws, TEXT)));
    await ws.close();
  });

  test('a message in 100,000 fragments comes back', async () => {
    const ws = await RawWebSocket.open(port);
    const payload = Buffer.alloc(100_000, 'many ');
    const frames = fragments(
      TEXT,
      payload,
      Array.from({ length: 99_999 }, (_, i) => i + 1),
    );
    await ws.send(...frames);
    assert.ok(payload.equals(await echoed(ws, TEXT)));
    await ws.close();
  });

  test('a message over 32 MB ends with 1009', async () => {
    const ws = await RawWebSocket.open(port);
    await ws.send(frame(BINARY, '', { form: 64, claims: 32 * MB + 1 }));
    await ws.expectClose(1009);
  });

  test('the ws library talks to it', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    const answers = [];
    const done = new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.on('message', (data, isBinary) => {
        answers.push([data.toString(), isBinary]);
        if (answers.length === 2) socket.close(1000);
      });
      socket.on('close', resolve);
      socket.on('open', () => {
        socket.send('text');
        socket.send(Buffer.from('bytes'));
      });
    });
    assert.equal(await withDeadline(done, 'close'), 1000);
    assert.deepEqual(answers, [
      ['text', false],
      ['bytes', true],
    ]);
  });

  describe('with permessage-deflate', () => {
    const SIZES = [0, 1, 16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072];
    const both = (bits) => ({ serverMaxWindowBits: bits, clientMaxWindowBits: bits });
    const noContext = { serverNoContextTakeover: true, clientNoContextTakeover: true };
    const forms = {
      'as it is offered by default': {},
      'without context on either side': noContext,
      'without context of the client': { clientNoContextTakeover: true },
      ...Object.fromEntries([9, 10, 11, 12, 13, 14, 15].flatMap((bits) => [
        [`with windows of ${bits} bits`, both(bits)],
        [`with windows of ${bits} bits and without context`, { ...both(bits), ...noContext }],
      ])),
      'with a window of the server alone': { serverMaxWindowBits: 9, clientMaxWindowBits: false },
      'stored, not compressed': { zlibDeflateOptions: { level: 0 } },
      'in small pieces of zlib': { zlibDeflateOptions: { level: 9, memLevel: 1, chunkSize: 64 } },
    };
    const json = (size) => Buffer.from(
      Array.from({ length: size / 16 + 1 }, (_, i) => `{"n":${i % 97},"ü":"${i}"},`).join('')).subarray(0, size);
    const whole = (bytes) => Buffer.from(bytes.toString()); // no half of a character at the end

    for (const [name, options] of Object.entries(forms)) {
      test(`${name}, all comes back`, async () => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}/`, {
          perMessageDeflate: { threshold: 0, ...options }, maxPayload: MB });
        const messages = SIZES.flatMap((size) => [[whole(json(size)), false], [randomBytes(size), true], [Buffer.alloc(size), true]]);
        const rounds = [...messages, ...messages];
        const answers = [];
        const done = new Promise((resolve, reject) => {
          socket.on('error', reject);
          socket.on('message', (data, isBinary) => {
            answers.push([data, isBinary]);
            if (answers.length === rounds.length) socket.close(1000);
          });
          socket.on('close', resolve);
          socket.on('open', () => rounds.forEach(([data, binary], i) => {
            // Every other one in two fragments.
            if (i % 2) {
              socket.send(data.subarray(0, data.length / 2), { binary, fin: false });
              socket.send(data.subarray(data.length / 2), { binary, fin: true });
            } else {
              socket.send(data, { binary });
            }
          }));
        });
        assert.equal(await withDeadline(done, 'close'), 1000);
        assert.equal(socket.extensions, 'permessage-deflate');
        rounds.forEach(([data, binary], i) => {
          assert.equal(answers[i][1], binary);
          assert.ok(data.equals(answers[i][0]), `message ${i} of ${data.length} bytes`);
        });
      });
    }

    for (const [offers, answer] of [
      ['permessage-deflate; server_no_context_takeover; server_max_window_bits=9, permessage-deflate; server_no_context_takeover, permessage-deflate',
        'permessage-deflate; server_no_context_takeover; server_max_window_bits=9'],
      ['permessage-deflate; server_max_window_bits=7, permessage-deflate; client_max_window_bits', 'permessage-deflate; server_no_context_takeover; client_max_window_bits=12'],
      ['permessage-deflate; mode=fast, x-webkit-deflate-frame', undefined],
    ]) {
      test(`of several offers the first that is acceptable counts: ${offers}`, async () => {
        const ws = await RawWebSocket.open(port, { headers: { 'Sec-WebSocket-Extensions': offers } });
        assert.equal(ws.extension, answer);
        await ws.send(frame(TEXT, 'plain text'));
        assert.equal((await echoed(ws, TEXT)).toString(), 'plain text');
        ws.destroy();
      });
    }
  });
});
