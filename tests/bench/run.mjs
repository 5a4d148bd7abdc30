// Measures the broker, most works against the floor, and prints one table. See docs/performance.md.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { machine, printReport, summarise } from './lib/report.mjs';
import { WORKS } from './lib/works.mjs';

const OPTIONS = {
  rounds: { type: 'string', default: '5' },
  duration: { type: 'string', default: '4' },
  only: { type: 'string', multiple: true, default: [] },
  json: { type: 'string' },
  build: { type: 'string' },
  help: { type: 'boolean', default: false },
};

function help() {
  console.log(`usage: ./dev bench [OPTIONS]

  --rounds N      how often each work is measured; the table has medians (5)
  --duration S    seconds that each measurement of fanout and rate takes (4)
  --only WORK     just this work; may be repeated
  --json FILE     also write all figures of all rounds there
  --build DIR     measure what was built there (build/release)

works:`);
  for (const work of WORKS) console.log(`  ${work.name.padEnd(15)}  ${work.help}`);
}

function fail(message) {
  console.error(`bench: ${message}; see ./dev bench --help`);
  process.exit(2);
}

function positive(values, name) {
  const number = Number(values[name]);
  if (!(number > 0)) fail(`--${name} ${values[name]} is not a positive number`);
  return number;
}

function parse() {
  let values;
  try {
    ({ values } = parseArgs({ options: OPTIONS }));
  } catch (error) {
    fail(error.message);
  }
  const unknown = values.only.find((name) => !WORKS.some((work) => work.name === name));
  if (unknown) fail(`there is no work ${unknown}`);
  return {
    ...values,
    rounds: Math.ceil(positive(values, 'rounds')),
    seconds: positive(values, 'duration'),
    works: WORKS.filter((work) => values.only.length === 0 || values.only.includes(work.name)),
  };
}

/** All works in turn, round by round, so that what else the machine does hits all of them alike. */
async function measure(options) {
  const samples = [];
  for (let round = 0; round < options.rounds; round++) {
    for (const work of options.works) {
      if (round >= (work.maxRounds ?? options.rounds)) continue;
      process.stderr.write(`bench: round ${round + 1} of ${options.rounds}: ${work.name}\n`);
      samples.push({ work: work.name, round, ...(await work.measure(options, round)) });
    }
  }
  return samples;
}

async function main() {
  const options = parse();
  if (options.help) return help();
  const host = machine();
  const samples = await measure(options);
  const rows = summarise(options.works, samples);
  printReport(host, rows);
  if (options.json) {
    writeFileSync(options.json, `${JSON.stringify({ machine: host, rows, samples }, null, 2)}\n`);
  }
}

main().catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exit(1);
});
