// missed.lua, changed.lua and tend.lua by themselves, against a model of what was published.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { inspect } from 'node:util';
import { START_US, compareIds, formatId, inBucket, parseId } from './lib/redis_scripts.mjs';
import { Run, entryFields } from './lib/redis_scripts_model.mjs';

const MS = 1000n;
const SECOND = 1000n * MS;
const HOUR_MS = 3_600_000;

describe('what was missed', () => {
  /** All of it, over as many answers as it takes. */
  async function readOn(bucket, topic, options) {
    const all = [];
    let after = options.after ?? '';
    for (;;) {
      const { isMore, entries } = await bucket.missed(topic, { ...options, after });
      assert.ok(entries.length < options.most + 20);
      assert.ok(!isMore || entries.length > 0);
      all.push(...entries);
      if (!isMore) return all;
      after = entries.at(-1).id;
    }
  }

  inBucket('is every message behind a position, oldest first', async (bucket) => {
    const run = new Run(bucket, 21, { topics: ['a', 'b'] });
    for (let i = 0; i < 500; i++) {
      await run.publish();
      await bucket.passTime(run.pick(300));
    }
    for (let i = 0; i < 150; i++) {
      const topic = ['a', 'b', 'nobody'][run.pick(16) ? i % 2 : 2];
      const messages = run.model.topics.get(topic)?.messages ?? [];
      const from = run.pick(messages.length + 1);
      const last = messages[from - 1];
      const bytes = run.pick(2) ? 1e6 : 200;
      const options = { from: last?.position ?? 0n, most: 1 + run.pick(90), bytes };
      if (last && run.pick(2)) options.after = formatId(messages[from - 1 - run.pick(from)].id);
      const got = await readOn(bucket, topic, options);
      assert.deepEqual(
        got.map((one) => [one.id, one.fields]),
        messages.slice(from).map((one) => [formatId(one.id), entryFields(one)]),
        `${topic} ${inspect(options)}`,
      );
    }
  });

  inBucket('begins between two positions, too', async (bucket) => {
    const ids = [];
    for (let i = 0; i < 250; i++) {
      ids.push(await bucket.publish('a'));
      await bucket.setClock(bucket.nowUs + 10n);
    }
    for (const i of [0, 1, 99, 100, 101, 149, 150, 151, 248, 249]) {
      const from = START_US + 10n * BigInt(i) + 5n;
      const got = await readOn(bucket, 'a', { from, most: 500 });
      assert.deepEqual(got.map((one) => one.id), ids.slice(i + 1));
    }
  });

  for (const position of ['-', '0', '-1e300', 'nan']) {
    inBucket(`lies beyond an entry that says of its position ${position}`, async (bucket) => {
      const ids = [await bucket.publish('a'), await bucket.publish('a')];
      await bucket.command('XADD', bucket.stream('a'), '*', 's', position);
      ids.push(await bucket.publish('a'));
      const ours = (await bucket.missed('a', { from: 5 })).entries.filter((one) => one.fields.m);
      assert.deepEqual(ours.map((one) => one.id), ids);
    });
  }

  inBucket('comes in pieces of about the size asked for', async (bucket) => {
    for (let i = 0; i < 200; i++) await bucket.publish('a', { payload: `"${'x'.repeat(998)}"` });
    const { isMore, entries } = await bucket.missed('a', { bytes: 10_000 });
    assert.equal(isMore, true);
    assert.ok(entries.length >= 10 && entries.length < 40, `${entries.length}`);
    assert.ok((await bucket.missed('a', { most: 50 })).entries.length < 70);
  });

  inBucket('is nothing where the stream is empty or none', async (bucket) => {
    const none = { isMore: false, entries: [] };
    assert.deepEqual(await bucket.missed('a'), none);
    const id = await bucket.publish('a');
    await bucket.command('XDEL', bucket.stream('a'), id);
    assert.deepEqual(await bucket.missed('a'), none);
    assert.deepEqual(await bucket.missed('a', { after: id }), none);
  });
});

describe('what has changed', () => {
  inBucket('is every topic with a message behind a position', async (bucket) => {
    const run = new Run(bucket, 31);
    for (let i = 0; i < 300; i++) {
      await bucket.passTime(run.pick(300));
      await run.publish();
      const topics = [...run.model.topics];
      const all = topics.map(([, one]) => one.position);
      const position = all[run.pick(all.length)] - BigInt(run.pick(3) - 1);
      const got = await bucket.changed(position);
      const want = topics.map(([name, one]) => [name, one.position]);
      assert.deepEqual(got.topics.sort(), want.filter(([, at]) => at > position).sort());
      assert.equal(got.at, run.model.at);
    }
  });

  inBucket('tells how far marks have brought the bucket', async (bucket) => {
    assert.deepEqual(await bucket.changed(0), { at: 0n, topics: [] });
    await bucket.publish('a');
    const mark = BigInt(await bucket.mark());
    assert.deepEqual(await bucket.changed(mark - 1n), { at: mark, topics: [] });
    await bucket.command('HSET', bucket.topics, '', 'x');
    assert.equal((await bucket.changed(mark)).at, 0n);
  });

  inBucket('leaves out a state that is none', async (bucket) => {
    for (const topic of ['a', 'b', 'c']) await bucket.publish(topic);
    await bucket.command('HSET', bucket.topics, 'a', 'x');
    await bucket.command('HDEL', bucket.topics, 'b');
    const { topics } = await bucket.changed(0);
    assert.deepEqual(topics.map(([name]) => name), ['c']);
  });
});

describe('tending', () => {
  inBucket('forgets topics that are idle and have no stream', async (bucket) => {
    const day = 24 * HOUR_MS;
    await bucket.publish('stays');
    await bucket.publish('long', { ttl: 3 * day });
    await bucket.publish('nowhere', { kept: -1 });
    await bucket.publish('ahead', { ttl: 10, wished: bucket.nowMs + BigInt(2 * day) });
    const old = await bucket.publish('old', { ttl: 10 });
    const passHour = () => bucket.passTime(3600n * SECOND);
    await passHour();
    await bucket.publish('young', { ttl: 10 });
    for (let i = 0; i < 23; i++) {
      assert.equal(await bucket.tend(day), 0);
      await passHour();
    }
    await bucket.passTime(SECOND + MS);
    assert.equal(await bucket.tend(day), 2);
    const left = async () => (await bucket.command('HKEYS', bucket.topics)).filter(Boolean).sort();
    assert.deepEqual(await left(), ['ahead', 'long', 'stays', 'young']);
    assert.equal((await bucket.state(''))[2], old);
    assert.equal(await bucket.command('ZCARD', bucket.index), 4);
    for (let i = 0; i < 24 * 4; i++) {
      await passHour();
      await bucket.tend(day);
    }
    assert.deepEqual(await left(), ['stays']);
    assert.equal(await bucket.command('EXISTS', bucket.stream('stays')), 1);
  });

  inBucket('looks at no more topics than it is told, and comes to all', async (bucket) => {
    const ttls = [10, 0, 10, 24 * HOUR_MS];
    for (let i = 0; i < 48; i++) await bucket.publish(`t${i}`, { ttl: ttls[i % 4] });
    await bucket.passTime(7200n * SECOND);
    const counts = [];
    for (let i = 0; i < 6; i++) counts.push(await bucket.tend(HOUR_MS, 10));
    assert.ok(counts.every((count) => count <= 10));
    assert.equal(counts.reduce((a, b) => a + b), 24);
    assert.equal(await bucket.command('HLEN', bucket.topics), 25);
  });

  inBucket('raises what was forgotten, never lowers it', async (bucket) => {
    const high = await bucket.publish('a', { ttl: 10 });
    await bucket.passTime(7200n * SECOND);
    await bucket.tend(HOUR_MS);
    assert.equal((await bucket.state(''))[2], high);
    // An id from a wished time that is long over; see also the test of ids below.
    await bucket.publish('b', { ttl: 10, wished: 1000n });
    await bucket.passTime(7200n * SECOND);
    assert.equal(await bucket.tend(HOUR_MS), 1);
    assert.ok(compareIds(parseId((await bucket.state(''))[2]), parseId(high)) >= 0);
  });

  inBucket('leaves the position and the birth of the bucket', async (bucket) => {
    await bucket.publish('a', { ttl: 10 });
    const before = await bucket.state('');
    await bucket.passTime(7200n * SECOND);
    await bucket.tend(HOUR_MS);
    assert.deepEqual((await bucket.state('')).slice(0, 2), before.slice(0, 2));
  });

  inBucket('cleans up states that are none', async (bucket) => {
    for (const topic of ['a', 'b']) await bucket.publish(topic, { ttl: 10 });
    await bucket.command('HSET', bucket.topics, 'a', 'x');
    await bucket.command('HDEL', bucket.topics, 'b');
    await bucket.passTime(7200n * SECOND);
    assert.equal(await bucket.tend(HOUR_MS), 2);
    assert.equal(await bucket.command('ZCARD', bucket.index), 0);
  });

  inBucket('takes away a stream that somebody made stay', async (bucket) => {
    await bucket.publish('a', { ttl: 10 });
    await bucket.command('PERSIST', bucket.stream('a'));
    await bucket.publish('b', { ttl: 10 });
    await bucket.command('SET', bucket.stream('c'), 'not looked at');
    await bucket.passTime(7200n * SECOND);
    assert.equal(await bucket.tend(HOUR_MS), 2);
    assert.equal(await bucket.command('EXISTS', bucket.stream('a')), 0);
    assert.equal(await bucket.command('EXISTS', bucket.stream('c')), 1);
  });

  inBucket('of an empty bucket does nothing', async (bucket) => {
    assert.equal(await bucket.tend(1), 0);
    assert.equal(await bucket.command('EXISTS', bucket.topics), 0);
  });

  inBucket('lets ids of a topic go on above those that it had', async (bucket) => {
    const before = await bucket.publish('a', { ttl: 10 });
    await bucket.passTime(7200n * SECOND);
    assert.equal(await bucket.tend(HOUR_MS), 1);
    const wished = START_US / MS - 5000n;
    const id = await bucket.publish('a', { ttl: 10_000, wished });
    assert.ok(compareIds(parseId(id), parseId(before)) > 0, `${id} after ${before}`);
  });
});
