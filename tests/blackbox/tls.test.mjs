// TLS by Node's own: versions, resumption, ALPN, client certificates, reload; and whoever does not speak it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import tls from 'node:tls';
import { makeAuthority, makeCertificate, makeDirectory } from './lib/certificate.mjs';
import { daemonBinary, runDaemon, useDaemon, withDaemon } from './lib/daemon.mjs';
import { get, readResponse, requestText } from './lib/http.mjs';
import { freePort, runToEnd } from './lib/process.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { eventually, patience, withDeadline } from './lib/wait.mjs';
import { RawWebSocket, text, upgradeRequest } from './lib/websocket.mjs';

const MB = 1 << 20;

/** Shakes hands; the socket, or the error. */
function shake(port, options = {}) {
  return withDeadline(
    new Promise((resolve) => {
      const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => resolve(socket));
      socket.on('error', resolve);
    }),
    'handshake',
  );
}

async function shaken(port, options) {
  const socket = await shake(port, options);
  if (socket instanceof Error) throw socket;
  return socket;
}

const ask = (socket) => {
  socket.write(requestText('GET', '/healthz'));
  return withDeadline(new Promise((resolve, reject) => {
    socket.once('data', (data) => resolve(data.toString()));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  }), 'answer');
};

const assertServes = async (port, options) => {
  const socket = await shaken(port, options);
  assert.match(await ask(socket), /^HTTP\/1\.1 200 /);
  return socket;
};

/** Not served: neither by the handshake nor, as TLS 1.3 allows, right after it. */
async function assertRefused(port, options, reason) {
  const socket = await shake(port, options);
  const error = socket instanceof Error ? socket : await ask(socket).then(() => undefined, (e) => e);
  assert.ok(error, 'it was served');
  assert.match(`${error.code} ${error.message}`, reason);
  if (socket instanceof tls.TLSSocket) socket.destroy();
}

describe('a TLS listener', () => {
  const daemon = useDaemon({}, { tls: true });

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const only = { minVersion: version, maxVersion: version };
    test(`speaks ${version}, and resumes its sessions`, async () => {
      const first = await shaken(daemon.port, only);
      assert.equal(first.getProtocol(), version);
      assert.equal(first.isSessionReused(), false);
      const session = new Promise((resolve) => first.once('session', resolve));
      await ask(first);
      const ticket = version === 'TLSv1.2' ? first.getSession() : await withDeadline(session, 'ticket');
      first.destroy();
      // Whichever worker takes it.
      for (let i = 0; i < 8; i++) {
        const next = await assertServes(daemon.port, { ...only, session: ticket });
        assert.equal(next.isSessionReused(), true);
        next.destroy();
      }
    });
  }

  test('has forward secrecy and authenticated encryption only', async () => {
    const only = { maxVersion: 'TLSv1.2' };
    (await assertServes(daemon.port, { ...only, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' })).destroy();
    for (const ciphers of ['AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES128-SHA256'])
      await assertRefused(daemon.port, { ...only, ciphers }, /handshake.failure|no cipher/i);
  });

  test('refuses TLS 1.1', () =>
    assertRefused(daemon.port, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }, /protocol/i));

  test('agrees on http/1.1, and on nothing else', async () => {
    const socket = await assertServes(daemon.port, { ALPNProtocols: ['h2', 'http/1.1'] });
    assert.equal(socket.alpnProtocol, 'http/1.1');
    socket.destroy();
    (await assertServes(daemon.port)).destroy();
    await assertRefused(daemon.port, { ALPNProtocols: ['h2'] }, /no.application.protocol/i);
  });

  test('carries large messages both ways, in order', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('large');
    const sizes = [1, 16_000, 16_384, 16_385, 200_000, MB - 200];
    for (const size of sizes) await client.publish('large', 'x'.repeat(size));
    for (const { message } of await client.take(sizes.length))
      assert.equal(message.length, sizes.shift());
    await client.close();
  });

  test('tells plain HTTP where it is, and closes on garbage', async () => {
    const before = await refusals(daemon);
    const plain = new RawSocket(net.connect(daemon.port, '127.0.0.1'));
    await plain.write(requestText('GET', '/healthz'));
    const response = await readResponse(plain);
    assert.equal(response.status, 400);
    assert.match(JSON.parse(response.body).error, /https:\/\/ or wss:\/\//);
    await plain.readToEnd();
    for (const bytes of [Buffer.alloc(100, 0xff), Buffer.from('\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00', 'latin1')]) {
      const raw = new RawSocket(net.connect(daemon.port, '127.0.0.1'));
      await raw.write(bytes);
      await raw.readToEnd();
    }
    assert.equal((await refusals(daemon)) - before, 3);
    (await assertServes(daemon.port)).destroy();
  });

  test('says goodbye, and answers one', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(requestText('GET', '/healthz', { Connection: 'close' }));
    await readResponse(raw);
    await raw.readToEnd(); // an error without close_notify
    assert.equal(raw.error, undefined);
    const polite = await assertServes(daemon.port);
    const ended = new Promise((resolve) => polite.once('end', resolve));
    polite.end();
    await withDeadline(ended, 'close_notify');
  });

  test('is found healthy by eventhub health', async () => {
    const { code, stderr } = await runToEnd(daemonBinary(), { args: ['health'], env: { ...daemon.env, ...(await daemon.listenerEnv()) } });
    assert.equal(code, 0, stderr);
  });

  test('counts handshakes and tells when the certificate ends', async () => {
    const [handshakes, ends] = [await daemon.metric('tls_handshakes_total'), await daemon.metric('tls_certificate_expires_seconds')];
    assert.ok(handshakes > 10, `${handshakes} handshakes`);
    assert.ok(Math.abs(ends - Date.now() / 1000 - 2 * 86_400) < 600, `${ends}`);
    assert.match(daemon.stderr, /warn the TLS certificate expires soon expires=\d{4}-/);
  });
});

const refusals = async (daemon) =>
  (await daemon.metrics()).get('eventhub_refused_handshakes_total').samples.find(({ labels }) => labels.reason === 'tls').value;

describe('a handshake', () => {
  const daemon = useDaemon({ HANDSHAKE_TIMEOUT: '1' }, { tls: true });

  test('that does not come, or stops half way, ends with HANDSHAKE_TIMEOUT', async () => {
    const hello = await clientHello();
    for (const bytes of ['', hello.subarray(0, 3), hello.subarray(0, 100), hello]) {
      const start = Date.now();
      const raw = new RawSocket(net.connect(daemon.port, '127.0.0.1'));
      await raw.write(bytes);
      await raw.readToEnd();
      const took = Date.now() - start;
      assert.ok(took > 800 && took < 5000 * patience, `${bytes.length} bytes: ${took} ms`);
    }
  });

  test('may come byte by byte', async () => {
    const [near, far] = await socketPair();
    const tcp = net.connect(daemon.port, '127.0.0.1');
    far.on('data', (data) => {
      for (const byte of data) tcp.write(Buffer.from([byte]));
    });
    tcp.setNoDelay(true);
    tcp.on('data', (data) => far.write(data));
    tcp.on('close', () => far.destroy());
    const socket = tls.connect({ socket: near, rejectUnauthorized: false });
    await withDeadline(once(socket, 'secureConnect'), 'handshake');
    assert.match(await ask(socket), /^HTTP\/1\.1 200 /);
    socket.destroy();
    tcp.destroy();
  });
});

/** The two ends of a connection. */
async function socketPair() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const near = net.connect(server.address().port, '127.0.0.1');
  const [far] = await withDeadline(accepted, 'connection');
  server.close();
  return [near, far];
}

async function clientHello() {
  const [near, far] = await socketPair();
  const socket = tls.connect({ socket: near, rejectUnauthorized: false });
  socket.on('error', () => {});
  const [hello] = await withDeadline(once(far, 'data'), 'ClientHello');
  socket.destroy();
  far.destroy();
  return hello;
}

describe('beside a plain listener', () => {
  test('there is one broker', async () => {
    const { cert, key } = await makeCertificate();
    const port = await freePort();
    const env = { ENABLE_SSL: 'true', SSL_LISTEN_PORT: String(port), SSL_CERTIFICATE: cert, SSL_PRIVATE_KEY: key };
    await withDaemon(env, async (daemon) => {
      const secure = await Client.connect({ url: `wss://127.0.0.1:${port}` });
      const plain = await Client.connect(daemon);
      await secure.subscribe('a');
      await plain.subscribe('a');
      const ids = [await plain.publish('a', 1), await secure.publish('a', 2)];
      for (const client of [secure, plain])
        assert.deepEqual((await client.take(2)).map(({ id }) => id), ids);
      for (const client of [secure, plain]) await client.close();
      const { stderr } = await runDaemon([], { ...env, LISTEN_ADDRESS: '127.0.0.1', LISTEN_PORT: String(await freePort()) });
      assert.match(stderr, new RegExp(`cannot listen on address 127\\.0\\.0\\.1 port ${port}: Address already in use`));
    }, { tls: false });
  });

  test('there need not be one', () =>
    withDaemon({}, async (daemon) => {
      const { port } = daemon;
      assert.match(daemon.stderr, new RegExp(`listening with TLS address=127.0.0.1 port=${port}`));
      assert.equal((await get(port, '/healthz')).status, 200);
    }, { tls: true }));
});

describe('SSL_CA_CERTIFICATE', () => {
  const files = {};
  before(async () => {
    files.ours = await makeAuthority('ours');
    files.other = await makeAuthority('other');
    files.one = await files.ours.sign('one');
    files.middle = await files.ours.sign('middle', { isAuthority: true });
    files.below = await files.ours.sign('below', { through: files.middle });
    files.stranger = await files.other.sign('one');
  });
  const shown = ({ cert, key }, more = '') => ({ cert: readFileSync(cert) + more, key: readFileSync(key) });

  test('lets in who shows a certificate of that CA, and nobody else', async () => {
    const { cert, key } = await makeCertificate();
    const port = await freePort();
    const env = { ENABLE_SSL: 'true', SSL_LISTEN_PORT: String(port), SSL_CERTIFICATE: cert, SSL_PRIVATE_KEY: key, SSL_CA_CERTIFICATE: files.ours.cert };
    await withDaemon(env, async (daemon) => {
      for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const only = { minVersion: version, maxVersion: version };
        await assertRefused(port, only, /certificate.required|handshake.failure|ECONNRESET|closed/i);
        await assertRefused(port, { ...only, ...shown(files.stranger) }, /unknown.ca|ECONNRESET|closed/i);
        (await assertServes(port, { ...only, ...shown(files.one) })).destroy();
        (await assertServes(port, { ...only, ...shown(files.below, readFileSync(files.middle.cert)) })).destroy();
      }
      assert.match(daemon.stderr, /client_certificates=required/);
    }, { tls: false });
  });
});

test('a session of an older client CA is not resumed', async () => {
  const [older, newer] = [await makeAuthority('older'), await makeAuthority('newer')];
  const { cert, key } = await older.sign('one');
  const mine = { cert: readFileSync(cert), key: readFileSync(key) };
  const ca = join(makeDirectory(), 'ca.pem');
  copyFileSync(older.cert, ca);
  // Who asks for readiness has no certificate.
  const port = await freePort();
  const own = await makeCertificate();
  const env = { ENABLE_SSL: 'true', SSL_LISTEN_PORT: String(port), SSL_CERTIFICATE: own.cert, SSL_PRIVATE_KEY: own.key, SSL_CA_CERTIFICATE: ca };
  await withDaemon(env, async (daemon) => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      copyFileSync(older.cert, ca);
      const reload = async (count) => {
        daemon.program.kill('SIGHUP');
        await eventually(() => daemon.stderr.split('certificate expires soon').length > count, 'the reload');
      };
      const seen = daemon.stderr.split('certificate expires soon').length;
      await reload(seen);
      const only = { ...mine, minVersion: version, maxVersion: version };
      const first = await shaken(port, only);
      const told = new Promise((resolve) => first.once('session', resolve));
      await ask(first);
      const session = version === 'TLSv1.2' ? first.getSession() : await withDeadline(told, 'ticket');
      first.destroy();
      const again = await assertServes(port, { ...only, session });
      assert.equal(again.isSessionReused(), true);
      again.destroy();
      copyFileSync(newer.cert, ca);
      await reload(seen + 1);
      await assertRefused(port, { ...only, session }, /unknown.ca|ECONNRESET|closed/i);
    }
  }, { tls: false });
});

describe('a chain', () => {
  test('is shown whole', async () => {
    const root = await makeAuthority('root');
    const middle = await root.sign('middle', { isAuthority: true });
    const { cert, key } = await root.sign('localhost', { through: middle });
    writeFileSync(cert, readFileSync(cert) + readFileSync(middle.cert));
    await withDaemon({}, async ({ port }) => {
      const strict = { rejectUnauthorized: true, ca: readFileSync(root.cert) };
      (await assertServes(port, strict)).destroy();
      const other = await makeCertificate();
      await assertRefused(port, { ...strict, ca: readFileSync(other.cert) }, /UNABLE|SELF_SIGNED/);
    }, { tls: { cert, key } });
  });
});

describe('certificates change', () => {
  const directory = makeDirectory();
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(directory, name));
  let first;
  let second;
  before(async () => {
    [first, second] = [await makeCertificate({ name: 'first' }), await makeCertificate({ name: 'second', days: 300 })];
  });
  const use = (files) => {
    copyFileSync(files.cert, cert);
    copyFileSync(files.key, key);
  };
  const subjectAt = async (port) => {
    const socket = await shaken(port);
    const { CN } = socket.getPeerCertificate().subject;
    socket.destroy();
    return CN;
  };

  test('on SIGHUP, for those who come then; a bad file changes nothing', async () => {
    use(first);
    await withDaemon({}, async (daemon) => {
      const hangUp = async (line) => {
        daemon.program.kill('SIGHUP');
        await eventually(() => line.test(daemon.stderr), `a line like ${line}`);
      };
      const live = await Client.connect(daemon);
      assert.equal(await subjectAt(daemon.port), 'first');
      copyFileSync(second.cert, cert);
      await hangUp(/error SIGHUP: keys and certificates stay as they were reason="SSL_PRIVATE_KEY: .* is not the key of the certificate/);
      assert.equal(await subjectAt(daemon.port), 'first');
      copyFileSync(second.key, key);
      await hangUp(/info TLS certificate loaded expires=/);
      assert.equal(await subjectAt(daemon.port), 'second');
      assert.equal(typeof (await live.result('ping', [])).pong, 'number');
      const ends = await daemon.metric('tls_certificate_expires_seconds');
      assert.ok(ends - Date.now() / 1000 > 299 * 86_400);
      await live.close();
    }, { tls: { cert, key } });
  });

  test('on SIGHUP together with keys of tokens, or neither', async () => {
    use(first);
    const set = join(directory, 'keys.json');
    const k = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64url');
    writeFileSync(set, JSON.stringify({ keys: [{ kty: 'oct', kid: 'a', k }] }));
    await withDaemon({ DISABLE_AUTH: 'false', JWT_JWKS: set }, async (daemon) => {
      use(second);
      writeFileSync(set, '{');
      daemon.program.kill('SIGHUP');
      await eventually(() => /stay as they were reason="JWT_JWKS/.test(daemon.stderr), 'the refusal');
      assert.equal(await subjectAt(daemon.port), 'first');
    }, { tls: { cert, key } });
  });

  test('by themselves with SSL_CERT_AUTO_RELOAD', async () => {
    use(first);
    await withDaemon({ SSL_CERT_AUTO_RELOAD: 'true', SSL_CERT_CHECK_INTERVAL: '1' }, async (daemon) => {
      const warnings = () => daemon.stderr.match(/the old certificate stays/g)?.length ?? 0;
      writeFileSync(cert, 'not yet\n');
      await eventually(() => warnings() === 1, 'a warning');
      assert.equal(await subjectAt(daemon.port), 'first');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assert.equal(warnings(), 1, 'one warning for one change');
      use(second);
      await eventually(async () => (await subjectAt(daemon.port)) === 'second', 'the new certificate');
    }, { tls: { cert, key } });
  });
});

describe('the PROXY protocol', () => {
  const header = 'PROXY TCP4 192.0.2.9 127.0.0.1 4000 443\r\n';
  const send = async (tcp, pieces) => {
    for (const piece of pieces) {
      tcp.write(piece);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    return tcp;
  };
  const open = async (port) => {
    const tcp = net.connect(port, '127.0.0.1').setNoDelay(true);
    await withDeadline(once(tcp, 'connect'), 'connection');
    return tcp;
  };
  const sendOnly = async (port, bytes) => {
    const raw = new RawSocket(await open(port));
    await send(raw.socket, [bytes]);
    raw.end();
    return raw.readToEnd();
  };

  test('stands in front of TLS, where the proxy is trusted', () =>
    withDaemon({ TRUSTED_PROXIES: '127.0.0.1', LOG_LEVEL: 'debug' }, async (daemon) => {
      for (const pieces of [[header], [header.slice(0, 3), header.slice(3, 20), header.slice(20)], []]) {
        const raw = RawSocket.secured(await send(await open(daemon.port), pieces));
        await raw.write(upgradeRequest('/'));
        assert.equal((await readResponse(raw)).status, 101);
        raw.destroy();
      }
      const count = (peer) => daemon.stderr.split(` connected peer=${peer} `).length - 1;
      await eventually(() => count('192.0.2.9') === 2 && count('127.0.0.1') === 1, 'the peers in the log');
      for (const bytes of ['PROXY TCP4 nonsense\r\n', header.slice(0, 10)])
        assert.equal((await sendOnly(daemon.port, bytes)).length, 0);
    }, { tls: true }));

  test('is no TLS from anybody else', () =>
    withDaemon({}, async (daemon) => {
      await sendOnly(daemon.port, header);
      (await assertServes(daemon.port)).destroy();
    }, { tls: true }));
});

describe('a client that reads too slowly', () => {
  test('gets whole messages up to its close with 1013', () =>
    withDaemon({ MAX_SEND_QUEUE: String(2 * MB) }, async (daemon) => {
      const slow = await RawWebSocket.open(daemon.port);
      await slow.send(text(JSON.stringify({ id: 1, jsonrpc: '2.0', method: 'subscribe', params: { topic: 'whole' } })));
      await slow.next();
      slow.raw.pause();
      const publisher = await Client.connect(daemon);
      for (let i = 0; i < 300; i++) await publisher.publish('whole', [i, 'x'.repeat(64_000)]);
      slow.raw.resume();
      let count = 0;
      for (;;) {
        const one = await slow.next();
        if (one.opcode === 8) {
          assert.equal(one.payload.readUInt16BE(0), 1013);
          break;
        }
        assert.equal(JSON.parse(one.payload).result.message[0], count++);
      }
      assert.ok(count > 10 && count < 300, `${count} messages`);
      slow.destroy();
      await publisher.close();
    }, { tls: true }));
});

describe('a start is refused', () => {
  const attempt = async (files) => {
    const env = { LISTEN_ADDRESS: '127.0.0.1', LISTEN_PORT: String(await freePort()), SSL_LISTEN_PORT: String(await freePort()), DISABLE_AUTH: '1', ENABLE_SSL: '1' };
    return runDaemon([], { ...env, ...files });
  };
  const cases = {
    'without the certificate': [({ key }) => ({ SSL_CERTIFICATE: '/nowhere/cert.pem', SSL_PRIVATE_KEY: key }), /SSL_CERTIFICATE: \/nowhere\/cert\.pem cannot be read: No such file/],
    'with another key': [({ cert }, other) => ({ SSL_CERTIFICATE: cert, SSL_PRIVATE_KEY: other.key }), /SSL_PRIVATE_KEY: .* is not the key of the certificate in /],
    'with a key in the place of the certificate': [({ key }) => ({ SSL_CERTIFICATE: key, SSL_PRIVATE_KEY: key }), /SSL_CERTIFICATE: .* holds no certificate in PEM/],
    'with a CA that is none': [({ cert, key }) => ({ SSL_CERTIFICATE: cert, SSL_PRIVATE_KEY: key, SSL_CA_CERTIFICATE: key }), /SSL_CA_CERTIFICATE: .* holds no CA certificate/],
  };
  for (const [name, [make, line]] of Object.entries(cases)) {
    test(name, async () => {
      const { code, stderr } = await attempt(make(await makeCertificate(), await makeCertificate()));
      assert.equal(code, 1);
      assert.match(stderr, line);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    });
  }
});
