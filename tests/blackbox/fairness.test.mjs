// A client that keeps its worker busy does not keep the worker's other clients waiting.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { useDaemon } from './lib/daemon.mjs';
import { Client } from './lib/rpc.mjs';
import { withDeadline } from './lib/wait.mjs';
import { text, upgradeRequest } from './lib/websocket.mjs';

const BUSY_MS = 60_000; // with sanitizers, on a busy machine
const LAST = '"last"';

const request = (id, method, params) =>
  `{"id":${id},"jsonrpc":"2.0","method":"${method}","params":${JSON.stringify(params)}}`;

/** Sends all bytes at once and looks at nothing of what comes back but for the last answer's id. */
class BusyClient {
  static async open(daemon) {
    const client = new BusyClient();
    client.socket = net.connect(daemon.port, '127.0.0.1');
    client.socket.write(upgradeRequest('/', { 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' }));
    const [answer] = await withDeadline(once(client.socket, 'data'), 'answer');
    assert.match(answer.toString(), /^HTTP\/1.1 101 /);
    return client;
  }

  async run(frames) {
    const answered = new Promise((resolve) => {
      let tail = '';
      this.socket.on('data', (data) => {
        tail = (tail + data.subarray(-200).toString('latin1')).slice(-200);
        if (tail.includes(`"id":${LAST}`)) resolve();
      });
    });
    this.socket.write(Buffer.concat(frames));
    await withDeadline(answered, 'the answer to the last request', BUSY_MS);
  }

  close() {
    this.socket.destroy();
  }
}

/** Pings without pause while `work` lasts: how long it lasted, and the longest wait for a pong. */
async function pingBeside(client, work) {
  const start = performance.now();
  let longest = 0;
  let pings = 0;
  let isOver = false;
  const end = work().finally(() => {
    isOver = true;
  });
  while (!isOver) {
    const sent = performance.now();
    await client.call('ping', []);
    longest = Math.max(longest, performance.now() - sent);
    pings++;
  }
  await end;
  return { longest, pings, total: performance.now() - start };
}

describe('beside a busy client of the same worker', () => {
  const daemon = useDaemon({ WORKER_THREADS: '1', MAX_SEND_QUEUE: '67108864' });

  const works = {
    'a batch of 10,000 requests with long answers': async (busy) => {
      const subscribe = Array.from({ length: 500 }, (_, i) => request(i, 'subscribe', { topic: `topics/${i}` }));
      await busy.run([text(`[${subscribe.join()},${request(LAST, 'ping', [])}]`)]);
      const list = Array.from({ length: 9_999 }, (_, i) => request(i, 'list', []));
      return [text(`[${list.join()},${request(LAST, 'ping', [])}]`)];
    },
    '100,000 publishes at once': async () => {
      const publish = text(request(1, 'publish', { topic: 'a', message: 'x' }));
      return [...new Array(100_000).fill(publish), text(request(LAST, 'publish', { topic: 'a', message: 'x' }))];
    },
  };

  for (const [name, prepare] of Object.entries(works)) {
    test(name, async (t) => {
      const client = await Client.connect(daemon);
      const busy = await BusyClient.open(daemon);
      const frames = await prepare(busy);
      const { longest, pings, total } = await pingBeside(client, () => busy.run(frames));
      t.diagnostic(`${pings} pings in ${total.toFixed()} ms, the longest ${longest.toFixed(1)} ms`);
      assert.ok(longest < total / 4, `waited ${longest.toFixed()} of ${total.toFixed()} ms for a pong`);
      busy.close();
      await client.close();
    });
  }
});
