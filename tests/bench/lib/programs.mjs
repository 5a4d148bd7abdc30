// The programs that are measured and those that measure. Only what is started here is ever stopped,
// each by its own handle.
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeCertificate } from '../../blackbox/lib/certificate.mjs';
import { Program, freePort } from '../../blackbox/lib/process.mjs';
import { eventually } from '../../blackbox/lib/wait.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const EXTRA_SECONDS = 150; // for connecting, warming up and draining

function binary(build, name) {
  return path.join(path.resolve(ROOT, build ?? 'build/release'), name);
}

/** Runs a server for the length of one function, which gets it with its port once it has said that
 * it is ready. */
async function withServer(start, ready, run) {
  const port = await freePort();
  const server = start(port);
  try {
    await eventually(() => server.isOver || ready.test(server.stdout + server.stderr),
      'server that is ready');
    if (server.isOver) throw new Error('a server did not start');
    return await run({
      port,
      pid: server.pid,
      residentBytes: () => server.residentBytes(),
      loadMs: () => Number(/journal loaded .*\bms=(\d+)/.exec(server.stderr)[1]),
    });
  } catch (error) {
    error.message += `\n--- the server wrote ---\n${server.stderr}`;
    throw error;
  } finally {
    server.kill('SIGTERM');
    await server.exited;
  }
}

/** The broker as it is without configuration, but for authentication and what `env` says. */
export function withBroker({ build }, run, env = {}) {
  const start = (port) => new Program(binary(build, 'eventhub'), {
    env: { DISABLE_AUTH: '1', LISTEN_PORT: String(port), ...env },
  });
  return withServer(start, /listening/, run);
}

/** The same with TLS on the port that is told, and nothing else. */
export async function withTlsBroker({ build }, run, env = {}) {
  const { cert, key } = await makeCertificate();
  const start = (port) => new Program(binary(build, 'eventhub'), {
    env: { DISABLE_AUTH: '1', ENABLE_SSL: '1', SSL_LISTEN_PORT: String(port), SSL_CERTIFICATE: cert,
      SSL_PRIVATE_KEY: key, DISABLE_UNSECURE_LISTENER: '1', ...env },
  });
  return withServer(start, /listening address/, run);
}

/** What a full handshake with openssl s_time costs openssl s_server: {cpu_us_per_handshake}. */
export async function opensslHandshakes(seconds) {
  const { cert, key } = await makeCertificate();
  return withServer((port) => new Program('openssl', {
    args: ['s_server', '-accept', String(port), '-cert', cert, '-key', key, '-quiet', '-www'],
    input: null,
  }), { test: () => true }, async (server) => {
    await eventually(() => canConnect(server.port), 'openssl s_server');
    const before = cpuMicroseconds(server.pid);
    const client = new Program('openssl', {
      args: ['s_time', '-connect', `127.0.0.1:${server.port}`, '-new', '-time', String(seconds)],
    });
    const text = await output(client, seconds);
    const count = Number(/^(\d+) connections in .*real seconds/m.exec(text)[1]);
    return { cpu_us_per_handshake: (cpuMicroseconds(server.pid) - before) / count };
  });
}

function canConnect(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** nats-server as it is without configuration, but for a WebSocket listener. */
export async function withNats(run) {
  const directory = mkdtempSync(path.join(tmpdir(), 'eventhub-nats-'));
  const config = path.join(directory, 'nats.conf');
  const plainPort = await freePort();
  const start = (port) => {
    writeFileSync(config, `listen: "127.0.0.1:${plainPort}"\n` +
      `websocket { listen: "127.0.0.1:${port}", no_tls: true }\n`);
    return new Program('nats-server', { args: ['-c', config] });
  };
  try {
    return await withServer(start, /Server is ready/, run);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A broker with a Redis behind it: a RedisServer of the black-box tests. */
export function withNode({ build }, redis, run) {
  const start = (port) => new Program(binary(build, 'eventhub'), {
    env: { DISABLE_AUTH: '1', LISTEN_PORT: String(port), ...redis.env },
  });
  return withServer(start, /connected to redis/, run);
}

/** That many of them: run(nodes). */
export function withNodes(options, redis, count, run, nodes = []) {
  if (nodes.length === count) return run(nodes);
  return withNode(options, redis, (node) =>
    withNodes(options, redis, count, run, [...nodes, node]));
}

export function withFloor({ build }, args, run) {
  const start = (port) => new Program(binary(build, 'tests/bench/eventhub-floor'), {
    args: [String(port), ...args],
  });
  return withServer(start, /listening/, run);
}

async function output(program, seconds) {
  const { code } = await program.finish((seconds + EXTRA_SECONDS) * 1000);
  if (code !== 0) throw new Error(`a measurement failed:\n${program.stdout}${program.stderr}`);
  return program.stdout;
}

/** What the load generator found; see load_report.c for the figures. */
export async function load({ build }, server, work, seconds, args = []) {
  const program = new Program(binary(build, 'tests/bench/eventhub-load'), {
    args: [work, '--json', '--port', String(server.port), '--pid', String(server.pid),
      '--duration', String(seconds), ...args],
  });
  return JSON.parse(await output(program, seconds));
}

/** Requests per second that wrk makes on 32 connections: GET, or POST of so many bytes. */
export async function wrk({ seconds }, server, target, bodyBytes = 0) {
  const url = `http://127.0.0.1:${server.port}${target}`;
  const script = ['-s', fileURLToPath(new URL('post.lua', import.meta.url))];
  const program = new Program('wrk', {
    args: ['-t1', '-c32', `-d${seconds}s`, ...(bodyBytes ? script : []), url,
      ...(bodyBytes ? ['--', String(bodyBytes)] : [])],
  });
  const text = await output(program, seconds);
  const found = /Requests\/sec: +([\d.]+)/.exec(text);
  if (!found || /Non-2xx|Socket errors/.test(text)) throw new Error(`wrk says:\n${text}`);
  return Number(found[1]);
}

/** Round trips to Redis, one after the other, `rate` of them a second: {p50_ms, p99_ms}. */
export async function redisPing({ build }, redis, rate, seconds) {
  const program = new Program(binary(build, 'tests/bench/eventhub-redis-ping'), {
    args: [redis.port, rate, seconds].map(String),
  });
  return JSON.parse(await output(program, seconds));
}

/** Appends to a file in the directory, each with an fdatasync, at once one after the other or `rate`
 * of them a second: {appends_per_s, p50_ms, p99_ms}. */
export async function append({ build, seconds }, directory, bytes, rate) {
  const program = new Program(binary(build, 'tests/bench/eventhub-append'), {
    args: [path.join(directory, 'appended'), bytes, seconds, ...(rate ? [rate] : [])].map(String),
  });
  return JSON.parse(await output(program, seconds));
}

/** Loads the script that the broker publishes with, and answers its SHA-1. */
export function loadPublishScript(redis) {
  const text = readFileSync(path.join(ROOT, 'src/store/lua/publish.lua'), 'latin1');
  return redis.command('SCRIPT', 'LOAD', text);
}

/** Calls per second that redis-benchmark makes of one command. */
export async function redisBenchmark(redis, options, command) {
  const program = new Program('redis-benchmark', {
    args: ['-p', String(redis.port), '--csv', ...options, ...command],
  });
  const lines = (await output(program, 0)).trim().split('\n');
  // "the command","calls per second","latencies"...: the command may hold whatever it likes.
  const perSecond = /,"([\d.]+)"(?:,"[\d.]+"){6}$/.exec(lines.at(-1))?.[1];
  if (!(perSecond > 0)) throw new Error(`redis-benchmark says: ${lines.at(-1)}`);
  return Number(perSecond);
}

/** Processor time of all threads of a process so far, as load_proc.c counts it. */
export function cpuMicroseconds(pid) {
  const tasks = `/proc/${pid}/task`;
  const nanoseconds = (thread) =>
    Number(readFileSync(`${tasks}/${thread}/schedstat`, 'latin1').split(' ')[0]);
  return readdirSync(tasks).reduce((sum, thread) => sum + nanoseconds(thread), 0) / 1000;
}

/** The text that a benchmark of one module prints. */
export function microBenchmark({ build }, name) {
  return output(new Program(binary(build, `tests/bench/bench_${name}`)), 0);
}
