// From the samples of all rounds to one table.
import { readFileSync } from 'node:fs';
import os from 'node:os';

export function machine() {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model?.trim() || 'unknown processor',
    cores: os.availableParallelism?.() ?? cpus.length,
    kernel: os.release().split('.').slice(0, 2).join('.'),
    loadAverage: readFileSync('/proc/loadavg', 'latin1').split(' ').slice(0, 3).join(' '),
  };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function isMet({ ratio, value, leastRatio }, summary) {
  if (leastRatio) return summary.ratio >= leastRatio;
  return ratio ? summary.ratio <= ratio : summary.ours <= value;
}

/** Medians over the rounds. The ratio is the median of the rounds' ratios, not of their medians: a
 * disturbance that lasts for a round slows both sides of it. */
function summariseRow(work, row, samples) {
  const ours = samples.map((sample) => sample.ours[row.figure]);
  const summary = { work, ...row, rounds: samples.length, ours: median(ours) };
  if (samples[0].base?.[row.figure] !== undefined) {
    const ratios = samples.map((sample) => sample.ours[row.figure] / sample.base[row.figure]);
    summary.base = median(samples.map((sample) => sample.base[row.figure]));
    summary.ratio = median(ratios);
    summary.ratioMin = Math.min(...ratios);
    summary.ratioMax = Math.max(...ratios);
  }
  if (row.target) summary.isMet = isMet(row.target, summary);
  return summary;
}

export function summarise(works, samples) {
  return works.flatMap((work) => {
    const own = samples.filter((sample) => sample.work === work.name);
    return work.rows.map((row) => summariseRow(work.name, row, own));
  });
}

function number(value, digits) {
  if (value === undefined) return '';
  return digits === undefined ? String(Number(value.toPrecision(3))) : value.toFixed(digits);
}

function ratioCell({ ratio, ratioMin, ratioMax }) {
  return ratio ? `${ratio.toFixed(2)} (${ratioMin.toFixed(2)}-${ratioMax.toFixed(2)})` : '';
}

function targetCell({ target, isMet }) {
  if (!target) return '';
  const { ratio, value, leastRatio } = target;
  const limit = leastRatio ? `>= ${leastRatio} x` : ratio ? `<= ${ratio} x` : `<= ${value}`;
  return `${limit}${isMet ? '' : ' MISSED'}`;
}

function cells(row) {
  return [row.title, row.unit, number(row.ours, row.digits), number(row.base, row.digits),
    ratioCell(row), targetCell(row)];
}

function printTable(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const print = (line) =>
    console.log(`| ${line.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`);
  print(lines[0]);
  console.log(`|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  lines.slice(1).forEach(print);
}

const printHost = (host, what) =>
  console.log(`${host.cpu}, ${host.cores} cores, Linux ${host.kernel}; load average before:` +
    ` ${host.loadAverage}; ${what}\n`);

export function printReport(host, rows) {
  const header = ['work', 'figure', 'eventhub', 'base', 'ratio (min-max)', 'target'];
  printHost(host, 'medians');
  printTable([header, ...rows.map(cells)]);
}

/** Curves as lines of costs, below their sizes. */
export function printCurves(host, curves) {
  printHost(host, 'least of the rounds');
  for (const { title, unit, points } of curves) {
    console.log(title);
    printTable([
      ['', ...points.map(({ size }) => size.toLocaleString('en'))],
      [unit, ...points.map(({ cost }) => String(Number(cost.toPrecision(3))))],
    ]);
    console.log('');
  }
}
