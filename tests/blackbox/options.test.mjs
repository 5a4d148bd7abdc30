// Options: where they come from, what stops a start, what the other commands answer.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BACKEND, Daemon, runDaemon, useDaemon, withDaemon } from './lib/daemon.mjs';
import { get } from './lib/http.mjs';
import { freePort } from './lib/process.mjs';
import { Client } from './lib/rpc.mjs';
import { fullToken } from './lib/token.mjs';

const OPTIONS = [
  'LISTEN_PORT',
  'WORKER_THREADS',
  'JWT_SECRET',
  'MAX_CACHE_LENGTH',
  'MAX_CACHE_REQUEST_LIMIT',
  'DEFAULT_CACHE_TTL',
  'PING_INTERVAL',
  'HANDSHAKE_TIMEOUT',
  'DISABLE_AUTH',
  'PROMETHEUS_METRIC_PREFIX',
  'LOG_LEVEL',
  'ENABLE_CACHE',
  'ENABLE_KVSTORE',
  'BACKEND',
  'LISTEN_ADDRESS',
  'MAX_CONNECTIONS',
  'MAX_MESSAGE_SIZE',
  'MAX_SEND_QUEUE',
  'MAX_SUBSCRIPTIONS',
  'ALLOWED_ORIGINS',
  'SHUTDOWN_TIMEOUT',
  'LOG_FORMAT',
  'REDIS_HOST',
  'REDIS_PORT',
  'REDIS_PASSWORD',
  'REDIS_PREFIX',
  'REDIS_POOL_SIZE',
  'REDIS_TLS',
  'ENABLE_SSE',
  'ENABLE_SSL',
  'SSL_LISTEN_PORT',
  'SSL_CERTIFICATE',
  'SSL_PRIVATE_KEY',
];

const QUIET = { JWT_SECRET: 'not the default', LISTEN_ADDRESS: '127.0.0.1', LOG_LEVEL: 'error' };

const lines = (text) => text.split('\n').filter((line) => line.trim() !== '');

const directory = mkdtempSync(join(tmpdir(), 'eventhub-options-'));
process.on('exit', () => rmSync(directory, { recursive: true }));

const file = (text) => {
  const path = join(directory, `${Math.random().toString(36).slice(2)}.conf`);
  writeFileSync(path, text);
  return path;
};

function assertRefused({ code, signal, stderr }, ...words) {
  assert.equal(signal, null);
  assert.equal(code, 1, `exit status ${code}: ${stderr}`);
  assert.equal(lines(stderr).length, 1, `one line: ${stderr}`);
  for (const word of words) {
    assert.ok(stderr.toLowerCase().includes(String(word).toLowerCase()), `${word} in: ${stderr}`);
  }
}

describe('a start is refused by one line and exit status 1', () => {
  const refused = {
    LISTEN_PORT: ['0', '65536', '-1', 'http', '80 80', '0x50'],
    WORKER_THREADS: ['-1', 'many', '1.5'],
    PING_INTERVAL: ['-5', 'x'],
    HANDSHAKE_TIMEOUT: ['-1', 'soon'],
    MAX_CONNECTIONS: ['-1', 'all'],
    MAX_MESSAGE_SIZE: ['-1', '1MB', '99999999999999999999999'],
    MAX_SEND_QUEUE: ['x'],
    MAX_SUBSCRIPTIONS: ['-1'],
    MAX_CACHE_LENGTH: ['-1', 'x'],
    DEFAULT_CACHE_TTL: ['-1', 'x'],
    SHUTDOWN_TIMEOUT: ['-1', 'x'],
    DISABLE_AUTH: ['maybe', '2'],
    ENABLE_CACHE: ['sometimes'],
    LOG_LEVEL: ['loud'],
    LOG_FORMAT: ['xml'],
    BACKEND: ['memory'],
    PROMETHEUS_METRIC_PREFIX: ['with space', '1digit'],
    TRUSTED_PROXIES: ['10.0.0.0/33', '10.0.0.0/', 'proxy.example', '10.0.0.1,,10.0.0.2', 'fd00::/129'],
    REDIS_PREFIX: ['with space', 'a{b}', 'a*'],
    REDIS_SENTINELS: ['a:b', 'a,,b', '::1', 'a:65536'],
  };
  for (const [option, values] of Object.entries(refused)) {
    for (const value of values) {
      test(`for ${option}=${JSON.stringify(value)}`, async () => {
        assertRefused(await runDaemon([], { ...QUIET, [option]: value }), option, value);
      });
    }
  }

  test('for ENABLE_CONSOLE, which comes later', async () => {
    assertRefused(await runDaemon([], { ...QUIET, ENABLE_CONSOLE: 'true' }), 'ENABLE_CONSOLE');
  });

  const apart = {
    'ENABLE_SSL without SSL_CERTIFICATE': { ENABLE_SSL: 'true' },
    'DISABLE_UNSECURE_LISTENER without ENABLE_SSL': { DISABLE_UNSECURE_LISTENER: 'true' },
    'REDIS_SENTINELS without REDIS_MASTER': { REDIS_SENTINELS: '127.0.0.1:26379' },
    'REDIS_MASTER without REDIS_SENTINELS': { REDIS_MASTER: 'main' },
    'REDIS_USERNAME without REDIS_PASSWORD': { REDIS_USERNAME: 'me' },
    'both REDIS_SOCKET and REDIS_SENTINELS': {
      REDIS_SOCKET: '/run/redis.sock',
      REDIS_SENTINELS: '127.0.0.1',
      REDIS_MASTER: 'main',
    },
  };
  for (const [name, env] of Object.entries(apart)) {
    test(`for ${name}`, async () => {
      assertRefused(await runDaemon([], { ...QUIET, ...env }), ...name.match(/[A-Z]+_[A-Z_]+/g));
    });
  }

  const files = {
    'an unknown name': ['no_such_option = 1\n', 'no_such_option'],
    'a wrong value': ['listen_port = http\n', 'listen_port', 'http'],
    'a line without a value': ['listen_port\n', '.conf'],
    'a later feature': ['enable_console = true\n', 'enable_console'],
  };
  for (const [name, [text, ...words]] of Object.entries(files)) {
    test(`for ${name} in the file`, async () => {
      assertRefused(await runDaemon(['--config', file(text)], QUIET), ...words);
    });
  }

  test('for a file that is not there', async () => {
    const path = join(directory, 'missing.conf');
    assertRefused(await runDaemon(['--config', path], QUIET), path);
  });

  test('for an argument that is unknown', async () => {
    const { code, stderr } = await runDaemon(['--no-such-argument'], QUIET);
    assert.notEqual(code, 0);
    assert.ok(stderr.includes('--no-such-argument'), stderr);
  });

  test('for a port that another program holds', async () => {
    const holder = net.createServer();
    const port = await new Promise((resolve) => {
      holder.listen(0, '127.0.0.1', () => resolve(holder.address().port));
    });
    const end = await runDaemon([], { ...QUIET, LISTEN_PORT: String(port) }).finally(() =>
      holder.close(),
    );
    assertRefused(end, port);
  });

  test('for a port that another daemon holds', () =>
    withDaemon({}, async (daemon) => {
      assertRefused(
        await runDaemon([], { ...QUIET, LISTEN_PORT: String(daemon.port) }),
        daemon.port,
      );
      assert.equal((await get(daemon.port, '/healthz')).status, 200);
    }));

  test('for an address that is not ours', async () => {
    const env = { ...QUIET, LISTEN_ADDRESS: '192.0.2.1', LISTEN_PORT: String(await freePort()) };
    assertRefused(await runDaemon([], env), '192.0.2.1');
  });

  test('for an address that is none', async () => {
    assertRefused(
      await runDaemon([], { ...QUIET, LISTEN_ADDRESS: 'not an address' }),
      'LISTEN_ADDRESS',
    );
  });
});

describe('--check-config', () => {
  test('accepts the defaults', async () => {
    const { code, stderr } = await runDaemon(['--check-config'], {});
    assert.equal(code, 0, stderr);
  });

  test('accepts a good file with comments and quotes', async () => {
    const path = file(
      '# comment\n\nlisten_port = 9000 # trailing\njwt_secret = "with space"\n' +
        'log_level=debug\n  disable_auth   =   true\n',
    );
    const { code, stderr } = await runDaemon(['--check-config', '--config', path], {});
    assert.equal(code, 0, stderr);
  });

  test('refuses what a start would refuse', async () => {
    assertRefused(await runDaemon(['--check-config'], { LISTEN_PORT: '0' }), 'LISTEN_PORT');
    assertRefused(await runDaemon(['--check-config'], { ENABLE_SSL: '1' }), 'ENABLE_SSL');
    const path = file('colour = blue\n');
    assertRefused(await runDaemon(['--check-config', '--config', path], {}), 'colour');
  });

  test('accepts what names a Redis server', async () => {
    for (const env of [
      { BACKEND: 'redis' },
      { REDIS_HOST: 'redis.example', REDIS_PORT: '6380', REDIS_DB: '1' },
      { REDIS_SOCKET: '/run/redis.sock', REDIS_USERNAME: 'me', REDIS_PASSWORD: 'x' },
      { REDIS_SENTINELS: 's1, s2:1,[::1]:2', REDIS_MASTER: 'main', REDIS_PREFIX: 'a.b-c_d:1' },
      { BACKEND: 'embedded', REDIS_MASTER: 'main', REDIS_TLS: 'true' },
    ]) {
      const { code, stderr } = await runDaemon(['--check-config'], env);
      assert.equal(code, 0, stderr);
    }
  });

  test('does not need the port', () =>
    withDaemon({}, async (daemon) => {
      const { code } = await runDaemon(['--check-config'], { LISTEN_PORT: String(daemon.port) });
      assert.equal(code, 0);
    }));
});

describe('--help and --version', () => {
  test('--help lists every option', async () => {
    const { code, stdout } = await runDaemon(['--help']);
    assert.equal(code, 0);
    for (const option of OPTIONS)
      assert.ok(new RegExp(`\\b${option}\\b`, 'i').test(stdout), option);
    for (const word of [
      '8080',
      '1048576',
      '8388608',
      'eventhub_secret',
      '--config',
      'check-config',
    ]) {
      assert.ok(stdout.includes(word), word);
    }
  });

  test('--version names the program and a version', async () => {
    const { code, stdout } = await runDaemon(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, /^eventhub \d+\.\d+/);
  });
});

describe('--health', () => {
  const daemon = useDaemon();

  test('is 0 for a daemon that serves', async () => {
    const env = { LISTEN_PORT: String(daemon.port), LISTEN_ADDRESS: '127.0.0.1' };
    const { code, stderr } = await runDaemon(['--health'], env);
    assert.equal(code, 0, stderr);
  });

  test('is 0 where the daemon listens on every address', () =>
    withDaemon({ LISTEN_ADDRESS: '*' }, async (other) => {
      assert.equal((await runDaemon(['--health'], { LISTEN_PORT: String(other.port) })).code, 0);
    }));

  test('is 1 where nobody listens', async () => {
    assert.equal(
      (await runDaemon(['--health'], { LISTEN_PORT: String(await freePort()) })).code,
      1,
    );
  });
});

describe('options come', () => {
  test('from variables in lower case too', async () => {
    const port = String(await freePort());
    const daemon = new Daemon({ prometheus_metric_prefix: 'lower' });
    await daemon.start();
    assert.match((await get(daemon.port, '/metrics')).body, /^lower_worker_count/m);
    await daemon.stop();
    assertRefused(await runDaemon(['--check-config'], { listen_port: `${port}x` }), 'listen_port');
  });

  test('from the file, and the environment wins over it', async () => {
    const path = file(
      'prometheus_metric_prefix = "from_file"\nmax_message_size = 1000\nworker_threads = 7\n',
    );
    const daemon = new Daemon({ WORKER_THREADS: '3' }, { args: ['--config', path] });
    await daemon.start();
    const { body } = await get(daemon.port, '/metrics');
    assert.match(body, /^from_file_worker_count(\{.*\})? 3$/m);
    await daemon.stop();
  });
});

describe('the log', () => {
  test('warns of the public JWT secret, which works', async () => {
    const daemon = new Daemon({ JWT_SECRET: 'eventhub_secret', DISABLE_AUTH: 'false' });
    await daemon.start();
    const token = fullToken({}, { secret: 'eventhub_secret' });
    await (await Client.connect(daemon, { token })).close();
    await daemon.stop();
    assert.match(daemon.stderr, /warn.*(JWT_SECRET|secret)/i);
  });

  test('names the backend and why it was chosen', async () => {
    const daemon = new Daemon();
    await daemon.start();
    await daemon.stop();
    assert.match(daemon.stderr, new RegExp(`${BACKEND}.*BACKEND`));
  });

  test('in json is one object a line', async () => {
    const daemon = new Daemon({ LOG_FORMAT: 'json', LOG_LEVEL: 'trace' });
    await daemon.start();
    const client = await Client.connect(daemon);
    await client.publish('a', '"\n');
    await client.close();
    await daemon.stop();
    assert.ok(lines(daemon.stderr).length > 1);
    for (const line of lines(daemon.stderr)) assert.equal(typeof JSON.parse(line), 'object');
  });

  test('is silent when it is off', async () => {
    const daemon = new Daemon({ LOG_LEVEL: 'off' });
    await daemon.start();
    await daemon.stop();
    assert.equal(daemon.stderr, '');
  });
});
