// Several daemons on one Redis, as one broker.
import { Daemon } from './daemon.mjs';
import { newPrefix } from './redis.mjs';

export class Cluster {
  /** `redis`: what has an `env` that tells a daemon where Redis is. */
  constructor(redis, count, env = {}, options = {}) {
    this.redis = redis;
    this.prefix = env.REDIS_PREFIX ?? newPrefix();
    const all = { ...redis.env, REDIS_PREFIX: this.prefix, ...env };
    this.nodes = Array.from({ length: count }, () => new Daemon(all, options));
  }

  async start() {
    await Promise.all(this.nodes.map((node) => node.start()));
    return this;
  }

  async stop() {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  get stderr() {
    return this.nodes.map((node, i) => `--- node ${i} wrote ---\n${node.stderr}`).join('\n');
  }

  async kill() {
    for (const { program } of this.nodes) program?.kill();
    await Promise.all(this.nodes.map(({ program }) => program?.exited));
  }
}

/** A cluster for the length of one function. It is ended also when the function fails. */
export async function withCluster(redis, count, run, env, options) {
  const cluster = new Cluster(redis, count, env, options);
  try {
    await cluster.start();
    await run(cluster);
  } catch (error) {
    await cluster.kill();
    error.message += `\n${cluster.stderr}`;
    throw error;
  }
  await cluster.stop();
}
