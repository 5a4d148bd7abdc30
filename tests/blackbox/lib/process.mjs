// Starting and stopping the programs under test. Only processes started here are ever signalled,
// each by its own handle.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { DEADLINE_MS, withDeadline } from './wait.mjs';

const running = new Set();

process.on('exit', () => running.forEach((program) => program.kill()));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  process.once(signal, () => {
    const programs = [...running].map(({ child }) => `${child.spawnfile} (${child.pid})`).join(', ');
    const resources = process.getActiveResourcesInfo().join(', ');
    const line = `${process.argv[1]}: ended by ${signal}; programs: ${programs || 'none'}; waits for: ${resources}\n`;
    // The test runner that ended this process reads no more from it.
    if (process.env.EVENTHUB_TEST_ENDED) appendFileSync(process.env.EVENTHUB_TEST_ENDED, line);
    process.exit(1);
  });
}

const SANITIZER_REPORT =
  /(Address|Thread|Leak|Memory|UndefinedBehavior)Sanitizer|runtime error:|Assertion .* failed/;

const CLOCK_TICKS_PER_SECOND = 100;
const FILE_LIMIT_UNIT = 512; // of ulimit -f in a POSIX shell

/** The binary that the variable names; the suite cannot mean anything without it. */
export function requiredBinary(variable) {
  const path = process.env[variable];
  if (!path) throw new Error(`${variable} is not set: it must name the binary under test`);
  if (!existsSync(path)) throw new Error(`${variable} names ${path}, which is not there`);
  return path;
}

/** A port that nobody listens on, below the range that outgoing connections take theirs from. */
export async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (await canListen(port)) return port;
  }
}

function canListen(port) {
  return new Promise((resolve) => {
    const probe = net.createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '::', ipv6Only: false }, () => probe.close(() => resolve(true)));
  });
}

function inheritedEnvironment() {
  const kept = [
    'PATH',
    'HOME',
    'LD_LIBRARY_PATH',
    'ASAN_OPTIONS',
    'UBSAN_OPTIONS',
    'TSAN_OPTIONS',
    'LSAN_OPTIONS',
    'ASAN_SYMBOLIZER_PATH',
    'LLVM_PROFILE_FILE',
  ];
  return Object.fromEntries(kept.filter((k) => k in process.env).map((k) => [k, process.env[k]]));
}

/** A running child with its output; `exited` resolves to {code, signal}. */
export class Program {
  /** `descriptors`, `fileBytes`: limits; `uid`: the user to run as, where this one is root. */
  constructor(binary, { args = [], env = {}, descriptors = 0, fileBytes = 0, uid, input } = {}) {
    const limits = [];
    if (descriptors > 0) limits.push(`ulimit -n ${descriptors}`);
    if (fileBytes > 0) limits.push(`ulimit -S -f ${Math.floor(fileBytes / FILE_LIMIT_UNIT)}`);
    // exec keeps the pid, so that what is measured and signalled is the daemon and not the shell.
    const command =
      limits.length > 0
        ? ['/bin/sh', ['-c', `${limits.join(' && ')} && exec "$0" "$@"`, binary, ...args]]
        : [binary, args];
    this.stdout = '';
    this.stderr = '';
    this.child = spawn(...command, {
      env: { ...inheritedEnvironment(), ...env },
      uid,
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    if (input !== undefined) this.feed(input);
    this.child.stdout.on('data', (chunk) => (this.stdout += chunk));
    this.child.stderr.on('data', (chunk) => (this.stderr += chunk));
    this.isOver = false;
    running.add(this);
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        this.isOver = true;
        running.delete(this);
        resolve({ code, signal });
      });
    });
    this.exited.catch(() => {});
  }

  /** The program's stdin; `null` leaves it open, to be written to by hand. */
  feed(input) {
    this.child.stdin.on('error', () => {}); // it may end before it has read all
    if (input !== null) this.child.stdin.end(input);
  }

  get pid() {
    return this.child.pid;
  }

  kill(signal = 'SIGKILL') {
    if (!this.isOver) this.child.kill(signal);
  }

  /** Lets the test process end without waiting for the program, which ends with it. */
  release() {
    for (const handle of [this.child, this.child.stdout, this.child.stderr]) handle.unref();
  }

  /** Waits for the end that the program comes to by itself. */
  async finish(ms = DEADLINE_MS) {
    try {
      return await withDeadline(this.exited, 'exit of the program', ms);
    } catch (error) {
      this.kill();
      throw new Error(`${error.message}\n${this.stderr}`);
    }
  }

  /** Ends the program the polite way and asserts that it was well to its end. */
  async stop(signal = 'SIGTERM', ms = 20_000 + DEADLINE_MS) {
    this.kill(signal);
    const { code, signal: killer } = await this.finish(ms);
    this.assertNoReport();
    assert.equal(killer, null, `ended by signal ${killer}\n${this.stderr}`);
    assert.equal(code, 0, `exit status ${code} after ${signal}\n${this.stderr}`);
  }

  assertNoReport() {
    assert.doesNotMatch(this.stderr, SANITIZER_REPORT, 'a sanitizer or assertion reported');
  }

  /** CPU seconds, user and system, that the process has used so far. */
  cpuSeconds() {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
  }

  residentBytes() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) * 1024;
  }

  threadCount() {
    const status = readFileSync(`/proc/${this.pid}/status`, 'latin1');
    return Number(/^Threads:\s+(\d+)/m.exec(status)[1]);
  }
}

/** Runs a program to its end: {code, signal, stdout, stderr}. */
export async function runToEnd(binary, options) {
  const program = new Program(binary, options);
  const end = await program.finish();
  program.assertNoReport();
  return { ...end, stdout: program.stdout, stderr: program.stderr };
}
