// What is measured with a store on disk, in a directory below BENCH_DIR (the system's for temporary
// files): that should lie on a disk, not in memory. Entries as in works.mjs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { get } from '../../blackbox/lib/http.mjs';
import { parsePrometheus } from '../../blackbox/lib/prometheus.mjs';
import { append, load, withBroker } from './programs.mjs';
import { both } from './rounds.mjs';

const MESSAGE_BYTES = 100;
const PUBLISHERS = 64;
const WINDOW = 16;
const STORED_BYTES = 150; // of such a message with its topic, id, expiry and lengths

const RATE = 2000;

const STORED = 1_000_000;
const STORED_MESSAGE_BYTES = 200;

async function withDirectory(run) {
  const directory = mkdtempSync(path.join(process.env.BENCH_DIR ?? tmpdir(), 'eventhub-bench-'));
  try {
    return await run(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const onDisk = (directory, more = {}) => ({
  BACKEND: 'embedded', ENABLE_CACHE: '1', DATA_DIR: path.join(directory, 'data'), ...more,
});

async function metric(server, name) {
  const { body } = await get(server.port, '/metrics');
  return parsePrometheus(body).get(`eventhub_${name}`).samples[0].value;
}

const publish = (options, server, ...more) =>
  load(options, server, 'publish', options.seconds, ['--publishers', String(PUBLISHERS),
    '--window', String(WINDOW), '--topics', String(PUBLISHERS), '--size', String(MESSAGE_BYTES), ...more]);

/** With how many messages there were to a commit. */
async function publishDurably(options, directory, ...more) {
  return withBroker(options, async (server) => {
    const found = await publish(options, server, ...more);
    const messages = await metric(server, 'publish_count');
    found.per_commit = messages / (await metric(server, 'journal_commits_total'));
    return found;
  }, onDisk(directory));
}

/** The base appends as many bytes at a time as our commits have, so it cannot go first. */
const measureCommit = (...more) => (options) => withDirectory(async (directory) => {
  const ours = await publishDurably(options, directory, ...more);
  const batch = Math.round(ours.per_commit);
  const bare = await append(options, directory, batch * STORED_BYTES);
  return { ours, base: { acknowledged_per_s: bare.appends_per_s * batch } };
});

const measureRelaxed = (options, round) => withDirectory((directory) =>
  both(round,
    () => withBroker(options, (server) => publish(options, server),
      onDisk(directory, { DURABILITY: 'relaxed' })),
    () => withBroker(options, (server) => publish(options, server),
      { BACKEND: 'embedded', ENABLE_CACHE: '1' })));

/** With a history that leaves memory as fast as it comes; the base keeps all of it there. */
const measureLong = (options, round) => withDirectory((directory) => {
  const run = (name, memory) => () => withBroker(options, (server) => publish(options, server),
    onDisk(directory, { DATA_DIR: path.join(directory, name), MAX_CACHE_LENGTH: '0',
      MAX_CACHE_MEMORY: String(memory) }));
  return both(round, run('long', 16 << 20), run('base', 0));
});

/** From when a message was due until its subscriber had it: that is after the commit. */
const measureDelay = (options, round) => withDirectory((directory) =>
  both(round,
    () => withBroker(options, (server) => load(options, server, 'rate', options.seconds,
      ['--rate', String(RATE), '--subscribers', '1', '--publishers', String(PUBLISHERS),
        '--size', String(MESSAGE_BYTES)]), onDisk(directory)),
    () => append(options, directory, STORED_BYTES, RATE)));

/** Fills a directory, then starts again on it. */
const measureStart = (options) => withDirectory(async (directory) => {
  const env = onDisk(directory, { MAX_CACHE_LENGTH: '0', DEFAULT_CACHE_TTL: '3600' });
  const count = await withBroker(options, async (server) => {
    const args = ['--publishers', '64', '--window', '64', '--topics', '1000', '--warmup', '0',
      '--size', String(STORED_MESSAGE_BYTES)];
    while ((await metric(server, 'eventlog_messages')) < STORED)
      await load(options, server, 'publish', 1, args);
    return metric(server, 'eventlog_messages');
  }, env);
  return withBroker(options, async (server) => ({
    ours: {
      start_ms: (server.loadMs() * STORED) / count,
      resident_mb: server.residentBytes() / 1e6,
    },
  }), env);
});

export const JOURNAL_WORKS = [
  {
    name: 'durable-long',
    help: 'as durable, without a limit of messages and with 16 MB of memory for them; base: without that limit',
    measure: measureLong,
    rows: [
      {
        title: '... a history that has to leave memory; base: it stays there',
        figure: 'acknowledged_per_s',
        unit: 'publishes/s',
        digits: 0,
      },
    ],
  },
  {
    name: 'durable',
    help: `${PUBLISHERS} connections publish ${MESSAGE_BYTES} bytes with DATA_DIR, ${WINDOW} unanswered each; base: fdatasync`,
    measure: measureCommit(),
    rows: [
      {
        title: 'publishing to disk; base: append and fdatasync, as many messages at a time',
        figure: 'acknowledged_per_s',
        unit: 'publishes/s',
        digits: 0,
      },
      { title: '', figure: 'per_commit', unit: 'messages in a commit', digits: 0 },
    ],
  },
  {
    name: 'durable-one',
    help: 'the same with one unanswered each',
    measure: measureCommit('--window', '1'),
    rows: [
      {
        title: '... one unanswered by each of 64 connections',
        figure: 'acknowledged_per_s',
        unit: 'publishes/s',
        digits: 0,
        target: { leastRatio: 0.6 },
      },
      { title: '', figure: 'per_commit', unit: 'messages in a commit', digits: 0 },
    ],
  },
  {
    name: 'durable-relaxed',
    help: 'the first with DURABILITY=relaxed; base: in memory',
    measure: measureRelaxed,
    rows: [
      {
        title: '... with DURABILITY=relaxed; base: in memory',
        figure: 'acknowledged_per_s',
        unit: 'publishes/s',
        digits: 0,
        target: { leastRatio: 0.8 },
      },
    ],
  },
  {
    name: 'durable-delay',
    help: `${RATE} messages a second to disk, until they are delivered; base: fdatasync at that rate`,
    measure: measureDelay,
    rows: [
      {
        title: `${RATE} messages/s to disk; base: append and fdatasync at that rate`,
        figure: 'p99_ms',
        unit: 'ms, 99 % of the deliveries',
        target: { ratio: 3 },
      },
      { title: '', figure: 'p50_ms', unit: 'ms, half of the deliveries' },
    ],
  },
  {
    name: 'durable-start',
    help: `a start with ${STORED.toLocaleString('en')} messages of ${STORED_MESSAGE_BYTES} bytes on disk`,
    maxRounds: 3,
    measure: measureStart,
    rows: [
      {
        title: `a start with ${STORED.toLocaleString('en')} messages of ${STORED_MESSAGE_BYTES} bytes`,
        figure: 'start_ms',
        unit: 'ms to load',
        digits: 0,
        target: { value: 3000 },
      },
      { title: '', figure: 'resident_mb', unit: 'MB resident', digits: 0, target: { value: 400 } },
    ],
  },
];
