// Exit status 0 when tests/node_modules holds exactly what tests/package-lock.json asks for.
import { existsSync, readFileSync } from 'node:fs';

const tests = new URL('../', import.meta.url);

function packagesOf(path) {
  return JSON.parse(readFileSync(new URL(path, tests), 'utf8')).packages;
}

try {
  const installed = packagesOf('node_modules/.package-lock.json');
  const isInstalled = ([path, { version }]) =>
    installed[path]?.version === version && existsSync(new URL(path, tests));
  const isCurrent = Object.entries(packagesOf('package-lock.json'))
    .filter(([path, entry]) => path !== '' && !entry.optional)
    .every(isInstalled);
  process.exitCode = isCurrent ? 0 : 1;
} catch {
  process.exitCode = 1;
}
