// Plain HTTP on the same port.
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { describe, test } from 'node:test';
import { useDaemon, withDaemon } from './lib/daemon.mjs';
import { assertRefusal, exchange, get, readResponse, request, requestText } from './lib/http.mjs';
import { parsePrometheus } from './lib/prometheus.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { eventually } from './lib/wait.mjs';

const GAUGES = [
  'worker_count',
  'redis_publish_delay_ms',
  'current_connections_count',
  'eventloop_delay_ms',
];
const COUNTERS = [
  'publish_count',
  'redis_connection_fail_count',
  'total_connect_count',
  'total_disconnect_count',
];
const NAMES = [...GAUGES, ...COUNTERS];

describe('plain HTTP', () => {
  const daemon = useDaemon();

  test('/healthz says ok', async () => {
    const response = await get(daemon.port, '/healthz');
    assert.equal(response.status, 200);
    assert.match(response.headers['content-type'], /^application\/json\b/);
    assert.deepEqual(JSON.parse(response.body), { status: 'ok' });
  });

  test('/readyz is 200 while the store is there', async () => {
    assert.equal((await get(daemon.port, '/readyz')).status, 200);
  });

  test('a query does not change a route', async () => {
    assert.equal((await get(daemon.port, '/healthz?x=1')).status, 200);
    assert.equal((await get(daemon.port, '/readyz?')).status, 200);
  });

  for (const path of ['/', '/no/such/thing', '/healthz/more', '/metricsx', '/favicon.ico']) {
    test(`${path} is refused by a JSON body`, async () => {
      const response = await get(daemon.port, path);
      assert.ok(response.status >= 400 && response.status < 500, `status ${response.status}`);
      assertRefusal(response, response.status);
    });
  }

  for (const method of ['PUT', 'DELETE', 'PATCH', 'TRACE', 'BREW']) {
    test(`${method} is refused`, async () => {
      const response = await request(daemon.port, method, '/healthz');
      assert.ok(response.status >= 400 && response.status < 600, `status ${response.status}`);
    });
  }

  test('HEAD answers the head of GET and no body', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(requestText('HEAD', '/healthz', { Connection: 'close' }));
    const response = await readResponse(raw, 'HEAD');
    assert.equal(response.status, 200);
    assert.equal((await raw.readToEnd()).length, 0);
    raw.destroy();
  });

  test('OPTIONS answers 204 with CORS headers', async () => {
    for (const path of ['/', '/some/topic', '/metrics']) {
      const response = await request(daemon.port, 'OPTIONS', path, {
        headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'GET' },
      });
      assert.equal(response.status, 204);
      assert.ok(
        ['*', 'https://app.example'].includes(response.headers['access-control-allow-origin']),
      );
      assert.match(response.headers['access-control-allow-methods'], /\bGET\b/);
    }
  });

  test('a connection is kept for more requests', async () => {
    const raw = await RawSocket.connect(daemon.port);
    for (let i = 0; i < 5; i++) {
      await raw.write(requestText('GET', i % 2 ? '/healthz' : '/metrics'));
      assert.equal((await readResponse(raw)).status, 200);
    }
    await raw.write(requestText('GET', '/healthz', { Connection: 'close' }));
    const last = await readResponse(raw);
    assert.equal(last.headers.connection?.toLowerCase(), 'close');
    assert.equal((await raw.readToEnd()).length, 0);
    raw.destroy();
  });

  test('pipelined requests are answered in order', async () => {
    const raw = await RawSocket.connect(daemon.port);
    const paths = Array.from(
      { length: 30 },
      (_, i) => ['/healthz', '/metrics?format=json', '/readyz'][i % 3],
    );
    await raw.write(paths.map((path) => requestText('GET', path)).join(''));
    for (const path of paths) {
      const { status, body } = await readResponse(raw);
      assert.equal(status, 200);
      assert.equal('worker_count' in JSON.parse(body), path.startsWith('/metrics'));
    }
    raw.destroy();
  });

  test('a request cut anywhere is served', async () => {
    const raw = await RawSocket.connect(daemon.port);
    const text = requestText('GET', '/healthz');
    for (let cut = 1; cut < text.length; cut++) {
      await raw.write(text.slice(0, cut));
      await raw.write(text.slice(cut));
      assert.equal((await readResponse(raw)).status, 200);
    }
    raw.destroy();
  });

  test('HTTP/1.0 is answered and closed', async () => {
    const response = await exchange(daemon.port, 'GET /healthz HTTP/1.0\r\n\r\n');
    assert.equal(response.status, 200);
    assert.equal(response.rest.length, 0);
  });

  test('a body that was announced is never taken for the next request', async () => {
    const raw = await RawSocket.connect(daemon.port);
    const hidden = requestText('GET', '/metrics');
    await raw.write(requestText('GET', '/healthz', { 'Content-Length': hidden.length }) + hidden);
    const first = await readResponse(raw);
    await raw.write(requestText('GET', '/healthz', { Connection: 'close' }));
    const rest = await raw.readToEnd();
    assert.ok(!first.body.includes('worker_count') && !rest.includes('worker_count'));
    raw.destroy();
  });

  const bad = {
    'a broken escape': ['GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    'no slash': ['GET ?a=b HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    'a NUL in the path': ['GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    'an escaped NUL': ['GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    'no host': ['GET /healthz HTTP/1.1\r\n\r\n', 400],
    'two hosts': ['GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n', 400],
    'two lengths': [
      'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      400,
    ],
    'a length and chunks': [
      'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
    ],
    'a length that is no number': ['GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n', 400],
    'a method that is none': ['G@T / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    'no version': ['GET /\r\nHost: x\r\n\r\n', 400],
    'TLS on the plain port': ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400],
    'a header of 200 kB': [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(200_000)}\r\n\r\n`, 431],
    'very many headers': [`GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(2600)}\r\n`, 431],
    'a later version': ['GET / HTTP/2.0\r\nHost: x\r\n\r\n', 400, 505],
  };
  for (const [name, [bytes, ...statuses]] of Object.entries(bad)) {
    test(`a request with ${name} is refused by ${statuses.join(' or ')}`, async () => {
      const raw = await RawSocket.connect(daemon.port);
      await raw.write(Buffer.from(bytes, 'latin1'));
      const response = await readResponse(raw);
      assert.ok(statuses.includes(response.status), `status ${response.status}`);
      assertRefusal(response, response.status);
      await raw.readToEnd();
      raw.destroy();
    });
  }
});

describe('CORS with ALLOWED_ORIGINS', () => {
  const daemon = useDaemon({ ALLOWED_ORIGINS: 'https://app.example' });

  const allowed = async (method, path, Origin) =>
    (await request(daemon.port, method, path, { headers: { Origin } })).headers[
      'access-control-allow-origin'
    ];

  test('names an allowed origin, and only that', async () => {
    for (const [method, path] of [
      ['OPTIONS', '/topic'],
      ['GET', '/metrics'],
    ]) {
      assert.equal(await allowed(method, path, 'https://app.example'), 'https://app.example');
      const other = await allowed(method, path, 'https://evil.example');
      assert.ok(!['*', 'https://evil.example'].includes(other), `${other}`);
    }
  });
});

describe('/metrics', () => {
  const daemon = useDaemon();

  const samples = async (prefix = 'eventhub') => {
    const response = await get(daemon.port, '/metrics');
    const families = parsePrometheus(response.body);
    return (name) => families.get(`${prefix}_${name}`).samples[0].value;
  };

  test('is Prometheus text with help and type for each name', async () => {
    const response = await get(daemon.port, '/metrics');
    assert.equal(response.status, 200);
    assert.match(response.headers['content-type'], /^text\/plain\b/);
    const families = parsePrometheus(response.body);
    for (const name of GAUGES) assert.equal(families.get(`eventhub_${name}`)?.type, 'gauge', name);
    for (const name of COUNTERS)
      assert.equal(families.get(`eventhub_${name}`)?.type, 'counter', name);
    for (const family of families.values())
      assert.ok(family.name.startsWith('eventhub_'), family.name);
    assert.equal(families.get('eventhub_worker_count').samples[0].value, 2);
  });

  test('has the existing names without a prefix in its JSON form', async () => {
    const response = await get(daemon.port, '/metrics?format=json');
    assert.equal(response.status, 200);
    assert.match(response.headers['content-type'], /^application\/json\b/);
    const metrics = JSON.parse(response.body);
    for (const name of NAMES) assert.equal(typeof metrics[name], 'number', name);
    assert.equal(metrics.worker_count, 2);
  });

  test('counts connections that come and go, and publishes', async () => {
    const before = await samples();
    const clients = await Promise.all(Array.from({ length: 7 }, () => Client.connect(daemon)));
    for (const client of clients) await client.publish('counted', 'x');
    const rose = (now, then, name, by) => now(name) - then(name) >= by;
    await eventually(async () => {
      const now = await samples();
      return (
        now('publish_count') - before('publish_count') === 7 &&
        rose(now, before, 'total_connect_count', 7) &&
        now('current_connections_count') >= 7
      );
    }, 'counts of 7 clients');
    const held = await samples();
    for (const client of clients) await client.close();
    await eventually(async () => {
      const now = await samples();
      return (
        rose(now, held, 'total_disconnect_count', 7) &&
        rose(held, now, 'current_connections_count', 7)
      );
    }, 'counts of 7 clients less');
  });

  test('takes its prefix from PROMETHEUS_METRIC_PREFIX', () =>
    withDaemon({ PROMETHEUS_METRIC_PREFIX: 'my_hub' }, async (other) => {
      const families = parsePrometheus((await get(other.port, '/metrics')).body);
      for (const name of NAMES) assert.ok(families.has(`my_hub_${name}`), name);
    }));
});

describe('listening', () => {
  test('on * serves IPv4 and IPv6', () =>
    withDaemon({ LISTEN_ADDRESS: '*' }, async (daemon) => {
      for (const host of ['127.0.0.1', '::1']) {
        assert.equal((await get(daemon.port, '/healthz', { host })).status, 200, host);
      }
    }));

  test('on ::1 serves IPv6 only', () =>
    withDaemon({ LISTEN_ADDRESS: '::1' }, async (daemon) => {
      assert.equal((await get(daemon.port, '/healthz', { host: '::1' })).status, 200);
      await assert.rejects(get(daemon.port, '/healthz', { host: '127.0.0.1' }), /ECONNREFUSED/);
    }));

  test('has a worker per CPU by default', () =>
    withDaemon({ WORKER_THREADS: '0' }, async (daemon) => {
      const { body } = await get(daemon.port, '/metrics?format=json');
      assert.equal(JSON.parse(body).worker_count, availableParallelism());
    }));

  test('spreads over every worker', () =>
    withDaemon({ WORKER_THREADS: '4' }, async (daemon) => {
      const metrics = JSON.parse((await get(daemon.port, '/metrics?format=json')).body);
      assert.equal(metrics.worker_count, 4);
      const clients = await Promise.all(Array.from({ length: 32 }, () => Client.connect(daemon)));
      for (const client of clients) await client.subscribe('everyone');
      await clients[0].publish('everyone', 'x');
      for (const client of clients)
        assert.equal((await client.delivery()).json.result.message, 'x');
      await Promise.all(clients.map((client) => client.close()));
    }));
});
