// HTTP/1.1 as a server must speak it: connections that are kept, requests that follow each other,
// bodies in every form, and nothing that two readers could understand in two ways.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { assertRefusal, exchange, parseHead, readResponse, requestText } from './lib/http.mjs';
import { Client } from './lib/rpc.mjs';
import { RawSocket } from './lib/socket.mjs';
import { patience } from './lib/wait.mjs';

const post = (path, body, headers = {}) =>
  requestText('POST', path, { 'Content-Length': Buffer.byteLength(body), ...headers }) + body;
const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const chunked = (path, ...pieces) =>
  `${requestText('POST', path, { 'Transfer-Encoding': 'chunked' })}${pieces.map(chunk).join('')}0\r\n\r\n`;

describe('HTTP connections', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon({ MAX_MESSAGE_SIZE: '100000' });

  test('are kept for any number of requests', async () => {
    const raw = await RawSocket.connect(daemon.port);
    for (let i = 0; i < 50; i++) {
      await raw.write(i % 2 ? post('/a', `message ${i}`) : requestText('GET', '/healthz'));
      const response = await readResponse(raw);
      assert.equal(response.status, 200);
      assert.equal(response.headers.connection, 'keep-alive');
    }
    raw.destroy();
  });

  test('take requests that do not wait for answers, and answer in order', async () => {
    const raw = await RawSocket.connect(daemon.port);
    const requests = [];
    for (let i = 0; i < 300; i++) {
      if (i % 3 === 0) requests.push(requestText('GET', '/healthz'));
      else if (i % 3 === 1) requests.push(post(`/t${i}`, `message ${i}`));
      else requests.push(chunked(`/t${i}`, 'one', 'two'));
    }
    await raw.write(requests.join(''));
    for (let i = 0; i < 300; i++) {
      const { status, body } = await readResponse(raw);
      assert.equal(status, 200);
      const answer = JSON.parse(body);
      assert.equal(i % 3 === 0 ? answer.status : answer.topic, i % 3 === 0 ? 'ok' : `t${i}`);
    }
    raw.destroy();
  });

  test('may bring a handshake behind plain requests', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(
      post('/a', 'x') +
        requestText('GET', '/', {
          Upgrade: 'websocket',
          Connection: 'Upgrade',
          'Sec-WebSocket-Version': '13',
          'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        }),
    );
    assert.equal((await readResponse(raw)).status, 200);
    const head = await raw.read(() => parseHead(raw.bytes), 'answer to the handshake');
    assert.equal(head.status, 101);
    raw.destroy();
  });

  test('give whoever has sent all and hung up the answer', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(post('/a', 'x') + post('/b', 'y'));
    raw.end();
    assert.equal(JSON.parse((await readResponse(raw)).body).topic, 'a');
    assert.equal(JSON.parse((await readResponse(raw)).body).topic, 'b');
    assert.equal((await raw.readToEnd()).length, 0);
  });

  test('may be dropped at any moment', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('dropped');
    const text = post('/dropped', 'x'.repeat(200));
    for (let cut = 1; cut < text.length; cut += 13) {
      const raw = await RawSocket.connect(daemon.port);
      await raw.write(text.slice(0, cut));
      if (cut % 2) raw.reset();
      else raw.destroy();
    }
    await client.publish('dropped', 'after');
    assert.equal((await client.take(1))[0].message, 'after');
    client.drop();
  });

  test('are asked for what HEAD tells without sending it', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(requestText('HEAD', '/healthz') + requestText('GET', '/healthz'));
    const head = await readResponse(raw, 'HEAD');
    const get = await readResponse(raw);
    assert.equal(head.headers['content-length'], get.headers['content-length']);
    assert.equal(get.body, '{"status":"ok"}');
    raw.destroy();
  });
});

describe('HTTP bodies', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon({ MAX_MESSAGE_SIZE: '100000' });

  test('may come byte by byte', async () => {
    for (const text of [post('/a', 'hello'), chunked('/a', 'hel', 'lo')]) {
      const raw = await RawSocket.connect(daemon.port);
      for (const byte of text) await raw.write(byte);
      assert.equal((await readResponse(raw)).status, 200);
      raw.destroy();
    }
  });

  test('may have chunks of any size, extensions and trailers', async () => {
    const client = await Client.connect(daemon);
    await client.subscribe('chunks');
    const head = requestText('POST', '/chunks', { 'Transfer-Encoding': 'Chunked' });
    const one = chunk('x').repeat(5000);
    for (const [body, message] of [
      [`${one}0\r\n\r\n`, 'x'.repeat(5000)],
      ['05;a=b;c="d"\r\nhello\r\n0;e\r\nTrailer: x\r\nOther:\r\n\r\n', 'hello'],
      ['A\r\n0123456789\r\n00\r\n\r\n', '0123456789'],
    ]) {
      const raw = await RawSocket.connect(daemon.port);
      await raw.write(head + body + requestText('GET', '/healthz'));
      assert.equal((await readResponse(raw)).status, 200);
      assert.equal((await readResponse(raw)).body, '{"status":"ok"}');
      assert.equal((await client.take(1))[0].message, message);
      raw.destroy();
    }
    client.drop();
  });

  test('are as large as a message may be, and no larger', async () => {
    const raw = await RawSocket.connect(daemon.port);
    await raw.write(post('/a', 'x'.repeat(100_000)));
    assert.equal((await readResponse(raw)).status, 200);
    await raw.write(chunked('/a', 'x'.repeat(60_000), 'x'.repeat(40_000)));
    assert.equal((await readResponse(raw)).status, 200);
    raw.destroy();
    // The length alone is enough to know; of chunks the sum.
    const announced = requestText('POST', '/a', { 'Content-Length': '100001' });
    assertRefusal(await exchange(daemon.port, announced), 413);
    const huge = requestText('POST', '/a', { 'Content-Length': '9223372036854775807' });
    assertRefusal(await exchange(daemon.port, huge), 413);
    const sum = chunked('/a', 'x'.repeat(60_000), 'x'.repeat(40_001));
    assertRefusal(await exchange(daemon.port, sum), 413);
    const claimed = `${requestText('POST', '/a', { 'Transfer-Encoding': 'chunked' })}7fffffffffffffff\r\n`;
    assertRefusal(await exchange(daemon.port, claimed + 'x'.repeat(100_001)), 413);
  });

  test('are waited for by who expects 100 Continue', async () => {
    const raw = await RawSocket.connect(daemon.port);
    const headers = { Expect: '100-continue' };
    await raw.write(requestText('POST', '/a', { ...headers, 'Content-Length': '5' }));
    const go = await raw.read(() => parseHead(raw.bytes), '100 Continue');
    assert.equal(go.status, 100);
    raw.take(go.length);
    await raw.write('hello');
    assert.equal((await readResponse(raw)).status, 200);
    raw.destroy();
    for (const [path, length, status] of [
      ['/a', '100001', 413],
      ['/a/', '5', 400],
      ['/healthz', '5', 405],
    ]) {
      const text = requestText('POST', path, { ...headers, 'Content-Length': length });
      assertRefusal(await exchange(daemon.port, text), status);
    }
  });

  test('have no place in a GET', async () => {
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      const text = requestText(method, '/healthz', { 'Content-Length': '3' });
      const raw = await RawSocket.connect(daemon.port);
      await raw.write(`${text}abc${requestText('GET', '/readyz')}`);
      const rest = (await raw.readToEnd()).toString();
      assert.match(rest, /^HTTP\/1\.1 413 /);
      assert.doesNotMatch(rest, /ready/);
      raw.destroy();
    }
  });
});

describe('HTTP requests take their time', { timeout: 60_000 * patience }, () => {
  const daemon = useDaemon({ HANDSHAKE_TIMEOUT: '1' });

  test('but not too much of it', async () => {
    for (const text of [
      requestText('POST', '/a', { 'Content-Length': '5' }),
      `${requestText('POST', '/a', { 'Content-Length': '5' })}hel`,
      `${requestText('POST', '/a', { 'Transfer-Encoding': 'chunked' })}5\r\nhel`,
      'POST /a HTT',
    ]) {
      assertRefusal(await exchange(daemon.port, text), 408);
    }
  });

  test('the time begins anew with each answer', async () => {
    const raw = await RawSocket.connect(daemon.port);
    const start = Date.now();
    while (Date.now() - start < 1800) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await raw.write(post('/a', 'x'));
      assert.equal((await readResponse(raw)).status, 200);
    }
    assert.equal((await raw.readToEnd()).length, 0);
  });
});

// Each is followed by a request for /metrics, which must never be answered: it would mean that somebody
// who reads the bytes in another way could be made to take our answer for another client's.
const SMUGGLED = requestText('GET', '/metrics');
const start = (lines) => `POST /a HTTP/1.1\r\nHost: localhost\r\n${lines}\r\n`;
const CORPUS = [
  ['a length and chunks', start('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n'), '0\r\n\r\n'],
  ['chunks and a length', start('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n'), '0\r\n\r\n'],
  ['two lengths that differ', start('Content-Length: 3\r\nContent-Length: 5\r\n'), 'abc'],
  ['two lengths that agree', start('Content-Length: 3\r\nContent-Length: 3\r\n'), 'abc'],
  ['a list of lengths', start('Content-Length: 3, 3\r\n'), 'abc'],
  ['a length with a sign', start('Content-Length: +3\r\n'), 'abc'],
  ['a negative length', start('Content-Length: -1\r\n'), ''],
  ['a length in hex', start('Content-Length: 0x3\r\n'), 'abc'],
  ['a length with a fraction', start('Content-Length: 3.0\r\n'), 'abc'],
  ['a length with a blank inside', start('Content-Length: 1 0\r\n'), 'abc'],
  ['an empty length', start('Content-Length: \r\n'), ''],
  ['a length past 64 bits', start('Content-Length: 18446744073709551619\r\n'), 'abc'],
  ['a length with a NUL', start('Content-Length: 3\0\r\n'), 'abc'],
  ['a blank before the colon', start('Content-Length : 3\r\n'), 'abc'],
  ['a tab before the colon', start('Transfer-Encoding\t: chunked\r\n'), '0\r\n\r\n'],
  ['a blank before the name', start(' Content-Length: 3\r\n'), 'abc'],
  ['a folded header', start('Transfer-Encoding:\r\n chunked\r\n'), '0\r\n\r\n'],
  ['an unknown encoding', start('Transfer-Encoding: xchunked\r\n'), '0\r\n\r\n'],
  ['identity', start('Transfer-Encoding: identity\r\n'), ''],
  ['chunked twice', start('Transfer-Encoding: chunked, chunked\r\n'), '0\r\n\r\n'],
  ['chunked, then identity', start('Transfer-Encoding: chunked, identity\r\n'), '0\r\n\r\n'],
  ['gzip, chunked', start('Transfer-Encoding: gzip, chunked\r\n'), '0\r\n\r\n'],
  ['two headers with encodings', start('Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n'), '0\r\n\r\n'],
  ['chunked in quotes', start('Transfer-Encoding: "chunked"\r\n'), '0\r\n\r\n'],
  ['chunked with a vertical tab', start('Transfer-Encoding: \x0bchunked\r\n'), '0\r\n\r\n'],
  ['chunked with a parameter', start('Transfer-Encoding: chunked;q=1\r\n'), '0\r\n\r\n'],
  ['an empty encoding', start('Transfer-Encoding:\r\n'), ''],
  ['an encoding in HTTP/1.0', 'POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n', '0\r\n\r\n'],
  ['lines that end in LF', 'POST /a HTTP/1.1\nHost: a\nContent-Length: 3\n\n', 'abc'],
  ['a CR by itself', start('X: y\rContent-Length: 3\r\n'), 'abc'],
  ['an LF by itself', start('X: y\nContent-Length: 3\r\n'), 'abc'],
  ['no host', 'POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n', 'abc'],
  ['two hosts', start('Host: other\r\nContent-Length: 3\r\n'), 'abc'],
  ...[
    ['a size with a sign', '+3\r\nabc\r\n0\r\n\r\n'],
    ['a size with 0x', '0x3\r\nabc\r\n0\r\n\r\n'],
    ['a blank before the size', ' 3\r\nabc\r\n0\r\n\r\n'],
    ['a blank behind the size', '3 \r\nabc\r\n0\r\n\r\n'],
    ['no size', '\r\nabc\r\n0\r\n\r\n'],
    ['a size that is no number', 'three\r\nabc\r\n0\r\n\r\n'],
    ['a size past 64 bits', '10000000000000003\r\nabc\r\n0\r\n\r\n'],
    ['a size whose line ends in LF', '3\nabc\r\n0\r\n\r\n'],
    ['a size whose line ends in CR', '3\rabc\r\n0\r\n\r\n'],
    ['an extension with an LF', '3;a\nb\r\nabc\r\n0\r\n\r\n'],
    ['an extension with a CR', '3;a\rb\r\nabc\r\n0\r\n\r\n'],
    ['an extension with a NUL', '3;\0\r\nabc\r\n0\r\n\r\n'],
    ['an endless extension', `3;${'a'.repeat(300)}\r\nabc\r\n0\r\n\r\n`],
    ['data that is longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
    ['data that is shorter than its size', '3\r\nab\r\n0\r\n\r\n'],
    ['data whose line ends in LF', '3\r\nabc\n0\r\n\r\n'],
    ['an end whose line ends in LF', '3\r\nabc\r\n0\n\n'],
    ['a trailer that is folded', '0\r\nA: b\r\n c\r\n\r\n'],
    ['a trailer with a blank before the colon', '0\r\nA : b\r\n\r\n'],
    ['a trailer without a name', '0\r\n: b\r\n\r\n'],
    ['a trailer without a colon', '0\r\nA\r\n\r\n'],
    ['a trailer whose line ends in LF', '0\r\nA: b\n\r\n'],
    ['endless trailers', `0\r\n${'A: b\r\n'.repeat(2000)}\r\n`],
  ].map(([name, body]) => [`chunks: ${name}`, start('Transfer-Encoding: chunked\r\n'), body]),
];

describe('nothing is smuggled by', { timeout: 120_000 * patience }, () => {
  const daemon = useDaemon();
  for (const [name, head, body] of CORPUS) {
    test(name, async () => {
      const raw = await RawSocket.connect(daemon.port);
      await raw.write(Buffer.from(head + body + SMUGGLED, 'latin1'));
      const response = await readResponse(raw, 'POST');
      assertRefusal({ ...response, rest: await raw.readToEnd() }, 400);
      assert.equal(response.headers.connection, 'close');
      raw.destroy();
    });
  }

  test('what is clear and only looks odd', async () => {
    for (const text of [
      start('content-length:3\r\n') + 'abc',
      start('Content-Length: \t 003 \r\n') + 'abc',
      start('TRANSFER-ENCODING: chunked \r\n') + '3\r\nabc\r\n0\r\n\r\n',
      start('Transfer-Encoding: chunked\r\n') + '0003\r\nabc\r\n0000\r\n\r\n',
    ]) {
      const raw = await RawSocket.connect(daemon.port);
      await raw.write(text + requestText('GET', '/healthz'));
      assert.equal(JSON.parse((await readResponse(raw, 'POST')).body).topic, 'a', text);
      assert.equal((await readResponse(raw)).body, '{"status":"ok"}');
      raw.destroy();
    }
  });
});
