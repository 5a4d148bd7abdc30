// read.lua by itself, against a model of what was published.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import {
  SEQ_MAX,
  START_US,
  compareIds,
  filterMatches,
  formatId,
  inBucket,
  nextId,
  parseId,
} from './lib/redis_scripts.mjs';
import { Run } from './lib/redis_scripts_model.mjs';

const MS = 1000n;
const SECOND = 1000n * MS;
const HOUR_MS = 3_600_000;

describe('a read', () => {
  async function agree(bucket, seed, options, steps = 800) {
    const run = new Run(bucket, seed, options);
    const counts = { whole: 0, missing: 0, found: 0, forgotten: 0 };
    for (let i = 0; i < steps; i++) {
      const what = run.pick(16);
      if (what < 9) await run.publish();
      else if (what < 11) await bucket.passTime(run.pick(60_000));
      else if (what < 12 && options.tends) counts.forgotten += await run.tend();
      else if (what < 12) await bucket.passTime(run.pick(options.leap ?? 1000));
      else {
        const got = await run.read(options.reads?.(run.pick));
        counts[got.isMissing ? 'missing' : 'whole']++;
        counts.found += got.found.length;
      }
      if (options.leap && run.pick(150) === 0) await bucket.passTime(20n * SECOND);
    }
    assert.ok(counts.whole > 20 && counts.missing > 20 && counts.found > 200, inspect(counts));
    if (options.tends) assert.ok(counts.forgotten > 10, inspect(counts));
  }

  inBucket('of messages that stay agrees with the model', (b) => agree(b, 1, {}));
  inBucket('of few topics with long streams agrees with the model', (b) =>
    agree(b, 2, { topics: ['a', 'a/b'] }, 1500),
  );
  inBucket('of messages that expire agrees with the model', (b) =>
    agree(b, 3, { ttls: [500, 2000, 8000], leap: 2_000_000 }),
  );
  inBucket('of messages of which some stay agrees with the model', (b) =>
    agree(b, 4, { ttls: [0, 300, 1000, 4000], leap: 1_000_000 }),
  );
  inBucket('of few messages per topic agrees with the model', (b) => agree(b, 5, { kept: 10 }));
  inBucket('of one message per topic agrees with the model', (b) => agree(b, 6, { kept: 1 }));
  inBucket('of few messages that expire agrees with the model', (b) =>
    agree(b, 7, { kept: 5, ttls: [0, 500, 4000], leap: 1_000_000 }),
  );
  inBucket('of so many bytes agrees with the model', (b) =>
    agree(b, 8, { reads: (pick) => ({ bytes: pick(400) }) }),
  );
  inBucket('of so many bytes of messages that expire agrees with the model', (b) =>
    agree(b, 9, { ttls: [500, 4000], leap: 1_000_000, reads: (pick) => ({ bytes: pick(400) }) }),
  );
  inBucket('of topics that were forgotten agrees with the model', (b) =>
    agree(b, 10, { ttls: [500, 2000], leap: 5_000_000, tends: true }, 2000),
  );

  inBucket('is cut where its mark comes', async (bucket) => {
    for (let i = 0; i < 20; i++) {
      await bucket.publish('a');
      await bucket.hear();
      const { position } = await bucket.read(i % 2 ? 'a' : '+');
      assert.deepEqual(await bucket.hear(), [[bucket.node, `${position} 0`]]);
      assert.ok(BigInt(position) > BigInt((await bucket.state('a'))[1]));
      const mark = await bucket.mark();
      assert.ok(BigInt(mark) > BigInt(position));
      await bucket.hear();
    }
  });

  inBucket('of a bucket without messages finds nothing, and leaves nothing', async (bucket) => {
    for (const filter of ['a', '#', 'a/+']) {
      const got = await bucket.read(filter, { seen: '5-5', first: '5-6' });
      assert.equal(got.birthMs, -1);
      assert.deepEqual([got.found, got.isMissing, got.isKnown], [[], false, false]);
    }
    assert.equal(await bucket.command('EXISTS', bucket.topics), 0);
  });

  inBucket('tells when the bucket was born, and the time', async (bucket) => {
    const born = bucket.nowMs;
    await bucket.publish('b');
    await bucket.passTime(5n * SECOND);
    await bucket.publish('b');
    const { birthMs, nowMs } = await bucket.read('a');
    assert.deepEqual([birthMs, nowMs], [Number(born), Number(bucket.nowMs)]);
  });

  inBucket('gives messages of one id in whatever order, but all', async (bucket) => {
    const wished = bucket.nowMs + 5n;
    for (const topic of ['a', 'b', 'c', 'd']) {
      for (let i = 0; i < 20; i++) await bucket.publish(topic, { wished });
    }
    const { found, isMissing } = await bucket.read('#');
    assert.equal(new Set(found.map((one) => one.topic + one.id)).size, 80);
    for (let i = 1; i < 80; i++) {
      assert.ok(compareIds(parseId(found[i - 1].id), parseId(found[i].id)) >= 0);
    }
    assert.equal(isMissing, false);
    const some = await bucket.read('#', { limit: 6 });
    assert.deepEqual(some.found.map((one) => parseId(one.id)[1]), [19n, 19n, 19n, 19n, 18n, 18n]);
  });

  inBucket('finds ids whose sequence is 0 across the borders of its chunks', async (bucket) => {
    const ids = [];
    for (let i = 2; i <= 600; i++) {
      ids.unshift(await bucket.publish('a', { wished: Math.floor(i / 2) }));
    }
    assert.deepEqual(ids.slice(0, 3), ['300-0', '299-1', '299-0']);
    for (const filter of ['a', '+']) {
      const { found, isMissing } = await bucket.read(filter);
      assert.deepEqual(found.map((one) => one.id), ids);
      assert.equal(isMissing, false);
    }
    const { found } = await bucket.read('a', { first: '299-1' });
    assert.deepEqual(found.map((one) => one.id), ['300-0', '299-1']);
  });

  inBucket('finds the largest times that can be wished for', async (bucket) => {
    const wished = BigInt(Number.MAX_SAFE_INTEGER);
    const ids = [];
    for (let i = 0; i < 40; i++) ids.unshift(await bucket.publish('a', { wished }));
    for (const filter of ['a', '#']) {
      const options = { first: `${wished}-0`, seen: `${wished - 1n}-0` };
      const { found, isMissing } = await bucket.read(filter, options);
      assert.deepEqual(found.map((one) => one.id), ids);
      assert.equal(isMissing, false);
    }
  });

  describe('with an id from before the bucket was born', () => {
    const read = (bucket, filter, seen) =>
      bucket.read(filter, { seen, first: formatId(nextId(parseId(seen))) });

    inBucket('knows it where a topic asked for has it', async (bucket) => {
      for (const wished of [1000n, 2000n, 3000n]) await bucket.publish('a', { wished });
      for (const filter of ['a', '+', '#']) {
        assert.equal((await read(bucket, filter, '2000-0')).isKnown, true);
        assert.equal((await read(bucket, filter, '3000-0')).isKnown, true);
        assert.equal((await read(bucket, filter, '2500-0')).isKnown, false);
        assert.equal((await read(bucket, filter, '2000-1')).isKnown, false);
      }
      assert.equal((await read(bucket, 'b', '2000-0')).isKnown, false);
      assert.equal((await read(bucket, 'b/#', '2000-0')).isKnown, false);
    });

    inBucket('does not know it where the message is gone', async (bucket) => {
      await bucket.publish('a', { wished: 1000n, ttl: 10 });
      await bucket.publish('a', { wished: 2000n, ttl: 10 });
      await bucket.passTime(60n * SECOND);
      assert.equal((await read(bucket, 'a', '1000-0')).isKnown, false);
      assert.equal((await read(bucket, 'a', '2000-0')).isKnown, true);
    });
  });

  describe('behind what was lost', () => {
    const missing = async (bucket, first) => {
      const answers = [await bucket.read('a', { first }), await bucket.read('#', { first })];
      assert.equal(answers[0].isMissing, answers[1].isMissing);
      return answers[0].isMissing;
    };

    inBucket('misses nothing behind the last message lost', async (bucket) => {
      const id = await bucket.publish('a', { ttl: 10 });
      await bucket.passTime(60n * SECOND);
      assert.equal(await missing(bucket, id), true);
      assert.equal(await missing(bucket, formatId(nextId(parseId(id)))), false);
      await bucket.publish('a', { ttl: 10_000 });
      assert.equal(await missing(bucket, id), true);
      assert.equal(await missing(bucket, formatId(nextId(parseId(id)))), false);
    });

    inBucket('misses a message from the millisecond on in which it expires', async (bucket) => {
      const id = await bucket.publish('a', { ttl: 10 });
      await bucket.setClock(START_US + 10n * MS - 1n);
      assert.equal((await bucket.read('a')).found.length, 1);
      assert.equal(await missing(bucket, id), false);
      await bucket.setClock(START_US + 10n * MS);
      assert.equal((await bucket.read('a')).found.length, 0);
      assert.equal(await missing(bucket, id), true);
    });

    inBucket('misses what was forgotten', async (bucket) => {
      const id = await bucket.publish('a', { ttl: 10 });
      await bucket.passTime(7200n * SECOND);
      assert.equal(await bucket.tend(HOUR_MS), 1);
      assert.equal(await missing(bucket, id), true);
      assert.equal(await missing(bucket, formatId(nextId(parseId(id)))), false);
      await bucket.publish('b');
      assert.equal(await missing(bucket, id), true);
    });

    inBucket('misses what is in an empty stream', async (bucket) => {
      const id = await bucket.publish('a');
      await bucket.command('XDEL', bucket.stream('a'), id);
      assert.equal(await missing(bucket, id), true);
    });

    inBucket('misses what a topic had before it was forgotten', async (bucket) => {
      const id = await bucket.publish('a', { ttl: 10 });
      await bucket.publish('b', { ttl: 10 });
      await bucket.passTime(7200n * SECOND);
      assert.equal(await bucket.tend(HOUR_MS), 2);
      assert.equal(await missing(bucket, id), true);
      await bucket.publish('a', { ttl: 10_000 });
      assert.equal(await missing(bucket, id), true);
    });

    for (const at of [0, 1, 2]) {
      inBucket(`misses message ${at} of 3 that somebody deleted`, async (bucket) => {
        const ids = [];
        for (let i = 0; i < 3; i++) ids.push(await bucket.publish('a'));
        await bucket.command('XDEL', bucket.stream('a'), ids[at]);
        assert.equal(await missing(bucket, ids[0]), true);
      });
    }

    inBucket('misses what is behind a state that is none', async (bucket) => {
      await bucket.publish('b');
      const id = await bucket.publish('a');
      await bucket.command('HSET', bucket.topics, 'a', 'garbage');
      assert.equal(await missing(bucket, id), true);
    });

    inBucket('misses what was in a stream that somebody deleted', async (bucket) => {
      const id = await bucket.publish('a');
      await bucket.command('DEL', bucket.stream('a'));
      assert.equal(await missing(bucket, id), true);
    });
  });

  describe('beside entries of somebody else', () => {
    inBucket('finds all that there is, each once', async (bucket) => {
      const ids = [];
      for (let i = 0; i < 30; i++) {
        ids.unshift(await bucket.publish('a'));
        const strange = formatId(nextId(parseId(ids[0])));
        await bucket.command('XADD', bucket.stream('a'), strange, 'x', String(i));
      }
      for (const filter of ['a', '#']) {
        const { found } = await bucket.read(filter);
        assert.equal(found.length, 60);
        const ours = found.filter((one) => one.fields.m !== undefined);
        assert.deepEqual(ours.map((one) => one.id), ids);
      }
    });

    // Numbers in Lua have 53 bits.
    for (const seq of [(1n << 53n) + 2n, SEQ_MAX - 4n]) {
      inBucket(`finds each once where sequences are near ${seq}`, async (bucket) => {
        const ids = [await bucket.publish('a')];
        const ms = START_US / MS + 1000n;
        for (let i = 0n; i < 4n; i++) ids.push(`${ms}-${seq + i}`);
        for (let i = 1n; i < 20n; i++) ids.push(`${ms + i}-0`);
        for (const id of ids.slice(1)) {
          await bucket.command('XADD', bucket.stream('a'), id, 'e', '0', 'p', '0-0', 'm', '1');
        }
        const missed = await bucket.missed('a', { after: '0-1' });
        assert.deepEqual(missed.entries.map((one) => one.id), ids);
        for (let i = 1; i < ids.length; i++) {
          const { entries } = await bucket.missed('a', { after: ids[i - 1] });
          assert.equal(entries[0].id, ids[i]);
        }
        const { found } = await bucket.read('a');
        assert.deepEqual(found.map((one) => one.id), [...ids].reverse());
      });
    }

    inBucket('survives whatever fields there are', async (bucket) => {
      await bucket.publish('a');
      const odd = ['e x', 'e ', 'p x e -1', 'p 1-', 'm ', 's 7e300'];
      for (const fields of [...odd, ...odd]) {
        await bucket.command('XADD', bucket.stream('a'), '*', ...fields.split(' '));
      }
      await bucket.publish('a');
      assert.ok((await bucket.read('a')).found.length >= 2);
      assert.ok((await bucket.missed('a')).entries.length >= 2);
    });
  });
});

test('the filters of the model match as the protocol says', () => {
  const matching = ['a/# a', 'a/# a/b/c', '# a', '+ a', 'a/+/# a/b', '+/b a/b', 'a/b a/b'];
  const others = ['a/# ab', '+ a/b', 'a/+/# a', 'a a/b', 'a/b a'];
  for (const pair of matching) assert.ok(filterMatches(...pair.split(' ')), pair);
  for (const pair of others) assert.ok(!filterMatches(...pair.split(' ')), pair);
});
