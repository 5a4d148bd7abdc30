// How costs grow: one curve per entry, a point for each of its sizes. None may bend upward where the
// design says flat: per delivery and per publish, whatever there is besides.
//
//   measure(options, size) answers the cost; `name` is also the file of the plot
import { load, microBenchmark, withBroker } from './programs.mjs';

const IDLE_S = 5;

const work = (name, figure, args, env) => (options, size) => withBroker(options, async (server) =>
  (await load(options, server, name, options.seconds, args(size)))[figure], env?.(size));

const option = (name, size) => [name, String(size)];

const tables = new Map();

/** A column of bench_trie, which measures all sizes in one run. */
const trie = (column) => async (options, size) => {
  if (!tables.has(options)) tables.set(options, await microBenchmark(options, 'trie'));
  const line = new RegExp(`^ *${size} +(.*)$`, 'm').exec(tables.get(options))[1];
  return Number(line.trim().split(/ +/)[column]);
};

const idle = (figure, each) => (options, size) => withBroker(options, async (server) => {
  const found = await load(options, server, 'idle', IDLE_S, option('--subscribers', size));
  return each(found[figure], size);
}, { PING_INTERVAL: String(IDLE_S) });

export const CURVES = [
  {
    name: 'subscribers',
    title: 'fan-out, closed loop: cost of a delivery by subscribers of the topic',
    unit: 'µs CPU per delivery',
    sizes: [10, 100, 1000, 10_000],
    measure: work('fanout', 'cpu_us_per_delivery', (size) => option('--subscribers', size)),
  },
  {
    name: 'topics',
    title: 'publishing, acknowledged: cost of a publish by topics',
    unit: 'µs CPU per publish',
    sizes: [1, 10, 100, 1000, 10_000, 100_000],
    measure: work('publish', 'cpu_us_per_publish', (size) =>
      ['--publishers', '4', ...option('--topics', size)]),
  },
  {
    name: 'connections',
    title: 'point to point: cost of a delivery by connections, a topic each',
    unit: 'µs CPU per delivery',
    sizes: [10, 100, 1000, 10_000],
    measure: work('fanout', 'cpu_us_per_delivery', (size) =>
      [...option('--subscribers', size), ...option('--topics', size), '--publishers', '20']),
  },
  {
    name: 'idle-memory',
    title: 'idle connections, a topic each: memory of one',
    unit: 'kB resident',
    sizes: [100, 1000, 10_000, 18_000],
    measure: idle('resident_kb_per_connection', (value) => value),
  },
  {
    name: 'idle-cpu',
    title: 'idle connections, a topic each: cost of one, with a ping every 5 s',
    unit: 'µs CPU per second',
    sizes: [100, 1000, 10_000, 18_000],
    measure: idle('cpu_percent', (value, size) => (value * 1e4) / size),
  },
  {
    name: 'match',
    title: 'the match of random topics, by filters',
    unit: 'ns',
    sizes: [1000, 10_000, 100_000, 1_000_000],
    measure: trie(1),
  },
  {
    name: 'subscribe',
    title: 'adding a filter, by filters',
    unit: 'ns',
    sizes: [1000, 10_000, 100_000, 1_000_000],
    measure: trie(3),
  },
  {
    name: 'workers',
    title: 'fan-out to 1,000, closed loop: cost of a delivery by workers',
    unit: 'µs CPU per delivery',
    sizes: [1, 2, 4, 8],
    measure: work('fanout', 'cpu_us_per_delivery', () => [], (size) =>
      ({ WORKER_THREADS: String(size) })),
  },
];
