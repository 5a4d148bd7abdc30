// What the metrics tell of Redis.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { get } from './lib/http.mjs';
import { withCluster } from './lib/cluster.mjs';
import { withDaemon } from './lib/daemon.mjs';
import { withProxy } from './lib/proxy.mjs';
import { withRedis } from './lib/redis.mjs';
import { Client } from './lib/rpc.mjs';
import { eventually, patience } from './lib/wait.mjs';

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

  test('time commands, and messages that go through Redis and back', () =>
    withRedis({}, (redis) =>
      withProxy(redis.port, (proxy) =>
        withCluster(proxy, 1, async ({ nodes: [node] }) => {
          const client = await Client.connect(node);
          const timed = async () => {
            const { samples } = (await node.metrics()).get('eventhub_redis_round_trip_seconds');
            const value = (part) => samples.find((one) => one.name.endsWith(part)).value;
            return { count: value('_count'), sum: value('_sum') };
          };
          const delay = () => node.metric('redis_publish_delay_ms');
          const start = await timed();
          for (let i = 0; i < 50; i++) await client.publish('x', i);
          const quick = await timed();
          assert.ok(quick.count >= start.count + 50);
          assert.ok(quick.sum > start.sum);
          proxy.delayMs = 200;
          await eventually(async () => (await delay()) >= 190, 'delay');
          const before = await timed();
          for (let i = 0; i < 5; i++) await client.publish('x', i);
          assert.ok((await timed()).sum >= before.sum + 0.9, 'round trips of 200 ms');
          proxy.delayMs = 0;
          await eventually(async () => (await delay()) < 100 * patience, 'relief');
          await client.close();
        }),
      ),
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
