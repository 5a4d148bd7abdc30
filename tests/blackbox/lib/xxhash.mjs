// XXH32, for the tests that must know where a topic's keys are.

const PRIMES = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1];

const rotate = (value, bits) => ((value << bits) | (value >>> (32 - bits))) >>> 0;
const times = (a, b) => Math.imul(a, b) >>> 0;
const plus = (a, b) => (a + b) >>> 0;

const round = (lane, input) => times(rotate(plus(lane, times(input, PRIMES[1])), 13), PRIMES[0]);

function lanes(bytes, seed) {
  const state = [
    plus(plus(seed, PRIMES[0]), PRIMES[1]),
    plus(seed, PRIMES[1]),
    seed,
    (seed - PRIMES[0]) >>> 0,
  ];
  let at = 0;
  for (; at + 16 <= bytes.length; at += 16) {
    for (let i = 0; i < 4; i++) state[i] = round(state[i], bytes.readUInt32LE(at + 4 * i));
  }
  const bits = [1, 7, 12, 18];
  return { hash: state.reduce((sum, lane, i) => plus(sum, rotate(lane, bits[i])), 0), at };
}

export function xxh32(text, seed = 0) {
  const bytes = Buffer.from(text);
  let { hash, at } =
    bytes.length >= 16 ? lanes(bytes, seed) : { hash: plus(seed, PRIMES[4]), at: 0 };
  hash = plus(hash, bytes.length);
  for (; at + 4 <= bytes.length; at += 4) {
    hash = times(rotate(plus(hash, times(bytes.readUInt32LE(at), PRIMES[2])), 17), PRIMES[3]);
  }
  for (; at < bytes.length; at++) {
    hash = times(rotate(plus(hash, times(bytes[at], PRIMES[4])), 11), PRIMES[0]);
  }
  hash = times(hash ^ (hash >>> 15), PRIMES[1]);
  hash = times(hash ^ (hash >>> 13), PRIMES[2]);
  return (hash ^ (hash >>> 16)) >>> 0;
}
