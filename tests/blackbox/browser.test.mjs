// Two pages in headless Chromium that talk through the broker with the published client.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { fullToken } from './lib/token.mjs';
import { DEADLINE_MS, patience, withDeadline } from './lib/wait.mjs';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors', // the test's own
];

const clientPath = join(
  dirname(createRequire(import.meta.url).resolve('eventhub-jsclient')),
  'eventhub.umd.js',
);

const PAGE = `<!doctype html><meta charset="utf-8"><title>eventhub</title>
<link rel="icon" href="data:,"><script src="/eventhub.umd.js"></script>`;

function serve(request, response) {
  const isScript = request.url === '/eventhub.umd.js';
  response.writeHead(200, { 'Content-Type': isScript ? 'text/javascript' : 'text/html' });
  response.end(isScript ? readFileSync(clientPath) : PAGE);
}

// The first start on a machine reads all of Chromium from the disk.
const START_MS = 60_000;

function launch() {
  const start = () => chromium.launch({ executablePath: CHROMIUM, args: ARGS, headless: true, timeout: START_MS });
  return start().catch((error) => {
    console.error(`Chromium did not start, trying once more: ${error.message}`);
    return start();
  });
}

for (const tls of [false, true]) describe(`in Chromium${tls ? ' over TLS' : ''}`, { timeout: 120_000 * patience }, () => {
  const daemon = useDaemon({}, { tls });
  let browser;
  let server;
  let origin;
  let pages;

  before(async () => {
    assert.ok(existsSync(CHROMIUM), `${CHROMIUM} is not installed`);
    server = createServer(serve);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${server.address().port}`;
    browser = await launch();
    pages = await withDeadline(Promise.all([openPage(), openPage()]), 'two pages', START_MS);
  });
  after(async () => {
    server?.close();
    server?.closeAllConnections?.();
    if (browser) await withDeadline(browser.close(), 'end of Chromium');
  });

  async function openPage() {
    const page = await browser.newPage();
    page.setDefaultTimeout(DEADLINE_MS);
    page.on('pageerror', (error) => assert.fail(`error in the page: ${error}`));
    await page.goto(origin);
    await page.evaluate(async (url) => {
      window.hub = new window.Eventhub.Eventhub(url);
      window.seen = {};
      window.collect = (name) => {
        window.seen[name] = [];
        return (message) => window.seen[name].push(message);
      };
      await window.hub.connect();
    }, daemon.url);
    return page;
  }

  async function seen(page, name, count) {
    await page.waitForFunction(([n, c]) => window.seen[n]?.length >= c, [name, count]);
    return page.evaluate((n) => window.seen[n], name);
  }

  test('what one page publishes, the other receives, and back', async () => {
    const [one, two] = pages;
    for (const page of pages) {
      await page.evaluate(() => window.hub.subscribe('chat/+', window.collect('chat')));
    }
    await one.evaluate(() => window.hub.publish('chat/a', 'hello from one 🦄'));
    assert.equal((await seen(two, 'chat', 1))[0].message, 'hello from one 🦄');
    await two.evaluate(() => window.hub.publish('chat/b', { reply: [1, 2] }));
    const heard = await seen(one, 'chat', 2);
    assert.deepEqual(
      heard.map((message) => [message.topic, message.message]),
      [
        ['chat/a', 'hello from one 🦄'],
        ['chat/b', { reply: [1, 2] }],
      ],
    );
  });

  test('a page recovers the history that it missed', async () => {
    const [one, two] = pages;
    const ids = await one.evaluate(async () => {
      const sent = [];
      for (const message of ['1', '2', '3'])
        sent.push((await window.hub.publish('past', message)).id);
      return sent;
    });
    const result = await two.evaluate(
      (sinceEventId) => window.hub.subscribe('past', window.collect('past'), { sinceEventId }),
      ids[0],
    );
    assert.equal(result.recovered, true);
    const messages = await seen(two, 'past', 2);
    assert.deepEqual(
      messages.map((message) => message.id),
      ids.slice(1),
    );
    const log = await two.evaluate(() => window.hub.getEventlog('past', { since: -60_000 }));
    assert.deepEqual(
      log.items.map((item) => item.message),
      ['1', '2', '3'],
    );
  });

  test('pages share the key/value store', async () => {
    const [one, two] = pages;
    await one.evaluate(() => window.hub.set('page/key', 'from one'));
    const value = await two.evaluate(async () => (await window.hub.get('page/key')).value);
    assert.equal(value, 'from one');
    assert.equal(await two.evaluate(async () => (await window.hub.del('page/key')).success), true);
    const error = await one.evaluate(() => window.hub.get('page/key').catch((reason) => reason));
    assert.match(error.data, /^KVStore: key not found/);
  });

  test('a page lists, unsubscribes and disconnects', async () => {
    const page = await openPage();
    const lists = await page.evaluate(async () => {
      await window.hub.subscribe('list/a', window.collect('a'));
      const before = await window.hub.listSubscriptions();
      window.hub.unsubscribe('list/a');
      const after = await window.hub.listSubscriptions();
      await window.hub.disconnect();
      return [before, after];
    });
    assert.deepEqual(lists, [['list/a'], []]);
    await page.close();
  });

  test('a page may give its token as a subprotocol', () =>
    withDaemon({ DISABLE_AUTH: 'false', ALLOWED_ORIGINS: origin }, async (strict) => {
      const open = (token) =>
        pages[0].evaluate(
          ([url, one]) =>
            new Promise((resolve) => {
              const socket = new WebSocket(url, ['eventhub.v1', `eventhub.auth.${one}`]);
              socket.onopen = () => {
                resolve(socket.protocol);
                socket.close();
              };
              socket.onerror = () => resolve('refused');
            }),
          [strict.url, token],
        );
      assert.equal(await open(fullToken()), 'eventhub.v1');
      assert.equal(await open('bad'), 'refused');
    }, { tls }));

  test('a page of another origin is kept out', () =>
    withDaemon({ ALLOWED_ORIGINS: 'https://elsewhere.example' }, async (strict) => {
      const outcome = await pages[0].evaluate(
        (url) =>
          new Promise((resolve) => {
            const socket = new WebSocket(url);
            socket.onopen = () => resolve('open');
            socket.onerror = () => resolve('refused');
          }),
        strict.url,
      );
      assert.equal(outcome, 'refused');
    }, { tls }));
});
