// What TLS costs: the entries of works.mjs that are about it.
import { load, opensslHandshakes, withBroker, withTlsBroker } from './programs.mjs';
import { both } from './rounds.mjs';

const IDLE_SECONDS = 5;
const TLS = ['--transport', 'tls'];

/** The same work within TLS and without, each on a broker of its own. */
function againstPlain(options, round, work, ...args) {
  return both(round,
    () => withTlsBroker(options, (server) =>
      load(options, server, work, options.seconds, [...args, ...TLS])),
    () => withBroker(options, (server) => load(options, server, work, options.seconds, args)));
}

async function measureFanout(options, round) {
  const closed = await againstPlain(options, round, 'fanout');
  const paced = await againstPlain(options, round, 'rate');
  for (const side of ['ours', 'base'])
    closed[side].paced_cpu_us_per_delivery = paced[side].cpu_us_per_delivery;
  return closed;
}

async function measureIdle(options, round) {
  const args = ['--subscribers', '5000'];
  return both(round,
    () => withTlsBroker(options, (server) =>
      load(options, server, 'idle', IDLE_SECONDS, [...args, ...TLS])),
    () => withBroker(options, (server) => load(options, server, 'idle', IDLE_SECONDS, args)));
}

async function measureHandshakes(options, round) {
  const found = await both(round,
    () => withTlsBroker(options, (server) =>
      load(options, server, 'connect', options.seconds, ['--publishers', '64', ...TLS])),
    () => opensslHandshakes(options.seconds));
  for (const side of ['ours', 'base'])
    found[side].handshakes_per_core = 1e6 / found[side].cpu_us_per_handshake;
  return found;
}

const cpuRow = (title, figure, target) =>
  ({ title, figure, unit: 'µs CPU per delivery', ...(target && { target }) });

export const TLS_WORKS = [
  {
    name: 'tls',
    help: '1,000 subscribers within TLS, 64-byte messages, against 1,000 without',
    measure: measureFanout,
    rows: [
      cpuRow('fan-out to 1,000 within TLS, closed loop; base: without', 'cpu_us_per_delivery',
        { ratio: 1.6 }),
      cpuRow('the same at 20 messages/s', 'paced_cpu_us_per_delivery'),
    ],
  },
  {
    name: 'tls-large',
    help: '100 subscribers within TLS, 16 KiB messages, against 100 without',
    measure: (options, round) =>
      againstPlain(options, round, 'fanout', '--subscribers', '100', '--size', '16384'),
    rows: [cpuRow('16 KiB to 100 within TLS, closed loop; base: without', 'cpu_us_per_delivery')],
  },
  {
    name: 'tls-idle',
    help: '5,000 idle subscribers within TLS, against 5,000 without',
    maxRounds: 3,
    measure: measureIdle,
    rows: [
      {
        title: '5,000 idle connections within TLS; base: without',
        figure: 'resident_kb_per_connection',
        unit: 'kB resident each',
        target: { value: 15 },
      },
    ],
  },
  {
    name: 'tls-connect',
    help: 'full handshakes (ECDSA P-256) and the opening handshake in them; base: openssl s_server',
    measure: measureHandshakes,
    rows: [
      {
        title: 'full TLS handshakes, 64 at a time; base: openssl s_server',
        figure: 'handshakes_per_core',
        unit: 'for each second of a core',
        digits: 0,
        target: { leastRatio: 0.8 },
      },
    ],
  },
];
