// The published client, unchanged, from Node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import jsclient from 'eventhub-jsclient';
import { useDaemon } from './lib/daemon.mjs';
import { Proxy } from './lib/proxy.mjs';
import { makeToken } from './lib/token.mjs';
import { eventually, withDeadline } from './lib/wait.mjs';

// The client logs the connections that this suite cuts on purpose.
console.warn = () => {};
// It has no option to trust a certificate.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
process.removeAllListeners('warning');

const { Eventhub } = jsclient;

async function connected(url, token, options) {
  const hub = new Eventhub(url, token, options);
  assert.equal(await withDeadline(hub.connect(), 'connection'), true);
  return hub;
}

/** A subscription's callback that keeps what it got. */
function collector() {
  const messages = [];
  const callback = (message) => messages.push(message);
  return {
    messages,
    callback,
    upTo: (n) => eventually(() => messages.length >= n, `${n} messages`),
  };
}

for (const tls of [false, true]) describe(`eventhub-jsclient${tls ? ' over TLS' : ''}`, () => {
  const daemon = useDaemon({}, { tls });

  test('connects without a token', async () => {
    const hub = await connected(daemon.url, undefined);
    await hub.disconnect();
  });

  test('subscribes and publishes', async () => {
    const hub = await connected(daemon.url);
    const exact = collector();
    const pattern = collector();
    assert.deepEqual(await hub.subscribe('js/a', exact.callback), {
      action: 'subscribe',
      status: 'ok',
      topic: 'js/a',
    });
    await hub.subscribe('js/+', pattern.callback);
    const sent = await hub.publish('js/a', 'hello');
    assert.deepEqual(sent, { action: 'publish', id: sent.id, status: 'ok', topic: 'js/a' });
    await hub.publish('js/b', 'world');
    await exact.upTo(1);
    await pattern.upTo(2);
    assert.deepEqual(exact.messages, [{ id: sent.id, message: 'hello', topic: 'js/a' }]);
    assert.deepEqual(
      pattern.messages.map((one) => one.message),
      ['hello', 'world'],
    );
    await hub.disconnect();
  });

  test('publishes with a ttl and objects', async () => {
    const hub = await connected(daemon.url);
    const all = collector();
    await hub.subscribe('js/object', all.callback);
    await hub.publish('js/object', { a: [1, 'é'] }, { ttl: 600 });
    await all.upTo(1);
    assert.deepEqual(all.messages[0].message, { a: [1, 'é'] });
    await hub.disconnect();
  });

  test('lists and unsubscribes', async () => {
    const hub = await connected(daemon.url);
    const one = collector();
    for (const topic of ['js/x', 'js/y', 'js/#']) await hub.subscribe(topic, one.callback);
    assert.deepEqual((await hub.listSubscriptions()).sort(), ['js/#', 'js/x', 'js/y']);
    hub.unsubscribe('js/x');
    assert.deepEqual((await hub.listSubscriptions()).sort(), ['js/#', 'js/y']);
    hub.unsubscribe(['js/y', 'js/#']);
    assert.deepEqual(await hub.listSubscriptions(), []);
    await hub.subscribe('js/z', one.callback);
    hub.unsubscribeAll();
    assert.deepEqual(await hub.listSubscriptions(), []);
    assert.equal(hub.isSubscribed('js/z'), false);
    await hub.disconnect();
  });

  test('reads the eventlog', async () => {
    const hub = await connected(daemon.url);
    const ids = [];
    for (const message of ['1', '2', '3']) ids.push((await hub.publish('js/log', message)).id);
    const since = await hub.getEventlog('js/log', { since: -60_000 });
    assert.deepEqual(
      since.items.map((one) => one.message),
      ['1', '2', '3'],
    );
    const after = await hub.getEventlog('js/log', { sinceEventId: ids[0], limit: 10 });
    assert.deepEqual(
      after.items.map((one) => one.id),
      ids.slice(1),
    );
    await hub.disconnect();
  });

  test('subscribes with history', async () => {
    const hub = await connected(daemon.url);
    const first = (await hub.publish('js/past', 'first')).id;
    await hub.publish('js/past', 'second');
    const since = collector();
    const afterId = collector();
    await hub.subscribe('js/past', since.callback, { since: -60_000 });
    await hub.subscribe('js/past/#', afterId.callback, { sinceEventId: first });
    await hub.publish('js/past', 'third');
    await since.upTo(3);
    await afterId.upTo(2);
    assert.deepEqual(
      since.messages.map((one) => one.message),
      ['first', 'second', 'third'],
    );
    assert.deepEqual(
      afterId.messages.map((one) => one.message),
      ['second', 'third'],
    );
    await hub.disconnect();
  });

  test('uses the key/value store', async () => {
    const hub = await connected(daemon.url);
    assert.equal((await hub.set('js/key', 'value')).success, true);
    assert.equal((await hub.get('js/key')).value, 'value');
    assert.equal((await hub.del('js/key')).success, true);
    await assert.rejects(hub.get('js/key'), (error) => {
      assert.equal(error.code, -32602);
      assert.match(error.data, /^KVStore: key not found/);
      return true;
    });
    await hub.set('js/short', 'value', 1);
    await eventually(
      () =>
        hub.get('js/short').then(
          () => false,
          () => true,
        ),
      'expiry',
    );
    await hub.disconnect();
  });

  test('is told of errors', async () => {
    const hub = await connected(daemon.url);
    await assert.rejects(
      hub.subscribe('/bad/', () => {}),
      { code: -32602 },
    );
    await assert.rejects(hub.publish('bad/#', 'x'), { code: -32602 });
    await hub.disconnect();
  });

  test('disconnects by its own request, at once', async () => {
    const hub = await connected(daemon.url);
    let isDisconnected = false;
    hub.on('disconnect', () => (isDisconnected = true));
    // After a second the client would close by itself.
    await withDeadline(hub.disconnect(), 'disconnect', 900);
    assert.ok(isDisconnected);
  });

  test('has its pings answered', async () => {
    const hub = await connected(daemon.url, undefined, { pingInterval: 50, pingTimeout: 5000 });
    let isOffline = false;
    hub.on('offline', () => (isOffline = true));
    for (let i = 0; i < 20; i++) await hub.publish('js/ping', String(i));
    await hub.disconnect();
    assert.equal(isOffline, false);
  });
});

describe('eventhub-jsclient, cut off', () => {
  const daemon = useDaemon();
  let proxy;

  before(async () => {
    proxy = await Proxy.start(daemon.port);
  });
  after(() => proxy.stop());

  test('recovers what it missed, once and in order', async () => {
    const hub = await connected(proxy.url, undefined, { reconnectInterval: 50 });
    const steady = await connected(daemon.url);
    const topic = collector();
    const pattern = collector();
    await hub.subscribe('cut/a', topic.callback);
    await hub.subscribe('cut/#', pattern.callback);
    let number = 0;
    const publish = async (count) => {
      for (let i = 0; i < count; i++) await steady.publish('cut/a', String(number++));
    };
    for (let round = 0; round < 4; round++) {
      await publish(5);
      await topic.upTo(number);
      await pattern.upTo(number);
      const isOffline = new Promise((resolve) => hub.on('offline', resolve));
      proxy.down();
      await withDeadline(isOffline, 'loss of the connection');
      await publish(7);
      proxy.up();
      await publish(3);
      await topic.upTo(number);
      await pattern.upTo(number);
    }
    const expected = Array.from({ length: number }, (_, i) => String(i));
    assert.deepEqual(
      topic.messages.map((one) => one.message),
      expected,
    );
    assert.deepEqual(
      pattern.messages.map((one) => one.message),
      expected,
    );
    await hub.disconnect();
    await steady.disconnect();
  });
});

describe('eventhub-jsclient with a token', () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });

  test('may do what the token allows', async () => {
    const token = makeToken({ sub: 'js', read: ['may/#'], write: ['may/+'] });
    const hub = await connected(daemon.url, token);
    const all = collector();
    await hub.subscribe('may/+', all.callback);
    await hub.publish('may/x', 'y');
    await all.upTo(1);
    assert.equal(all.messages[0].origin, 'js');
    await assert.rejects(
      hub.subscribe('#', () => {}),
      { code: -32602, data: 'You are not allowed to subscribe to topic: #' },
    );
    await assert.rejects(hub.publish('may', 'x'), { data: 'Insufficient access to topic: may' });
    await hub.disconnect();
  });

  test('is refused without one', async () => {
    await assert.rejects(new Eventhub(daemon.url, undefined).connect());
    await assert.rejects(new Eventhub(daemon.url, 'bad').connect());
  });
});
