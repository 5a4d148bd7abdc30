// Does the daemon need more instructions than it did? Each work of eventhub-guard is done once under
// callgrind, which counts the instructions of our side of the kernel: the same number in every run.
// figures.json has what they were, for each compiler and C library that somebody has stored. After a
// change that is worth its cost, or with another compiler:
//
//   GUARD_STORE=1 node --test tests/bench/guard
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const MOST = 1.05; // of what is stored
const WORKS = { fanout: 'delivery', direct: 'publish', match: 'match' };
const FILE = fileURLToPath(new URL('figures.json', import.meta.url));
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PROGRAM =
  process.env.GUARD_BIN ?? path.join(ROOT, 'build/release/tests/bench/eventhub-guard');

/** {instructions per unit, what compiled it}. */
function count(work) {
  const text = execFileSync(
    'sh',
    [
      '-c',
      'valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect=guard_run ' +
        '"$0" "$1" 2>&1',
      PROGRAM,
      work,
    ],
    { encoding: 'utf8' },
  );
  const [, units, compiler] = /^(\d+) units, (.+)$/m.exec(text) ?? assert.fail(text);
  const [, instructions] = /Collected : (\d+)/.exec(text) ?? assert.fail(text);
  return { perUnit: Number(instructions) / Number(units), compiler };
}

for (const [work, unit] of Object.entries(WORKS)) {
  test(`instructions for a ${unit}`, (t) => {
    const figures = JSON.parse(readFileSync(FILE, 'utf8'));
    const { perUnit, compiler } = count(work);
    t.diagnostic(`${work}: ${perUnit.toFixed(1)} instructions for a ${unit} (${compiler})`);
    if (process.env.GUARD_STORE) {
      figures[compiler] = { ...figures[compiler], [work]: Number(perUnit.toFixed(1)) };
      writeFileSync(FILE, `${JSON.stringify(figures, null, 2)}\n`);
      return;
    }
    const stored = figures[compiler]?.[work];
    if (stored === undefined) {
      t.skip(`nothing is stored for ${compiler}`);
      return;
    }
    assert.ok(
      perUnit <= stored * MOST,
      `${perUnit.toFixed(1)} instructions for a ${unit}, ${stored} are stored; see ${FILE}`,
    );
  });
}
