// A Redis master, its replica and three sentinels that watch them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RedisServer, configLine, makeDirectory, startOnFreePort, startTied } from './redis.mjs';
import { RedisConnection } from './resp.mjs';
import { DEADLINE_MS, eventually, patience } from './wait.mjs';

const SENTINELS = 3;
const QUORUM = 2;
const DOWN_AFTER_MS = 1000;
const FAILOVER_MS = 6 * DEADLINE_MS;

const toObject = (pairs) => {
  const fields = {};
  for (let i = 0; i < pairs.length; i += 2) fields[pairs[i]] = pairs[i + 1];
  return fields;
};

class Sentinel {
  constructor(name, master) {
    this.name = name;
    this.directory = makeDirectory('sentinel');
    this.lines = [
      ['bind', '127.0.0.1'],
      ['dir', this.directory],
      ['sentinel', 'monitor', name, '127.0.0.1', String(master.port), String(QUORUM)],
      ['sentinel', 'down-after-milliseconds', name, String(DOWN_AFTER_MS * patience)],
      ['sentinel', 'failover-timeout', name, '5000'],
      ...(master.password ? [['sentinel', 'auth-pass', name, master.password]] : []),
    ];
  }

  start() {
    return startOnFreePort(async (port) => {
      this.port = port;
      const path = join(this.directory, 'sentinel.conf');
      const lines = [['port', String(port)], ...this.lines].map((words) => configLine(...words));
      writeFileSync(path, `${lines.join('\n')}\n`);
      this.program = startTied('redis-sentinel', [path]);
      await eventually(async () => {
        if (this.program.isOver) throw new Error(`the sentinel ended:\n${this.program.stdout}`);
        this.connection = await RedisConnection.connect({ port });
        return (await this.command('PING')) === 'PONG';
      }, 'sentinel that answers');
    });
  }

  command(...args) {
    return this.connection.command(...args);
  }

  async master() {
    return toObject(await this.command('SENTINEL', 'MASTER', this.name));
  }

  async masterPort() {
    const [, port] = await this.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name);
    return Number(port);
  }

  // It knows the others, and a replica that it would take for master.
  async knowsAll() {
    const master = await this.master();
    const replicas = await this.command('SENTINEL', 'REPLICAS', this.name);
    const usable = replicas
      .map(toObject)
      .filter((one) => one.flags === 'slave' && one['master-link-status'] === 'ok');
    return (
      master.flags === 'master' &&
      Number(master['num-other-sentinels']) === SENTINELS - 1 &&
      usable.length === 1
    );
  }

  async stop() {
    this.connection?.close();
    this.program?.kill('SIGKILL');
    await this.program?.exited;
  }
}

export class SentinelGroup {
  static async start(options = {}) {
    const group = new SentinelGroup(options);
    try {
      await group.startAll();
    } catch (error) {
      await group.stop();
      throw error;
    }
    return group;
  }

  constructor({ name = 'the-master', ...server }) {
    this.name = name;
    this.options = server;
    this.servers = [];
    this.sentinels = [];
  }

  async startAll() {
    const master = await new RedisServer(this.options).start();
    this.servers.push(master);
    this.servers.push(await new RedisServer({ ...this.options, replicaOf: master }).start());
    this.sentinels = Array.from({ length: SENTINELS }, () => new Sentinel(this.name, master));
    for (const sentinel of this.sentinels) await sentinel.start();
    await this.isWhole();
  }

  /** Waits until every sentinel knows the others and a replica that follows the master. */
  isWhole() {
    return eventually(
      async () => {
        const answers = await Promise.all(this.sentinels.map((one) => one.knowsAll()));
        return answers.every(Boolean);
      },
      'sentinels that know each other',
      { ms: FAILOVER_MS, every: 100 },
    );
  }

  /** The server that the sentinels name. */
  async master() {
    const port = await this.sentinels[0].masterPort();
    return this.servers.find((one) => one.port === port);
  }

  /** SENTINEL FAILOVER: the replica becomes the master, and the old one follows it. */
  async failOver() {
    const old = await this.master();
    await eventually(
      async () => (await this.sentinels[0].command('SENTINEL', 'FAILOVER', this.name)) === 'OK',
      'failover that begins',
    );
    return this.masterOtherThan(old);
  }

  /** Kills the master, as a crash would, and waits until the replica has its place. */
  async killMaster() {
    const old = await this.master();
    await old.kill();
    return this.masterOtherThan(old);
  }

  masterOtherThan(old) {
    return eventually(
      async () => {
        const ports = await Promise.all(this.sentinels.map((one) => one.masterPort()));
        if (!ports.every((port) => port === ports[0] && port !== old.port)) return null;
        const master = await this.master();
        return (await master.info('replication')).role === 'master' && master;
      },
      'new master',
      { ms: FAILOVER_MS, every: 50 },
    );
  }

  get env() {
    const [{ password }] = this.servers;
    return {
      BACKEND: 'redis',
      REDIS_SENTINELS: this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join(','),
      REDIS_MASTER: this.name,
      ...(password ? { REDIS_PASSWORD: password } : {}),
    };
  }

  async stop() {
    await Promise.all([...this.sentinels, ...this.servers].map((one) => one.stop()));
  }
}
