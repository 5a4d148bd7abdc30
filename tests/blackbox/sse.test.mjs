// Server-sent events: the format to the byte, history joined to what is live, who gets in, who is let
// go.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { request } from './lib/http.mjs';
import { Client } from './lib/rpc.mjs';
import { EventStream, pathOf, withStream } from './lib/sse.mjs';
import { fullToken, makeToken, nowSeconds } from './lib/token.mjs';
import { eventually, patience } from './lib/wait.mjs';

const publishAll = async (client, topic, messages) => {
  const ids = [];
  for (const message of messages) {
    ids.push(await client.publish(topic, message));
  }
  return ids;
};

const refusal = async (port, path, options) => {
  const error = await EventStream.open(port, path, options).then(
    (stream) => {
      stream.close();
      assert.fail(`${path} was not refused`);
    },
    (caught) => caught,
  );
  assert.equal(typeof JSON.parse(error.body).error, 'string');
  return error;
};

describe('a stream of server-sent events', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon({ PING_INTERVAL: '1' });

  test('begins with :ok and a hint when to come again', async () => {
    await withStream(daemon.port, '/a', async (stream) => {
      assert.equal(stream.head.headers['content-type'], 'text/event-stream');
      assert.equal(stream.head.headers['cache-control'], 'no-store');
      assert.equal(await stream.nextBlock(), ':ok\n\n');
      assert.match(await stream.nextBlock(), /^retry: \d{4}\n\n$/);
    });
  });

  test('has an id and one data field per line for each message', async () => {
    const client = await Client.connect(daemon);
    await withStream(daemon.port, '/format', async (stream) => {
      await stream.nextBlock();
      await stream.nextBlock();
      const messages = [
        ['plain', 'data: plain\n'],
        ['two\nlines', 'data: two\ndata: lines\n'],
        ['a\r\nb\rc\n\nd', 'data: a\ndata: b\ndata: c\ndata: \ndata: d\n'],
        ['x\nid: 7\nevent: forged\ndata: y\n\n:', 'data: x\ndata: id: 7\ndata: event: forged\ndata: data: y\ndata: \ndata: :\n'],
        [' leading space', 'data:  leading space\n'],
        ['ümläut 🦄 \u0000 "quoted" \\', 'data: ümläut 🦄 \u0000 "quoted" \\\n'],
        [{ a: [1, 'b\nc'] }, 'data: {"a":[1,"b\\nc"]}\n'],
        [42, 'data: 42\n'],
        [false, 'data: false\n'],
      ];
      for (const [message, fields] of messages) {
        const id = await client.publish('format', message);
        let block = await stream.nextBlock();
        while (block === ':\n\n') block = await stream.nextBlock(); // pings
        assert.equal(block, `id: ${id}\n${fields}\n`);
      }
    });
    client.drop();
  });

  test('gets comments as pings', async () => {
    await withStream(daemon.port, '/quiet', async (stream) => {
      await stream.nextBlock();
      await stream.nextBlock();
      assert.equal(await stream.nextBlock(), ':\n\n');
      assert.equal(await stream.nextBlock(), ':\n\n');
    });
  });

  test('may be for a pattern, and tell topic and origin as JSON', async () => {
    const client = await Client.connect(daemon);
    for (const path of ['/room/+/temp', '/room/%2B/temp', '/room/%23', '/%23']) {
      await withStream(daemon.port, `${path}?format=json`, async (stream) => {
        const id = await client.publish('room/1/temp', { c: 21 });
        const event = await stream.next();
        assert.deepEqual(JSON.parse(event.data), { id, message: { c: 21 }, topic: 'room/1/temp' });
        assert.equal(event.id, id);
      });
    }
    client.drop();
  });

  test('begins when its subscription stands: what is published then comes', async () => {
    const client = await Client.connect(daemon);
    for (let i = 0; i < 40; i++) {
      const path = i % 2 ? `/fresh/${i}` : `/fresh/${i}/%23`;
      await withStream(daemon.port, path, async (stream) => {
        const id = await client.publish(`fresh/${i}`, i);
        assert.equal((await stream.next()).id, id);
      });
    }
    client.drop();
  });

  test('is one subscription among others of the same topic', async () => {
    const client = await Client.connect(daemon);
    const streams = [];
    for (let i = 0; i < 20; i++) {
      streams.push(await EventStream.open(daemon.port, i % 2 ? '/same' : '/same?format=json'));
    }
    await client.subscribe('same');
    const ids = await publishAll(client, 'same', [1, 2, 3]);
    for (const stream of streams) {
      assert.deepEqual(
        (await stream.take(3)).map(({ id }) => id),
        ids,
      );
      stream.close();
    }
    client.drop();
  });

  test('replays what came after an id or a time', async () => {
    const client = await Client.connect(daemon);
    const ids = await publishAll(client, 'past', ['1', '2', '3', '4']);
    // From which of them on the history begins; what the cases publish follows.
    for (const [query, header, start] of [
      ['', ids[1], 2],
      [`?lastEventId=${ids[0]}`, undefined, 1],
      [`?lastEventId=${ids[0]}&since=0`, undefined, 1],
      [`?lastEventId=${ids[0]}`, ids[2], 3],
      [`?since=${ids[2]}`, undefined, 3],
      ['?since=-60000', undefined, 0],
      ['?since=0', undefined, Infinity],
      ['', undefined, Infinity],
    ]) {
      const expected = ids.slice(start);
      const headers = { 'Last-Event-ID': header };
      const stream = await EventStream.open(daemon.port, `/past${query}`, { headers });
      await stream.nextBlock();
      await stream.nextBlock();
      ids.push(await client.publish('past', 'live'));
      expected.push(ids.at(-1));
      const events = await stream.take(expected.length);
      assert.deepEqual(
        events.map(({ id }) => id),
        expected,
        query,
      );
      stream.close();
    }
    client.drop();
  });

  test('tells of what is not there any more', async () => {
    const client = await Client.connect(daemon);
    const ids = await publishAll(client, 'cut/a', ['1', '2', '3']);
    await withStream(daemon.port, '/cut/%23?since=-60000&limit=2', async (stream) => {
      const gap = await stream.next();
      assert.equal(gap.type, 'gap');
      assert.deepEqual(JSON.parse(gap.data), { topic: 'cut/#' });
      const events = await stream.take(2);
      assert.deepEqual(
        events.map(({ id }) => id),
        ids.slice(1),
      );
    });
    client.drop();
  });

  test('joins history to what is live without gap or double', async () => {
    const client = await Client.connect(daemon);
    const sent = [];
    let isOver = false;
    const publishing = (async () => {
      for (let i = 0; !isOver; i++) {
        sent.push(await client.publish('busy', i));
      }
    })();
    await eventually(() => sent.length > 50, 'messages');
    const streams = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        await new Promise((resolve) => setTimeout(resolve, 5 * i));
        const from = sent[Math.max(0, sent.length - 30)];
        return { from, stream: await EventStream.open(daemon.port, `/busy?lastEventId=${from}`) };
      }),
    );
    const seen = await Promise.all(
      streams.map(async ({ from, stream }) => {
        const events = await stream.take(100);
        stream.close();
        return { from, ids: events.map(({ id }) => id), data: events.map(({ data }) => data) };
      }),
    );
    isOver = true;
    await publishing;
    for (const { from, ids, data } of seen) {
      const start = sent.indexOf(from) + 1;
      assert.deepEqual(ids, sent.slice(start, start + 100));
      assert.deepEqual(data, ids.map((_, i) => String(start + i)));
    }
    client.drop();
  });

  test('is refused where the request is wrong', async () => {
    for (const path of ['/', '/a/', '/a//%23/b', '/a b'.replace(' ', '%20'), '/a?since=yesterday',
      '/a?lastEventId=x', '/a?limit=-1', '/a?limit=many', '/a?format=xml', '/a?since=%ff%00']) {
      const { status } = await refusal(daemon.port, path);
      assert.equal(status, 400, path);
    }
    const { status } = await refusal(daemon.port, '/a', { headers: { 'Last-Event-ID': 'x' } });
    assert.equal(status, 400);
  });

  test('is not opened by HEAD', async () => {
    const headers = { Accept: 'text/event-stream' };
    const response = await request(daemon.port, 'HEAD', '/a', { headers });
    assert.equal(response.status, 200);
    assert.equal(response.headers['content-type'], 'text/event-stream');
    await eventually(async () => (await daemon.metric('sse_streams')) === 0, 'no stream');
  });

  test('is counted while it lasts, and its subscription with it', async () => {
    const before = await daemon.metric('subscriptions');
    const streams = [];
    for (let i = 0; i < 3; i++) streams.push(await EventStream.open(daemon.port, '/counted'));
    await eventually(async () => (await daemon.metric('sse_streams')) === 3, 'three streams');
    assert.equal(await daemon.metric('subscriptions'), before + 3);
    for (const stream of streams) stream.close();
    await eventually(async () => (await daemon.metric('sse_streams')) === 0, 'no stream');
    assert.equal(await daemon.metric('subscriptions'), before);
  });

  test('works for curl', async () => {
    const client = await Client.connect(daemon);
    const url = `http://127.0.0.1:${daemon.port}${pathOf('curl/#')}`;
    const curl = spawn('curl', ['-sN', '-H', 'Accept: text/event-stream', url]);
    let output = '';
    curl.stdout.on('data', (chunk) => (output += chunk));
    await eventually(() => output.startsWith(':ok\n\n'), 'beginning of the stream');
    const [id] = await publishAll(client, 'curl/a', ['hello']);
    await eventually(() => output.includes(`id: ${id}\ndata: hello\n\n`), 'event');
    curl.kill();
    client.drop();
  });
});

describe('who listens to events', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon({
    DISABLE_AUTH: 'false',
    ALLOWED_ORIGINS: 'https://good.example',
    MAX_CONNECTIONS: '3',
    MAX_SEND_QUEUE: '1000000',
  });

  test('needs a token, by header or in the query', async () => {
    const token = makeToken({ read: ['a/#'] });
    assert.equal((await refusal(daemon.port, '/a')).status, 401);
    assert.equal((await refusal(daemon.port, '/a?auth=undefined')).status, 401);
    const forged = makeToken({ read: ['#'] }, { secret: 'another' });
    assert.equal((await refusal(daemon.port, `/a?auth=${forged}`)).status, 401);
    const headers = { Authorization: `Bearer ${token}` };
    await withStream(daemon.port, '/a/b', () => {}, { headers });
    await withStream(daemon.port, `/a/b?auth=${token}`, () => {});
    const { status, body } = await refusal(daemon.port, '/%23', { headers });
    assert.equal(status, 403);
    assert.equal(JSON.parse(body).error, 'You are not allowed to subscribe to topic: #');
  });

  test('must come from an allowed page', async () => {
    const path = `/a?auth=${fullToken()}`;
    const bad = await refusal(daemon.port, path, { headers: { Origin: 'https://bad.example' } });
    assert.equal(bad.status, 403);
    assert.equal(bad.headers['access-control-allow-origin'], undefined);
    await withStream(
      daemon.port,
      path,
      (stream) => {
        const allowed = stream.head.headers['access-control-allow-origin'];
        assert.equal(allowed, 'https://good.example');
      },
      { headers: { Origin: 'https://good.example' } },
    );
  });

  test('takes a place among the connections', async () => {
    const path = `/a?auth=${fullToken()}`;
    const open = [];
    await eventually(async () => (await daemon.metric('sse_streams')) === 0, 'no stream');
    for (let i = 0; i < 3; i++) open.push(await EventStream.open(daemon.port, path));
    const full = await refusal(daemon.port, path);
    assert.equal(full.status, 503);
    assert.match(full.headers['retry-after'], /^\d+$/);
    for (const stream of open) stream.close();
    await eventually(async () => (await daemon.metric('sse_streams')) === 0, 'no stream');
  });

  test('is let go when the token runs out', async () => {
    const exp = nowSeconds() + 2;
    const stream = await EventStream.open(daemon.port, `/a?auth=${fullToken({ exp })}`);
    assert.equal(await stream.next(), undefined);
    assert.equal(stream.comment, 'the token has expired');
    assert.ok(Date.now() >= exp * 1000 - 50);
    stream.close();
  });

  test('and who does not read is let go, while others go on', async () => {
    const token = fullToken();
    const slow = await EventStream.open(daemon.port, `/flood?auth=${token}`);
    const quick = await EventStream.open(daemon.port, `/flood?auth=${token}`);
    slow.raw.pause();
    const client = await Client.connect(daemon, { token });
    const ids = [];
    const before = await daemon.metric('slow_consumers_total');
    while ((await daemon.metric('slow_consumers_total')) === before) {
      ids.push(...(await publishAll(client, 'flood', ['x'.repeat(200_000)])));
      assert.equal((await quick.next()).id, ids.at(-1));
    }
    assert.ok(ids.length > 5, 'some of it waited');
    slow.raw.resume();
    let count = 0;
    while (await slow.next()) count++;
    assert.equal(slow.comment, 'the client reads too slowly');
    assert.equal(slow.lastEventId, ids[count - 1]);
    assert.ok(count < ids.length);
    for (const stream of [slow, quick]) stream.close();
    client.drop();
  });
});

test('a stream ends when the daemon stops, and says so', { timeout: 30_000 * patience }, async () => {
  await withDaemon({}, async (daemon) => {
    const stream = await EventStream.open(daemon.port, '/a');
    const client = await Client.connect(daemon);
    const [id] = await publishAll(client, 'a', ['last']);
    const stopping = daemon.stop();
    assert.equal((await stream.next()).id, id);
    assert.equal(await stream.next(), undefined);
    assert.equal(stream.comment, 'the server is going away');
    await stopping;
  });
});

test('ENABLE_SSE switches it off', async () => {
  await withDaemon({ ENABLE_SSE: 'false' }, async (daemon) => {
    const { status, body } = await refusal(daemon.port, '/a');
    assert.equal(status, 404);
    assert.match(body, /ENABLE_SSE/);
  });
});
