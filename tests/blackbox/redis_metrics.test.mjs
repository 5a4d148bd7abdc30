// What the metrics tell of Redis.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { get } from './lib/http.mjs';
import { withCluster } from './lib/cluster.mjs';
import { withDaemon } from './lib/daemon.mjs';
import { withRedis } from './lib/redis.mjs';
import { Client } from './lib/rpc.mjs';
import { eventually } from './lib/wait.mjs';

const TYPES = {
  redis_connected: 'gauge',
  redis_pipeline_depth: 'gauge',
  redis_publish_delay_ms: 'gauge',
  redis_connection_fail_count: 'counter',
  redis_reconnects_total: 'counter',
  redis_resent_publishes_total: 'counter',
  redis_gaps_found_total: 'counter',
  redis_gaps_filled_total: 'counter',
  redis_gaps_lost_total: 'counter',
  redis_skipped_messages_total: 'counter',
  redis_round_trip_seconds: 'histogram',
};

const PROBED_MS = 1000; // a probe a second

describe('the metrics of Redis', () => {
  test('have help and types, and are at rest on a quiet node', () =>
    withRedis({}, (redis) =>
      withCluster(redis, 1, async ({ nodes: [node] }) => {
        const families = await node.metrics();
        for (const [name, type] of Object.entries(TYPES)) {
          assert.equal(families.get(`eventhub_${name}`)?.type, type, name);
        }
        assert.equal(await node.metric('redis_connected'), 1);
        for (const [name, type] of Object.entries(TYPES)) {
          if (type === 'counter') assert.equal(await node.metric(name), 0, name);
        }
        await eventually(async () => (await node.metric('redis_pipeline_depth')) === 0, 'rest');
        const json = JSON.parse((await get(node.port, '/metrics?format=json')).body);
        assert.equal(json.redis_connected, 1);
        assert.equal(json.redis_connection_fail_count, 0);
      }),
    ));

  test('time the round trips of commands', () =>
    withRedis({}, (redis) =>
      withCluster(redis, 1, async ({ nodes: [node] }) => {
        const family = async () => (await node.metrics()).get('eventhub_redis_round_trip_seconds');
        const sample = (of, part) =>
          of.samples.find((one) => one.name === `eventhub_redis_round_trip_seconds_${part}`).value;
        const before = await family();
        const client = await Client.connect(node);
        for (let i = 0; i < 50; i++) await client.publish('x', i);
        const later = await family();
        assert.ok(sample(later, 'count') >= sample(before, 'count') + 50);
        const seconds = sample(later, 'sum') - sample(before, 'sum');
        assert.ok(seconds > 0 && seconds < 50, `${seconds} s`);
        await client.close();
      }),
    ));

  test('tell how long a message takes through Redis and back', () =>
    withRedis({}, (redis) =>
      withCluster(redis, 1, async ({ nodes: [node] }) => {
        redis.hang();
        await new Promise((resolve) => setTimeout(resolve, 1.5 * PROBED_MS)); // a delay to measure
        redis.resume();
        await eventually(async () => (await node.metric('redis_publish_delay_ms')) >= 100, 'delay');
        await eventually(async () => (await node.metric('redis_publish_delay_ms')) < 100, 'relief');
      }),
    ));

  test('tell that Redis is away, that it is back, and how often it was tried', () =>
    withRedis({}, (redis) =>
      withCluster(redis, 1, async ({ nodes: [node] }) => {
        await redis.kill();
        await eventually(async () => (await node.metric('redis_connected')) === 0, 'absence');
        await eventually(
          async () => (await node.metric('redis_connection_fail_count')) >= 3,
          'failed tries',
        );
        assert.equal(await node.metric('redis_reconnects_total'), 0);
        await redis.restart();
        await eventually(async () => (await node.metric('redis_connected')) === 1, 'return');
        assert.ok((await node.metric('redis_reconnects_total')) >= 1);
      }),
    ));

  test('of the embedded store say that there is none', () =>
    withDaemon({ BACKEND: 'embedded' }, async (daemon) => {
      const families = await daemon.metrics();
      const connected = families.get('eventhub_redis_connected');
      assert.ok(!connected || connected.samples[0].value === 0);
      assert.equal(await daemon.metric('redis_connection_fail_count'), 0);
    }));
});
