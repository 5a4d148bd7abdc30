// The commands for clients, run as a shell would run them: what they print, how they end, what they do
// when the broker goes and comes back.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Cluster } from './lib/cluster.mjs';
import { SECRET, daemonBinary, useDaemon, withDaemon } from './lib/daemon.mjs';
import { Program } from './lib/process.mjs';
import { Proxy } from './lib/proxy.mjs';
import { makeDirectory, sharedRedis } from './lib/redis.mjs';
import { Client } from './lib/rpc.mjs';
import { makeToken } from './lib/token.mjs';
import { DEADLINE_MS, eventually, patience } from './lib/wait.mjs';

const OK = 0;
const FAILED = 1;
const USAGE = 2;
const DENIED = 3;
const REJECTED = 4;
const UNKNOWN = 5;
const UNREACHABLE = 6;

const start = (args, { env, input } = {}) => new Program(daemonBinary(), { args, env, input });

/** Runs a command to its end: {code, stdout, stderr}. */
async function run(args, options) {
  const program = start(args, options);
  const { code } = await program.finish(3 * DEADLINE_MS);
  program.assertNoReport();
  return { code, stdout: program.stdout, stderr: program.stderr };
}

async function runOk(args, options) {
  const { code, stdout, stderr } = await run(args, options);
  assert.equal(code, OK, stderr);
  return stdout;
}

describe('eventhub token', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon({ DISABLE_AUTH: 'false' });

  test('makes tokens that a broker with the secret accepts', async () => {
    const token = await runOk(['token', '--secret', SECRET, '--read', 'a/#', '--write', 'a/b,c',
      '--sub', 'alice', '--expires', '1h', '--rlimit', 'c:1/3600']);
    const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
    assert.deepEqual(claims.read, ['a/#']);
    assert.deepEqual(claims.write, ['a/b', 'c']);
    assert.deepEqual(claims.rlimit, [{ topic: 'c', max: 1, interval: 3600 }]);
    assert.ok(Math.abs(claims.exp - Date.now() / 1000 - 3600) < 10);
    const client = await Client.connect(daemon, { token: token.trim() });
    await client.subscribe('a/+');
    await client.publish('a/b', 'x');
    assert.equal((await client.take(1))[0].origin, 'alice');
    await client.error('publish', { topic: 'a/c', message: 'x' });
    client.drop();
  });

  test('takes the secret from a variable, a file or stdin', async () => {
    const path = join(makeDirectory('secret'), 'secret');
    writeFileSync(path, `${SECRET}\n`);
    const usual = ['token', '--read', '#'];
    for (const [args, options] of [
      [[], { env: { JWT_SECRET: SECRET } }],
      [['--secret-file', path], {}],
      [['--secret-file', '-'], { input: SECRET }],
    ]) {
      const token = (await runOk([...usual, ...args], options)).trim();
      (await Client.connect(daemon, { token })).drop();
    }
  });

  test('refuses what a broker would refuse or pass over', async () => {
    for (const [args, words] of [
      [[], /--read or --write/],
      [['--read', 'a/#/b'], /not a valid topic or pattern: a\/#\/b/],
      [['--read', 'a,,b'], /not a valid topic or pattern/],
      [['--read', 'a', '--expires', 'soon'], /not a time/],
      [['--read', 'a', '--rlimit', 'a:1/60'], /needs --sub/],
      [['--read', 'a', '--sub', 'x', '--rlimit', 'a:1'], /FILTER:MAX\/SECONDS/],
      [['--read', 'a', '--sub', 'x', '--rlimit', 'a:1/0'], /FILTER:MAX\/SECONDS/],
      [['--read', 'a', '--secret-file', '/nowhere'], /nowhere/],
      [['--read', 'a', 'b'], /too many arguments/],
      [['--read'], /value is missing/],
      [['--reed', 'a'], /unknown option --reed/],
      [['--read', 'a', '--sub', 'x', '--sub', 'y'], /--sub is given twice/],
    ]) {
      const { code, stdout, stderr } = await run(['token', '--secret', 'x', ...args].filter(
        (one, i, all) => !(all.includes('--secret-file') && (i === 1 || i === 2)),
      ));
      assert.equal(code, USAGE, args.join(' '));
      assert.equal(stdout, '');
      assert.match(stderr, words);
      assert.equal(stderr.split('\n').length, 2, 'one line');
    }
    const { code, stderr } = await run(['token', '--read', 'a']);
    assert.equal(code, USAGE);
    assert.match(stderr, /JWT_SECRET/);
  });
});

describe('eventhub pub', { timeout: 120_000 * patience }, () => {
  const daemon = useDaemon();
  const url = () => daemon.url;

  test('publishes a message', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('#');
    const id = await runOk(['pub', url(), 'a', 'hello\nworld', '--verbose']);
    const [seen] = await client.take(1);
    assert.deepEqual([`${seen.id}\n`, seen.message], [id, 'hello\nworld']);
    await runOk(['pub', `127.0.0.1:${daemon.port}`, 'a', '--json', ' {"a": [1]} ', '--ttl', '9']);
    await runOk(['pub', url().replace('ws:', 'http:'), 'a', '--', '--dashes']);
    await runOk(['pub', `${url()}/some/path?query=1`, 'a', 'x']);
    const messages = (await client.take(3)).map(({ message }) => message);
    assert.deepEqual(messages, [{ a: [1] }, '--dashes', 'x']);
    client.drop();
  });

  test('publishes lines of stdin, all of them in order', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('lines');
    const lines = Array.from({ length: 10_000 }, (_, i) => `line ${i} ü`);
    await runOk(['pub', url(), 'lines'], { input: `${lines.join('\n')}\n\n\r\nlast` });
    const seen = (await client.take(10_001)).map(({ message }) => message);
    assert.deepEqual(seen, [...lines, 'last']);
    client.drop();
  });

  test('publishes a line as soon as it is there', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('tail');
    const program = start(['pub', url(), 'tail', '-'], { input: null });
    for (let i = 0; i < 3; i++) {
      program.child.stdin.write(`${i}\n`);
      assert.equal((await client.take(1))[0].message, String(i));
    }
    program.child.stdin.end();
    assert.equal((await program.finish()).code, OK);
    client.drop();
  });

  test('shows progress where that is asked for', async () => {
    const { code, stderr } = await run(['pub', url(), 'a', '--progress'], { input: 'x\n'.repeat(2000) });
    assert.equal(code, OK);
    assert.match(stderr, /2000 published, \d+\/s\n$/);
    const quiet = await run(['pub', url(), 'a'], { input: 'x\n'.repeat(2000) });
    assert.equal(quiet.stderr, '');
  });

  test('tells which lines were not published', async () => {
    const input = '1\n{\nnull\n""\n"ok"\n';
    const { code, stderr } = await run(['pub', url(), 'a', '--json'], { input });
    assert.equal(code, REJECTED);
    assert.deepEqual(
      [...stderr.matchAll(/line (\d+):/g)].map(([, line]) => line),
      ['2', '3', '4'],
    );
    const bad = await run(['pub', url(), 'a'], { input: Buffer.from([0x61, 0x0a, 0xff, 0x0a]) });
    assert.equal(bad.code, REJECTED);
    assert.match(bad.stderr, /line 2: not UTF-8/);
  });

  test('tells why it cannot', async () => {
    for (const [args, code, words] of [
      [['pub'], USAGE, /usage: eventhub pub URL TOPIC/],
      [['pub', 'nonsense://x', 'a', 'x'], USAGE, /not a URL/],
      [['pub', url(), 'a', ''], USAGE, /message is empty/],
      [['pub', url(), 'a', 'x', '--ttl', 'long'], USAGE, /--ttl/],
      [['pub', url(), 'a/#', 'x'], DENIED, /Invalid topic in request: a\/#/],
      [['pub', '127.0.0.1:1', 'a', 'x'], UNREACHABLE, /Connection refused/],
      [['pub', 'no-such-host.invalid', 'a', 'x'], UNREACHABLE, /no-such-host\.invalid/],
      [['pub', url().replace('ws:', 'wss:'), 'a', 'x'], UNREACHABLE, /TLS/],
    ]) {
      const result = await run(args);
      assert.equal(result.code, code, `${args}: ${result.stderr}`);
      assert.match(result.stderr, words);
    }
  });

  test('tells of rights and limits', () =>
    withDaemon({ DISABLE_AUTH: 'false' }, async (strict) => {
      const token = makeToken({
        sub: 'x',
        write: ['a', 'b'],
        rlimit: [{ topic: 'b', interval: 3600, max: 2 }],
      });
      const args = (topic, ...more) => ['pub', strict.url, topic, ...more];
      assert.equal((await run(args('a', 'x'))).code, DENIED);
      assert.equal((await run(args('a', 'x', '--token', 'bad'))).code, DENIED);
      const env = { EVENTHUB_TOKEN: token };
      assert.equal((await run(args('a', 'x'), { env })).code, OK);
      const denied = await run(args('c'), { env, input: '1\n2\n3\n' });
      assert.equal(denied.code, DENIED);
      assert.match(denied.stderr, /line 1: Insufficient access to topic: c/);
      const limited = await run(args('b'), { env, input: '1\n2\n3\n4\n5\n6\n' });
      assert.equal(limited.code, REJECTED);
      assert.match(limited.stderr, /line 6: not published: the rate limit/);
    }));

  test('says so when nobody knows whether a message was published', async () => {
    const proxy = await Proxy.start(daemon.port);
    const program = start(['pub', proxy.url, 'lost'], { input: null });
    program.child.stdin.write('1\n');
    const client = await Client.connect(daemon);
    await eventually(
      async () => (await client.eventlog('lost', { since: -60_000 })).items.length === 1,
      'first message',
    );
    proxy.mute(); // answers are lost from here on
    program.child.stdin.write('2\n');
    await eventually(
      async () => (await client.eventlog('lost', { since: -60_000 })).items.length === 2,
      'second message',
    );
    proxy.down();
    const { code } = await program.finish();
    assert.equal(code, UNKNOWN);
    assert.match(program.stderr, /1 messages were sent and not acknowledged/);
    client.drop();
    await proxy.stop();
  });

  test('goes on when nothing is in doubt, or when it may send twice', async () => {
    for (const args of [[], ['--retry']]) {
      const proxy = await Proxy.start(daemon.port);
      const topic = `again${args.length}`;
      const program = start(['pub', proxy.url, topic, ...args], { input: null });
      const client = await Client.connect(daemon);
      await client.subscribe(topic);
      program.child.stdin.write('1\n');
      await client.take(1);
      // The acknowledgement is on its way as well.
      await new Promise((resolve) => setTimeout(resolve, 200));
      if (args.length) {
        proxy.mute();
        program.child.stdin.write('2\n');
        await client.take(1);
      }
      proxy.down();
      proxy.up();
      await eventually(() => /connected again/.test(program.stderr), 'new connection');
      program.child.stdin.write('3\n');
      program.child.stdin.end();
      assert.equal((await program.finish()).code, OK, program.stderr);
      const seen = (await client.take(args.length ? 2 : 1)).map(({ message }) => message);
      assert.deepEqual(seen, args.length ? ['2', '3'] : ['3']);
      client.drop();
      await proxy.stop();
    }
  });
});

describe('eventhub sub', { timeout: 240_000 * patience }, () => {
  const daemon = useDaemon();

  /** A subscriber that is known to listen. */
  const listen = async (args, topic) => {
    const program = start(['sub', ...args]);
    await eventually(async () => (await daemon.metric('subscriptions')) > 0, `${topic} to listen`);
    return program;
  };

  test('prints messages, and ends when it is told to', async () => {
    const client = await Client.connect(daemon);
    const program = await listen([daemon.url, 'a/#'], 'a');
    await client.publish('a/b', 'text ü\nof two lines');
    await client.publish('a', { x: ['y z', 1] });
    await eventually(() => program.stdout.split('\n').length === 4, 'lines');
    assert.equal(program.stdout, 'text ü\nof two lines\n{"x":["y z",1]}\n');
    await program.stop('SIGINT');
    client.drop();
  });

  test('prints items as JSON, history first, as many as are wanted', async () => {
    const client = await Client.connect(daemon);
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push(await client.publish('h/a', `m${i}`));
    const sub = async (...args) => {
      const out = await runOk(['sub', daemon.url, 'h/+', '--json', ...args]);
      return out.trim().split('\n').map((line) => JSON.parse(line));
    };
    const all = ids.map((id, i) => ({ id, message: `m${i}`, topic: 'h/a' }));
    assert.deepEqual(await sub('--since', '1m', '--count', '5'), all);
    assert.deepEqual(await sub('--since', ids[2], '--count', '2'), all.slice(3));
    assert.deepEqual(await sub('--since', ids[0].split('-')[0], '--count', '3'), all.slice(0, 3));
    const limited = await run(['sub', daemon.url, 'h/a', '--since', '1m', '--limit', '2', '--count', '2']);
    assert.equal(limited.stdout, 'm3\nm4\n');
    assert.match(limited.stderr, /not all of the history/);
    client.drop();
  });

  test('ends at its time', async () => {
    assert.equal((await run(['sub', daemon.url, 'quiet', '--timeout', '1s'])).code, OK);
    const { code } = await run(['sub', daemon.url, 'quiet', '--timeout', '1s', '--count', '1']);
    assert.equal(code, FAILED);
  });

  test('ends quietly when nobody reads any more', async () => {
    const client = await Client.connect(daemon);
    for (let i = 0; i < 50; i++) await client.publish('pipe', `m${i}`);
    const command = `"${daemonBinary()}" sub ${daemon.url} pipe --since 1m | head -n 3; echo "\${PIPESTATUS[0]}"`;
    const interval = setInterval(() => client.publish('pipe', 'more').catch(() => {}), 50);
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', command], { env: process.env });
    clearInterval(interval);
    assert.equal(stdout, 'm0\nm1\nm2\n0\n');
    assert.equal(stderr, '');
    client.drop();
  });

  test('tells why it cannot', async () => {
    for (const [args, code, words] of [
      [[daemon.url], USAGE, /too few arguments/],
      [[daemon.url, 'a/#/b'], USAGE, /not a valid topic or pattern/],
      [[daemon.url, 'a', '--since', 'ever'], USAGE, /--since/],
      [[daemon.url, 'a', '--count', 'x'], USAGE, /--count/],
      [['127.0.0.1:1', 'a'], UNREACHABLE, /Connection refused/],
    ]) {
      const result = await run(['sub', ...args]);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, words);
    }
    await withDaemon({ DISABLE_AUTH: 'false' }, async (strict) => {
      const env = { EVENTHUB_TOKEN: makeToken({ read: ['a'] }) };
      const denied = await run(['sub', strict.url, 'b'], { env });
      assert.equal(denied.code, DENIED);
      assert.match(denied.stderr, /You are not allowed to subscribe to topic: b/);
    });
  });

  test('goes on where it was when the broker is started again, each message once', async () => {
    const redis = await sharedRedis();
    const cluster = await new Cluster(redis, 2).start();
    const [first, second] = cluster.nodes;
    const client = await Client.connect(second);
    const programs = [];
    try {
      for (const filter of ['shop/#', 'shop/1']) {
        programs.push(start(['sub', first.url, filter, '--json']));
      }
      await eventually(async () => (await first.metric('subscriptions')) === 2, 'subscriptions');
      const sent = [];
      const publish = async (count) => {
        for (let i = 0; i < count; i++) {
          const topic = `shop/${sent.length % 3}`;
          const message = sent.length;
          sent.push({ id: await client.publish(topic, message), message, topic });
        }
      };
      await publish(30);
      const { port } = first;
      await first.stop();
      await publish(30);
      await first.start(port);
      await publish(30);
      await eventually(async () => (await first.metric('subscriptions')) === 2, 'subscriptions');
      first.program.kill();
      await first.program.exited;
      await publish(30);
      await first.start(port);
      await eventually(async () => (await first.metric('subscriptions')) === 2, 'subscriptions', {
        ms: 3 * DEADLINE_MS,
      });
      await publish(30);
      const lines = (program) => program.stdout.trim().split('\n').map((line) => JSON.parse(line));
      const expected = [sent, sent.filter(({ topic }) => topic === 'shop/1')];
      for (const [i, program] of programs.entries()) {
        await eventually(() => lines(program).length >= expected[i].length, 'all messages', {
          ms: 3 * DEADLINE_MS,
        });
        const seen = lines(program);
        const byTopic = (all, one) => all.filter(({ topic }) => topic === one);
        for (const topic of ['shop/0', 'shop/1', 'shop/2']) {
          assert.deepEqual(byTopic(seen, topic), byTopic(expected[i], topic));
        }
        assert.equal(seen.length, expected[i].length);
        await program.stop();
      }
    } finally {
      for (const program of programs) program.kill();
      client.drop();
      await cluster.kill();
    }
  });
});

describe('eventhub over TLS', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon();

  test('trusts whom it is told to', async () => {
    const directory = makeDirectory('tls');
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
    await promisify(execFile)('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt',
      'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj',
      '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']);
    const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => {
      const plain = connect(daemon.port, '127.0.0.1');
      socket.pipe(plain).pipe(socket);
      for (const one of [socket, plain]) one.on('error', () => one.destroy());
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    for (const host of ['127.0.0.1', 'localhost']) {
      const url = `wss://${host}:${port}`;
      const refused = await run(['pub', url, 'tls', 'x']);
      assert.equal(refused.code, DENIED);
      assert.match(refused.stderr, /certificate is not trusted.*--ca/);
      await runOk(['pub', url, 'tls', 'x', '--ca', cert]);
      await runOk(['pub', url, 'tls', '--ca', cert], { input: `${'y'.repeat(300_000)}\n` });
      await runOk(['pub', url, 'tls', 'x', '--insecure']);
    }
    const seen = await runOk(['sub', `wss://localhost:${port}`, 'tls', '--since', '1m', '--ca', cert,
      '--count', '6']);
    assert.equal(seen.length, 2 * (2 + 300_001 + 2));
    server.close();
  });
});

describe('eventhub tells about itself', () => {
  test('by --help of each command', async () => {
    const all = await runOk(['--help']);
    for (const name of ['pub', 'sub', 'token', 'completion']) {
      assert.match(all, new RegExp(`^  ${name} `, 'm'));
      const text = await runOk([name, '--help']);
      assert.match(text, new RegExp(`^Usage: eventhub ${name} `));
      assert.equal(await runOk(['help', name]), text);
    }
  });

  test('and to bash', async () => {
    const script = `source <("$0" completion bash)
      complete_it() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _eventhub; echo "\${COMPREPLY[*]}"; }
      complete_it eventhub ""
      complete_it eventhub p
      complete_it eventhub token --re
      complete_it eventhub sub url topic --
      complete_it eventhub help t`;
    const { stdout } = await promisify(execFile)('bash', ['-c', script, daemonBinary()]);
    const [commands, p, token, sub, help] = stdout.split('\n');
    for (const name of ['serve', 'pub', 'sub', 'token', 'health']) {
      assert.ok(commands.split(' ').includes(name), commands);
    }
    assert.equal(p, 'pub');
    assert.equal(token, '--read');
    assert.deepEqual(
      new Set(sub.split(' ')),
      new Set(['--token', '--token-file', '--ca', '--insecure', '--since', '--limit', '--json',
        '--count', '--timeout', '--help']),
    );
    assert.equal(help, 'token');
    assert.equal((await run(['completion', 'fish'])).code, USAGE);
  });
});
