// Pictures of the figures, as SVG that a page of documentation can show.
import { writeFileSync } from 'node:fs';
import path from 'node:path';

const WIDTH = 760;
const FONT = 'font-family="sans-serif" font-size="12"';

const escape = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

const text = (x, y, words, more = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${FONT} ${more}>${escape(words)}</text>`;

const line = (x1, y1, x2, y2, colour, more = '') =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" ` +
  `stroke="${colour}" ${more}/>`;

const svg = (height, parts) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
  `viewBox="0 0 ${WIDTH} ${height}">\n<rect width="100%" height="100%" fill="white"/>\n` +
  `${parts.join('\n')}\n</svg>\n`;

const short = (value) => String(Number(value.toPrecision(3)));

/** Costs that should stay below a ratio to what we are compared with: a bar each, with their range
 * over the rounds. */
export function ratiosSvg(rows) {
  const LEFT = 400, ROW = 26, TOP = 40;
  let title = '';
  const bars = [];
  for (const row of rows) {
    if (row.title) ({ title } = row);
    if (row.target?.ratio) bars.push({ ...row, label: `${title}: ${row.unit}` });
  }
  const widest = Math.max(1.5, ...bars.map((bar) => Math.min(bar.ratioMax, 3)));
  const x = (value) => LEFT + (Math.min(value, widest) / widest) * (WIDTH - LEFT - 40);
  const height = TOP + bars.length * ROW + 20;
  const parts = [text(10, 20, 'what it costs, against the floor or what else is the base (1.0)')];
  bars.forEach((bar, i) => {
    const y = TOP + i * ROW;
    const label = bar.label.length > 62 ? `${bar.label.slice(0, 61)}…` : bar.label;
    parts.push(text(10, y + 14, label));
    parts.push(`<rect x="${LEFT}" y="${y + 3}" width="${(x(bar.ratio) - LEFT).toFixed(1)}" ` +
      `height="14" fill="#4878a8"><title>${bar.ratio.toFixed(2)}</title></rect>`);
    parts.push(line(x(bar.ratioMin), y + 10, x(bar.ratioMax), y + 10, '#1d3245'));
    const most = x(bar.target.ratio);
    parts.push(line(most, y, most, y + 20, '#c03030', 'stroke-width="2"'));
    parts.push(text(x(bar.ratioMax) + 6, y + 14, bar.ratio.toFixed(2)));
  });
  parts.push(line(x(1), TOP - 8, x(1), height - 12, '#808080', 'stroke-dasharray="4 3"'));
  parts.push(text(10, height - 6, 'red: no more than this', 'fill="#c03030"'));
  return svg(height, parts);
}

/** A curve over powers of ten: cost by size, both logarithmic. */
export function curveSvg({ title, unit, points }) {
  const height = 300, left = 70, right = 30, top = 50, bottom = 40;
  const logs = points.map(({ cost }) => Math.log10(cost));
  const low = Math.floor(Math.min(...logs) - 0.2), high = Math.ceil(Math.max(...logs) + 0.2);
  const sizes = points.map(({ size }) => Math.log10(size));
  const span = sizes.at(-1) - sizes[0] || 1;
  const x = (size) =>
    left + ((Math.log10(size) - sizes[0]) / span) * (WIDTH - left - right);
  const y = (cost) =>
    top + ((high - Math.log10(cost)) / (high - low)) * (height - top - bottom);
  const parts = [text(10, 20, title), text(10, 38, unit, 'fill="#606060"')];
  for (let power = low; power <= high; power++) {
    parts.push(line(left, y(10 ** power), WIDTH - right, y(10 ** power), '#d0d0d0'));
    parts.push(text(10, y(10 ** power) + 4, short(10 ** power)));
  }
  const path_ = points.map(({ size, cost }) => `${x(size).toFixed(1)},${y(cost).toFixed(1)}`);
  parts.push(`<polyline points="${path_.join(' ')}" fill="none" stroke="#4878a8" ` +
    'stroke-width="2"/>');
  for (const { size, cost } of points) {
    parts.push(`<circle cx="${x(size).toFixed(1)}" cy="${y(cost).toFixed(1)}" r="3" ` +
      'fill="#4878a8"/>');
    parts.push(text(x(size) - 12, y(cost) - 8, short(cost)));
    parts.push(text(x(size) - 12, height - 16, size.toLocaleString('en')));
  }
  return svg(height, parts);
}

export function writePlot(directory, name, content) {
  writeFileSync(path.join(directory, `${name}.svg`), content);
}
