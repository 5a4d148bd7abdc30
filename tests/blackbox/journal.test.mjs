// DATA_DIR: what is acknowledged is there after any end of the process, and nothing comes twice.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Daemon, onlyEmbedded, runDaemon } from './lib/daemon.mjs';
import { runToEnd } from './lib/process.mjs';
import { Client, assertIncreasing, compareIds } from './lib/rpc.mjs';
import { eventually, isSanitized } from './lib/wait.mjs';

const FILE = 'eventhub.mdb';
const LOG = 'eventhub.wal';
const MB = 1 << 20;
const HOUR_S = 3600;

const root = mkdtempSync(join(tmpdir(), 'eventhub-journal-'));
after(() => rmSync(root, { recursive: true, force: true }));

let directories = 0;
const newDirectory = () => join(root, `data-${directories++}`);

const newDaemon = (directory, env = {}, options = {}) =>
  new Daemon({ BACKEND: 'embedded', ENABLE_CACHE: '1', DATA_DIR: directory, ...env }, options);

/** Runs with a daemon on the directory; ends it by the signal. */
async function withJournal(directory, env, run, { signal = 'SIGTERM', ...options } = {}) {
  const daemon = await newDaemon(directory, env, options).start();
  let client;
  try {
    client = await Client.connect(daemon);
    await run(client, daemon);
    client.drop();
    if (signal === 'SIGTERM') return await daemon.stop();
  } finally {
    daemon.program.kill();
    await daemon.program.exited;
  }
}

const everything = (client, topic = '#') => client.eventlog(topic, { since: 1, limit: 1_000_000 });

/** The options that DATA_DIR makes the daemon refuse, and why. */
async function assertRefused(directory, words, options) {
  const env = { BACKEND: 'embedded', LISTEN_ADDRESS: '127.0.0.1', LISTEN_PORT: '1', DISABLE_AUTH: '1', DATA_DIR: directory };
  const { code, stderr } = await runDaemon([], { ...env, LISTEN_PORT: String(20_000 + (process.pid % 10_000)) }, options);
  assert.equal(code, 1, stderr);
  const lines = stderr.trim().split('\n');
  assert.match(lines.at(-1), words);
  assert.equal(lines.length, 1, stderr);
}

describe('a store on disk', onlyEmbedded('Redis keeps it all by itself'), () => {
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`is the same after ${signal}`, async () => {
      const directory = newDirectory();
      let before;
      await withJournal(
        directory,
        { DEFAULT_CACHE_TTL: String(HOUR_S) },
        async (client) => {
          for (let i = 0; i < 50; i++) await client.publish(`a/${i % 5}`, { n: i, text: 'é "quoted"' });
          await client.publish('a/short', 'gone soon', { ttl: 1 });
          await client.result('set', { key: 'kept', value: 'one' });
          await client.result('set', { key: 'kept', value: 'two' });
          await client.result('set', { key: 'short', value: 'gone soon', ttl: 1 });
          await client.result('set', { key: 'deleted', value: 'gone' });
          await client.result('del', { key: 'deleted' });
          before = await everything(client, 'a/+');
          assert.equal(before.items.length, 51);
        },
        { signal },
      );
      await new Promise((resolve) => setTimeout(resolve, 1100)); // as long as the short ones live
      await withJournal(directory, {}, async (client) => {
        const { items } = await everything(client, 'a/+');
        assert.deepEqual(items, before.items.filter(({ topic }) => topic !== 'a/short'));
        const position = before.items[30].id;
        const later = await client.eventlog('a/0', { sinceEventId: position });
        assert.equal(later.recovered, true);
        const expired = await client.eventlog('a/short', { sinceEventId: position });
        assert.equal(expired.recovered, false);
        assert.equal((await client.result('get', { key: 'kept' })).value, 'two');
        for (const key of ['short', 'deleted']) {
          assert.match((await client.error('get', { key })).data, /not found/);
        }
        const next = await client.publish('a/0', 'next');
        assert.ok(compareIds(before.items.at(-1).id, next) < 0);
      });
    });
  }

  test('trims as before, and says what is missing', async () => {
    const directory = newDirectory();
    const ids = [];
    await withJournal(directory, { MAX_CACHE_LENGTH: '10' }, async (client) => {
      for (let i = 0; i < 100; i++) ids.push(await client.publish('t', i));
    }, { signal: 'SIGKILL' });
    await withJournal(directory, { MAX_CACHE_LENGTH: '10' }, async (client, daemon) => {
      const { items } = await everything(client, 't');
      assert.deepEqual(items.map(({ id }) => id), ids.slice(-10));
      assert.equal((await client.eventlog('t', { sinceEventId: ids[95] })).recovered, true);
      assert.equal((await client.eventlog('t', { sinceEventId: ids[50] })).recovered, false);
      await eventually(async () => (await daemon.metric('journal_blocks')) < 12, 'dead blocks to go');
    }, { signal: 'SIGKILL' });
    await withJournal(directory, { MAX_CACHE_LENGTH: '10' }, async (client) => {
      assert.equal((await client.eventlog('t', { sinceEventId: ids[50] })).recovered, false);
      assert.equal((await everything(client, 't')).items.length, 10);
    });
  });

  test('reuses the space of what has gone', async () => {
    const directory = newDirectory();
    await withJournal(directory, { MAX_CACHE_LENGTH: '20' }, async (client, daemon) => {
      // As many as are kept; then a pause, so that they reach the file and push out the ones before.
      const fill = async () => {
        const publish = (_, i) => client.publish(`t/${i % 10}`, 'x'.repeat(2000));
        for (let i = 0; i < 4; i++) await Promise.all(Array.from({ length: 50 }, publish));
        await new Promise((resolve) => setTimeout(resolve, 1200));
        return daemon.metric('journal_bytes');
      };
      let early;
      for (let i = 0; i < 3; i++) early = await fill();
      let late;
      for (let i = 0; i < 4; i++) late = await fill();
      assert.ok(early > 200 * 2000, `${early} bytes hold what is kept`);
      assert.ok(late < 1.5 * early, `${early} bytes became ${late}`);
      assert.ok((await daemon.metric('journal_free_bytes')) > 0);
      const commits = await daemon.metric('journal_commits_total');
      assert.ok(commits >= 28 && commits < 1400, `${commits} commits of 1,400 publishes`);
    });
  });

  test('relaxed: says so, keeps what was written, and a clean stop keeps all', async () => {
    const directory = newDirectory();
    const env = { DURABILITY: 'relaxed', DEFAULT_CACHE_TTL: String(HOUR_S) };
    let kept;
    let lastSeen;
    await withJournal(directory, env, async (client, daemon) => {
      await eventually(() => /DURABILITY=relaxed/.test(daemon.stderr), 'a line that warns');
      kept = await client.publish('r', 'kept');
      await client.result('set', { key: 'k', value: 'v' });
      const before = await daemon.metric('journal_commits_total');
      await eventually(async () => (await daemon.metric('journal_commits_total')) > before, 'a flush');
      lastSeen = await client.publish('r', 'perhaps lost');
    }, { signal: 'SIGKILL' });
    await withJournal(directory, env, async (client) => {
      const { items } = await everything(client, 'r');
      assert.equal(items[0].id, kept);
      assert.equal((await client.result('get', { key: 'k' })).value, 'v');
      if (items.length === 1) {
        assert.equal((await client.eventlog('r', { sinceEventId: lastSeen })).recovered, false);
      }
      await client.publish('r', 'at the end');
    });
    await withJournal(directory, env, async (client) => {
      const { items } = await everything(client, 'r');
      assert.equal(items.at(-1).message, 'at the end');
      assert.equal((await client.eventlog('r', { sinceEventId: items.at(-1).id })).recovered, true);
    });
  });
});

describe('a history longer than memory', onlyEmbedded('Redis has a memory of its own'), () => {
  const MEMORY = 1 * MB;
  const env = { DEFAULT_CACHE_TTL: String(HOUR_S), MAX_CACHE_LENGTH: '0', MAX_CACHE_MEMORY: String(MEMORY), MAX_SEND_QUEUE: String(64 * MB), MAX_CACHE_REQUEST_LIMIT: '100000' };
  const inMemory = (daemon) => daemon.metric('eventlog_bytes');

  for (const durability of ['commit', 'relaxed']) {
    test(`is read back from the disk: ${durability}`, async () => {
      const directory = newDirectory();
      const settings = { ...env, DURABILITY: durability };
      const ids = [];
      const assertHistory = async (client) => {
        const all = await everything(client, 'long/+');
        assert.deepEqual(all.items.map(({ id }) => id), [...ids].sort(compareIds));
        for (const n of [0, 1, 700, 3999, ids.length - 2]) {
          const topic = `long/${n % 3}`;
          const { items, recovered } = await client.eventlog(topic, { sinceEventId: ids[n], limit: 100_000 });
          assert.equal(recovered, true);
          assert.deepEqual(items.map(({ id }) => id), ids.filter((id, i) => i > n && i % 3 === n % 3));
        }
        const part = await client.eventlog('long/1', { since: 1, limit: 5 });
        assert.deepEqual(part.items.map(({ id }) => id), ids.filter((_, i) => i % 3 === 1).slice(-5));
      };
      await withJournal(directory, settings, async (client, daemon) => {
        for (let part = 0; part < 50; part++) {
          const publish = (_, i) => client.publish(`long/${(part * 100 + i) % 3}`, { n: part * 100 + i, fill: 'x'.repeat(600) });
          ids.push(...(await Promise.all(Array.from({ length: 100 }, publish))));
          if (part % 10 === 3) await assertHistoryOfOne(client, ids);
        }
        await eventually(async () => (await inMemory(daemon)) < MEMORY, 'memory to shrink');
        assert.ok((await daemon.metric('eventlog_disk_messages')) > 3000);
        assert.equal(await daemon.metric('eventlog_messages'), ids.length);
        await assertHistory(client);
      });
      await withJournal(directory, settings, async (client, daemon) => {
        assert.ok((await inMemory(daemon)) < MEMORY);
        assert.equal(await daemon.metric('eventlog_messages'), ids.length);
        await assertHistory(client);
        const subscriber = await Client.connect(daemon);
        const joined = await subscriber.subscribe('long/2', { sinceEventId: ids[2], limit: 100_000 });
        ids.push(await client.publish('long/2', 'live'));
        assert.ok(joined !== undefined);
        subscriber.drop();
      });
    });
  }

  const assertHistoryOfOne = async (client, ids) => {
    const { items } = await everything(client, 'long/0');
    assert.deepEqual(items.map(({ id }) => id), ids.filter((_, i) => i % 3 === 0));
  };

  test('keeps to MAX_CACHE_LENGTH, and to the time to live', async () => {
    const directory = newDirectory();
    let last;
    await withJournal(directory, { ...env, MAX_CACHE_LENGTH: '100', MAX_CACHE_MEMORY: '20000' }, async (client, daemon) => {
      const ids = [];
      for (let i = 0; i < 250; i++) {
        ids.push(await client.publish('t', { i, fill: 'x'.repeat(300) }));
        if (i % 50 === 49) {
          await eventually(async () => (await inMemory(daemon)) < 20_000, 'memory to shrink');
          const { items, recovered } = await everything(client, 't');
          assert.deepEqual(items.map(({ id }) => id), ids.slice(-100));
          assert.equal(recovered, i < 100);
        }
      }
      assert.equal((await client.eventlog('t', { sinceEventId: ids[160] })).recovered, true);
      assert.equal((await client.eventlog('t', { sinceEventId: ids[20] })).recovered, false);
      last = ids.slice(-30);
      for (let i = 0; i < 90; i++) client.notify('publish', { topic: 'short', message: 'x'.repeat(300), ttl: 3 });
      assert.equal((await everything(client, 'short')).items.length, 90);
      await eventually(async () => (await daemon.metric('eventlog_messages')) < 110, 'the short ones to go', 15_000);
      await eventually(async () => (await daemon.metric('eventlog_messages')) === 100, 'what is too much to go');
      assert.equal((await everything(client, 'short')).items.length, 0);
    });
    // A lower limit holds for what is on the disk already.
    await withJournal(directory, { ...env, MAX_CACHE_LENGTH: '30', MAX_CACHE_MEMORY: '2000' }, async (client, daemon) => {
      assert.deepEqual((await everything(client, 't')).items.map(({ id }) => id), last);
      await client.publish('other', 1);
      await eventually(async () => (await daemon.metric('eventlog_messages')) === 31, 'the others to go');
      assert.deepEqual((await everything(client, 't')).items.map(({ id }) => id), last);
    });
  });
});

describe('a file of an older version', onlyEmbedded('it is about the file'), () => {
  const FIXTURE = new URL('fixtures/journal-format-1/', import.meta.url);

  test('is upgraded, with what its log has', async () => {
    const directory = newDirectory();
    mkdirSync(directory);
    for (const name of [FILE, LOG]) writeFileSync(join(directory, name), gunzipSync(readFileSync(new URL(`${name}.gz`, FIXTURE))));
    const messages = JSON.parse(readFileSync(new URL('messages.json', FIXTURE), 'utf8'));
    for (const memory of ['1', '0']) {
      await withJournal(directory, { MAX_CACHE_LENGTH: '20', MAX_CACHE_MEMORY: memory }, async (client, daemon) => {
        if (memory === '1') assert.match(daemon.stderr, /journal upgraded.*from=1 to=2/);
        else assert.doesNotMatch(daemon.stderr, /upgraded/);
        assert.deepEqual((await everything(client)).items, messages);
        assert.equal((await client.result('get', { key: 'greeting' })).value, 'hello');
        assert.equal((await client.result('get', { key: 'late' })).value, 'in the log');
        assert.match((await client.error('get', { key: 'gone' })).data, /not found/);
        const first = messages.find(({ topic }) => topic === 'news/sport').id;
        assert.equal((await client.eventlog('news/sport', { sinceEventId: first })).recovered, true);
        assert.equal((await client.eventlog('news/sport', { sinceEventId: '1795749463000-0' })).recovered, false);
      }, { signal: 'SIGKILL' });
    }
  });
});

describe('SIGKILL at random moments', onlyEmbedded('it is about the file'), () => {
  const ROUNDS = Number(process.env.EVENTHUB_TEST_KILLS || (isSanitized ? 30 : 200));
  const LANES = 16;

  const kinds = [
    { name: `${ROUNDS} times`, rounds: ROUNDS, lifetimeMs: 40, memory: '0' },
    // Long enough for messages to leave memory, and in the middle of that.
    { name: 'with little memory', rounds: Math.ceil(ROUNDS / 20), lifetimeMs: 2500, memory: '50000' },
  ];
  for (const kind of kinds) test(`${kind.name}: every acknowledged message once, nothing that was refused`, async (t) => {
    const rounds = kind.rounds;
    const directory = newDirectory();
    const env = { DEFAULT_CACHE_TTL: String(HOUR_S), MAX_CACHE_LENGTH: '0', MAX_CACHE_MEMORY: kind.memory, MAX_SEND_QUEUE: String(512 * MB), MAX_CACHE_REQUEST_LIMIT: '1000000' };
    const acknowledged = new Map(); // message -> id
    let sent = 0;

    const publishUntilTheEnd = async (client, lane) => {
      try {
        for (;;) {
          const message = `m${sent++}`;
          acknowledged.set(message, await client.publish(`lane/${lane}`, message));
        }
      } catch {
        // killed
      }
    };

    const check = async (client) => {
      const { items } = await everything(client, 'lane/+');
      const seen = new Map(items.map(({ message, id }) => [message, id]));
      assert.equal(seen.size, items.length, 'a message is there twice');
      for (const [message, id] of acknowledged) assert.equal(seen.get(message), id, `${message} is lost`);
      for (let lane = 0; lane < LANES; lane++) {
        assertIncreasing(items.filter(({ topic }) => topic === `lane/${lane}`).map(({ id }) => id));
      }
    };

    const runOnce = async (client, round) => {
      if (round % 20 === 0 || round === rounds || rounds < 20) await check(client);
      if (round === rounds) return [];
      const lanes = Array.from({ length: LANES }, (_, lane) => publishUntilTheEnd(client, lane));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * kind.lifetimeMs));
      return lanes;
    };

    for (let round = 0; round <= rounds; round++) {
      const daemon = await newDaemon(directory, env).start();
      let lanes = [];
      try {
        lanes = await runOnce(await Client.connect(daemon), round);
      } finally {
        daemon.program.kill();
        await daemon.program.exited;
      }
      await Promise.all(lanes);
    }
    t.diagnostic(`${acknowledged.size} of ${sent} messages were acknowledged`);
    assert.ok(acknowledged.size > rounds, 'something was published');
  });
});

describe('a full disk', onlyEmbedded('it is about the file'), () => {
  test('refuses with the reason, loses nothing, and recovers by itself', async () => {
    const directory = newDirectory();
    const acknowledged = [];
    const refused = [];
    const publish = async (client, i) => {
      const message = { i, fill: 'x'.repeat(20_000) };
      const { result, error } = await client.call('publish', { topic: 'f', message });
      if (result) acknowledged.push(result.id);
      else refused.push({ i, error });
    };
    await withJournal(directory, { DEFAULT_CACHE_TTL: String(HOUR_S) }, async (client, daemon) => {
      for (let i = 0; refused.length < 3 && i < 500; i++) await publish(client, i);
      assert.ok(acknowledged.length > 20);
      assert.equal(refused.length, 3);
      for (const { error } of refused) {
        assert.equal(error.code, -32603);
        assert.match(error.data, /disk is full.*no effect/);
      }
      await daemon.readiness(503);
      const posted = await fetch(`http://127.0.0.1:${daemon.port}/f`, { method: 'POST', body: 'over HTTP' });
      assert.equal(posted.status, 503);
      assert.match(await posted.text(), /disk is full/);
      assert.equal((await everything(client, 'f')).items.length, acknowledged.length, 'reading goes on');
      assert.equal((await client.error('set', { key: 'k', value: 'v' })).code, -32603);

      await runToEnd('/usr/bin/prlimit', { args: [`--fsize=unlimited:unlimited`, '--pid', String(daemon.pid)] });
      await daemon.readiness(200);
      for (let i = 1000; i < 1010; i++) await publish(client, i);
      assert.equal(refused.length, 3);
      assert.match(daemon.stderr, /cannot be written.*reason=/);
      assert.match(daemon.stderr, /can be written again/);
    }, { signal: 'SIGKILL', fileBytes: 2 * MB });
    await withJournal(directory, {}, async (client) => {
      const { items } = await everything(client, 'f');
      assert.deepEqual(items.map(({ id }) => id), acknowledged);
    });
  });
});

// A file system of four megabytes, where one can be mounted. What is in the log has to fit into the
// file before the log can be used again, so three of them come back.
describe('a file system that is full', onlyEmbedded('it is about the file'), () => {
  const mountSmall = (directory) => {
    mkdirSync(directory);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };

  test('refuses with the reason, loses nothing, and recovers when there is room again', async (t) => {
    const directory = newDirectory();
    if (!mountSmall(directory)) return t.skip('nothing can be mounted here');
    try {
      const ballast = join(directory, 'eventhub.ballast');
      writeFileSync(ballast, Buffer.alloc(3 * MB));
      const acknowledged = [];
      let refusals = 0;
      const publish = async (client, i) => {
        const { result, error } = await client.call('publish', { topic: 'f', message: { i, fill: 'x'.repeat(10_000) } });
        if (result) return acknowledged.push(result.id);
        refusals++;
        assert.equal(error.code, -32603);
        return assert.match(error.data, /disk is full.*no effect/);
      };
      await withJournal(directory, { DEFAULT_CACHE_TTL: String(HOUR_S) }, async (client, daemon) => {
        for (let i = 0; refusals < 3 && i < 500; i++) await publish(client, i);
        assert.equal(refusals, 3);
        await daemon.readiness(503);
        assert.equal((await everything(client, 'f')).items.length, acknowledged.length, 'reading goes on');
        rmSync(ballast);
        await daemon.readiness(200);
        for (let i = 1000; i < 1005; i++) await publish(client, i);
        assert.equal(refusals, 3);
      }, { signal: 'SIGKILL' });
      await withJournal(directory, {}, async (client) => {
        assert.deepEqual((await everything(client, 'f')).items.map(({ id }) => id), acknowledged);
      });
    } finally {
      execFileSync('umount', [directory]);
    }
  });
});

describe('a directory that cannot be used', onlyEmbedded('it is about the file'), () => {
  const fill = async (directory) =>
    withJournal(directory, { DEFAULT_CACHE_TTL: String(HOUR_S) }, async (client) => {
      for (let i = 0; i < 300; i++) client.notify('publish', { topic: `t/${i % 30}`, message: `m${i}` });
      await client.publish('t/0', 'last');
      await client.result('set', { key: 'k', value: 'v' });
    });

  test('in use by another broker', async () => {
    const directory = newDirectory();
    await withJournal(directory, {}, () => assertRefused(directory, /in use by another process/));
  });

  test('of somebody else', async () => {
    const directory = newDirectory();
    mkdirSync(directory);
    writeFileSync(join(directory, 'letters.txt'), 'private');
    await assertRefused(directory, /holds other files \(letters\.txt\)/);
    assert.deepEqual(readdirSync(directory), ['letters.txt']);
  });

  test('whose parent is missing', () => assertRefused(join(newDirectory(), 'below'), /cannot be made: No such file/));

  test('that is a file', async () => {
    const path = newDirectory();
    writeFileSync(path, 'text');
    await assertRefused(path, /Not a directory/);
    assert.equal(readFileSync(path, 'utf8'), 'text');
  });

  const isRoot = process.getuid() === 0;
  test('without permission', { skip: isRoot ? false : 'needs root to become another user' }, async () => {
    const directory = newDirectory();
    mkdirSync(directory, { mode: 0o700 });
    await assertRefused(directory, /Permission denied/, { uid: 65534 });
    assert.deepEqual(readdirSync(directory), []);
  });

  test('with a file that is no database', async () => {
    const directory = newDirectory();
    mkdirSync(directory);
    writeFileSync(join(directory, FILE), 'x'.repeat(100_000));
    await assertRefused(directory, /is damaged.*mv .*eventhub\.mdb/);
    assert.equal(readFileSync(join(directory, FILE), 'utf8'), 'x'.repeat(100_000));
  });

  test('with a file that was cut off', async () => {
    const directory = newDirectory();
    await fill(directory);
    const bytes = readFileSync(join(directory, FILE));
    const cut = bytes.subarray(0, bytes.length - 8192);
    writeFileSync(join(directory, FILE), cut);
    await assertRefused(directory, /is damaged \(the file is too short\)/);
    assert.ok(cut.equals(readFileSync(join(directory, FILE))), 'it is untouched');
  });

  test('whose file is damaged: it starts without, when that is moved aside as the line says', async () => {
    const directory = newDirectory();
    await fill(directory);
    const path = join(directory, FILE);
    const bytes = readFileSync(path);
    bytes.fill(0xff, 4096 * 3, 4096 * 5);
    writeFileSync(path, bytes);
    await assertRefused(directory, new RegExp(`is damaged.* mv ${path} ${path}\\.damaged;`));
    renameSync(path, `${path}.damaged`);
    await withJournal(directory, {}, async (client) => assert.equal((await everything(client)).items.length, 0));
  });

  // What was committed last lies in the log only, for about a second: then it is not needed any more,
  // and the broker starts with all of it.
  test('whose log is damaged, but for its last record', async () => {
    const TRIES = 5;
    const refusal = async (at) => {
      const directory = newDirectory();
      await withJournal(directory, { DEFAULT_CACHE_TTL: String(HOUR_S) }, async (client) => {
        for (let i = 0; i < 10; i++) await client.publish('t', i);
      }, { signal: 'SIGKILL' });
      const path = join(directory, LOG);
      const damaged = readFileSync(path);
      damaged[at] ^= 1;
      writeFileSync(path, damaged);
      const daemon = newDaemon(directory);
      try {
        await daemon.start();
      } catch (error) {
        assert.ok(damaged.equals(readFileSync(path)), 'it is untouched');
        return error.message;
      }
      const client = await Client.connect(daemon);
      assert.equal((await everything(client)).items.length, 10);
      client.drop();
      await daemon.stop();
      return '';
    };
    for (const at of [20, 60]) {
      let message = '';
      for (let i = 0; i < TRIES && message === ''; i++) message = await refusal(at);
      assert.match(message, /eventhub\.wal is damaged.* mv /);
    }
  });

  // A flipped byte in what is free changes nothing; one in what is used must be noticed.
  test('with flipped bytes: it refuses, or all of it is there', async (t) => {
    const FLIPS = isSanitized ? 15 : 80;
    const source = newDirectory();
    await fill(source);
    let all;
    await withJournal(source, {}, async (client) => {
      all = (await everything(client)).items;
      assert.equal(all.length, 301);
    });
    const original = readFileSync(join(source, FILE));
    let refusals = 0;
    for (let i = 0; i < FLIPS; i++) {
      const directory = newDirectory();
      mkdirSync(directory);
      const damaged = Buffer.from(original);
      const at = Math.floor(Math.random() * damaged.length);
      damaged[at] ^= 1 << Math.floor(Math.random() * 8);
      writeFileSync(join(directory, FILE), damaged);
      const daemon = newDaemon(directory);
      try {
        await daemon.start();
      } catch (error) {
        assert.match(error.message, /is damaged|database of another program|newer version/, `byte ${at}`);
        assert.ok(damaged.equals(readFileSync(join(directory, FILE))), `byte ${at}: the file was changed`);
        refusals++;
        continue;
      }
      const client = await Client.connect(daemon);
      assert.deepEqual((await everything(client)).items, all, `byte ${at}`);
      assert.equal((await client.result('get', { key: 'k' })).value, 'v', `byte ${at}`);
      client.drop();
      await daemon.stop();
    }
    t.diagnostic(`${refusals} of ${FLIPS} flips were refused, the others hit what is not used`);
    assert.ok(refusals > 0);
  });

  test('a copy of the files is a copy of the store', async () => {
    const source = newDirectory();
    await fill(source);
    const copy = newDirectory();
    mkdirSync(copy);
    for (const name of [FILE, LOG]) copyFileSync(join(source, name), join(copy, name));
    await withJournal(copy, {}, async (client) => assert.equal((await everything(client)).items.length, 301));
    assert.ok(existsSync(join(copy, FILE)));
  });
});
