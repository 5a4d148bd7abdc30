// The Redis protocol by hand: a client for the tests' own commands, and what a fake server needs.
import net from 'node:net';
import { DEADLINE_MS, deferred, withDeadline } from './wait.mjs';

const CRLF = '\r\n';

/** An error that Redis answered. */
export class RedisError extends Error {}

/** A command as Redis reads it; arguments are texts, numbers or buffers. */
export function encodeCommand(args) {
  const parts = [Buffer.from(`*${args.length}${CRLF}`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}${CRLF}`), bytes, Buffer.from(CRLF));
  }
  return Buffer.concat(parts);
}

// Each reader answers {value, end}, or undefined where the bytes do not suffice yet.
function readArray(bytes, start, count) {
  const value = [];
  let end = start;
  for (let i = 0; i < count; i++) {
    const one = readValue(bytes, end);
    if (!one) return undefined;
    value.push(one.value);
    end = one.end;
  }
  return { value, end };
}

function readBulk(bytes, start, length) {
  const end = start + length + CRLF.length;
  if (bytes.length < end) return undefined;
  return { value: bytes.subarray(start, start + length), end };
}

/** One value of RESP2 from `start` on: bulks are buffers, errors are RedisError values. */
export function readValue(bytes, start = 0) {
  const lineEnd = bytes.indexOf(CRLF, start);
  if (lineEnd < 0) return undefined;
  const text = bytes.toString('utf8', start + 1, lineEnd);
  const next = lineEnd + CRLF.length;
  switch (String.fromCharCode(bytes[start])) {
    case '+':
      return { value: text, end: next };
    case '-':
      return { value: new RedisError(text), end: next };
    case ':':
      return { value: Number(text), end: next };
    case '$':
      return Number(text) < 0 ? { value: null, end: next } : readBulk(bytes, next, Number(text));
    case '*':
      return Number(text) < 0 ? { value: null, end: next } : readArray(bytes, next, Number(text));
    default:
      throw new Error(`not RESP: ${JSON.stringify(bytes.toString('latin1', start, start + 60))}`);
  }
}

const toText = (value) => {
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  return Array.isArray(value) ? value.map(toText) : value;
};

/**
 * One connection. Commands may be sent without waiting for the answers of earlier ones. What comes
 * without having been asked for, to a subscriber, goes to onPush.
 */
export class RedisConnection {
  /** `where` is {port} or {path}, with {username, password, db} where they are needed. */
  static async connect({ username, password, db, ...where }) {
    const connection = new RedisConnection(net.connect({ host: '127.0.0.1', ...where }));
    await withDeadline(connection.opened.promise, 'connection to Redis');
    if (password) await connection.command('AUTH', ...(username ? [username] : []), password);
    if (db) await connection.command('SELECT', db);
    return connection;
  }

  constructor(socket) {
    this.socket = socket;
    this.opened = deferred();
    this.opened.promise.catch(() => {});
    this.bytes = Buffer.alloc(0);
    this.waiting = [];
    this.isOver = false;
    // A server is ended with the test process, which therefore must not wait for its connection.
    socket.unref();
    socket.setNoDelay(true);
    socket.once('connect', () => this.opened.resolve());
    socket.on('data', (chunk) => this.onData(chunk));
    socket.on('error', (error) => this.onEnd(error));
    socket.on('close', () => this.onEnd(new Error('Redis closed the connection')));
  }

  onData(chunk) {
    this.bytes = this.bytes.length ? Buffer.concat([this.bytes, chunk]) : chunk;
    for (;;) {
      const one = readValue(this.bytes);
      if (!one) return;
      this.bytes = this.bytes.subarray(one.end);
      const asked = this.waiting.shift();
      if (!asked) this.onPush?.(one.value);
      else if (one.value instanceof RedisError) asked.reject(one.value);
      else asked.resolve(one.value);
    }
  }

  onEnd(error) {
    this.isOver = true;
    this.opened.reject(error);
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  /** The answer with bulks as buffers. */
  raw(...args) {
    if (this.isOver) return Promise.reject(new Error('the connection to Redis is closed'));
    const answer = deferred();
    this.waiting.push(answer);
    this.socket.write(encodeCommand(args));
    return withDeadline(answer.promise, `answer to ${args[0]}`, DEADLINE_MS);
  }

  /** The answer with bulks as texts. */
  async command(...args) {
    return toText(await this.raw(...args));
  }

  close() {
    this.socket.destroy();
  }
}
