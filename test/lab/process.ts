import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Every process of a lab carries this variable with the lab's directory: that is how a sweep finds them all. */
export const LAB_VARIABLE = 'FISTPATH_LAB';

/** A process for ever: pids are reused, a pid with its start time is not. */
export interface ProcessId {
  pid: number;
  /** Clock ticks since boot: field 22 of /proc/PID/stat. */
  start: string;
}

export interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  env?: Record<string, string>;
  /** Milliseconds until SIGKILL; 30 s unless told. */
  timeout?: number;
}

/** A command that ended with another code than 0. */
export class CommandError extends Error {
  readonly command: readonly string[];
  readonly output: Output;

  constructor(command: readonly string[], output: Output) {
    super(`${command.join(' ')}: exit code ${output.code}\n${output.stdout}${output.stderr}`.trimEnd());
    this.command = command;
    this.output = output;
  }
}

/** Runs a command to its end and returns what it said, whatever its exit code. */
export function tryRun(command: readonly string[], options: RunOptions = {}): Promise<Output> {
  const timeout = options.timeout ?? 30_000;
  return new Promise((resolve, reject) => {
    const child = spawn(command[0]!, command.slice(1), {
      env: { ...process.env, ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    const output: Output = { code: 0, stdout: '', stderr: '' };
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      output.stdout += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      output.stderr += text;
    });
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Error(`${command.join(' ')}: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (signal !== null)
        output.stderr += `\nended by ${signal}${signal === 'SIGKILL' ? ` (limit ${timeout} ms)` : ''}`;
      resolve({ ...output, code: code ?? 128 });
    });
    child.stdin?.on('error', () => undefined); // it may end without reading everything: its exit code tells
    child.stdin?.end(options.input);
  });
}

/** Runs a command to its end and returns its standard output. Throws CommandError on an exit code other than 0. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const output = await tryRun(command, options);
  if (output.code !== 0) throw new CommandError(command, output);
  return output.stdout;
}

/** Who has this pid now; undefined when nobody has, or only what is left of a dead process. */
export function identify(pid: number): ProcessId | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The second field is the command in brackets and may hold anything, brackets too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, start: fields[19]! };
}

export function isAlive(id: ProcessId): boolean {
  return identify(id.pid)?.start === id.start;
}

/** Sends a signal to exactly this process; nothing happens when it is gone. */
export function signal(id: ProcessId, name: NodeJS.Signals): void {
  if (!isAlive(id)) return;
  try {
    process.kill(id.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Waits until a condition holds; throws naming it after `timeout` ms. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout = 10_000,
  interval = 20,
): Promise<void> {
  const end = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${timeout} ms in vain: ${what}`);
    await delay(interval);
  }
}

/** SIGTERM, then SIGKILL after `grace` ms. */
export async function stop(id: ProcessId, grace = 5_000): Promise<void> {
  signal(id, 'SIGTERM');
  const end = Date.now() + grace;
  while (isAlive(id) && Date.now() < end) await delay(10);
  signal(id, 'SIGKILL');
  await until(`process ${id.pid} ends`, () => !isAlive(id));
}

export interface BackgroundOptions {
  env?: Record<string, string>;
  /** File for its output; started anew. */
  log: string;
  /** File for its identity, so that a later run of the lab finds it. */
  record: string;
}

/** Starts a process of a lab that outlives this one. */
export function startBackground(
  lab: string,
  command: readonly string[],
  options: BackgroundOptions,
): ProcessId {
  mkdirSync(dirname(options.log), { recursive: true });
  const log = openSync(options.log, 'w', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(command[0]!, command.slice(1), {
      detached: true,
      env: { ...process.env, ...options.env, [LAB_VARIABLE]: lab },
      stdio: ['ignore', log, log],
    });
  } finally {
    closeSync(log);
  }
  child.on('error', () => undefined); // reported below: there is no pid
  child.unref();
  const id = child.pid === undefined ? undefined : identify(child.pid);
  if (id === undefined) throw new Error(`${command.join(' ')}: did not start; see ${options.log}`);
  writeFileSync(options.record, JSON.stringify(id));
  return id;
}

/** Reads a record that startBackground wrote; undefined when there is none or its process is gone. */
export function readRecord(file: string): ProcessId | undefined {
  try {
    const id = JSON.parse(readFileSync(file, 'utf8')) as ProcessId;
    return isAlive(id) ? id : undefined;
  } catch {
    return undefined;
  }
}

/** Every process of a lab, recorded or not. */
export function processesOf(lab: string): ProcessId[] {
  const mark = `${LAB_VARIABLE}=${lab}`;
  const found: ProcessId[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const id = identify(Number(name));
    try {
      const environment = readFileSync(`/proc/${name}/environ`, 'latin1').split('\0');
      if (id !== undefined && environment.includes(mark)) found.push(id);
    } catch {
      // gone meanwhile
    }
  }
  return found;
}

/** Ends every process of a lab and removes its directory. Whatever state the lab is in. */
export async function sweep(lab: string): Promise<void> {
  await until(
    `the processes of ${lab} end`,
    () => {
      const left = processesOf(lab);
      for (const id of left) signal(id, 'SIGKILL');
      return left.length === 0;
    },
    15_000,
  );
  rmSync(lab, { recursive: true, force: true });
}
