// What is shipped: how the release is linked, and what the process may do.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Daemon } from '../blackbox/lib/daemon.mjs';

const PROGRAM = process.env.EVENTHUB_BIN;
const readelf = (...args) => execFileSync('readelf', ['-W', ...args, PROGRAM], { encoding: 'utf8' });

describe('the release', () => {
  const headers = readelf('--program-headers');
  const dynamic = readelf('--dynamic');
  const symbols = readelf('--dyn-syms');
  const segment = (type) => headers.split('\n').find((line) => line.trim().startsWith(type)) ?? '';
  const flags = (type) => /0x[0-9a-f]+ 0x[0-9a-f]+ ([RWE ]{3}) 0x/.exec(segment(type))?.[1] ?? '';

  test('is position independent', () => {
    assert.match(headers, /Elf file type is DYN/);
    assert.match(dynamic, /\(FLAGS_1\).*\bPIE\b/);
  });

  test('has its relocations done at the start, and read-only then', () => {
    assert.notEqual(segment('GNU_RELRO'), '');
    assert.match(dynamic, /\bNOW\b/);
  });

  test('has no stack, and no segment, that can be written and executed', () => {
    assert.match(flags('GNU_STACK'), /^RW $/);
    for (const line of headers.split('\n').filter((one) => one.trim().startsWith('LOAD'))) {
      assert.doesNotMatch(/ ([RWE ]{3}) 0x[0-9a-f]+$/.exec(line.trimEnd())[1], /W.*E/);
    }
  });

  test('protects stacks and checks lengths', () => {
    assert.match(symbols, /__stack_chk_fail/);
    assert.match(symbols, /__(memcpy|snprintf|vsnprintf)_chk/);
  });

  test('finds libraries where the system has them, only', () => {
    assert.doesNotMatch(dynamic, /\((RPATH|RUNPATH|TEXTREL)\)/);
  });

  // Its own names would answer calls that libraries mean for somebody else.
  test('exports no function of its own', () => {
    const own = symbols.split('\n').filter((line) => /\bFUNC\b.*\bGLOBAL DEFAULT +\d+/.test(line));
    assert.deepEqual(own, []);
  });
});

describe('the process', () => {
  test('can gain no rights by what it executes', async () => {
    const daemon = await new Daemon({}).start();
    try {
      assert.match(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'), /^NoNewPrivs:\t1$/m);
    } finally {
      await daemon.stop();
    }
  });
});
