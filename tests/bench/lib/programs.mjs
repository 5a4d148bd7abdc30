// The programs that are measured and those that measure. Only what is started here is ever stopped,
// each by its own handle.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program, freePort } from '../../blackbox/lib/process.mjs';
import { eventually } from '../../blackbox/lib/wait.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const EXTRA_SECONDS = 150; // for connecting, warming up and draining

function binary(build, name) {
  return path.join(path.resolve(ROOT, build ?? 'build/release'), name);
}

/** Runs a server for the length of one function, which gets it with its port. */
async function withServer(start, run) {
  const port = await freePort();
  const server = start(port);
  try {
    await eventually(() => server.isOver || /listening/.test(server.stdout + server.stderr),
      'listening server');
    if (server.isOver) throw new Error('a server did not start');
    return await run({ port, pid: server.pid });
  } catch (error) {
    error.message += `\n--- the server wrote ---\n${server.stderr}`;
    throw error;
  } finally {
    server.kill('SIGTERM');
    await server.exited;
  }
}

/** The broker as it is without configuration, but for authentication. */
export function withBroker({ build }, run) {
  const start = (port) => new Program(binary(build, 'eventhub'), {
    env: { DISABLE_AUTH: '1', LISTEN_PORT: String(port) },
  });
  return withServer(start, run);
}

export function withFloor({ build }, args, run) {
  const start = (port) => new Program(binary(build, 'tests/bench/eventhub-floor'), {
    args: [String(port), ...args],
  });
  return withServer(start, run);
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

/** The text that a benchmark of one module prints. */
export function microBenchmark({ build }, name) {
  return output(new Program(binary(build, `tests/bench/bench_${name}`)), 0);
}
