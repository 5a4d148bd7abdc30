// A steady load on all nodes of a cluster, with books: publishers that note what they were told,
// subscribers that note what they saw.
import assert from 'node:assert/strict';
import { ACKNOWLEDGED, Ledger, isMatch, outcomeOf } from './ledger.mjs';
import { keysOf } from './redis.mjs';
import { Client, compareIds } from './rpc.mjs';
import { DEADLINE_MS, eventually, patience } from './wait.mjs';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const isAtLeast = (id, wanted) => id !== undefined && compareIds(id, wanted) >= 0;

const DEFAULTS = {
  topics: 12,
  publishersPerNode: 2,
  lanesPerPublisher: 4, // publishes that are under way at a time
  pauseMs: 10 * patience, // of a lane, between an answer and the next publish
};

// On every node: what covers everything, a part of it, and one topic.
const FILTERS = ['load/#', 'load/+/even', 'load/3/odd'];

export class Load {
  constructor(cluster, options = {}) {
    Object.assign(this, DEFAULTS, options);
    this.cluster = cluster;
    this.ledger = new Ledger();
    this.publishers = [];
    this.subscribers = [];
    this.lanes = [];
    this.slowestMs = 0; // answer to a publish
    this.names = Array.from(
      { length: this.topics },
      (_, i) => `load/${i}/${i % 2 ? 'odd' : 'even'}`,
    );
  }

  async start() {
    for (const [i, node] of this.cluster.nodes.entries()) {
      for (const filter of FILTERS) await this.addView(node, `${filter} on node ${i}`, filter);
    }
    for (const node of this.cluster.nodes) {
      for (let i = 0; i < this.publishersPerNode; i++) await this.addPublisher(node);
    }
    return this;
  }

  async addView(node, name, filter) {
    const client = await Client.connect(node);
    await client.subscribe(filter);
    const view = { name, filter, seen: [], gaps: [], last: new Map() };
    client.onEntry = ({ json }) => {
      if (json.method === 'gap') view.gaps.push(json.params);
      if (json.result?.message === undefined) return;
      view.seen.push(json.result);
      view.last.set(json.result.topic, json.result.id);
    };
    this.ledger.views.push(view);
    this.subscribers.push(client);
  }

  async addPublisher(node) {
    const client = await Client.connect(node);
    this.publishers.push(client);
    for (let i = 0; i < this.lanesPerPublisher; i++) {
      this.lanes.push(this.lane(client).catch((error) => (this.failure ??= error)));
    }
  }

  async lane(client) {
    let turn = this.lanes.length;
    while (!this.isOver) {
      await this.publish(client, this.names[turn++ % this.names.length]);
      await pause(this.pauseMs);
    }
  }

  async publish(client, topic) {
    const message = this.ledger.begin(topic);
    const start = performance.now();
    const answer = outcomeOf(await client.call('publish', { topic, message }));
    this.slowestMs = Math.max(this.slowestMs, performance.now() - start);
    this.ledger.end(message, answer);
    return answer;
  }

  /** Waits until n more publishes were acknowledged than now. */
  async more(n, options) {
    const before = this.ledger.count(ACKNOWLEDGED);
    const isEnough = () => this.failure || this.ledger.count(ACKNOWLEDGED) >= before + n;
    await eventually(isEnough, `${n} more acknowledged publishes`, options);
  }

  /** Ends the publishers and waits for what is still under way. */
  async end() {
    this.isOver = true;
    await Promise.all(this.lanes);
    if (this.failure) throw this.failure;
  }

  // Per topic, what comes last is behind all that is still on its way.
  async settle() {
    const lasts = new Map();
    for (const topic of this.names) {
      const id = await eventually(
        async () => (await this.publish(this.publishers[0], topic)).id,
        `a last publish on ${topic}`,
      );
      lasts.set(topic, id);
    }
    for (const view of this.ledger.views) {
      const wanted = this.names.filter((topic) => isMatch(view.filter, topic));
      const hasAll = () =>
        wanted.every((topic) => isAtLeast(view.last.get(topic), lasts.get(topic)));
      await eventually(hasAll, `end of ${view.name}`, { ms: 2 * DEADLINE_MS }).catch((error) => {
        const faults = this.ledger.faults().slice(0, 10).join('\n  ');
        throw new Error(`${error.message}\n  ${faults}`);
      });
    }
  }

  /** What a server holds of the load, as isKept() for finish(). Ends the publishers before. */
  async keptBy(redis) {
    await this.end();
    await this.settle();
    const kept = new Map();
    for (const topic of this.names) {
      const { stream } = keysOf(this.cluster.prefix, topic);
      const entries = await redis.command('XRANGE', stream, '-', '+');
      kept.set(topic, new Set(entries.map(([id]) => id)));
    }
    return (topic, id) => kept.get(topic).has(id);
  }

  /** Ends the load, waits for what is under way, and compares the books. */
  async finish(options) {
    await this.end();
    await this.settle();
    for (const client of [...this.subscribers, ...this.publishers]) {
      assert.ok(client.isOpen, 'clients stay connected');
    }
    this.ledger.assertTrue(options);
    assert.ok(this.ledger.count(ACKNOWLEDGED) > 0);
    await this.close();
  }

  async close() {
    this.isOver = true;
    await Promise.all([...this.subscribers, ...this.publishers].map((one) => one.close()));
  }
}
