// The scripts that run inside Redis, one by one; redis_scripts_model.mjs says what they should do.
//
// They are given a clock of the test's own in place of Redis', so that hours pass at once and
// every run with one seed is the same. Streams go at their time by Redis' own clock, which is far
// behind that: passTime() takes them away as Redis would.
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { newPrefix, sharedRedis } from './redis.mjs';
import { deferred, withDeadline } from './wait.mjs';

const LUA = new URL('../../../src/store/lua/', import.meta.url);
const NAMES = ['publish', 'limit', 'mark', 'read', 'changed', 'missed', 'tend'];
const SPREAD = 64n;
const US_PER_MS = 1000n;

export const START_US = 2_100_000_000_000_000n;
export const SEQ_MAX = (1n << 64n) - 1n;

// ---- ids -------------------------------------------------------------------------------------------

export const parseId = (text) => text.split('-').map(BigInt);
export const formatId = ([ms, n]) => `${ms}-${n}`;
export const compareIds = (a, b) => {
  const i = a[0] === b[0] ? 1 : 0;
  return a[i] < b[i] ? -1 : Number(a[i] > b[i]);
};
export const nextId = ([ms, n]) => (n === SEQ_MAX ? [ms + 1n, 0n] : [ms, n + 1n]);
export const positionOf = ([ms, n]) => ms * US_PER_MS + n / SPREAD;

// ---- chance ----------------------------------------------------------------------------------------

/** Numbers below n, the same ones for the same seed. */
export function dice(seed) {
  let state = BigInt(seed) * 2654435761n + 1n;
  return (n) => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(n));
  };
}

// ---- the scripts -----------------------------------------------------------------------------------

const escapeLua = (pattern) => pattern.replaceAll('-', '%-').replaceAll('+', '[^/]*');

/** What a broker passes for a pattern (src/store/redis_read.c). */
export function luaPatterns(pattern) {
  if (pattern === '#') return [''];
  if (!pattern.endsWith('/#')) return [`^${escapeLua(pattern)}$`];
  const front = escapeLua(pattern.slice(0, -2));
  return [`^${front}$`, `^${front}/`];
}

export function filterMatches(filter, topic) {
  const levels = topic.split('/');
  const wanted = filter.split('/');
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '#') return i <= levels.length;
    if (i >= levels.length || (wanted[i] !== '+' && wanted[i] !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}

/** One bucket of a Redis server, and its scripts. */
export class Bucket {
  constructor(redis, number = 7) {
    this.redis = redis;
    this.number = number;
    this.tag = `{${newPrefix()}:${String(number).padStart(2, '0')}}`;
    this.topics = `${this.tag}:topics`;
    this.index = `${this.tag}:index`;
    this.node = `${this.tag}:node:me`;
    this.nowUs = START_US;
    this.sequences = new Map();
    this.shas = {};
    this.heard = [];
  }

  /** clock: 'own', or 'redis' for the scripts as they are. */
  async open(clock = 'own') {
    this.connection = await this.redis.connect();
    this.ears = await this.redis.connect();
    this.ears.onPush = ([, , channel, text]) => this.onPush(channel.toString(), text.toString());
    await this.ears.command('PSUBSCRIBE', `${this.tag}:*`);
    for (const name of NAMES) {
      let text = readFileSync(new URL(`${name}.lua`, LUA), 'utf8');
      const own = `redis.call('HMGET', '${this.tag}:clock', 's', 'us')`;
      if (clock === 'own') text = text.replaceAll(/(redis\.)?call\('TIME'\)/g, own);
      this.shas[name] = await this.command('SCRIPT', 'LOAD', text);
    }
    await this.setClock(this.nowUs);
    return this;
  }

  close() {
    this.connection.close();
    this.ears.close();
  }

  command(...args) {
    return this.connection.command(...args);
  }

  run(script, keys, args) {
    return this.command('EVALSHA', this.shas[script], keys.length, ...keys, ...args);
  }

  get nowMs() {
    return this.nowUs / US_PER_MS;
  }

  setClock(us) {
    this.nowUs = us;
    const [s, rest] = [us / 1_000_000n, us % 1_000_000n];
    return this.command('HSET', `${this.tag}:clock`, 's', s, 'us', rest);
  }

  /** Sets the clock ahead; streams whose time is over go. */
  async passTime(us) {
    await this.setClock(this.nowUs + BigInt(us));
    for (const topic of await this.command('ZRANGE', this.index, 0, -1)) {
      const over = await this.command('PEXPIRETIME', this.stream(topic));
      if (over > 0 && BigInt(over) <= this.nowMs) await this.command('DEL', this.stream(topic));
    }
  }

  stream(topic) {
    return `${this.tag}:stream:${topic}`;
  }

  live(topic) {
    return `${this.tag}:live:${topic}`;
  }

  once(producer = 'me') {
    return `${this.tag}:once:${producer}`;
  }

  /** kept: as in publish.lua. limit: [publishes, ms]. sequence: the next one of the producer. */
  publish(topic, options = {}) {
    const { producer = 'me', limit, payload = '1', origin = '', ttl = 0, wished = 0 } = options;
    const before = this.sequences.get(producer) ?? 0;
    const { sequence = before + 1, told = sequence - 1, kept = 0 } = options;
    this.sequences.set(producer, Math.max(sequence, before));
    const keys = [this.stream(topic), this.topics, this.index, this.once(producer)];
    if (limit) keys.push(options.window ?? `${this.tag}:rate:window`);
    const args = [sequence, told, topic, this.live(topic), this.number];
    const more = [payload, origin, ttl, wished, kept, ...(limit ?? [])];
    return this.run('publish', keys, [...args, ...more]);
  }

  limit(max, ms, window = `${this.tag}:rate:alone`) {
    return this.run('limit', [window], [max, ms]);
  }

  mark(number = 1) {
    return this.run('mark', [this.topics], [this.node, number]);
  }

  /** {at, topics}: how far the bucket is, and [topic, position] of each with news. */
  async changed(position) {
    const [at, ...rest] = await this.run('changed', [this.topics, this.index], [position]);
    const topics = rest.flatMap((name, i) => (i % 2 ? [] : [[name, BigInt(rest[i + 1])]]));
    return { at: BigInt(at), topics };
  }

  tend(idleMs, count = 100) {
    return this.run('tend', [this.topics, this.index], [idleMs, count, this.stream('')]);
  }

  /** One answer of missed.lua: {isMore, entries}. */
  async missed(topic, { from = 0, after = '', most = 500, bytes = 1 << 20 } = {}) {
    const answer = await this.run('missed', [this.stream(topic)], [from, after, most, bytes]);
    return { isMore: answer[0] === 1, entries: answer.slice(1).map(asEntry) };
  }

  /** first and floor: ids. seen: the id that the asker has seen last. */
  async read(filter, options = {}) {
    const { first = '0-1', floor = first, limit = 1000, bytes = 0xffffffff } = options;
    const { kept = 0, seen = '' } = options;
    const isPattern = /[+#]/.test(filter);
    const keys = [this.topics, this.index, ...(isPattern ? [] : [this.stream(filter)])];
    const args = [this.node, first, floor, limit, bytes, kept, seen, this.stream('')];
    const which = isPattern ? ['', ...luaPatterns(filter)] : [filter];
    const answer = await this.run('read', keys, [...args, ...which]);
    const [position, nowMs, birthMs, isMissing, isKnown, ...rest] = answer;
    const found = [];
    for (let i = 0; i < rest.length; i += 2) {
      found.push({ topic: rest[i], ...asEntry(rest[i + 1]) });
    }
    return { position, nowMs, birthMs, isMissing: isMissing === 1, isKnown: isKnown === 1, found };
  }

  async entries(topic) {
    return (await this.command('XRANGE', this.stream(topic), '-', '+')).map(asEntry);
  }

  /** [last id, position, expiry] of a topic, [position, birth, forgotten] of ''. */
  async state(topic) {
    return (await this.command('HGET', this.topics, topic))?.split(' ');
  }

  onPush(channel, text) {
    if (channel === `${this.tag}:end`) this.ended.resolve();
    else this.heard.push([channel, text]);
  }

  /** What was published up to now: [channel, text]. */
  async hear() {
    this.ended = deferred();
    await this.command('PUBLISH', `${this.tag}:end`, '');
    await withDeadline(this.ended.promise, 'end of what was published');
    return this.heard.splice(0);
  }
}

function asEntry([id, words]) {
  const fields = {};
  for (let i = 0; i < words.length; i += 2) fields[words[i]] = words[i + 1];
  return { id, fields };
}

// ---- tests -----------------------------------------------------------------------------------------

/** A bucket for the length of one function. on: a server, the shared one if none is named. */
export async function withBucket(run, { number, clock, on } = {}) {
  const bucket = await new Bucket(on ?? (await sharedRedis()), number).open(clock);
  try {
    return await run(bucket);
  } finally {
    bucket.close();
  }
}

/** A test with a bucket of its own. */
export const inBucket = (name, run, options = {}) => test(name, () => withBucket(run, options));
