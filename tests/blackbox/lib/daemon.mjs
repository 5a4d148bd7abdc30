// The daemon under test: started on a port of its own, awaited by /readyz, stopped by SIGTERM.
//
// EVENTHUB_TEST_BACKEND=redis gives every daemon that does not ask for a backend itself the Redis
// server of its test file, and a prefix of its own, which it keeps when it is started again.
//
// EVENTHUB_TEST_TLS=1 makes every daemon that does not name a listener itself speak TLS, and nothing else.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { get } from './http.mjs';
import { Program, freePort, requiredBinary, runToEnd } from './process.mjs';
import { parsePrometheus } from './prometheus.mjs';
import { newPrefix, sharedRedis } from './redis.mjs';
import { makeCertificate } from './certificate.mjs';
import { tlsPorts } from './socket.mjs';
import { DEADLINE_MS, eventually } from './wait.mjs';

export const SECRET = 'a secret that only this suite knows';

const DEFAULTS = {
  LISTEN_ADDRESS: '127.0.0.1',
  JWT_SECRET: SECRET,
  DISABLE_AUTH: 'true',
  WORKER_THREADS: '2',
};

const PORT_TRIES = 5;

/** What the daemons of this run use: embedded or redis. */
export const BACKEND = process.env.EVENTHUB_TEST_BACKEND || 'embedded';

/** Options of a test whose subject only the embedded store has. */
export const onlyEmbedded = (reason) =>
  BACKEND === 'embedded' ? {} : { skip: `only with the embedded store: ${reason}` };

const isAlwaysTls = process.env.EVENTHUB_TEST_TLS === '1';
const asksForListener = (env) => Object.keys(env).some((name) => /^(ENABLE_SSL|LISTEN_PORT)$/i.test(name));

let certificate; // of all daemons that do not name one
const sharedCertificate = () => (certificate ??= makeCertificate());

const tlsEnv = (port, { cert, key }) => ({
  ENABLE_SSL: 'true',
  SSL_LISTEN_PORT: String(port),
  SSL_CERTIFICATE: cert,
  SSL_PRIVATE_KEY: key,
  DISABLE_UNSECURE_LISTENER: 'true',
});

const asksForBackend = (env) => Object.keys(env).some((name) => /^(BACKEND$|REDIS_)/i.test(name));

export const daemonBinary = () => requiredBinary('EVENTHUB_BIN');

/** A daemon that is not started yet; see start(), useDaemon() and withDaemon(). */
export class Daemon {
  /** `awaits`: the path whose 200 says that it has started; `tls`: true, or {cert, key}: it speaks
   * TLS, and nothing else. */
  constructor(env = {}, { awaits = '/readyz', tls = isAlwaysTls && !asksForListener(env), ...options } = {}) {
    this.tls = tls;
    this.env = { ...DEFAULTS, ...env };
    this.options = options;
    this.awaits = awaits;
    this.port = 0;
    if (BACKEND === 'redis' && !asksForBackend(env)) this.prefix = newPrefix();
  }

  async backendEnv() {
    return this.prefix ? { ...(await sharedRedis()).env, REDIS_PREFIX: this.prefix } : {};
  }

  async start(port = 0) {
    const binary = daemonBinary();
    const backend = await this.backendEnv();
    for (let tries = 1; ; tries++) {
      this.port = port || (await freePort());
      const env = { ...backend, ...(await this.listenerEnv()), ...this.env };
      this.program = new Program(binary, { ...this.options, env });
      if (await this.becomesReady()) return this;
      // Another file of the suite may have taken the port between the look and the bind.
      const lostTheRace = !port && /in use/i.test(this.program.stderr) && tries < PORT_TRIES;
      if (!lostTheRace) throw new Error(`the daemon did not start:\n${this.program.stderr}`);
    }
  }

  async listenerEnv() {
    if (!this.tls) {
      tlsPorts.delete(this.port);
      return { LISTEN_PORT: String(this.port) };
    }
    tlsPorts.add(this.port);
    return tlsEnv(this.port, this.tls === true ? await sharedCertificate() : this.tls);
  }

  async becomesReady() {
    const isReady = async () => {
      if (this.program.isOver) return 'over';
      return (await this.status(this.awaits)) === 200 && 'ready';
    };
    try {
      return (await eventually(isReady, 'readiness', { ms: 2 * DEADLINE_MS })) === 'ready';
    } catch (error) {
      this.program.kill();
      throw new Error(`${error.message}\n${this.program.stderr}`);
    }
  }

  async status(path) {
    return (await get(this.port, path, { host: this.host })).status;
  }

  /** Waits until /readyz has the status. */
  readiness(status, options) {
    const what = `/readyz with ${status}`;
    return eventually(async () => (await this.status('/readyz')) === status, what, options);
  }

  /** The families of /metrics; see parsePrometheus. */
  async metrics() {
    return parsePrometheus((await get(this.port, '/metrics', { host: this.host })).body);
  }

  /** The value of a metric without labels, named without its prefix. */
  async metric(name) {
    const family = (await this.metrics()).get(`eventhub_${name}`);
    if (!family) throw new Error(`no metric ${name}`);
    return family.samples[0].value;
  }

  get host() {
    const address = this.env.LISTEN_ADDRESS;
    return address === '*' ? '127.0.0.1' : address;
  }

  get pid() {
    return this.program.pid;
  }

  get stderr() {
    return this.program.stderr;
  }

  get url() {
    const host = this.host.includes(':') ? `[${this.host}]` : this.host;
    return `${this.tls ? 'wss' : 'ws'}://${host}:${this.port}`;
  }

  async stop(signal) {
    await this.program?.stop(signal);
  }
}

/** Inside a describe(): one daemon for all of its tests. */
export function useDaemon(env, options) {
  const daemon = new Daemon(env, options);
  before(() => daemon.start());
  after(() => daemon.stop());
  return daemon;
}

/** A daemon for the length of one function. It is ended also when the function fails. */
export async function withDaemon(env, run, options) {
  const daemon = await new Daemon(env, options).start();
  try {
    await run(daemon);
  } catch (error) {
    daemon.program.kill();
    await daemon.program.exited;
    error.message += `\n--- the daemon wrote ---\n${daemon.stderr}`;
    throw error;
  }
  await daemon.stop();
}

/** A daemon whose store may be away: it serves, whether it is ready or not. */
export function withUnreadyDaemon(env, run) {
  return withDaemon(env, run, { awaits: '/healthz' });
}

/** Asserts that a daemon with these options serves, is not ready, and says why in its log. */
export function assertNotReady(env, words, run = () => {}) {
  return withUnreadyDaemon(env, async (daemon) => {
    await eventually(() => words.test(daemon.stderr), `line with ${words}`, {
      ms: 2 * DEADLINE_MS,
    });
    assert.equal(await daemon.status('/readyz'), 503);
    assert.equal(await daemon.status('/healthz'), 200);
    await run(daemon);
  });
}

/** Runs the daemon's binary to its end, for options that make it refuse or only answer. */
export function runDaemon(args = [], env = {}, options = {}) {
  return runToEnd(daemonBinary(), { ...options, args, env });
}
