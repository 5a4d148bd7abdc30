// Tokens that are signed with a key of their maker and checked with its public half: by Node's crypto,
// for every algorithm; files of keys, their change while the broker runs, and forgeries.
import assert from 'node:assert/strict';
import { constants, createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Daemon, runDaemon } from './lib/daemon.mjs';
import { assertRefusal, exchange } from './lib/http.mjs';
import { makeToken } from './lib/token.mjs';
import { eventually } from './lib/wait.mjs';
import { RawWebSocket, upgradeRequest } from './lib/websocket.mjs';

const root = mkdtempSync(join(tmpdir(), 'eventhub-keys-'));
after(() => rmSync(root, { recursive: true, force: true }));

let files = 0;
function write(text) {
  const path = join(root, `file-${files++}`);
  writeFileSync(path, text);
  return path;
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
const IEEE = { dsaEncoding: 'ieee-p1363' };
const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = (namedCurve) => () => generateKeyPairSync('ec', { namedCurve });

const ALGORITHMS = {
  RS256: { make: rsa, digest: 'sha256' },
  RS384: { make: rsa, digest: 'sha384' },
  RS512: { make: rsa, digest: 'sha512' },
  PS256: { make: rsa, digest: 'sha256', options: PSS },
  PS384: { make: rsa, digest: 'sha384', options: PSS },
  PS512: { make: rsa, digest: 'sha512', options: PSS },
  ES256: { make: ec('P-256'), digest: 'sha256', options: IEEE },
  ES384: { make: ec('P-384'), digest: 'sha384', options: IEEE },
  ES512: { make: ec('P-521'), digest: 'sha512', options: IEEE },
  EdDSA: { make: () => generateKeyPairSync('ed25519'), digest: null },
};

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const CLAIMS = { read: ['#'], write: ['#'] };

function makeSigned(alg, privateKey, { header = {}, claims = CLAIMS } = {}) {
  const { digest, options = {} } = ALGORITHMS[alg];
  const text = `${encode({ alg, typ: 'JWT', ...header })}.${encode(claims)}`;
  return `${text}.${sign(digest, Buffer.from(text), { key: privateKey, ...options }).toString('base64url')}`;
}

const pem = (key) => key.export({ type: 'spki', format: 'pem' });
const jwk = (key, more = {}) => ({ ...key.export({ format: 'jwk' }), ...more });
const writeSet = (...keys) => write(JSON.stringify({ keys }));

async function withDaemon(env, run) {
  const daemon = await new Daemon({ DISABLE_AUTH: 'false', ...env }).start();
  try {
    await run(daemon);
  } finally {
    await daemon.stop();
  }
}

const open = async (daemon, token) => (await RawWebSocket.open(daemon.port, { headers: { Authorization: token } })).close();
const assertNoEntry = async (daemon, token) =>
  assertRefusal(await exchange(daemon.port, upgradeRequest('/', { Authorization: token })), 401);

describe('tokens signed with', () => {
  for (const [alg, { make }] of Object.entries(ALGORITHMS)) {
    test(`${alg}: by a PEM file and by a JWK set`, async () => {
      const [ours, strange] = [make(), make()];
      const token = makeSigned(alg, ours.privateKey);
      const withId = makeSigned(alg, ours.privateKey, { header: { kid: 'now' } });
      const other = Object.keys(ALGORITHMS).find((name) => name !== alg && ALGORITHMS[name].make === make);
      await withDaemon({ JWT_ALGORITHM: alg, JWT_PUBLIC_KEY: write(pem(ours.publicKey)) }, async (daemon) => {
        await open(daemon, token);
        await open(daemon, withId);
        await assertNoEntry(daemon, makeSigned(alg, strange.privateKey));
        await assertNoEntry(daemon, token.slice(0, -4));
        await assertNoEntry(daemon, `${token}AAAA`);
        await assertNoEntry(daemon, `${token.split('.').slice(0, 2).join('.')}.`);
        await assertNoEntry(daemon, makeToken(CLAIMS, { alg: 'none' }));
        await assertNoEntry(daemon, makeToken(CLAIMS, { alg: 'HS256' }));
        // The public key, which everybody may know, as the secret of an HMAC.
        await assertNoEntry(daemon, makeToken(CLAIMS, { secret: pem(ours.publicKey) }));
        const text = `${encode({ alg, typ: 'JWT' })}.${encode(CLAIMS)}`;
        const hmac = createHmac('sha256', pem(ours.publicKey)).update(text).digest('base64url');
        await assertNoEntry(daemon, `${text}.${hmac}`);
        if (other) await assertNoEntry(daemon, makeSigned(other, ours.privateKey));
        assert.doesNotMatch(daemon.stderr, /public default/);
        assert.ok(!daemon.stderr.includes(token.slice(-20)));
      });
      const set = writeSet(jwk(strange.publicKey, { kid: 'before', use: 'sig' }), jwk(ours.publicKey, { kid: 'now', alg }));
      await withDaemon({ JWT_ALGORITHM: alg, JWT_JWKS: set }, async (daemon) => {
        await open(daemon, withId);
        await open(daemon, makeSigned(alg, strange.privateKey, { header: { kid: 'before' } }));
        await assertNoEntry(daemon, token); // which of them?
        await assertNoEntry(daemon, makeSigned(alg, ours.privateKey, { header: { kid: 'before' } }));
        await assertNoEntry(daemon, makeSigned(alg, ours.privateKey, { header: { kid: 'unknown' } }));
      });
    });
  }

  for (const alg of ['HS384', 'HS512']) {
    test(`${alg}: by the secret, and by secrets of a JWK set`, async () => {
      await withDaemon({ JWT_ALGORITHM: alg }, async (daemon) => {
        await open(daemon, makeToken(CLAIMS, { alg }));
        await assertNoEntry(daemon, makeToken(CLAIMS, { alg: 'HS256' }));
      });
      const k = Buffer.from('of the set').toString('base64url');
      await withDaemon({ JWT_ALGORITHM: alg, JWT_JWKS: writeSet({ kty: 'oct', kid: 'a', k }) }, async (daemon) => {
        await open(daemon, makeToken(CLAIMS, { alg, secret: 'of the set', header: { kid: 'a' } }));
        await assertNoEntry(daemon, makeToken(CLAIMS, { alg })); // JWT_SECRET is none any more
      });
    });
  }
});

describe('a file of keys', () => {
  const [first, second] = [ALGORITHMS.ES256.make(), ALGORITHMS.ES256.make()];
  const tokenOf = (pair, kid) => makeSigned('ES256', pair.privateKey, { header: { kid } });

  test('is read again on SIGHUP: all of it, or nothing', async () => {
    const set = writeSet(jwk(first.publicKey, { kid: 'first' }));
    await withDaemon({ JWT_ALGORITHM: 'ES256', JWT_JWKS: set }, async (daemon) => {
      const reload = async (text, line) => {
        writeFileSync(set, text);
        process.kill(daemon.pid, 'SIGHUP');
        await eventually(() => line.test(daemon.stderr), `a line like ${line}`);
      };
      const live = await RawWebSocket.open(daemon.port, { headers: { Authorization: tokenOf(first, 'first') } });
      await assertNoEntry(daemon, tokenOf(second, 'second'));
      await reload(JSON.stringify({ keys: [jwk(second.publicKey, { kid: 'second' }), jwk(first.publicKey, { kid: 'first' })] }), /reloaded.*keys=2/);
      await open(daemon, tokenOf(first, 'first'));
      await open(daemon, tokenOf(second, 'second'));
      await reload('{"keys": [', /stay as they were.*is no JWK set/);
      await open(daemon, tokenOf(first, 'first'));
      await reload(JSON.stringify({ keys: [jwk(second.publicKey, { kid: 'second' })] }), /reloaded.*keys=1/);
      await assertNoEntry(daemon, tokenOf(first, 'first'));
      await open(daemon, tokenOf(second, 'second'));
      await live.close();
    });
  });

  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const bitcoin = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  const refused = {
    'a public key that is missing': [{ JWT_ALGORITHM: 'RS256' }, /JWT_ALGORITHM=RS256 needs a public key; set JWT_PUBLIC_KEY or JWT_JWKS/],
    'a file that is missing': [{ JWT_ALGORITHM: 'RS256', JWT_PUBLIC_KEY: '/nowhere/key.pem' }, /JWT_PUBLIC_KEY: \/nowhere\/key\.pem cannot be read: No such file/],
    'a private key in the place of a public one': [{ JWT_ALGORITHM: 'ES256', JWT_PUBLIC_KEY: write(first.privateKey.export({ type: 'pkcs8', format: 'pem' })) }, /has no public key in PEM/],
    'a key of another kind': [{ JWT_ALGORITHM: 'RS256', JWT_PUBLIC_KEY: write(pem(first.publicKey)) }, /has no RSA key/],
    'a key on another curve': [{ JWT_ALGORITHM: 'ES384', JWT_PUBLIC_KEY: write(pem(first.publicKey)) }, /P-384 for ES384/],
    'a key on a curve of the same length': [{ JWT_ALGORITHM: 'ES256', JWT_PUBLIC_KEY: write(pem(bitcoin.publicKey)) }, /P-256 for ES256/],
    'a short key': [{ JWT_ALGORITHM: 'RS256', JWT_PUBLIC_KEY: write(pem(small.publicKey)) }, /less than 2048 bits/],
    'a short key in a set': [{ JWT_ALGORITHM: 'PS256', JWT_JWKS: writeSet(jwk(small.publicKey)) }, /JWT_JWKS: .*less than 2048 bits/],
    'a set without such a key': [{ JWT_ALGORITHM: 'EdDSA', JWT_JWKS: writeSet(jwk(first.publicKey)) }, /has no key for EdDSA/],
    'a public key beside a secret': [{ JWT_PUBLIC_KEY: write(pem(first.publicKey)) }, /JWT_ALGORITHM=HS256 checks with a secret; set JWT_ALGORITHM/],
    'both files': [{ JWT_ALGORITHM: 'ES256', JWT_PUBLIC_KEY: '/a', JWT_JWKS: '/b' }, /JWT_PUBLIC_KEY and JWT_JWKS are both set/],
    'a key in PEM as the secret': [{ JWT_SECRET: pem(first.publicKey).trim() }, /JWT_SECRET is a key in PEM/],
  };
  for (const [name, [env, words]] of Object.entries(refused)) {
    test(`is refused at the start: ${name}`, async () => {
      const { code, stderr } = await runDaemon([], { JWT_SECRET: 'own', LISTEN_ADDRESS: '127.0.0.1', LISTEN_PORT: '1', LOG_LEVEL: 'error', ...env });
      assert.equal(code, 1, stderr);
      assert.match(stderr, words);
      assert.equal(stderr.trim().split('\n').length, 1, stderr);
    });
  }
});
