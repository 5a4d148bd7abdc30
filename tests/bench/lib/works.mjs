// What is measured: one entry per work, in the order of the table.
//
//   measure(options, round) answers {ours, base}: objects of figures; base, what ours is compared
//   with, may be absent
//   rows: which of the figures the table shows, and what they should be: at most a `ratio` to the
//   base or a `value`, or at least a `leastRatio`
import { load, microBenchmark, withBroker, withFloor, wrk } from './programs.mjs';
import { REDIS_WORKS } from './redis_works.mjs';
import { both } from './rounds.mjs';

const PING_INTERVAL_S = 30;

// The floor carries what the broker delivers: the message within its JSON.
const MESSAGE_BYTES = 64;
const DELIVERED_BYTES = 154;

const DELIVERED_BYTES_SLACK = 2; // message ids vary in length

function bytes(size) {
  return ['--size', String(size)];
}

function checkDelivered({ payload_bytes: found }) {
  if (Math.abs(found - DELIVERED_BYTES) <= DELIVERED_BYTES_SLACK) return;
  throw new Error(`deliveries have ${found} bytes; the floor would carry ${DELIVERED_BYTES}`);
}

async function againstFloor(options, round, work, floorArgs) {
  const found = await both(round,
    () => withBroker(options, (server) =>
      load(options, server, work, options.seconds, bytes(MESSAGE_BYTES))),
    () => withFloor(options, floorArgs, (server) =>
      load(options, server, work, options.seconds, ['--floor', ...bytes(DELIVERED_BYTES)])));
  checkDelivered(found.ours);
  return found;
}

async function measureIdle(options) {
  const measure = (...args) => withBroker(options, (server) =>
    load(options, server, 'idle', PING_INTERVAL_S, ['--subscribers', '10000', ...args]));
  return { ours: await measure() };
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

async function measureEvents(options, round) {
  const closed = await againstWebSocket(options, round, 'events', 'fanout', ...bytes(MESSAGE_BYTES));
  const paced = await againstWebSocket(options, round, 'events', 'rate', ...bytes(MESSAGE_BYTES));
  for (const side of ['ours', 'base']) {
    closed[side].paced_cpu_us_per_delivery = paced[side].cpu_us_per_delivery;
  }
  return closed;
}

async function measureCompression(options, round) {
  const json = ['--content', 'json', ...bytes(2048)];
  const closed = await againstWebSocket(options, round, 'deflate', 'fanout', ...json);
  const paced = await againstWebSocket(options, round, 'deflate', 'rate', ...json);
  for (const side of ['ours', 'base']) {
    closed[side].paced_cpu_us_per_delivery = paced[side].cpu_us_per_delivery;
    closed[side].paced_wire_bytes = paced[side].wire_bytes;
  }
  return closed;
}

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
    return { one_ns: Number(numbers[0]), random_ns: Number(numbers[1]) };
  };
  return { ours: figures(1_000_000), base: figures(1_000) };
}

async function measureJsonrpc(options) {
  const text = await microBenchmark(options, 'jsonrpc');
  const publish = text.slice(text.indexOf('message of 64 bytes'));
  const line = /and four parameters +\d+ bytes +([\d.]+) ns/.exec(publish);
  return { ours: { parse_ns: Number(line[1]) } };
}

export const WORKS = [
  {
    name: 'fanout',
    help: '1,000 subscribers, closed loop, 64-byte messages, 64 on their way',
    measure: (options, round) => againstFloor(options, round, 'fanout', []),
    rows: [
      {
        title: 'fan-out to 1,000 subscribers, closed loop',
        figure: 'cpu_us_per_delivery',
        unit: 'µs CPU per delivery',
        target: { ratio: 1.5 },
      },
      { title: '', figure: 'delivered_per_send', unit: 'deliveries per send' },
      { title: '', figure: 'delivered_per_s', unit: 'deliveries/s', digits: 0 },
    ],
  },
  {
    name: 'rate',
    help: '1,000 subscribers, 20 messages a second, of 64 bytes',
    measure: (options, round) => againstFloor(options, round, 'rate', ['--single']),
    rows: [
      {
        title: 'fan-out to 1,000 subscribers, 20 messages/s',
        figure: 'cpu_us_per_delivery',
        unit: 'µs CPU per delivery',
        target: { ratio: 1.25 },
      },
      { title: '', figure: 'p50_ms', unit: 'ms, half of the deliveries' },
      { title: '', figure: 'p99_ms', unit: 'ms, 99 % of the deliveries' },
    ],
  },
  {
    name: 'idle',
    help: `10,000 subscribers, a topic each, idle for ${PING_INTERVAL_S} s: one ping of each`,
    maxRounds: 3,
    measure: measureIdle,
    rows: [
      {
        title: '10,000 idle connections, a topic each',
        figure: 'resident_kb_per_connection',
        unit: 'kB resident each',
        target: { value: 2.0 },
      },
      { title: '', figure: 'cpu_percent', unit: '% of a core', target: { value: 0.5 } },
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
      {
        title: 'events to 1,000 streams, closed loop; base: WebSockets',
        figure: 'cpu_us_per_delivery',
        unit: 'µs CPU per delivery',
        target: { ratio: 1.1 },
      },
      {
        title: 'the same at 20 messages/s',
        figure: 'paced_cpu_us_per_delivery',
        unit: 'µs CPU per delivery',
        target: { ratio: 1.1 },
      },
    ],
  },
  {
    name: 'compression',
    help: '1,000 compressed subscribers, 2 kB of JSON, against 1,000 uncompressed',
    measure: measureCompression,
    rows: [
      {
        title: '2 kB of JSON to 1,000 compressed, closed loop; base: uncompressed',
        figure: 'cpu_us_per_delivery',
        unit: 'µs CPU per delivery',
        target: { ratio: 1.3 },
      },
      {
        title: 'the same at 20 messages/s',
        figure: 'paced_cpu_us_per_delivery',
        unit: 'µs CPU per delivery',
        target: { ratio: 1.3 },
      },
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
        target: { ratio: 2.0 },
      },
      { title: '', figure: 'random_ns', unit: 'ns, random topics' },
    ],
  },
  {
    name: 'jsonrpc',
    help: 'reading a publish request of a 64-byte message',
    maxRounds: 3,
    measure: measureJsonrpc,
    rows: [{ title: 'reading a publish request', figure: 'parse_ns', unit: 'ns' }],
  },
  ...REDIS_WORKS,
];
