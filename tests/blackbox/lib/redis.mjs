// Real Redis servers: each on a free port of 127.0.0.1 and in a directory of its own, ended with the
// test process. A server that the machine itself runs (port 6379) is never looked at.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program, freePort } from './process.mjs';
import { RedisConnection } from './resp.mjs';
import { eventually } from './wait.mjs';
import { xxh32 } from './xxhash.mjs';

const PORT_TRIES = 5;
const directories = new Set();

process.on('exit', () => {
  for (const path of directories) rmSync(path, { recursive: true, force: true });
});

// A test process that is killed cannot end its servers: they ask the kernel to.
export function startTied(binary, args) {
  return new Program('setpriv', { args: ['--pdeathsig', 'KILL', binary, ...args] });
}

export function makeDirectory(name) {
  const path = mkdtempSync(join(tmpdir(), `eventhub-${name}-`));
  directories.add(path);
  return path;
}

/** A line of a configuration file. */
export const configLine = (...words) =>
  words
    .map((word) => (/^[\w./:~*&+@>%{}?|()-]+$/.test(word) ? word : JSON.stringify(word)))
    .join(' ');

/** Does what a program with this start says: starts it on a free port until it can bind it. */
export async function startOnFreePort(start, port = 0) {
  for (let tries = 1; ; tries++) {
    try {
      return await start(port || (await freePort()));
    } catch (error) {
      if (port || tries >= PORT_TRIES || !/in use/i.test(error.message)) throw error;
    }
  }
}

export class RedisServer {
  /**
   * appendOnly: nothing acknowledged is lost when the server is killed. password: of the default
   * user. users: lines of ACL rules. replicaOf: another RedisServer. config: further lines, each a
   * list of words.
   */
  constructor({ appendOnly = false, password, users = [], replicaOf, config = [] } = {}) {
    this.directory = makeDirectory('redis');
    this.socketPath = join(this.directory, 'redis.sock');
    this.password = password;
    this.port = 0;
    this.lines = [
      ['bind', '127.0.0.1'],
      ['dir', this.directory],
      ['unixsocket', this.socketPath],
      ['save', ''],
      ['appendonly', appendOnly ? 'yes' : 'no'],
      ['appendfsync', 'always'],
      // A replica that comes has its copy at once, and a short fault does not cost it a new one.
      ['repl-diskless-sync-delay', '0'],
      ['repl-backlog-size', '64mb'],
      ...(password
        ? [
            ['requirepass', password],
            ['masterauth', password],
          ]
        : []),
      ...users.map((rules) => ['user', ...rules.split(' ')]),
      ...(replicaOf ? [['replicaof', '127.0.0.1', String(replicaOf.port)]] : []),
      ...config,
    ];
  }

  async start(port = 0) {
    await startOnFreePort((one) => this.startOn(one), port);
    return this;
  }

  async startOn(port) {
    this.port = port;
    const path = join(this.directory, 'redis.conf');
    const lines = [['port', String(port)], ...this.lines].map((words) => configLine(...words));
    writeFileSync(path, `${lines.join('\n')}\n`);
    this.program = startTied('redis-server', [path]);
    await this.becomesReady();
  }

  becomesReady() {
    return eventually(async () => {
      if (this.program.isOver) throw new Error(`redis-server ended:\n${this.program.stdout}`);
      return (await this.command('PING')) === 'PONG';
    }, 'Redis that answers').catch((error) => {
      this.program.kill();
      throw error;
    });
  }

  connect(options) {
    return RedisConnection.connect({ port: this.port, password: this.password, ...options });
  }

  /** A command on a connection that is made when it is first needed. */
  async command(...args) {
    return (await this.admin()).command(...args);
  }

  async admin() {
    if (!this.connection || this.connection.isOver) {
      const connecting = this.connect();
      const connection = await connecting;
      if (!this.connection || this.connection.isOver) this.connection = connection;
      else connection.close();
    }
    return this.connection;
  }

  /** Ends it as a crash does. */
  async kill() {
    this.program.kill('SIGKILL');
    await this.program.exited;
  }

  /** Starts again what was killed or stopped: same port, same data. */
  restart() {
    return this.start(this.port);
  }

  /** It hangs: connections stand, nothing is answered, until resume(). */
  hang() {
    this.program.kill('SIGSTOP');
  }

  resume() {
    this.program.kill('SIGCONT');
  }

  async stop() {
    this.connection?.close();
    if (!this.program || this.program.isOver) return;
    this.program.kill('SIGKILL');
    await this.program.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Drops connections from the server's side: 'normal' or 'pubsub'. The asking one stays. */
  dropClients(type) {
    return this.command('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
  }

  /** INFO as an object. */
  async info(section) {
    const text = await this.command('INFO', section);
    const fields = text.matchAll(/^([a-z0-9_]+):(.*?)\r?$/gm);
    return Object.fromEntries([...fields].map(([, name, value]) => [name, value]));
  }

  /** What a daemon needs to know to use it. */
  get env() {
    return {
      BACKEND: 'redis',
      REDIS_HOST: '127.0.0.1',
      REDIS_PORT: String(this.port),
      ...(this.password ? { REDIS_PASSWORD: this.password } : {}),
    };
  }
}

/** A server for the length of one function. */
export async function withRedis(options, run) {
  const redis = await new RedisServer(options).start();
  try {
    return await run(redis);
  } finally {
    await redis.stop();
  }
}

// ---- names of keys and channels (docs/redis-data-layout.md) ----------------------------------------

const BUCKETS = 64;

export const bucketOf = (topic) => String(xxh32(topic) % BUCKETS).padStart(2, '0');

/** The names that a topic has under a prefix. */
export function keysOf(prefix, topic) {
  const tag = `{${prefix}:${bucketOf(topic)}}`;
  return {
    stream: `${tag}:stream:${topic}`,
    topics: `${tag}:topics`,
    index: `${tag}:index`,
    value: `${tag}:kv:${topic}`,
    channel: `${tag}:live:${topic}`,
  };
}

/** A prefix that nobody else uses. */
export const newPrefix = () => `test-${process.pid}-${Math.random().toString(36).slice(2, 10)}`;

// ---- the server that the tests of one file share ---------------------------------------------------

let shared;

/** Started by the first who asks. It ends with the process, which does not wait for it. */
export function sharedRedis() {
  shared ??= new RedisServer().start().then((redis) => {
    redis.program.release();
    return redis;
  });
  return shared;
}
