// RFC 6455 by hand: builds any frame, right or wrong, and reads the server's strictly.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { parseHead, requestText } from './http.mjs';
import { RawSocket } from './socket.mjs';
import { DEADLINE_MS } from './wait.mjs';

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

function header(first, length, form, masked) {
  const mark = masked ? 0x80 : 0;
  if (form === 7) return Buffer.from([first, mark | length]);
  if (form === 16) {
    const bytes = Buffer.from([first, mark | 126, 0, 0]);
    bytes.writeUInt16BE(length, 2);
    return bytes;
  }
  const bytes = Buffer.alloc(10);
  bytes[0] = first;
  bytes[1] = mark | 127;
  bytes.writeBigUInt64BE(BigInt(length), 2);
  return bytes;
}

const shortestForm = (length) => (length < 126 ? 7 : length < 65_536 ? 16 : 64);

/**
 * One client frame. `form` (7, 16, 64) forces a length form, `claims` a length other than the
 * payload's, `mask: null` leaves it unmasked.
 */
export function frame(opcode, payload = '', options = {}) {
  const { fin = true, rsv = 0, mask = randomBytes(4) } = options;
  const data = Buffer.from(payload);
  const length = options.claims ?? data.length;
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const head = header(first, length, options.form ?? shortestForm(length), mask !== null);
  if (mask === null) return Buffer.concat([head, data]);
  const masked = Buffer.alloc(data.length);
  for (let i = 0; i < data.length; i++) masked[i] = data[i] ^ mask[i & 3];
  return Buffer.concat([head, mask, masked]);
}

export const text = (payload, options) => frame(TEXT, payload, options);

export function closePayload(code, reason = '') {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(code);
  return Buffer.concat([bytes, Buffer.from(reason)]);
}

/** The payload as frames of the sizes given; the rest goes into the last. */
export function fragments(opcode, payload, cuts) {
  const data = Buffer.from(payload);
  const edges = [0, ...cuts, data.length];
  return edges
    .slice(1)
    .map((end, i) =>
      frame(i === 0 ? opcode : CONTINUATION, data.subarray(edges[i], end), {
        fin: i === edges.length - 2,
      }),
    );
}

function parseFrame(bytes, allowedBits) {
  if (bytes.length < 2) return undefined;
  const short = bytes[1] & 0x7f;
  const start = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < start) return undefined;
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  assert.equal(bytes[1] & 0x80, 0, 'the server never masks');
  assert.equal(bytes[0] & 0x70 & ~allowedBits, 0, 'no reserved bit without an extension');
  if (start === 4) assert.ok(length >= 126, 'shortest length form');
  if (start === 10) assert.ok(length >= 65_536, 'shortest length form');
  if (bytes.length < start + length) return undefined;
  return {
    size: start + length,
    fin: (bytes[0] & 0x80) !== 0,
    isCompressed: (bytes[0] & 0x40) !== 0,
    opcode: bytes[0] & 0x0f,
    payload: bytes.subarray(start, start + length),
  };
}

/** A WebSocket client that does nothing by itself: no pong, no close, no masking unless told. */
export class RawWebSocket {
  /** Connects and upgrades; `first` is sent in the same packet as the request. */
  static async open(port, { path = '/', headers = {}, first = '' } = {}) {
    const raw = await RawSocket.connect(port);
    const ws = new RawWebSocket(raw);
    const key = randomBytes(16).toString('base64');
    const upgrade = upgradeRequest(path, { 'Sec-WebSocket-Key': key, ...headers });
    await raw.write(Buffer.concat([Buffer.from(upgrade), Buffer.from(first)]));
    ws.response = await raw.read(() => parseHead(raw.bytes), 'handshake response');
    raw.take(ws.response.length);
    assert.equal(ws.response.status, 101, raw.bytes.toString('latin1'));
    const accept = createHash('sha1')
      .update(key + GUID)
      .digest('base64');
    assert.equal(ws.response.headers['sec-websocket-accept'], accept);
    ws.extension = ws.response.headers['sec-websocket-extensions'];
    return ws;
  }

  constructor(raw) {
    this.raw = raw;
  }

  send(...frames) {
    return this.raw.write(frames.length === 1 ? frames[0] : Buffer.concat(frames));
  }

  /** The next frame of any kind. */
  next(what = 'frame', ms = DEADLINE_MS) {
    return this.raw.read(
      () => {
        const found = parseFrame(this.raw.bytes, this.extension ? 0x40 : 0);
        if (found) this.raw.take(found.size);
        return found;
      },
      what,
      ms,
    );
  }

  /** The next data message; the server's pings are skipped. */
  async message(ms) {
    for (;;) {
      const one = await this.next('message', ms);
      if (one.opcode === PING) continue;
      assert.ok(one.opcode === TEXT || one.opcode === BINARY, `opcode ${one.opcode}`);
      assert.ok(one.fin);
      return one;
    }
  }

  /** Skips to the close frame: {code, reason}; an empty one has code 1005. */
  async closeFrame(ms) {
    for (;;) {
      const one = await this.next('close frame', ms);
      if (one.opcode !== CLOSE) continue;
      assert.notEqual(one.payload.length, 1, 'close payload');
      if (one.payload.length === 0) return { code: 1005, reason: '' };
      const reason = new TextDecoder('utf-8', { fatal: true }).decode(one.payload.subarray(2));
      return { code: one.payload.readUInt16BE(0), reason };
    }
  }

  /** Asserts that the server closes with a code, and ends the connection once we answered. */
  async expectClose(...codes) {
    const { code, reason } = await this.closeFrame();
    assert.ok(codes.includes(code), `closed with ${code} ${reason}, expected ${codes}`);
    await this.send(frame(CLOSE, code === 1005 ? '' : closePayload(code)));
    await this.raw.readToEnd();
    this.raw.destroy();
  }

  /** Closes the polite way from our side. */
  async close() {
    await this.send(frame(CLOSE, closePayload(1000)));
    await this.raw.readToEnd();
    this.raw.destroy();
  }

  destroy() {
    this.raw.destroy();
  }
}

const UPGRADE_HEADERS = {
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13',
};

/** The text of an upgrade request; a header given as undefined is left out. */
export function upgradeRequest(path = '/', headers = {}, method = 'GET') {
  return requestText(method, path, { ...UPGRADE_HEADERS, ...headers });
}
