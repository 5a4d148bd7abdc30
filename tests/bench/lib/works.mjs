// What is measured: one entry per work, in the order of the table.
//
//   measure(options, round) answers {ours, base}: objects of figures; base, what ours is compared
//   with, may be absent
//   rows: which of the figures the table shows, and what they should be: at most a `ratio` to the
//   base or a `value`, or at least a `leastRatio`
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '../../blackbox/lib/rpc.mjs';
import { JOURNAL_WORKS } from './journal_works.mjs';
import { load, microBenchmark, withBroker, withFloor, withNats, wrk } from './programs.mjs';
import { REDIS_WORKS } from './redis_works.mjs';
import { both } from './rounds.mjs';
import { TLS_WORKS } from './tls_works.mjs';

const PING_INTERVAL_S = 30;
const PING_PAUSE_MS = 3;
const SETTLE_S = 2; // until all have connected

// The floor carries what the broker delivers: the message within its JSON, whose length is known.
const MESSAGE_BYTES = 64;
const AROUND_BYTES = 90;
const AROUND_TEXT_ID_BYTES = 106; // with ids such as "subscription-7" instead of 7
const DELIVERED_BYTES_SLACK = 2; // ids vary in length

function bytes(size) {
  return ['--size', String(size)];
}

function checkDelivered({ payload_bytes: found }, expected) {
  if (Math.abs(found - expected) <= DELIVERED_BYTES_SLACK) return;
  throw new Error(`deliveries have ${found} bytes; the floor would carry ${expected}`);
}

/** The same work on a broker and on a floor, which is told how long deliveries are. */
async function againstFloor(options, round, work, { args = [], ids = [], size = MESSAGE_BYTES,
  around = AROUND_BYTES, floorArgs = [], env } = {}) {
  const found = await both(round,
    () => withBroker(options, (server) =>
      load(options, server, work, options.seconds, [...args, ...ids, ...bytes(size)]), env),
    () => withFloor(options, floorArgs, (server) =>
      load(options, server, work, options.seconds, ['--floor', ...args, ...bytes(size + around)])));
  if (work !== 'connect') checkDelivered(found.ours, size + around);
  return found;
}

const PACED = { floorArgs: ['--single'] };

async function measureDirect(options, round, burst = 1) {
  const args = ['--topics', '1000', '--publishers', '20', '--burst', String(burst)];
  const measure = (...more) => (server) =>
    load(options, server, 'fanout', options.seconds, [...args, ...more]);
  return both(round, () => withBroker(options, measure()), () => withNats(measure('--nats')));
}

/** Round trips of a ping, one every few ms, on the same worker as all the rest: {p50_ms, ...}. */
async function pings(server, seconds) {
  const client = await Client.connect({ url: `ws://127.0.0.1:${server.port}` });
  const times = [];
  for (const end = performance.now() + seconds * 1000; performance.now() < end;) {
    const start = performance.now();
    await client.result('ping', []);
    times.push(performance.now() - start);
    await sleep(PING_PAUSE_MS);
  }
  await client.close();
  times.sort((a, b) => a - b);
  const quantile = (part) => times[Math.floor((times.length - 1) * part)];
  return { p50_ms: quantile(0.5), p99_ms: quantile(0.99), max_ms: quantile(1) };
}

/** Pings while others do this work, against pings while nobody does anything. */
function besidePings(work, ...args) {
  const ONE_WORKER = { WORKER_THREADS: '1' };
  const measureBeside = (options) => withBroker(options, async (server) => {
    const busy = load(options, server, work, options.seconds + 2 * SETTLE_S, args);
    await sleep(SETTLE_S * 1000);
    const found = await pings(server, options.seconds);
    await busy;
    return found;
  }, ONE_WORKER);
  return (options, round) => both(round, () => measureBeside(options),
    () => withBroker(options, (server) => pings(server, options.seconds), ONE_WORKER));
}

async function measureLatency(options, round) {
  const args = ['--rate', '100', '--subscribers', '10'];
  const found = await againstFloor(options, round, 'rate', { ...PACED, args });
  found.ours.more_p50_ms = found.ours.p50_ms - found.base.p50_ms;
  return found;
}

const IDLE = 18_000;

async function measureIdle(options) {
  const ours = await withBroker(options, (server) =>
    load(options, server, 'idle', PING_INTERVAL_S, ['--subscribers', String(IDLE)]));
  ours.cpu_us_per_s = ours.cpu_percent * 1e4 / IDLE;
  return { ours };
}

/** Connections that have negotiated compression and not used it yet, against others. */
async function measureIdleCompressed(options, round) {
  const seconds = 5;
  const measure = (way) => withBroker(options, (server) =>
    load(options, server, 'idle', seconds, ['--subscribers', '10000', '--way', way]));
  return both(round, () => measure('deflate'), () => measure('websocket'));
}

/** The same messages to 1,000 subscribers in one way and by plain WebSocket, each on a broker of its
 * own. */
function againstWebSocket(options, round, way, work, ...args) {
  const measure = (one) => withBroker(options, (server) =>
    load(options, server, work, options.seconds, [...args, '--way', one]));
  return both(round, () => measure(way), () => measure('websocket'));
}

/** Closed loop and 20 messages a second: the figures of the latter are called paced_. */
async function inWay(options, round, way, args) {
  const closed = await againstWebSocket(options, round, way, 'fanout', ...args);
  const paced = await againstWebSocket(options, round, way, 'rate', ...args);
  for (const side of ['ours', 'base']) {
    closed[side].paced_cpu_us_per_delivery = paced[side].cpu_us_per_delivery;
    closed[side].paced_wire_bytes = paced[side].wire_bytes;
  }
  return closed;
}

const measureEvents = (options, round) => inWay(options, round, 'events', bytes(MESSAGE_BYTES));
const measureCompression = (options, round) =>
  inWay(options, round, 'deflate', ['--content', 'json', ...bytes(2048)]);

const PUBLISH_BYTES = 100;

/** wrk with keep-alive on the same broker: POST of a message against GET /healthz. */
async function measureHttpPublish(options, round) {
  return withBroker(options, (server) => both(round,
    async () => ({ requests_per_s: await wrk(options, server, '/news', PUBLISH_BYTES) }),
    async () => ({ requests_per_s: await wrk(options, server, '/healthz') })));
}

/** The line of numbers of bench_trie's table that begins with the number of filters. */
async function measureTrie(options) {
  const text = await microBenchmark(options, 'trie');
  const figures = (filters) => {
    const numbers = new RegExp(`^ *${filters} +(.*)$`, 'm').exec(text)[1].trim().split(/ +/);
    return {
      one_ns: Number(numbers[0]),
      random_ns: Number(numbers[1]),
      add_ns: Number(numbers[3]),
      remove_ns: Number(numbers[4]),
      bytes: Number(numbers[5]),
    };
  };
  return { ours: figures(1_000_000), base: figures(1_000) };
}

async function measureJsonrpc(options) {
  const text = await microBenchmark(options, 'jsonrpc');
  const publish = text.slice(text.indexOf('message of 64 bytes'));
  const line = /and four parameters +\d+ bytes +([\d.]+) ns/.exec(publish);
  return { ours: { parse_ns: Number(line[1]) } };
}

const cpuRow = (title, ratio, figure = 'cpu_us_per_delivery') =>
  ({ title, figure, unit: 'µs CPU per delivery', target: { ratio } });

const pingRows = (title) => [
  { title, figure: 'p50_ms', unit: 'ms, half of the pings' },
  { title: '', figure: 'p99_ms', unit: 'ms, 99 % of the pings' },
  { title: '', figure: 'max_ms', unit: 'ms, the longest' },
];

export const WORKS = [
  {
    name: 'fanout',
    help: '1,000 subscribers, closed loop, 64-byte messages, 64 on their way',
    measure: (options, round) => againstFloor(options, round, 'fanout'),
    rows: [
      cpuRow('fan-out to 1,000 subscribers, closed loop', 1.15),
      { title: '', figure: 'delivered_per_send', unit: 'deliveries per send' },
      { title: '', figure: 'delivered_per_s', unit: 'deliveries/s', digits: 0 },
    ],
  },
  {
    name: 'ids',
    help: 'the same with 16 different subscription ids, numbers',
    measure: (options, round) => againstFloor(options, round, 'fanout', { ids: ['--ids', '16'] }),
    rows: [
      cpuRow('... with 16 different subscription ids', 1.3),
    ],
  },
  {
    name: 'text-ids',
    help: 'the same with 16 different subscription ids, strings',
    measure: (options, round) => againstFloor(options, round, 'fanout',
      { ids: ['--ids', '16', '--id-kind', 'text'], around: AROUND_TEXT_ID_BYTES }),
    rows: [
      cpuRow('... that are strings', 1.3),
    ],
  },
  {
    name: 'large',
    help: '100 subscribers, closed loop, messages of 16 KiB',
    measure: (options, round) => againstFloor(options, round, 'fanout',
      { args: ['--subscribers', '100'], size: 16384 }),
    rows: [
      cpuRow('16 KiB to 100 subscribers, closed loop', 1.1),
    ],
  },
  {
    name: 'rate',
    help: '1,000 subscribers, 20 messages a second, of 64 bytes; one send for each',
    measure: (options, round) => againstFloor(options, round, 'rate',
      { ...PACED, env: { ENABLE_IO_URING: '0' } }),
    rows: [
      cpuRow('fan-out to 1,000 subscribers, 20 messages/s, by send', 1.1),
      { title: '', figure: 'p50_ms', unit: 'ms, half of the deliveries' },
      { title: '', figure: 'p99_ms', unit: 'ms, 99 % of the deliveries' },
    ],
  },
  {
    name: 'rate-one',
    help: 'the same with one worker: as many threads as the floor has',
    measure: (options, round) => againstFloor(options, round, 'rate',
      { ...PACED, env: { ENABLE_IO_URING: '0', WORKER_THREADS: '1' } }),
    rows: [
      cpuRow('... with one worker', 1.1),
    ],
  },
  {
    name: 'rate-uring',
    help: '1,000 subscribers, 20 messages a second, many sends in one call by io_uring',
    measure: (options, round) => againstFloor(options, round, 'rate', PACED),
    rows: [
      cpuRow('... by io_uring', 0.85),
    ],
  },
  {
    name: 'rate-uring-one',
    help: 'the same with one worker',
    measure: (options, round) => againstFloor(options, round, 'rate',
      { ...PACED, env: { WORKER_THREADS: '1' } }),
    rows: [
      cpuRow('... by io_uring, with one worker', 0.85),
    ],
  },
  {
    name: 'direct',
    help: '1,000 subscribers on 1,000 topics, 20 publishers, all acknowledged; base: nats-server',
    measure: measureDirect,
    rows: [
      cpuRow('point to point on 1,000 topics; base: nats-server', 1),
      { title: '', figure: 'delivered_per_s', unit: 'deliveries/s', digits: 0 },
    ],
  },
  {
    name: 'direct-bursts',
    help: 'the same, 32 messages to one topic after the other',
    measure: (options, round) => measureDirect(options, round, 32),
    rows: [cpuRow('... in bursts of 32', 1)],
  },
  {
    name: 'latency',
    help: '10 subscribers, 100 messages a second: from when one was due to its deliveries',
    measure: measureLatency,
    rows: [
      {
        title: 'latency to 10 subscribers at 100 messages/s',
        figure: 'more_p50_ms',
        unit: "ms more than the floor's, half",
        target: { value: 0.1 },
      },
      { title: '', figure: 'p50_ms', unit: 'ms, half of the deliveries' },
      { title: '', figure: 'p99_ms', unit: 'ms, 99 % of the deliveries', target: { ratio: 2 } },
    ],
  },
  {
    name: 'beside-publisher',
    help: 'pings beside a publisher with 100,000 requests on their way, one worker; base: alone',
    measure: besidePings('publish', '--publishers', '1', '--window', '100000'),
    rows: pingRows('pings beside 100,000 publishes; base: alone'),
  },
  {
    name: 'beside-fanout',
    help: 'pings beside 2 messages a second to 10,000 subscribers, one worker; base: alone',
    measure: besidePings('rate', '--rate', '2', '--subscribers', '10000'),
    rows: pingRows('pings beside messages to 10,000; base: alone'),
  },
  {
    name: 'connect',
    help: 'opening handshakes, 64 at a time',
    measure: (options, round) => againstFloor(options, round, 'connect',
      { args: ['--publishers', '64'] }),
    rows: [
      {
        title: 'opening handshakes, 64 at a time',
        figure: 'handshakes_per_s',
        unit: 'handshakes/s',
        digits: 0,
        target: { leastRatio: 0.8 },
      },
      { title: '', figure: 'cpu_us_per_handshake', unit: 'µs CPU each' },
    ],
  },
  {
    name: 'idle',
    help: `18,000 subscribers, a topic each, idle for ${PING_INTERVAL_S} s: one ping of each`,
    maxRounds: 3,
    measure: measureIdle,
    rows: [
      {
        title: '18,000 idle connections, a topic each',
        figure: 'resident_kb_per_connection',
        unit: 'kB resident each',
        target: { value: 1.0 },
      },
      { title: '', figure: 'cpu_us_per_s', unit: 'µs CPU per s each', target: { value: 1.0 } },
      { title: 'to connect and subscribe one', figure: 'cpu_us_per_connect', unit: 'µs CPU' },
    ],
  },
  {
    name: 'idle-compressed',
    help: '10,000 subscribers that have negotiated compression and not used it, against others',
    maxRounds: 3,
    measure: measureIdleCompressed,
    rows: [
      {
        title: '10,000 idle connections with compression; base: without',
        figure: 'resident_kb_per_connection',
        unit: 'kB resident each',
        target: { ratio: 1.02 },
      },
    ],
  },
  {
    name: 'events',
    help: '1,000 streams of server-sent events, 64-byte messages, against 1,000 WebSockets',
    measure: measureEvents,
    rows: [
      cpuRow('events to 1,000 streams, closed loop; base: WebSockets', 1.1),
      cpuRow('the same at 20 messages/s', 1.1, 'paced_cpu_us_per_delivery'),
    ],
  },
  {
    name: 'compression',
    help: '1,000 compressed subscribers, 2 kB of JSON, against 1,000 uncompressed',
    measure: measureCompression,
    rows: [
      cpuRow('2 kB of JSON to 1,000 compressed, closed loop; base: uncompressed', 1.3),
      cpuRow('the same at 20 messages/s', 1.3, 'paced_cpu_us_per_delivery'),
      {
        title: '',
        figure: 'paced_wire_bytes',
        unit: 'bytes sent per delivery',
        digits: 0,
        target: { ratio: 0.333 },
      },
    ],
  },
  {
    name: 'http-publish',
    help: `POST of ${PUBLISH_BYTES} bytes with keep-alive, by wrk, against GET /healthz`,
    measure: measureHttpPublish,
    rows: [
      {
        title: 'publishing by POST; base: GET /healthz',
        figure: 'requests_per_s',
        unit: 'requests/s, 32 connections',
        digits: 0,
        target: { leastRatio: 0.5 },
      },
    ],
  },
  {
    name: 'trie',
    help: 'the match of one topic among 1,000,000 filters, against the same among 1,000',
    maxRounds: 3,
    measure: measureTrie,
    rows: [
      {
        title: 'match among 1,000,000 filters; base: 1,000',
        figure: 'one_ns',
        unit: 'ns, always the same topic',
        target: { value: 300 },
      },
      { title: '', figure: 'random_ns', unit: 'ns, random topics', target: { value: 300 } },
      { title: '', figure: 'add_ns', unit: 'ns to add one' },
      { title: '', figure: 'remove_ns', unit: 'ns to remove one' },
      { title: '', figure: 'bytes', unit: 'bytes for each', target: { value: 150 } },
    ],
  },
  {
    name: 'jsonrpc',
    help: 'reading a publish request of a 64-byte message',
    maxRounds: 3,
    measure: measureJsonrpc,
    rows: [{ title: 'reading a publish request', figure: 'parse_ns', unit: 'ns' }],
  },
  ...JOURNAL_WORKS,
  ...REDIS_WORKS,
  ...TLS_WORKS,
];
