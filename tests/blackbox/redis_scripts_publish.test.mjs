// publish.lua, limit.lua and mark.lua by themselves, against a model of what they keep.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { withRedis } from './lib/redis.mjs';
import {
  SEQ_MAX,
  START_US,
  compareIds,
  dice,
  formatId,
  inBucket,
  parseId,
  withBucket,
} from './lib/redis_scripts.mjs';
import { Model, entryFields, liveText } from './lib/redis_scripts_model.mjs';

const TOPICS = ['a', 'a/b', 'a-c//d', 'b_2'];
const MS = 1000n;
const SECOND = 1000n * MS;

const newest = async (bucket, topic) => (await bucket.entries(topic)).at(-1);

describe('a publish', () => {
  /** A publish of the model and of the script: they agree on all that the script writes. */
  async function publishBoth(bucket, model, topic, options) {
    const want = model.publish(topic, options, bucket.nowUs);
    const id = await bucket.publish(topic, options);
    assert.equal(id, formatId(want.id), inspect(options));
    if (options.kept >= 0) {
      const entry = await newest(bucket, topic);
      assert.equal(entry.id, id);
      assert.deepEqual(entry.fields, entryFields(want));
    }
    const [last, position] = await bucket.state(topic);
    assert.deepEqual([last, BigInt(position)], [id, want.position]);
    assert.equal(BigInt((await bucket.state(''))[0]), want.position);
    const score = await bucket.command('ZSCORE', bucket.index, topic);
    // Scores have 53 bits.
    const error = Math.abs(Number(score) - Number(model.topics.get(topic).score));
    assert.ok(error <= Number(score) / 2 ** 50, score);
    return liveText(want);
  }

  function chooseWish(pick, nowMs) {
    switch (pick(8)) {
      case 0:
        return nowMs - BigInt(pick(200));
      case 1:
        return nowMs + BigInt(pick(200));
      case 2:
        return BigInt(pick(3));
      default:
        return 0n;
    }
  }

  function chooseTime(pick, nowUs) {
    switch (pick(6)) {
      case 0:
        return nowUs; // two in one microsecond
      case 1:
        return nowUs - BigInt(pick(3000)); // the clock goes back
      case 2:
        return nowUs + BigInt(pick(100_000));
      default:
        return nowUs + BigInt(pick(200));
    }
  }

  async function agreeWithModel(bucket, seed, steps) {
    const pick = dice(seed);
    const model = new Model(bucket.number);
    const texts = [];
    for (let i = 0; i < steps; i++) {
      await bucket.setClock(chooseTime(pick, bucket.nowUs));
      const options = {
        producer: ['me', 'you'][pick(2)],
        payload: ['1', '"ä\\n\\u0000"', '{"k":[1, 2]}'][pick(3)],
        origin: ['', '"me"', '"ö 1\\n"'][pick(3)],
        ttl: pick(2) * (1 + pick(1000)) * 1000,
        wished: chooseWish(pick, bucket.nowMs),
        kept: [0, 1000, -1][pick(5) ? pick(2) : 2],
      };
      const topic = TOPICS[pick(TOPICS.length)];
      texts.push([bucket.live(topic), await publishBoth(bucket, model, topic, options)]);
    }
    assert.deepEqual(await bucket.hear(), texts);
  }

  for (const number of [0, 7, 63]) {
    const name = `does in bucket ${number} what the model does`;
    inBucket(name, (bucket) => agreeWithModel(bucket, number, 400), { number });
  }

  inBucket('writes the largest numbers digit by digit', async (bucket) => {
    const model = new Model(bucket.number);
    const wished = BigInt(Number.MAX_SAFE_INTEGER);
    const ttl = 100 * 365 * 24 * 3600 * 1000;
    for (const options of [{ wished, ttl }, { wished }, { ttl }, { wished: 5n }]) {
      await publishBoth(bucket, model, 'a', { kept: 0, ...options });
    }
    assert.equal((await newest(bucket, 'a')).id, `${wished}-3`);
  });

  async function comeToWished(bucket) {
    const model = new Model(0);
    await publishBoth(bucket, model, 'a', { wished: bucket.nowMs + 1n, kept: -1 });
    await bucket.setClock((bucket.nowMs + 1n) * MS);
    await publishBoth(bucket, model, 'a', { kept: -1 });
  }
  inBucket('has an id of its own when the clock comes to one', comeToWished, { number: 0 });

  inBucket('by the clock of Redis has a new id of its time', async (bucket) => {
    const begin = Date.now() - 1;
    const ids = [];
    for (let i = 0; i < 100; i++) ids.push(parseId(await bucket.publish(TOPICS[i % 4])));
    for (let i = 1; i < ids.length; i++) assert.ok(compareIds(ids[i], ids[i - 1]) > 0);
    assert.ok(ids[0][0] >= begin && ids[99][0] <= Date.now() + 1);
    assert.ok(ids.every(([, n]) => n % 64n === 7n));
  }, { clock: 'redis' });
});

describe('a publish that is sent again', () => {
  inBucket('is answered the same id and not published again', async (bucket) => {
    const options = { limit: [2, 1000], sequence: 1, told: 0, ttl: 1000 };
    const id = await bucket.publish('a', options);
    await bucket.passTime(10_000);
    for (let i = 0; i < 5; i++) assert.equal(await bucket.publish('a', options), id);
    assert.equal((await bucket.hear()).length, 1);
    assert.equal((await bucket.entries('a')).length, 1);
    // Nor counted again.
    assert.notEqual(await bucket.publish('a', { limit: [2, 1000] }), 0);
    assert.equal(await bucket.publish('a', { limit: [2, 1000] }), 0);
  });

  inBucket('is known as long as its producer was not told', async (bucket) => {
    const ids = [];
    for (let i = 1; i <= 50; i++) ids.push(await bucket.publish('a', { told: Math.min(i - 1, 9) }));
    for (let i = 10; i <= 50; i++) {
      assert.equal(await bucket.publish('a', { sequence: i, told: 9 }), ids[i - 1]);
    }
  });

  inBucket('is refused once its producer was told', async (bucket) => {
    for (let i = 1; i <= 100; i++) await bucket.publish('a', { told: i - 1 });
    await bucket.passTime(20n * SECOND); // many are forgotten at a time
    await bucket.publish('a');
    await bucket.hear();
    for (let i = 1; i <= 100; i++) {
      await assert.rejects(bucket.publish('a', { sequence: i, told: 0 }), /STALE/);
    }
    assert.deepEqual(await bucket.hear(), []);
    assert.equal((await bucket.entries('a')).length, 101);
  });

  inBucket('by one producer is none of another', async (bucket) => {
    const ids = [];
    for (const producer of ['me', 'you']) ids.push(await bucket.publish('a', { producer }));
    assert.notEqual(ids[0], ids[1]);
    assert.equal(await bucket.publish('a', { producer: 'you', sequence: 1, told: 0 }), ids[1]);
  });

  inBucket('that the limit refused is refused again, also when there is room', async (bucket) => {
    const options = { limit: [1, 1000] };
    await bucket.publish('a', options);
    assert.equal(await bucket.publish('a', { ...options, sequence: 2, told: 1 }), 0);
    await bucket.passTime(SECOND);
    assert.equal(await bucket.publish('a', { ...options, sequence: 2, told: 1 }), 0);
    assert.notEqual(await bucket.publish('a', { ...options, sequence: 3, told: 2 }), 0);
  });

  inBucket('costs little memory, and none after a minute', async (bucket) => {
    for (let i = 1; i <= 500; i++) {
      await bucket.publish('a', { told: Math.max(0, i - 6) });
      assert.ok((await bucket.command('HLEN', bucket.once())) <= 64 + 6 + 2);
    }
    const ms = await bucket.command('PTTL', bucket.once());
    assert.ok(ms > 50_000 && ms <= 60_000, `${ms}`);
  });

  inBucket('after many that had no effect takes no longer than others', async (bucket) => {
    const many = 100_000;
    await bucket.publish('a');
    await bucket.command('CONFIG', 'RESETSTAT');
    await bucket.publish('a', { sequence: many + 1, told: many });
    const stats = await bucket.redis.info('commandstats');
    assert.ok(!stats.cmdstat_hdel || Number(/calls=(\d+)/.exec(stats.cmdstat_hdel)[1]) < 100);
  });
});

describe('a rate limit', () => {
  const ways = {
    'of the own bucket': (bucket, max, ms) => bucket.publish('a', { limit: [max, ms] }),
    'of another bucket': (bucket, max, ms) => bucket.limit(max, ms),
  };
  for (const [name, use] of Object.entries(ways)) {
    inBucket(`${name} lets so many pass in each window`, async (bucket) => {
      const pass = async () => (await use(bucket, 3, 1000)) !== 0;
      for (let window = 0; window < 3; window++) {
        for (let i = 0; i < 3; i++) assert.equal(await pass(), true);
        await bucket.passTime(SECOND - 1n); // the last microsecond
        for (let i = 0; i < 3; i++) assert.equal(await pass(), false);
        await bucket.passTime(1);
      }
    });

    inBucket(`${name} of none lets nothing pass`, async (bucket) => {
      assert.equal(await use(bucket, 0, 1000), 0);
      assert.deepEqual(await bucket.hear(), []);
      assert.deepEqual(await bucket.entries('a'), []);
    });

    inBucket(`${name} goes with its window`, async (bucket) => {
      await use(bucket, 3, 5000);
      const keys = await bucket.command('KEYS', `*${bucket.tag.slice(1, -1)}*:rate:*`);
      assert.equal(keys.length, 1);
      const ms = await bucket.command('PTTL', keys[0]);
      assert.ok(ms > 4000 && ms <= 5000, `${ms}`);
    });

    inBucket(`${name} takes a window that is no number for none`, async (bucket) => {
      for (const window of ['alone', 'window']) {
        await bucket.command('HSET', `${bucket.tag}:rate:${window}`, 'w', 'x', 'n', 'y');
      }
      assert.notEqual(await use(bucket, 1, 1000), 0);
      assert.equal(await use(bucket, 1, 1000), 0);
    });
  }
});

describe('the stream of a topic', () => {
  inBucket('is cut at about its length', async (bucket) => {
    for (let i = 0; i < 1000; i++) await bucket.publish('a', { kept: 100 });
    const entries = await bucket.entries('a');
    assert.ok(entries.length >= 100 && entries.length <= 200, `${entries.length}`);
    assert.equal(entries.at(-1).id, (await bucket.state('a'))[0]);
  });

  inBucket('goes soon after its last message', async (bucket) => {
    const pick = dice(5);
    let last = 0n;
    for (let i = 0; i < 200; i++) {
      const ttl = 1 + pick(pick(2) ? 100_000 : 1000);
      const expires = bucket.nowMs + BigInt(ttl);
      if (expires > last) last = expires;
      await bucket.publish('a', { ttl });
      const over = BigInt(await bucket.command('PEXPIRETIME', bucket.stream('a')));
      assert.ok(over >= last && over <= last + 12_500n, `${over - last}`);
      assert.equal((await bucket.state('a'))[2], String(over));
      await bucket.setClock(bucket.nowUs + BigInt(pick(200_000)));
    }
  });

  inBucket('stays for a message without an end', async (bucket) => {
    const over = () => bucket.command('PEXPIRETIME', bucket.stream('a'));
    await bucket.publish('a', { ttl: 1000 });
    assert.ok((await over()) > 0);
    await bucket.publish('a');
    assert.equal(await over(), -1);
    await bucket.publish('a', { ttl: 1000 });
    assert.equal(await over(), -1);
    assert.equal((await bucket.state('a'))[2], '-1');
  });

  inBucket('goes soon after its last message where somebody deleted it before', async (bucket) => {
    await bucket.publish('a', { ttl: 1_000_000 });
    await bucket.command('DEL', bucket.stream('a'));
    const over = () => bucket.command('PEXPIRETIME', bucket.stream('a'));
    for (let i = 0; i < 16; i++) {
      await bucket.publish('a', { ttl: 1000 });
      await bucket.setClock(bucket.nowUs + 1n);
    }
    assert.equal(String(await over()), (await bucket.state('a'))[2]);
  });

  inBucket('goes on after it went', async (bucket) => {
    await bucket.publish('a', { ttl: 10 });
    const [last, position] = await bucket.state('a');
    await bucket.passTime(60n * SECOND);
    assert.equal((await bucket.entries('a')).length, 0);
    const id = await bucket.publish('a', { ttl: 10 });
    const { fields } = await newest(bucket, 'a');
    assert.equal(fields.p, last);
    assert.equal(fields.q, undefined);
    assert.ok(BigInt((await bucket.state('a'))[1]) > BigInt(position));
    assert.ok((await bucket.command('PEXPIRETIME', bucket.stream('a'))) > 0);
    assert.ok(compareIds(parseId(id), parseId(last)) > 0);
  });

  inBucket('loses from its front what has expired, and nothing else', async (bucket) => {
    const pick = dice(9);
    const model = new Model(bucket.number);
    for (let i = 0; i < 1500; i++) {
      const ttl = 100 + pick(i % 100 === 0 ? 3000 : 200);
      model.publish('a', { ttl }, bucket.nowUs);
      await bucket.publish('a', { ttl });
      await bucket.setClock(bucket.nowUs + 1000n * BigInt(pick(9)) + BigInt(pick(1000)));
    }
    const { messages } = model.topics.get('a');
    const there = (await bucket.entries('a')).map((one) => one.id);
    const left = messages.filter((one) => one.expires > bucket.nowMs);
    assert.deepEqual(left.filter((one) => !there.includes(formatId(one.id))), []);
    assert.ok(there.length < 800, `${there.length}`);
  });

  inBucket('is not there without an eventlog', async (bucket) => {
    const id = await bucket.publish('a', { kept: -1, ttl: 1000 });
    assert.equal(await bucket.command('EXISTS', bucket.stream('a')), 0);
    assert.equal((await bucket.state('a'))[0], id);
    assert.equal((await bucket.hear()).length, 1);
  });
});

describe('somebody else', () => {
  const NOW_MS = START_US / MS;

  /** Publishes two messages behind what was put into the stream. */
  async function goOnBehind(bucket, strange) {
    await bucket.publish('a');
    const [last, at] = await bucket.state('a');
    await bucket.command('XADD', bucket.stream('a'), strange, 'x', 'y');
    const ids = [await bucket.publish('a')];
    const score = await bucket.command('ZSCORE', bucket.index, 'a');
    assert.ok(Number(score) >= Number(parseId(ids[0])[0] * MS), score);
    ids.push(await bucket.publish('a'));
    assert.ok(compareIds(parseId(ids[0]), parseId(strange)) > 0, `${ids[0]}`);
    assert.ok(compareIds(parseId(ids[1]), parseId(ids[0])) > 0, `${ids}`);
    const [, , first, second] = await bucket.entries('a');
    assert.deepEqual([first.id, second.id], ids);
    assert.deepEqual([first.fields.p, second.fields.p], [last, ids[0]]);
    assert.equal(first.fields.s, second.fields.q);
    const position = BigInt((await bucket.state('a'))[1]);
    assert.ok(BigInt(second.fields.q) > BigInt(at) && position > BigInt(second.fields.q));
  }

  inBucket('who is ahead in the stream is gone behind', (bucket) =>
    goOnBehind(bucket, `${NOW_MS + 1_000_000n}-5`),
  );

  inBucket('who has used up a millisecond is gone behind', (bucket) =>
    goOnBehind(bucket, `${NOW_MS + 1_000_000n}-${SEQ_MAX}`),
  );

  inBucket('whose sequence is over 53 bits is gone behind', (bucket) =>
    goOnBehind(bucket, `${NOW_MS + 1_000_000n}-${(1n << 53n) + 1n}`),
  );

  for (const garbage of ['', 'x', '5', '5-5', '5-5 x 0', '5-5 6 7 8', '-', '0-0 0 0', '\n']) {
    inBucket(`who writes ${JSON.stringify(garbage)} for a topic`, async (bucket) => {
      const first = await bucket.publish('a');
      await bucket.command('HSET', bucket.topics, 'a', garbage);
      const second = await bucket.publish('a');
      assert.ok(compareIds(parseId(second), parseId(first)) > 0);
      assert.deepEqual((await bucket.entries('a')).map((one) => one.id), [first, second]);
      assert.equal((await bucket.state('a'))[0], second);
    });

    inBucket(`who writes ${JSON.stringify(garbage)} for the bucket`, async (bucket) => {
      const first = await bucket.publish('a');
      await bucket.command('HSET', bucket.topics, '', garbage);
      await bucket.setClock(bucket.nowUs + 1n);
      const second = await bucket.publish('a');
      assert.ok(compareIds(parseId(second), parseId(first)) > 0);
      assert.match((await bucket.state('')).join(' '), /^21\d{14} 21\d{11} 0-0$/);
    });
  }

  inBucket('who takes the position of the bucket away', async (bucket) => {
    for (let i = 0; i < 5; i++) await bucket.publish('a');
    const [, last] = await bucket.state('a');
    await bucket.command('HDEL', bucket.topics, '');
    await bucket.publish('a');
    assert.ok(BigInt((await bucket.state('a'))[1]) > BigInt(last));
  });

  inBucket('who makes the stream something else stops the topic only', async (bucket) => {
    await bucket.command('SET', bucket.stream('a'), 'x');
    await assert.rejects(bucket.publish('a'), /WRONGTYPE/);
    assert.deepEqual(await bucket.hear(), []);
    assert.equal(await bucket.state('a'), undefined);
    assert.ok(await bucket.publish('b'));
  });

  test('who fills Redis up has each publish refused whole', () =>
    withRedis({}, (full) =>
      withBucket(
        async (bucket) => {
          await bucket.publish('a', { limit: [5, 1000] });
          const before = await bucket.command('HGETALL', bucket.topics);
          await bucket.hear();
          await bucket.command('CONFIG', 'SET', 'maxmemory', '1');
          for (const kept of [0, -1]) {
            for (const limit of [undefined, [5, 1000]]) {
              await assert.rejects(bucket.publish('a', { kept, limit }), /OOM/);
            }
          }
          await bucket.command('CONFIG', 'SET', 'maxmemory', '0');
          assert.deepEqual(await bucket.command('HGETALL', bucket.topics), before);
          assert.deepEqual(await bucket.hear(), []);
          assert.equal((await bucket.entries('a')).length, 1);
          assert.deepEqual(await bucket.command('HGET', `${bucket.tag}:rate:window`, 'n'), '1');
        },
        { on: full },
      ),
    ));
});

describe('a mark', () => {
  inBucket('lies between what was published before and after', async (bucket) => {
    const pick = dice(3);
    let last = 0n;
    for (let i = 0; i < 300; i++) {
      await bucket.setClock(bucket.nowUs + BigInt(pick(3)) - 1n);
      const isMark = pick(2) === 0;
      if (isMark) await bucket.mark(i);
      else await bucket.publish('a');
      const [[, text]] = await bucket.hear();
      const position = BigInt(text.split(' ')[isMark ? 0 : 2]);
      const isBehind = position > last || (isMark && position === last);
      if (i > 0) assert.ok(isBehind, `${position}, ${last}`);
      if (isMark) assert.equal(text, `${position} ${i}`);
      // Before the first message nothing is kept.
      last = (await bucket.state('')) ? position : last;
    }
  });

  inBucket('is answered as it is told', async (bucket) => {
    for (let i = 0; i < 2; i++) {
      const position = await bucket.mark(41);
      assert.deepEqual(await bucket.hear(), [[bucket.node, `${position} 41`]]);
      await bucket.publish('a');
      await bucket.hear();
    }
  });

  inBucket('leaves an empty bucket empty', async (bucket) => {
    await bucket.mark();
    assert.equal(await bucket.command('EXISTS', bucket.topics), 0);
  });

  test('comes from a full Redis, too', () =>
    withRedis({}, (full) =>
      withBucket(
        async (bucket) => {
          await bucket.publish('a');
          await bucket.command('CONFIG', 'SET', 'maxmemory', '1');
          assert.ok(BigInt(await bucket.mark()) > START_US);
        },
        { on: full },
      ),
    ));
});
