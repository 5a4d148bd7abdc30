// RFC 6455 as both the daemon and the echo server must keep it. A target says how to open a
// connection, how to make a text of a length that is answered, and how to know the answer:
// {open(options), makeText(length), makeUnicode(), assertAnswer(payload, answer)}.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  PING,
  PONG,
  TEXT,
  closePayload,
  fragments,
  frame,
  text,
} from './websocket.mjs';

const SMALL = 80;

async function withConnection(target, run, options) {
  const ws = await target.open(options);
  try {
    await run(ws);
  } finally {
    ws.destroy();
  }
}

async function assertAnswered(target, ws, payload) {
  const answer = await ws.message();
  assert.equal(answer.opcode, TEXT);
  target.assertAnswer(payload, answer.payload);
}

async function assertStillServes(target, ws) {
  const payload = target.makeText(SMALL);
  await ws.send(text(payload));
  await assertAnswered(target, ws, payload);
}

function refuses(target, name, code, makeFrames) {
  test(`${name} ends with ${code}`, () =>
    withConnection(target, async (ws) => {
      await ws.send(...makeFrames());
      await ws.expectClose(code);
    }));
}

export function lengthTests(target) {
  for (const length of [125, 126, 127, 65_535, 65_536]) {
    test(`a message of ${length} bytes is answered`, () =>
      withConnection(target, async (ws) => {
        const payload = target.makeText(length);
        await ws.send(text(payload));
        await assertAnswered(target, ws, payload);
      }));
  }

  for (const [form, length] of [
    [16, 125],
    [64, 125],
    [64, 126],
    [64, 65_535],
  ]) {
    refuses(target, `a length of ${length} in the ${form} bit form`, 1002, () => [
      text(target.makeText(length), { form }),
    ]);
  }

  for (const [name, claims] of [
    ['2^63', 1n << 63n],
    ['2^64-1', (1n << 64n) - 1n],
    ['2^62', 1n << 62n],
  ]) {
    refuses(target, `a frame that claims ${name} bytes`, 1009, () => [
      text('x', { form: 64, claims }),
    ]);
  }

  test('a message fed byte by byte is answered', () =>
    withConnection(target, async (ws) => {
      const payload = target.makeText(130);
      for (const byte of text(payload)) await ws.send(Buffer.from([byte]));
      await assertAnswered(target, ws, payload);
    }));

  test('many messages in one packet are answered in order', () =>
    withConnection(target, async (ws) => {
      const payloads = Array.from({ length: 50 }, () => target.makeText(SMALL));
      await ws.send(...payloads.map((payload) => text(payload)));
      for (const payload of payloads) await assertAnswered(target, ws, payload);
    }));
}

export function headerTests(target) {
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
    refuses(target, `reserved opcode ${opcode}`, 1002, () => [frame(opcode, '')]);
  }
  for (const rsv of [1, 2, 4, 7]) {
    refuses(target, `reserved bits ${rsv} on a text`, 1002, () => [
      text(target.makeText(SMALL), { rsv }),
    ]);
    refuses(target, `reserved bits ${rsv} on a ping`, 1002, () => [frame(PING, 'x', { rsv })]);
  }
  for (const opcode of [TEXT, BINARY, PING, CLOSE]) {
    refuses(target, `an unmasked frame of opcode ${opcode}`, 1002, () => [
      frame(opcode, opcode === CLOSE ? closePayload(1000) : 'x', { mask: null }),
    ]);
  }
  test('a mask of zeroes is a mask', () =>
    withConnection(target, async (ws) => {
      const payload = target.makeText(SMALL);
      await ws.send(text(payload, { mask: Buffer.alloc(4) }));
      await assertAnswered(target, ws, payload);
    }));
}

export function fragmentTests(target) {
  const cutsOf = {
    'two frames': () => [40],
    'frames of one byte': () => Array.from({ length: SMALL - 1 }, (_, i) => i + 1),
    'an empty first frame': () => [0],
    'an empty last frame': () => [SMALL],
    'empty frames between': () => [20, 20, 20, 60, 60],
  };
  for (const [name, cuts] of Object.entries(cutsOf)) {
    test(`a message in ${name} is answered`, () =>
      withConnection(target, async (ws) => {
        const payload = target.makeText(SMALL);
        await ws.send(...fragments(TEXT, payload, cuts()));
        await assertAnswered(target, ws, payload);
        await assertStillServes(target, ws);
      }));
  }

  test('a ping between fragments is answered before the message ends', () =>
    withConnection(target, async (ws) => {
      const payload = target.makeText(SMALL);
      const [first, second, third] = fragments(TEXT, payload, [10, 50]);
      await ws.send(first, frame(PING, 'one'));
      assert.deepEqual((await pong(ws)).toString(), 'one');
      await ws.send(second, frame(PONG, 'unasked'), frame(PING, 'two'));
      assert.deepEqual((await pong(ws)).toString(), 'two');
      await ws.send(third);
      await assertAnswered(target, ws, payload);
    }));

  test('a close between fragments is answered', () =>
    withConnection(target, async (ws) => {
      const [first] = fragments(TEXT, target.makeText(SMALL), [10]);
      await ws.send(first, frame(CLOSE, closePayload(1000)));
      await ws.expectClose(1000);
    }));

  refuses(target, 'a continuation of nothing', 1002, () => [frame(CONTINUATION, 'x')]);
  refuses(target, 'an unfinished continuation of nothing', 1002, () => [
    frame(CONTINUATION, 'x', { fin: false }),
  ]);
  refuses(target, 'a continuation after a whole message', 1002, () => [
    text(target.makeText(SMALL)),
    frame(CONTINUATION, 'x'),
  ]);
  refuses(target, 'a new text inside a fragmented one', 1002, () => [
    text('x', { fin: false }),
    text('y'),
  ]);
}

async function pong(ws) {
  for (;;) {
    const one = await ws.next('pong');
    if (one.opcode === PING) continue;
    assert.equal(one.opcode, PONG);
    return one.payload;
  }
}

export function controlTests(target) {
  for (const length of [0, 1, 125]) {
    test(`a ping of ${length} bytes comes back`, () =>
      withConnection(target, async (ws) => {
        const payload = Buffer.alloc(length, 0xfe);
        await ws.send(frame(PING, payload));
        assert.deepEqual(await pong(ws), payload);
      }));
  }

  test('every ping is answered, in order', () =>
    withConnection(target, async (ws) => {
      const names = Array.from({ length: 20 }, (_, i) => `ping ${i}`);
      await ws.send(...names.map((name) => frame(PING, name)));
      for (const name of names) assert.equal((await pong(ws)).toString(), name);
    }));

  test('unasked pongs are ignored', () =>
    withConnection(target, async (ws) => {
      await ws.send(frame(PONG, ''), frame(PONG, 'unasked'), frame(PONG, Buffer.alloc(125)));
      await assertStillServes(target, ws);
    }));

  for (const [name, opcode] of [
    ['ping', PING],
    ['pong', PONG],
    ['close', CLOSE],
  ]) {
    refuses(target, `a ${name} of 126 bytes`, 1002, () => [
      frame(opcode, Buffer.concat([closePayload(1000), Buffer.alloc(124, 0x61)])),
    ]);
    refuses(target, `a fragmented ${name}`, 1002, () => [
      frame(opcode, closePayload(1000), { fin: false }),
    ]);
  }
}

const NOT_UTF8 = {
  'a lone continuation byte': [0x80],
  'a byte that never occurs': [0xff],
  'an overlong slash': [0xc0, 0xaf],
  'an overlong three byte form': [0xe0, 0x80, 0x80],
  'an overlong four byte form': [0xf0, 0x80, 0x80, 0x80],
  'a surrogate': [0xed, 0xa0, 0x80],
  'a code point past the last': [0xf4, 0x90, 0x80, 0x80],
  'a five byte form': [0xf8, 0x88, 0x80, 0x80, 0x80],
  'a character cut short by another': [0xe2, 0x82, 0x41],
  'a character cut short by the end': [0xe2, 0x82],
};

export function utf8Tests(target) {
  test('a text with every width of character may be cut anywhere', () =>
    withConnection(target, async (ws) => {
      const payload = target.makeUnicode();
      for (let cut = 1; cut < payload.length; cut++) {
        await ws.send(...fragments(TEXT, payload, [cut]));
        await assertAnswered(target, ws, payload);
      }
    }));

  test('a text in packets cut inside characters is answered', () =>
    withConnection(target, async (ws) => {
      const payload = target.makeUnicode();
      const bytes = text(payload);
      for (let cut = 1; cut < bytes.length; cut++) {
        await ws.send(bytes.subarray(0, cut));
        await ws.send(bytes.subarray(cut));
        await assertAnswered(target, ws, payload);
      }
    }));

  for (const [name, bytes] of Object.entries(NOT_UTF8)) {
    const payload = Buffer.concat([Buffer.from('"κό'), Buffer.from(bytes)]);
    refuses(target, `a text with ${name}`, 1007, () => [text(payload)]);
    refuses(target, `a fragmented text with ${name}`, 1007, () =>
      fragments(
        TEXT,
        payload,
        Array.from({ length: payload.length - 1 }, (_, i) => i + 1),
      ),
    );
  }

  test('a text that cannot become UTF-8 ends with 1007 before it is whole', () =>
    withConnection(target, async (ws) => {
      await ws.send(text(Buffer.from([0x22, 0xff]), { fin: false }));
      await ws.expectClose(1007);
    }));
}

export function closeTests(target) {
  const valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
  const invalid = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
  for (const code of valid) {
    test(`a close with ${code} is answered with the same`, () =>
      withConnection(target, async (ws) => {
        await ws.send(frame(CLOSE, closePayload(code, 'because')));
        await ws.expectClose(code);
      }));
  }
  for (const code of invalid) {
    refuses(target, `a close with the forbidden code ${code}`, 1002, () => [
      frame(CLOSE, closePayload(code)),
    ]);
  }
  refuses(target, 'a close of one byte', 1002, () => [frame(CLOSE, Buffer.from([3]))]);
  refuses(target, 'a close whose reason is not UTF-8', 1007, () => [
    frame(CLOSE, Buffer.concat([closePayload(1000), Buffer.from([0xce, 0xff])])),
  ]);

  test('an empty close is answered', () =>
    withConnection(target, async (ws) => {
      await ws.send(frame(CLOSE));
      await ws.expectClose(1000, 1005);
    }));

  test('a close with the longest reason is answered', () =>
    withConnection(target, async (ws) => {
      await ws.send(frame(CLOSE, closePayload(1000, 'r'.repeat(123))));
      await ws.expectClose(1000);
    }));

  test('what follows a close is not looked at', () =>
    withConnection(target, async (ws) => {
      await ws.send(
        frame(CLOSE, closePayload(1000)),
        text(target.makeText(SMALL)),
        frame(PING, 'x'),
      );
      const first = await ws.next();
      assert.equal(first.opcode, CLOSE);
      assert.equal((await ws.raw.readToEnd()).length, 0);
    }));

  test('the answers to earlier messages go out before the close', () =>
    withConnection(target, async (ws) => {
      const payloads = Array.from({ length: 10 }, () => target.makeText(SMALL));
      await ws.send(...payloads.map((one) => text(one)), frame(CLOSE, closePayload(1000)));
      for (const payload of payloads) await assertAnswered(target, ws, payload);
      await ws.expectClose(1000);
    }));

  test('the server ends the connection of a peer that leaves without a close', () =>
    withConnection(target, async (ws) => {
      ws.raw.end();
      await ws.raw.readToEnd();
    }));
}
