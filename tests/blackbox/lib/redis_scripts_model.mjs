// A naive model of the scripts: all that was ever published, looked through for each read.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import {
  compareIds,
  dice,
  filterMatches,
  formatId,
  nextId,
  parseId,
  positionOf,
} from './redis_scripts.mjs';

const US_PER_MS = 1000n;
const SPREAD = 64n;
const AHEAD_US = 1_000_000n; // by which the index is set ahead

export const TOPICS = ['a', 'a/b', 'a/c', 'a/b/c', 'b', 'b-x/c', 'a//b', 'c/b/c'];
const PATTERNS = ['#', 'a/#', '+/b', 'a/+', '+/b/+', 'a/b/#', 'b-x/+', '+/#'];
const FILTERS = ['a', 'a/b', 'b', 'nobody', ...PATTERNS];

// ---- the model -------------------------------------------------------------------------------------

const later = (a, b) => (compareIds(a, b) < 0 ? b : a);

/** All that was ever published, and what is left of it. */
export class Model {
  constructor(number) {
    this.number = BigInt(number);
    this.at = 0n;
    this.forgotten = [0n, 0n];
    this.topics = new Map();
  }

  step(nowUs) {
    this.at = nowUs > this.at ? nowUs : this.at + 1n;
    return this.at;
  }

  ownId(position) {
    return [position / US_PER_MS, (position % US_PER_MS) * SPREAD + this.number];
  }

  /** include/eventhub/store/id_source.h */
  chooseId(last, wished, position) {
    if (wished !== 0n && wished >= last[0]) return wished > last[0] ? [wished, 0n] : nextId(last);
    const own = this.ownId(position);
    return compareIds(own, last) > 0 ? own : nextId(last);
  }

  /** A topic that was forgotten may be any: ids go on above all of them, and so do losses. */
  topicOf(name) {
    if (!this.topics.has(name)) {
      this.topics.set(name, { last: this.forgotten, position: 0n, score: 0n, messages: [] });
    }
    return this.topics.get(name);
  }

  publish(name, { payload = '1', origin = '', ttl = 0, wished = 0 }, nowUs) {
    const topic = this.topicOf(name);
    const position = this.step(nowUs);
    const id = this.chooseId(topic.last, BigInt(wished), position);
    const expires = ttl ? nowUs / US_PER_MS + BigInt(ttl) : 0n;
    const previous = topic.last;
    const isWished = wished && BigInt(wished) >= previous[0];
    const message = { topic: name, id, position, expires, payload, origin, previous };
    message.previousPosition = topic.position;
    message.saysPosition = !isWished && compareIds(id, this.ownId(position)) === 0;
    topic.messages.push(message);
    topic.last = id;
    topic.position = position;
    const byId = id[0] * 1000n + 999n;
    const reached = byId > position ? byId : position;
    if (reached > topic.score) topic.score = reached + AHEAD_US;
    return message;
  }

  forget(name) {
    this.forgotten = later(this.forgotten, this.topics.get(name).last);
    this.topics.delete(name);
  }

  /** What a read has to answer: the messages newest first, and whether something is missing. */
  read(filter, { first = '0-1', floor = first, limit = 1000, bytes = Infinity, kept = 0 }, nowMs) {
    const [from, least] = [parseId(first), parseId(floor)];
    const isPattern = /[+#]/.test(filter);
    const names = [...this.topics.keys()].filter((name) => filterMatches(filter, name));
    const all = names.flatMap((name) => this.topics.get(name).messages);
    const asked = all.filter((one) => compareIds(one.id, from) >= 0);
    const there = names
      .flatMap((name) => this.topics.get(name).messages.slice(kept ? -kept : 0))
      .filter((one) => compareIds(one.id, from) >= 0 && compareIds(one.id, least) >= 0)
      .filter((one) => one.expires === 0n || one.expires > nowMs)
      .sort((a, b) => compareIds(b.id, a.id));
    const found = [];
    let sum = 0;
    for (const one of there) {
      sum += one.payload.length;
      if (found.length === limit || sum > bytes) break;
      found.push(one);
    }
    const lost = isPattern || !names.length ? this.forgotten : all[0].previous;
    const isLost = lost[0] > 0n && compareIds(lost, from) >= 0;
    return { found, isMissing: isLost || found.length < asked.length };
  }
}

/** The text that subscribers of the channel get. */
export function liveText(one) {
  const origin = Buffer.byteLength(one.origin);
  const head = [1, formatId(one.id), one.position, formatId(one.previous), one.previousPosition];
  return `${[...head, one.expires, origin].join(' ')}\n${one.origin}${one.payload}`;
}

/** The fields of its entry in the stream. */
export function entryFields(one) {
  const fields = { e: String(one.expires), p: formatId(one.previous), m: one.payload };
  if (one.origin) fields.o = one.origin;
  if (one.previousPosition !== positionOf(one.previous)) fields.q = String(one.previousPosition);
  if (!one.saysPosition) fields.s = String(one.position);
  return fields;
}

// ---- runs of both ----------------------------------------------------------------------------------

/** Publishes of which the model knows, and a choice of points to read from. */
export class Run {
  constructor(bucket, seed, { ttls = [0], kept = 0, wishes = true, topics = TOPICS } = {}) {
    Object.assign(this, { bucket, ttls, kept, wishes, topics });
    this.pick = dice(seed);
    this.model = new Model(bucket.number);
    this.ids = [];
  }

  /** Each topic wishes for milliseconds of its own: what has equal ids could come in any order. */
  wish(topic) {
    if (!this.wishes || this.pick(4)) return 0n;
    const ms = this.bucket.nowMs + BigInt(this.pick(4000) - 2000);
    return ms - (ms % 16n) + BigInt(this.topics.indexOf(topic));
  }

  async publish() {
    const topic = this.topics[this.pick(this.topics.length)];
    const ttl = this.ttls[this.pick(this.ttls.length)];
    const payload = JSON.stringify('x'.repeat(this.pick(20)));
    const options = { ttl, payload, wished: this.wish(topic), kept: this.kept };
    const want = this.model.publish(topic, options, this.bucket.nowUs);
    assert.equal(await this.bucket.publish(topic, options), formatId(want.id), inspect(options));
    this.ids.push(want.id);
  }

  choosePoint() {
    if (!this.ids.length || this.pick(4) === 0) {
      return [this.bucket.nowMs - BigInt(this.pick(6000)), 0n];
    }
    const back = 1 + this.pick(this.pick(2) ? this.ids.length : Math.min(this.ids.length, 20));
    const id = this.ids[this.ids.length - back];
    return this.pick(2) ? nextId(id) : id;
  }

  async read(more = {}) {
    const { pick, bucket, model, kept } = this;
    const filter = FILTERS[pick(FILTERS.length)];
    const first = this.choosePoint();
    const options = {
      first: formatId(first),
      limit: pick(2) ? 1000 : pick(12),
      kept,
      ...more,
    };
    if (pick(4) === 0) {
      const floor = this.choosePoint();
      if (compareIds(floor, first) > 0) options.floor = formatId(floor);
    }
    const want = model.read(filter, options, bucket.nowMs);
    const got = await bucket.read(filter, options);
    if (model.topics.size && BigInt(got.position) > model.at) model.at = BigInt(got.position);
    const told = `${filter} ${inspect(options)}`;
    assert.deepEqual(
      got.found.map((one) => [one.topic, one.id, one.fields]),
      want.found.map((one) => [one.topic, formatId(one.id), entryFields(one)]),
      told,
    );
    assert.equal(got.isMissing, want.isMissing, told);
    return got;
  }

  async tend() {
    const idleMs = 3000 + this.pick(9000);
    const horizon = (this.bucket.nowMs - BigInt(idleMs)) * US_PER_MS;
    const leave = [];
    for (const [name, { score }] of this.model.topics) {
      const isThere = await this.bucket.command('EXISTS', this.bucket.stream(name));
      if (score <= horizon && !isThere) leave.push(name);
    }
    assert.equal(await this.bucket.tend(idleMs), leave.length);
    for (const name of leave) this.model.forget(name);
    const names = await this.bucket.command('HKEYS', this.bucket.topics);
    assert.deepEqual(names.filter(Boolean).sort(), [...this.model.topics.keys()].sort());
    return leave.length;
  }
}
