// The checker that the Redis tests trust: a true record passes, every doctored one is found out.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ACKNOWLEDGED, Ledger, NO_EFFECT, UNKNOWN, isMatch, outcomeOf } from './lib/ledger.mjs';
import { keysOf } from './lib/redis.mjs';
import { xxh32 } from './lib/xxhash.mjs';

const TOPICS = ['load/a', 'load/b'];

/** A record of ten publishes that all subscribers saw, each once and in order. */
function trueLedger() {
  const ledger = new Ledger();
  ledger.views = ['load/#', 'load/+', 'load/a'].map((filter) => {
    return { name: filter, filter, seen: [], gaps: [] };
  });
  for (let i = 0; i < 10; i++) {
    const topic = TOPICS[i % 2];
    const message = ledger.begin(topic);
    const id = `${1_000_000 + i}-${i}`;
    ledger.end(message, { outcome: ACKNOWLEDGED, id });
    for (const view of ledger.views) {
      if (isMatch(view.filter, topic)) view.seen.push({ id, topic, message });
    }
  }
  return ledger;
}

describe('the books of a load', () => {
  test('are true where everybody saw everything once and in order', () => {
    trueLedger().assertTrue();
  });

  const swap = (seen, i, j) => ([seen[i], seen[j]] = [seen[j], seen[i]]);
  const doctored = {
    'a message that one subscriber missed': [(l) => l.views[1].seen.splice(4, 1), /missing/],
    'the last message missed': [(l) => l.views[2].seen.pop(), /missing/],
    'a message seen twice': [(l) => l.views[0].seen.push({ ...l.views[0].seen[9] }), /twice/],
    'a message seen twice with two ids': [
      (l) => l.views[0].seen.push({ ...l.views[0].seen[9], id: '9000000-0' }),
      /twice/,
    ],
    'two messages of a topic in the wrong order': [(l) => swap(l.views[0].seen, 2, 4), /after/],
    'an id that stands still': [(l) => (l.views[1].seen[4].id = l.views[1].seen[2].id), /after/],
    'an id other than the acknowledged': [(l) => (l.views[0].seen[9].id = '9000000-1'), /came as/],
    'a message on another topic': [(l) => (l.views[0].seen[3].topic = 'load/a'), /came on/],
    'a topic that was not asked for': [
      (l) => l.views[2].seen.push({ ...l.views[0].seen[1] }),
      /not what was asked for/,
    ],
    'a message that nobody published': [(l) => (l.views[0].seen[5].message = 'x'), /nobody/],
    'a message that had no effect': [(l) => l.end('m5', { outcome: NO_EFFECT }), /no effect/],
    'an unknown message that only some saw': [
      (l) => {
        l.end('m4', { outcome: UNKNOWN });
        l.views[0].seen.splice(4, 1);
      },
      /not the same/,
    ],
    'a gap that was told of': [
      (l) => l.views[0].gaps.push({ topic: 'load/a', lastId: '1-1' }),
      /gap/,
    ],
  };
  for (const [name, [doctor, fault]] of Object.entries(doctored)) {
    test(`show ${name}`, () => {
      const ledger = trueLedger();
      doctor(ledger);
      assert.throws(() => ledger.assertTrue(), fault);
    });
  }

  test('leave open what an unknown publish did, if it did the same for all', () => {
    const ledger = trueLedger();
    ledger.end('m4', { outcome: UNKNOWN });
    ledger.assertTrue();
    for (const view of ledger.views) view.seen = view.seen.filter((one) => one.message !== 'm4');
    ledger.assertTrue();
  });

  test('forgive only what Redis itself did not keep', () => {
    const ledger = trueLedger();
    const isKept = (topic, id) => id !== '1000004-4';
    ledger.views[0].seen.splice(4, 1);
    ledger.assertTrue({ isKept });
    ledger.views[0].seen.splice(5, 1);
    assert.throws(() => ledger.assertTrue({ isKept }), /missing/);
  });
});

describe('the outcome of a publish', () => {
  test('is read off its answer', () => {
    const failed = (data) => outcomeOf({ error: { code: -32603, data } }).outcome;
    assert.deepEqual(outcomeOf({ result: { status: 'ok', id: '1-1' } }), {
      outcome: ACKNOWLEDGED,
      id: '1-1',
    });
    assert.equal(failed('It is unknown whether the request had an effect.'), UNKNOWN);
    assert.equal(failed('The request had no effect; try again later.'), NO_EFFECT);
    assert.throws(() => failed('Oops.'));
    assert.throws(() => outcomeOf({ error: { code: -32602, data: 'no effect' } }));
  });
});

describe('the names of keys', () => {
  test('carry the bucket, which is the XXH32 of the topic', () => {
    for (const [text, hash] of [
      ['', 46947589],
      ['a', 1426945110],
      ['hello/world', 1773353473],
      ['0123456789abcdef', 3267648361],
      ['a long topic/with many levels/and more than thirty-two bytes/é', 2761515707],
    ]) {
      assert.equal(xxh32(text), hash);
    }
    assert.equal(keysOf('p', 'a/b').channel, '{p:49}:live:a/b');
  });
});
