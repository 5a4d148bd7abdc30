// Plain HTTP as bytes, so that nothing a library would mend or refuse stays untested.
import assert from 'node:assert/strict';
import { RawSocket } from './socket.mjs';

const HEAD_END = '\r\n\r\n';

/** {status, headers, head, length} once the head is complete; header names in lower case. */
export function parseHead(bytes) {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const [line, ...fields] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const match = /^HTTP\/1\.1 (\d{3})( [ -~]*)?$/.exec(line);
  assert.ok(match, `status line ${JSON.stringify(line)}`);
  const headers = {};
  for (const field of fields) {
    const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(field);
    assert.ok(parts, `header line ${JSON.stringify(field)}`);
    const name = parts[1].toLowerCase();
    headers[name] = name in headers ? `${headers[name]}, ${parts[2]}` : parts[2];
  }
  return { status: Number(match[1]), headers, length: end + HEAD_END.length };
}

function bodyLength(response, method) {
  if (method === 'HEAD' || response.status === 204 || response.status < 200) return 0;
  const length = response.headers['content-length'];
  assert.match(length ?? '', /^\d+$/, 'content-length of a response with a body');
  return Number(length);
}

/** Takes one whole response off the socket. */
export async function readResponse(raw, method = 'GET') {
  return raw.read(() => {
    const response = parseHead(raw.bytes);
    if (!response) return undefined;
    const length = bodyLength(response, method);
    if (raw.bytes.length < response.length + length) return undefined;
    raw.take(response.length);
    return { ...response, body: raw.take(length).toString('utf8') };
  }, 'whole HTTP response');
}

/** A header may have a list of values, one line each; one given as undefined is left out. */
export function requestText(method, path, headers = {}) {
  const all = Object.entries({ Host: 'localhost', ...headers });
  const lines = all
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** One request on a connection of its own. */
export async function request(port, method, path, { host, headers } = {}) {
  const raw = await RawSocket.connect(port, host);
  try {
    await raw.write(requestText(method, path, { Connection: 'close', ...headers }));
    return await readResponse(raw, method);
  } finally {
    raw.destroy();
  }
}

export function get(port, path, options) {
  return request(port, 'GET', path, options);
}

/** Sends any bytes and returns the response and what happened to the connection. */
export async function exchange(port, bytes) {
  const raw = await RawSocket.connect(port);
  try {
    await raw.write(bytes);
    const response = await readResponse(raw);
    const rest = await raw.readToEnd();
    return { ...response, rest };
  } finally {
    raw.destroy();
  }
}

/** The shape of every refusal: the status, {"error": sentence}, and the connection ends. */
export function assertRefusal(response, status) {
  assert.equal(response.status, status, response.body);
  assert.match(response.headers['content-type'] ?? '', /^application\/json\b/);
  const body = JSON.parse(response.body);
  assert.equal(typeof body.error, 'string');
  assert.ok(body.error.length > 0, 'an error sentence');
  assert.equal(response.rest?.length ?? 0, 0, 'bytes after the refusal');
}
