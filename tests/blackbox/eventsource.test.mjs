// The real thing: EventSource of Chromium and of npm, through the end and the restart of the daemon
// that they listen to, and through lost connections. Each message once, in order.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { EventSource } from 'eventsource';
import { chromium } from 'playwright-core';
import { Cluster } from './lib/cluster.mjs';
import { useDaemon } from './lib/daemon.mjs';
import { Proxy } from './lib/proxy.mjs';
import { sharedRedis } from './lib/redis.mjs';
import { Client } from './lib/rpc.mjs';
import { fullToken } from './lib/token.mjs';
import { DEADLINE_MS, eventually, patience } from './lib/wait.mjs';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const ARGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-dev-shm-usage'];

/** npm's EventSource: what it has seen, and its end. */
class NodeListener {
  start(url) {
    this.events = [];
    this.source = new EventSource(url);
    this.source.onmessage = ({ lastEventId, data }) => this.events.push({ id: lastEventId, data });
    this.source.addEventListener('gap', () => this.events.push({ gap: true }));
  }

  seen() {
    return this.events;
  }

  state() {
    return this.source.readyState;
  }

  close() {
    this.source.close();
  }
}

/** The same in a page. */
class PageListener {
  constructor(page) {
    this.page = page;
  }

  start(url) {
    return this.page.evaluate((one) => {
      window.events = [];
      window.source = new EventSource(one);
      window.source.onmessage = ({ lastEventId, data }) =>
        window.events.push({ id: lastEventId, data });
      window.source.addEventListener('gap', () => window.events.push({ gap: true }));
    }, url);
  }

  seen() {
    return this.page.evaluate(() => window.events);
  }

  state() {
    return this.page.evaluate(() => window.source.readyState);
  }

  close() {
    return this.page.evaluate(() => window.source.close());
  }
}

describe('EventSource', { timeout: 240_000 * patience }, () => {
  let browser;
  let server;
  let page;

  before(async () => {
    assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is not installed`);
    server = createServer((request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' });
      response.end('<!doctype html><link rel="icon" href="data:,">');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS, headless: true });
    page = await browser.newPage();
    page.setDefaultTimeout(2 * DEADLINE_MS);
    await page.goto(`http://127.0.0.1:${server.address().port}`);
  });
  after(async () => {
    await browser?.close();
    server?.close();
    server?.closeAllConnections?.();
  });

  const kinds = [
    ['of Chromium', () => new PageListener(page)],
    ['of npm', () => new NodeListener()],
  ];

  const becomes = (listener, state) =>
    eventually(async () => (await listener.state()) === state, `state ${state}`);

  const open = async (listener, url) => {
    await listener.start(url);
    await becomes(listener, EventSource.OPEN);
  };

  const publish = async (client, topic, from, to) => {
    const sent = [];
    for (let i = from; i < to; i++) {
      sent.push({ id: await client.publish(topic, `message ${i}`), data: `message ${i}` });
    }
    return sent;
  };

  const assertSees = async (listener, sent) => {
    await eventually(async () => (await listener.seen()).length >= sent.length, 'all events', {
      ms: 3 * DEADLINE_MS,
    });
    assert.deepEqual(await listener.seen(), sent);
  };

  for (const [name, make] of kinds) {
    test(`${name} goes on where it was when the daemon is started again`, async () => {
      const redis = await sharedRedis();
      const cluster = await new Cluster(redis, 2).start();
      const [first, second] = cluster.nodes;
      const client = await Client.connect(second);
      const listener = make();
      try {
        await open(listener, `http://127.0.0.1:${first.port}/shop/%23`);
        const sent = await publish(client, 'shop/a', 0, 20);
        await assertSees(listener, sent);
        const { port } = first;
        await first.stop();
        sent.push(...(await publish(client, 'shop/b', 20, 40)));
        await first.start(port);
        sent.push(...(await publish(client, 'shop/a', 40, 60)));
        await assertSees(listener, sent);
        first.program.kill();
        await first.program.exited;
        sent.push(...(await publish(client, 'shop/a', 60, 80)));
        await first.start(port);
        await assertSees(listener, sent);
        sent.push(...(await publish(client, 'shop/c', 80, 90)));
        await assertSees(listener, sent);
      } finally {
        await listener.close();
        client.drop();
        await cluster.kill();
      }
    });
  }

  describe('with lost connections', () => {
    const daemon = useDaemon({ DISABLE_AUTH: 'false' });

    for (const [name, make] of kinds) {
      test(`${name} loses nothing`, async () => {
        const proxy = await Proxy.start(daemon.port);
        const token = fullToken();
        const client = await Client.connect(daemon, { token });
        const listener = make();
        const topic = `line/${name.at(-1)}`;
        try {
          await open(listener, `http://127.0.0.1:${proxy.port}/${topic}?auth=${token}`);
          const sent = [];
          for (let round = 0; round < 2; round++) {
            sent.push(...(await publish(client, topic, 10 * round, 10 * round + 5)));
            await assertSees(listener, sent);
            proxy.down();
            sent.push(...(await publish(client, topic, 10 * round + 5, 10 * round + 10)));
            proxy.up();
            await assertSees(listener, sent);
          }
        } finally {
          await listener.close();
          client.drop();
          await proxy.stop();
        }
      });

      test(`${name} gives up where it is refused`, async () => {
        const listener = make();
        await listener.start(`http://127.0.0.1:${daemon.port}/a?auth=wrong`);
        await becomes(listener, EventSource.CLOSED);
        await listener.close();
      });
    }
  });
});
