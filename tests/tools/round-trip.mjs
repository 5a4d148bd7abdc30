// usage: node round-trip.mjs URL
// Subscribes on one connection, publishes on another and waits until the message has arrived. Then
// stays subscribed: prints "arrived", and "closed <code>" when the broker closes the connection.
import { once } from 'node:events';
import WebSocket from 'ws';

const url = process.argv[2];
const text = `round trip ${process.pid}`;

async function open() {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  return socket;
}

// The first message that says what is asked for; subscribe and publish are answered, too.
async function message(socket, accepts) {
  for (;;) {
    const [data] = await once(socket, 'message');
    const said = JSON.parse(data.toString());
    if (said.error) throw new Error(data.toString());
    if (accepts(said)) return said;
  }
}

function call(socket, id, method, params) {
  socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
}

setTimeout(() => {
  console.error(`no round trip through ${url} in time`);
  process.exit(1);
}, 60000);

const subscriber = await open();
const publisher = await open();
const subscribed = message(subscriber, (said) => said.result?.status === 'ok');
call(subscriber, 1, 'subscribe', { topic: 'image/+' });
await subscribed;

const arrived = message(subscriber, (said) => said.result?.message === text);
call(publisher, 1, 'publish', { topic: 'image/test', message: text });
await arrived;
console.log('arrived');

publisher.close();
const [code] = await once(subscriber, 'close');
console.log(`closed ${code}`);
process.exit(0);
