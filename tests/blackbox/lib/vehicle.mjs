// What carries the framing tests to the daemon: a JSON-RPC ping of any length from 80 bytes on,
// whose id names its answer.
import assert from 'node:assert/strict';
import { RawWebSocket } from './websocket.mjs';

let tag = 0;

function ping(id, length) {
  const request = JSON.stringify({ id, jsonrpc: '2.0', method: 'ping', params: [] });
  return Buffer.from(request.padEnd(length, ' '));
}

export function daemonTarget(daemon) {
  return {
    open: (options) => RawWebSocket.open(daemon.port, options),
    makeText: (length) => ping(`tag ${++tag}`, length),
    makeUnicode: () => ping(`tag ${++tag} $¢κ€한𐍈🦄\u{10ffff}`, 0),
    assertAnswer(payload, answer) {
      const response = JSON.parse(answer);
      assert.equal(response.id, JSON.parse(payload).id);
      assert.equal(typeof response.result.pong, 'number');
    },
  };
}
