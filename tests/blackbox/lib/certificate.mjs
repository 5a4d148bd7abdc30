// Certificates for tests, made by openssl: self-signed ones, a CA and what it signs.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const openssl = (...args) => promisify(execFile)('openssl', args);
const NAMES = 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1';
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

const directories = new Set();
process.on('exit', () => directories.forEach((path) => rmSync(path, { recursive: true, force: true })));

/** A directory that is gone when the process is. */
export function makeDirectory() {
  const path = mkdtempSync(join(tmpdir(), 'eventhub-tls-'));
  directories.add(path);
  return path;
}

/** {cert, key}: paths of a self-signed certificate for this machine. */
export async function makeCertificate({ name = 'localhost', newkey = CURVE, days = 2 } = {}) {
  const directory = makeDirectory();
  const [cert, key] = ['cert.pem', 'key.pem'].map((file) => join(directory, file));
  await openssl('req', '-x509', ...newkey, '-nodes', '-keyout', key, '-out', cert, '-days',
    String(days), '-subj', `/CN=${name}`, '-addext', NAMES);
  return { cert, key };
}

/** A CA, {cert, key}, with sign(name): {cert, key} that it has signed. */
export async function makeAuthority(name) {
  const authority = await makeCertificate({ name });
  const sign = async (subject, { through = authority, isAuthority = false } = {}) => {
    const directory = makeDirectory();
    const [cert, key, request, extensions] = ['cert.pem', 'key.pem', 'request.pem', 'extensions']
      .map((file) => join(directory, file));
    writeFileSync(extensions, `${NAMES}\nbasicConstraints=CA:${isAuthority ? 'TRUE' : 'FALSE'}\n`);
    await openssl('req', ...CURVE, '-nodes', '-keyout', key, '-out', request, '-subj', `/CN=${subject}`);
    await openssl('x509', '-req', '-in', request, '-CA', through.cert, '-CAkey', through.key,
      '-CAcreateserial', '-days', '2', '-out', cert, '-extfile', extensions);
    return { cert, key };
  };
  return { ...authority, sign };
}
