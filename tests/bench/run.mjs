// Measures the broker, most works against the floor, and prints one table. See docs/performance.md.
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { curveSvg, ratiosSvg, writePlot } from './lib/plot.mjs';
import { machine, printCurves, printReport, summarise } from './lib/report.mjs';
import { CURVES } from './lib/scale.mjs';
import { WORKS } from './lib/works.mjs';

const OPTIONS = {
  rounds: { type: 'string', default: '5' },
  duration: { type: 'string', default: '4' },
  only: { type: 'string', multiple: true, default: [] },
  json: { type: 'string' },
  plots: { type: 'string' },
  scale: { type: 'boolean', default: false },
  build: { type: 'string' },
  help: { type: 'boolean', default: false },
};

function help() {
  console.log(`usage: ./dev bench [OPTIONS]

  --rounds N      how often each work is measured; the table has medians (5)
  --duration S    seconds that each measurement of fanout and rate takes (4)
  --only WORK     just this work; may be repeated
  --scale         instead, how costs grow by powers of ten
  --json FILE     also write all figures of all rounds there
  --plots DIR     also write pictures of them there, as SVG
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

function writeJson(options, content) {
  if (options.json) writeFileSync(options.json, `${JSON.stringify(content, null, 2)}\n`);
}

function writePlots(options, plots) {
  if (!options.plots) return;
  mkdirSync(options.plots, { recursive: true });
  for (const [name, content] of plots) writePlot(options.plots, name, content);
}

async function runWorks(options) {
  const host = machine();
  const samples = await measure(options);
  const rows = summarise(options.works, samples);
  printReport(host, rows);
  writeJson(options, { machine: host, rows, samples });
  writePlots(options, [['ratios', ratiosSvg(rows)]]);
}

/** The least of the rounds: what else the machine does can only add. */
async function measurePoint(options, curve, size) {
  const found = [];
  for (let round = 0; round < options.rounds; round++) {
    process.stderr.write(`bench: ${curve.name} ${size}: round ${round + 1}\n`);
    found.push(await curve.measure(options, size));
  }
  return { size, cost: Math.min(...found) };
}

async function runScale(options) {
  const host = machine();
  const curves = [];
  for (const curve of CURVES) {
    const { name, title, unit } = curve;
    const points = [];
    for (const size of curve.sizes) points.push(await measurePoint(options, curve, size));
    curves.push({ name, title, unit, points });
  }
  printCurves(host, curves);
  writeJson(options, { machine: host, curves });
  writePlots(options, curves.map((curve) => [curve.name, curveSvg(curve)]));
}

async function main() {
  const options = parse();
  if (options.help) {
    help();
  } else if (options.scale) {
    await runScale(options);
  } else {
    await runWorks(options);
  }
}

main().catch((error) => {
  console.error(`bench: ${error.message}`);
  process.exit(1);
});
