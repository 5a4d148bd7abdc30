// What is measured with a Redis behind the broker: each measurement has a server of its own, on this
// machine, that writes nothing to disk. Entries as in works.mjs.
import { setTimeout as sleep } from 'node:timers/promises';
import { withRedis } from '../../blackbox/lib/redis.mjs';
import {
  cpuMicroseconds, load, loadPublishScript, redisBenchmark, redisPing, withNode, withNodes,
} from './programs.mjs';
import { both } from './rounds.mjs';

const MESSAGE_BYTES = 64;
const PUBLISHERS = 20;
const WINDOW = 64;
const TOPICS = 64;

const BASE_CALLS_PER_S = 25_000; // about as many as Redis manages, to last as long as ours

const LATENCY_RATE = 50;
const LATENCY_SECONDS = 10; // 500 messages, so that 1 % of them are some

const NODES = 3;
const NODES_RATE = 1000;
const NODES_SUBSCRIBERS = 10;

// ---- publish ----

/** What the broker calls for a message of the load; publish.lua says at its head what it takes.
 *
 * All that redis-benchmark can vary is a random number below TOPICS, of 12 digits, another one for
 * each place. So there are as many streams, and buckets with their keys, as the load has topics, and
 * names are as long; three of the numbers make a sequence that hardly ever comes twice. None is ever
 * reported as settled: that the script has none to forget makes it a little cheaper. */
function publishCall(sha, producer) {
  const random = '__rand_int__';
  const topic = 'bench/t7';
  const keys = [`{eventhub:07}:stream:${random}`,
    ...['topics', 'index', `once:${producer}`].map((name) => `{${random}}:${name}`)];
  const sequence = `1${random.repeat(3)}`;
  const payload = JSON.stringify('x'.repeat(MESSAGE_BYTES));
  return ['EVALSHA', sha, keys.length, ...keys, sequence, 0, topic, `{eventhub:07}:live:${topic}`, 7,
    payload, '', 60_000, 0, 1000].map(String);
}

/** What was called before and publishes nothing is a call, too: there may be a few of them. */
async function checkPublished(redis, calls) {
  const { cmdstat_xadd: line } = await redis.info('commandstats');
  const published = Number(/calls=(\d+)/.exec(line)?.[1]);
  if (!(published > 0.9 * calls)) throw new Error(`of ${calls} calls, ${published} published`);
}

function publishByRedisBenchmark({ seconds }) {
  return withRedis({}, async (redis) => {
    const sha = await loadPublishScript(redis);
    const run = (calls, producer) => {
      const options = ['-c', PUBLISHERS, '-P', WINDOW, '-n', calls, '-r', TOPICS].map(String);
      return redisBenchmark(redis, options, publishCall(sha, producer));
    };
    const calls = Math.round(BASE_CALLS_PER_S * seconds);
    // The streams fill, as in the warm-up of the load. By another producer: two processes that
    // start one after the other may well draw the same random numbers.
    await run(BASE_CALLS_PER_S, 'fedcba9876543210');
    const before = cpuMicroseconds(redis.program.pid);
    const perSecond = await run(calls, '0123456789abcdef');
    const redisCpu = (cpuMicroseconds(redis.program.pid) - before) / calls;
    await checkPublished(redis, BASE_CALLS_PER_S + calls);
    return { acknowledged_per_s: perSecond, redis_cpu_us: redisCpu };
  });
}

function publishByBroker(options) {
  const args = ['--publishers', PUBLISHERS, '--window', WINDOW, '--topics', TOPICS, '--size',
    MESSAGE_BYTES];
  return withRedis({}, (redis) => withNode(options, redis, async (node) => {
    const found = await load(options, node, 'publish', options.seconds,
      [...args, '--beside', redis.program.pid].map(String));
    return { ...found, redis_cpu_us: found.beside_cpu_us_per_publish[0] };
  }));
}

const measurePublish = (options, round) =>
  both(round, () => publishByBroker(options), () => publishByRedisBenchmark(options));

// ---- latency ----

/** From one node to another, and the PING that it is compared with, on the same Redis. */
const measureLatency = (options, round) => withRedis({}, (redis) =>
  withNodes(options, redis, 2, async ([from, to]) => {
    const args = ['--subscribe-port', to.port, '--subscribers', 1, '--rate', LATENCY_RATE,
      '--size', MESSAGE_BYTES].map(String);
    const found = await both(round,
      () => load(options, from, 'rate', LATENCY_SECONDS, args),
      () => redisPing(options, redis, LATENCY_RATE, LATENCY_SECONDS));
    found.ours.over_ping_ms = found.ours.p50_ms - found.base.p50_ms;
    return found;
  }));

// ---- nodes ----

/** CPU of processes per 1,000 publishes' time without any publish. */
async function idleCpu(pids, seconds) {
  const sum = () => pids.reduce((total, pid) => total + cpuMicroseconds(pid), 0);
  const before = sum();
  await sleep(seconds * 1000);
  return (sum() - before) / (NODES_RATE * seconds) * 1000;
}

/** Publishers and subscribers at the first of `count` nodes. */
function loadFirstNode(options, count) {
  const args = ['--subscribers', NODES_SUBSCRIBERS, '--topics', NODES_SUBSCRIBERS, '--publishers',
    NODES_SUBSCRIBERS, '--rate', NODES_RATE, '--size', MESSAGE_BYTES];
  return withRedis({}, (redis) => withNodes(options, redis, count, async ([first, ...others]) => {
    const beside = [redis.program, ...others].flatMap(({ pid }) => ['--beside', pid]);
    const found = await load(options, first, 'rate', options.seconds,
      [...args, ...beside].map(String));
    const [redisCpu, ...othersCpu] = found.beside_cpu_us_per_publish;
    const figures = { ...found, redis_cpu_us: redisCpu };
    if (count === 1) return figures;
    figures.others_cpu_us = othersCpu.reduce((sum, cpu) => sum + cpu, 0) * 1000;
    figures.others_idle_cpu_us = await idleCpu(others.map(({ pid }) => pid), options.seconds);
    return figures;
  }));
}

async function measureNodes(options, round) {
  const found = await both(round, () => loadFirstNode(options, NODES),
    () => loadFirstNode(options, 1));
  found.base.others_cpu_us = found.ours.others_idle_cpu_us;
  return found;
}

// ----

export const REDIS_WORKS = [
  {
    name: 'redis-publish',
    help: `${PUBLISHERS} publishers with ${WINDOW} unanswered each; base: redis-benchmark`,
    measure: measurePublish,
    rows: [
      {
        title: 'publishing through Redis; base: its script by redis-benchmark',
        figure: 'acknowledged_per_s',
        unit: 'publishes/s',
        digits: 0,
        target: { leastRatio: 0.8 },
      },
      { title: '', figure: 'redis_cpu_us', unit: 'µs CPU per publish, redis-server' },
      { title: '', figure: 'cpu_us_per_publish', unit: 'µs CPU per publish, broker' },
      { title: '', figure: 'client_cpu_us_per_publish', unit: 'µs CPU per publish, clients' },
    ],
  },
  {
    name: 'redis-latency',
    help: `from one node to another, ${LATENCY_RATE} messages a second; base: PING of Redis`,
    measure: measureLatency,
    rows: [
      {
        title: 'from node to node, unloaded; base: PING of Redis',
        figure: 'p50_ms',
        unit: 'ms, half of the deliveries',
      },
      { title: '', figure: 'p99_ms', unit: 'ms, 99 % of the deliveries' },
      { title: '', figure: 'over_ping_ms', unit: 'ms more than a PING, half', target: { value: 1 } },
    ],
  },
  {
    name: 'redis-nodes',
    help: `${NODES} nodes with all clients at the first; base: one node`,
    measure: measureNodes,
    rows: [
      {
        title: `clients at one of ${NODES} nodes; base: one node`,
        figure: 'cpu_us_per_publish',
        unit: 'µs CPU per publish, first node',
      },
      { title: '', figure: 'redis_cpu_us', unit: 'µs CPU per publish, redis-server' },
      {
        title: `the other ${NODES - 1} nodes; base: no publishes`,
        figure: 'others_cpu_us',
        unit: 'µs CPU per 1,000 publishes',
      },
    ],
  },
];
