// Waiting for events with a deadline. Nothing in the suite sleeps for a fixed time and hopes.

import { readFileSync } from 'node:fs';

// What the build under test is instrumented with: told by EVENTHUB_SANITIZER (address, thread, or
// none), else seen in the binary.
function findSanitizer() {
  const { EVENTHUB_SANITIZER: told, EVENTHUB_BIN: path } = process.env;
  if (told !== undefined) return told === 'none' ? '' : told;
  try {
    const binary = readFileSync(path);
    return ['address', 'thread'].find((name) => binary.includes(`__${name[0]}san_init`)) ?? '';
  } catch {
    return '';
  }
}

// Instrumented builds are several times slower, so deadlines and memory bounds stretch with them.
export const isSanitized = findSanitizer() !== '';
export const patience = isSanitized ? 4 : 1;

export const DEADLINE_MS = 10_000 * patience;

/** Settles as the promise does, or fails once ms have passed; `what` says what was waited for. */
export function withDeadline(promise, what, ms = DEADLINE_MS) {
  let timer;
  const expiry = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  return Promise.race([promise, expiry]).finally(() => clearTimeout(timer));
}

/** Calls check until it answers something truthy, and returns that. Errors count as "not yet". */
export async function eventually(check, what, { ms = DEADLINE_MS, every = 20 } = {}) {
  const end = Date.now() + ms;
  let last = null;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
      last = null;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`no ${what} within ${ms} ms${last ? `: ${last.message}` : ''}`);
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** A promise with its handles outside. */
export function deferred() {
  const handle = {};
  handle.promise = new Promise((resolve, reject) => Object.assign(handle, { resolve, reject }));
  return handle;
}
