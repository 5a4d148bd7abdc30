// What one client may cost, and that asking for much is no offence of a client that reads.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { get, readResponse, requestText } from './lib/http.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { eventually, isSanitized, patience } from './lib/wait.mjs';
import { CLOSE, PING, RawWebSocket, frame, text } from './lib/websocket.mjs';

const MB = 1 << 20;
const RPC_PING = '{"id":1,"jsonrpc":"2.0","method":"ping","params":[]}';

const repeated = (bytes, times) => Buffer.concat(Array.from({ length: times }, () => bytes));

describe('a client that reads', () => {
  const daemon = useDaemon({ MAX_SEND_QUEUE: String(MB) });

  test('may ask for more history than MAX_SEND_QUEUE, and gets the newest', async () => {
    const client = await Client.connect(daemon);
    for (let i = 0; i < 64; i++) await client.publish('much', [i, 'x'.repeat(64_000)]);
    const log = await client.eventlog('much', { since: -60_000 });
    const numbers = log.items.map((one) => one.message[0]);
    assert.ok(numbers.length > 0 && numbers.length < 64, `${numbers.length} items`);
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => 64 - numbers.length + i),
    );
    assert.equal(log.recovered, false);
    const { recovered } = await client.result('subscribe', { topic: 'much', since: -60_000 });
    assert.equal(recovered, false);
    await client.publish('much', [64, 'live']);
    const seen = (await client.drain()).map((one) => one.message[0]);
    assert.equal(seen.at(-1), 64);
    assert.deepEqual(
      seen,
      seen.map((_, i) => 65 - seen.length + i),
    );
    await client.close();
  });

  // As a client does that has lost its connection and subscribes to all of its topics again.
  test('may ask for the history of many topics at once', async () => {
    const client = await Client.connect(daemon);
    const topics = Array.from({ length: 40 }, (_, i) => `at/once/${i}`);
    for (const topic of topics) {
      for (let i = 0; i < 10; i++) await client.publish(topic, 'x'.repeat(40_000));
    }
    const answers = await Promise.all(
      topics.map((topic) => client.result('subscribe', { topic, since: -60_000 })),
    );
    for (const { recovered } of answers) assert.equal(recovered, true);
    assert.equal((await client.take(400)).length, 400);
    assert.ok(client.isOpen);
    await client.close();
  });

  test('may send 20,000 requests at once, and each is answered', async () => {
    const REQUESTS = 20_000;
    const client = await Client.connect(daemon);
    const subscription = await client.subscribe('burst');
    for (let i = 0; i < REQUESTS; i++) {
      client.send(
        `{"id":"b${i}","jsonrpc":"2.0","method":"publish",` +
          `"params":{"topic":"burst","message":${i}}}`,
      );
    }
    await client.until(
      () => client.others.length === REQUESTS || undefined,
      'all answers',
      30_000 * patience,
    );
    const sent = new Map(client.others.map(({ json }) => [json.id, json.result.id]));
    const seen = await client.take(REQUESTS);
    assert.deepEqual(
      seen.map((one) => one.message),
      seen.map((_, i) => i),
    );
    assert.ok(seen.every((one) => one.id === sent.get(`b${one.message}`)));
    assert.ok(seen.every((one) => one.subscription === subscription));
    await client.close();
  });

  test('gets a message of MAX_MESSAGE_SIZE', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('large');
    const message = 'm'.repeat(MB - 100);
    await client.publish('large', message);
    assert.ok((await client.delivery()).json.result.message === message);
    await client.close();
  });
});

describe('a batch whose answers are too long together', () => {
  const daemon = useDaemon({ MAX_SEND_QUEUE: '2048' });

  test('tells of every change that it made, and leaves out what it would only read', async () => {
    const client = await Client.connect(daemon);
    await client.result('set', { key: 'long', value: 'v'.repeat(400) });
    const call = (id, method, params) => ({ id, jsonrpc: '2.0', method, params });
    const { json } = await client.exchange(JSON.stringify([
      ...[1, 2, 3, 4].map((id) => call(id, 'get', { key: 'long' })),
      ...[5, 6, 7, 8].map((id) => call(id, 'publish', { topic: 'changed', message: id })),
    ]));
    assert.deepEqual(json.map((one) => one.id), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert.equal(json[0].result.value.length, 400);
    assert.equal(json[3].error.code, -32603);
    assert.ok(json.slice(4).every((one) => one.result.status === 'ok'));
    await client.close();
  });
});

describe('a history of tiny messages for a long id', () => {
  const daemon = useDaemon({ MAX_SEND_QUEUE: '65536' });

  test('is cut to what the client may be sent', async () => {
    const client = await Client.connect(daemon);
    for (let i = 0; i < 500; i++) client.notify('publish', { topic: 'tiny', message: i });
    const id = 'i'.repeat(1000);
    const { recovered } = await client.result('subscribe', { topic: 'tiny', since: -60_000 }, id);
    assert.equal(recovered, false);
    await client.publish('tiny', 'live');
    const seen = (await client.drain()).map((one) => one.message);
    assert.equal(seen.at(-1), 'live');
    assert.ok(seen.length > 1 && seen.length < 500, `${seen.length} messages`);
    assert.equal(seen.at(-2), 499);
    await client.close();
  });
});

describe('a client that never reads', () => {
  const daemon = useDaemon({ MAX_SEND_QUEUE: String(MB), MAX_CACHE_LENGTH: '10' });

  // The server either stops reading us, so that a write does not finish, or closes with 1013.
  async function floodUntilStuck(write, bytes, total) {
    for (let sent = 0; sent < total; sent += bytes.length) {
      let timer;
      const tooLong = new Promise((resolve) => {
        timer = setTimeout(resolve, 500 * patience, true);
      });
      const isStuck = await Promise.race([write(bytes).then(() => false), tooLong]);
      clearTimeout(timer);
      if (isStuck) return;
    }
  }

  async function assertSmallCost(run, bound = 16 * MB) {
    const before = daemon.program.residentBytes();
    await run();
    const more = daemon.program.residentBytes() - before;
    assert.ok(isSanitized || more < bound, `${more} bytes more resident`);
    const client = await Client.connect(daemon);
    assert.equal(typeof (await client.result('ping', [])).pong, 'number');
    await client.close();
  }

  for (const [name, one] of Object.entries({
    pings: frame(PING, Buffer.alloc(125, 0x70)),
    requests: text(RPC_PING),
    'requests to the store': text(
      '{"id":1,"jsonrpc":"2.0","method":"publish","params":{"topic":"deaf","message":"x"}}',
    ),
    'requests that are wrong': text('{'),
  })) {
    test(`costs little, whatever it sends: ${name}`, { timeout: 60_000 * patience }, () =>
      assertSmallCost(async () => {
        const ws = await RawWebSocket.open(daemon.port);
        ws.raw.pause();
        await floodUntilStuck((bytes) => ws.send(bytes), repeated(one, 1000), 40 * MB);
        ws.destroy();
      }),
    );
  }

  test(
    'costs little with plain requests, also when there are several',
    { timeout: 60_000 * patience },
    () =>
      assertSmallCost(async () => {
        const requests = repeated(Buffer.from(requestText('GET', '/metrics')), 1000);
        const deaf = await Promise.all(
          Array.from({ length: 8 }, () => RawSocket.connect(daemon.port)),
        );
        await Promise.all(
          deaf.map((raw) => {
            raw.pause();
            return floodUntilStuck((bytes) => raw.write(bytes), requests, 20 * MB);
          }),
        );
        for (const raw of deaf) raw.destroy();
      }, 32 * MB),
  );
});

describe('a connection that is over', () => {
  const daemon = useDaemon();

  async function isOnlyTheScrapeLeft() {
    const { body } = await get(daemon.port, '/metrics?format=json');
    return JSON.parse(body).current_connections_count === 1;
  }

  test('is forgotten also when the peer holds its end open', async () => {
    await eventually(isOnlyTheScrapeLeft, 'quiet');
    const bad = await RawWebSocket.open(daemon.port);
    await bad.send(frame(5, ''));
    assert.equal((await bad.closeFrame()).code, 1002);
    const polite = await RawWebSocket.open(daemon.port);
    await polite.send(frame(CLOSE));
    await polite.closeFrame();
    const plain = await RawSocket.connect(daemon.port);
    await plain.write(requestText('GET', '/healthz', { Connection: 'close' }));
    await readResponse(plain);
    await eventually(isOnlyTheScrapeLeft, 'end of the connections', {
      ms: 20_000 * patience,
      every: 100,
    });
    for (const raw of [bad, polite, plain]) raw.destroy();
  });
});

describe('idle connections', () => {
  const daemon = useDaemon({ PING_INTERVAL: '60' });

  // The measure of idleness is CPU over time, so this one has to let time pass.
  test('cost next to no CPU', async () => {
    const crowd = await Promise.all(
      Array.from({ length: 300 }, () => RawWebSocket.open(daemon.port)),
    );
    const before = daemon.program.cpuSeconds();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const share = daemon.program.cpuSeconds() - before;
    assert.ok(share < 0.05 * patience, `CPU share ${share}`);
    for (const ws of crowd) ws.destroy();
  });
});
