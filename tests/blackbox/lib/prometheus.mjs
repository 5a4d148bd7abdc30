// A strict reader of the Prometheus text format.
import assert from 'node:assert/strict';

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;
const TYPES = ['counter', 'gauge', 'histogram', 'summary', 'untyped'];

function parseLabels(text) {
  const labels = {};
  let rest = text;
  while (rest) {
    const match = LABEL.exec(rest);
    assert.ok(match, `labels {${text}}`);
    assert.ok(!(match[1] in labels), `label ${match[1]} twice`);
    labels[match[1]] = match[2];
    rest = rest.slice(match[0].length);
  }
  return labels;
}

function parseValue(text) {
  if (/^[+-]?Inf$/.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (text === 'NaN') return NaN;
  assert.match(text, /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/, 'value of a sample');
  return Number(text);
}

function familyOf(name, families) {
  if (families.has(name)) return families.get(name);
  const base = name.replace(/_(bucket|sum|count)$/, '');
  const family = families.get(base);
  assert.ok(family && ['histogram', 'summary'].includes(family.type), `${name} has no # TYPE`);
  return family;
}

function parseComment(line, families) {
  const [, kind, name, text] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
  if (!kind) return null;
  assert.match(name, NAME);
  const family = families.get(name) ?? { name, samples: [] };
  families.set(name, family);
  assert.equal(family.samples.length, 0, `# ${kind} ${name} after its samples`);
  assert.ok(!(kind in family), `# ${kind} ${name} twice`);
  family[kind] = text;
  if (kind === 'TYPE') {
    assert.ok(TYPES.includes(text), `type ${text} of ${name}`);
    family.type = text;
  }
  return family;
}

function assertHistogram(family) {
  const buckets = family.samples.filter((one) => one.name === `${family.name}_bucket`);
  const count = family.samples.find((one) => one.name === `${family.name}_count`);
  const sum = family.samples.find((one) => one.name === `${family.name}_sum`);
  assert.ok(count && sum, `${family.name} has a sum and a count`);
  assert.equal(buckets.at(-1)?.labels.le, '+Inf', `${family.name} ends with +Inf`);
  for (let i = 1; i < buckets.length; i++) {
    assert.ok(buckets[i].value >= buckets[i - 1].value, `${family.name} is cumulative`);
  }
  if (buckets.length) assert.equal(buckets.at(-1).value, count.value);
}

/** A map of families {name, type, HELP, samples: [{name, labels, value}]}, or it asserts. */
export function parsePrometheus(text) {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  const families = new Map();
  const seen = new Set();
  let current = null;
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue;
    if (line.startsWith('#')) {
      current = parseComment(line, families) ?? current;
      continue;
    }
    const match = SAMPLE.exec(line);
    assert.ok(match, `line ${JSON.stringify(line)}`);
    const [, name, labels = '', value] = match;
    const family = familyOf(name, families);
    assert.equal(family, current, `${name} stands with its # TYPE`);
    assert.ok(!seen.has(`${name}{${labels}}`), `${name}{${labels}} twice`);
    seen.add(`${name}{${labels}}`);
    family.samples.push({ name, labels: parseLabels(labels), value: parseValue(value) });
  }
  for (const family of families.values()) {
    assert.ok(family.HELP, `${family.name} has help`);
    assert.ok(family.type, `${family.name} has a type`);
    if (family.type === 'histogram') assertHistogram(family);
  }
  return families;
}
