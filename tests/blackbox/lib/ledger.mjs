// The books of a load: what became of every publish, what every subscriber saw, and whether the two
// agree. Each message is a text that nothing else publishes, so that a publish can be followed.
import { compareIds } from './rpc.mjs';

export const ACKNOWLEDGED = 'acknowledged';
export const RATE_LIMITED = 'rate limited';
export const NO_EFFECT = 'no effect'; // answered with an error that says so
export const UNKNOWN = 'unknown'; // answered so, or not at all

const FAULTS_SHOWN = 20;

/** Does the filter match the topic? By a regular expression, which the server has none of. */
export function isMatch(filter, topic) {
  const levels = filter.split('/').map((level, i) => {
    if (level === '#') return i === 0 ? '.*' : '(/.*)?';
    return (i === 0 ? '' : '/') + (level === '+' ? '[^/]*' : level);
  });
  return new RegExp(`^${levels.join('')}$`).test(topic);
}

/** The outcome that an answer to a publish tells: {outcome, id}. */
export function outcomeOf({ result, error }) {
  if (result?.status === 'ok') return { outcome: ACKNOWLEDGED, id: result.id };
  if (result) return { outcome: RATE_LIMITED };
  if (error.code === -32603 && /unknown/i.test(error.data)) return { outcome: UNKNOWN };
  if (error.code === -32603 && /no effect/i.test(error.data)) return { outcome: NO_EFFECT };
  throw new Error(`an answer that a publish cannot have: ${JSON.stringify(error)}`);
}

export class Ledger {
  constructor() {
    this.publishes = new Map(); // message -> {topic, outcome, id}
    this.views = []; // {name, filter, seen: [{id, topic, message}], gaps: [{topic, lastId}]}
  }

  /** A publish that begins: the message to send. */
  begin(topic) {
    const message = `m${this.publishes.size}`;
    this.publishes.set(message, { topic, outcome: UNKNOWN });
    return message;
  }

  end(message, outcome) {
    Object.assign(this.publishes.get(message), outcome);
  }

  count(outcome) {
    return [...this.publishes.values()].filter((one) => one.outcome === outcome).length;
  }

  /** How many acknowledged messages a view must have and has not. */
  missing(view, isKept = () => true) {
    const seen = new Set(view.seen.map((one) => one.message));
    return [...this.publishes].filter(
      ([message, { topic, outcome, id }]) =>
        outcome === ACKNOWLEDGED &&
        isMatch(view.filter, topic) &&
        isKept(topic, id) &&
        !seen.has(message),
    );
  }

  // One view by itself: nothing foreign, nothing twice, nothing out of order, nothing missing.
  *faultsOf(view, isKept) {
    const last = new Map();
    const seen = new Set();
    for (const { id, topic, message } of view.seen) {
      const before = last.get(topic);
      if (before && compareIds(before, id) >= 0) yield `${topic}: ${id} after ${before}`;
      last.set(topic, id);
      if (!isMatch(view.filter, topic)) yield `${topic} is not what was asked for`;
      if (!isKept(topic, id)) continue;
      if (seen.has(message)) yield `${topic}: ${message} twice, ${id} the second time`;
      seen.add(message);
      yield* this.faultsOfMessage({ id, topic, message });
    }
    for (const [message, { topic, id }] of this.missing(view, isKept)) {
      yield `${topic}: ${message}, acknowledged as ${id}, is missing`;
    }
  }

  *faultsOfMessage({ id, topic, message }) {
    const publish = this.publishes.get(message);
    if (!publish) return yield `${topic}: nobody published ${message}`;
    if (publish.topic !== topic) yield `${message} for ${publish.topic} came on ${topic}`;
    if (publish.outcome === NO_EFFECT) yield `${topic}: ${message} came, but had no effect`;
    if (publish.outcome === RATE_LIMITED) yield `${topic}: ${message} came in spite of the limit`;
    if (publish.outcome === ACKNOWLEDGED && publish.id !== id) {
      yield `${topic}: ${message} was acknowledged as ${publish.id} and came as ${id}`;
    }
  }

  // What had an unknown outcome happened for all or for nobody.
  *faultsBetween(isKept) {
    for (const [message, { topic, outcome }] of this.publishes) {
      if (outcome !== UNKNOWN) continue;
      const concerned = this.views.filter((view) => isMatch(view.filter, topic));
      const entries = concerned.map((view) => view.index.get(message));
      const ids = new Set(entries.map((one) => one && isKept(topic, one.id) && one.id));
      if (ids.size > 1) {
        const by = concerned.map((view, i) => `${view.name}: ${entries[i]?.id ?? 'not seen'}`);
        yield `${topic}: ${message} of unknown outcome is not the same for all (${by.join(', ')})`;
      }
    }
  }

  /**
   * All that is wrong, as texts. isKept(topic, id): did Redis keep it? What it lost by itself may be
   * missing, and may have been published again. mayGap(topic): was a gap to be expected there?
   */
  faults({ isKept = () => true, mayGap = () => false } = {}) {
    const faults = [];
    for (const view of this.views) {
      view.index = new Map(view.seen.map((one) => [one.message, one]));
      for (const fault of this.faultsOf(view, isKept)) faults.push(`${view.name}: ${fault}`);
      for (const { topic, lastId } of view.gaps) {
        if (!mayGap(topic))
          faults.push(`${view.name}: ${topic}: a gap after ${lastId} was told of`);
      }
    }
    return [...faults, ...this.faultsBetween(isKept)];
  }

  assertTrue(options) {
    const faults = this.faults(options);
    if (faults.length === 0) return;
    const shown = faults.slice(0, FAULTS_SHOWN).join('\n  ');
    throw new Error(`${faults.length} faults in ${this.publishes.size} publishes:\n  ${shown}`);
  }
}
