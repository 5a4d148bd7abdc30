// Tokens as a publisher of tokens would make them, and as a forger would.
import { createHmac } from 'node:crypto';
import { SECRET } from './daemon.mjs';

const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export const nowSeconds = () => Math.floor(Date.now() / 1000);

/** A signed token with the claims; `alg` and `secret` make the ones that must not verify. */
export function makeToken(claims, { alg = 'HS256', secret = SECRET, header = {} } = {}) {
  const text = `${encode({ alg, typ: 'JWT', ...header })}.${encode(claims)}`;
  if (!(alg in HASHES)) return `${text}.`;
  return `${text}.${createHmac(HASHES[alg], secret).update(text).digest('base64url')}`;
}

/** May read and write everything. */
export const fullToken = (claims = {}, options) =>
  makeToken({ read: ['#'], write: ['#'], ...claims }, options);
