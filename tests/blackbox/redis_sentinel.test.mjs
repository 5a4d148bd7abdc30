// Sentinel: the master is found, and found again after a failover.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withCluster } from './lib/cluster.mjs';
import { assertNotReady, withDaemon } from './lib/daemon.mjs';
import { Load } from './lib/load.mjs';
import { Client } from './lib/rpc.mjs';
import { SentinelGroup } from './lib/sentinel.mjs';
import { patience } from './lib/wait.mjs';

const LONG = { timeout: 180_000 * patience };
const AGAIN = { ms: 30_000 * patience };
const UNLIMITED = {
  MAX_CACHE_LENGTH: '0',
  MAX_CACHE_REQUEST_LIMIT: '1000000',
  DEFAULT_CACHE_TTL: '3600',
};

async function withSentinels(options, run) {
  const group = await SentinelGroup.start(options);
  try {
    await run(group);
  } finally {
    await group.stop();
  }
}

// Replication is not waited for, so a failover may lose what was acknowledged: what counts is what
// the new master holds.
function failOverUnderLoad(options, failOver) {
  return withSentinels(options, (group) =>
    withCluster(
      group,
      2,
      async (cluster) => {
        const load = await new Load(cluster).start();
        await load.more(200);
        const master = await failOver(group);
        await load.more(200, AGAIN);
        await Promise.all(cluster.nodes.map((node) => node.readiness(200, AGAIN)));
        const isKept = await load.keptBy(master);
        await load.finish({ isKept, mayGap: () => true });
      },
      UNLIMITED,
    ),
  );
}

describe(
  'a failover under load keeps what Redis keeps, once and in order',
  { concurrency: true },
  () => {
    test('when the sentinels are told to', LONG, () =>
      failOverUnderLoad({}, (group) => group.failOver()),
    );

    test('when the master is killed', LONG, () =>
      failOverUnderLoad({ password: 'the secret' }, (group) => group.killMaster()),
    );
  },
);

describe('sentinels', { concurrency: true }, () => {
  test('that do not know the master are named, with its name', () =>
    withSentinels({}, (group) =>
      assertNotReady({ ...group.env, REDIS_MASTER: 'somebody-else' }, /somebody-else/),
    ));

  test('may be down, but one', LONG, () =>
    withSentinels({}, async (group) => {
      for (const sentinel of group.sentinels.slice(0, 2)) await sentinel.stop();
      await withDaemon(group.env, async (daemon) => {
        const client = await Client.connect(daemon);
        await client.publish('x', 'x');
        await client.close();
      });
    }),
  );
});
