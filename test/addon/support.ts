/** What the addon's tests share: compiled objects, a bpffs, child processes, counts of open descriptors. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const compiled = new Map<string, Uint8Array>();

/** Compiles test/addon/bpf/NAME.bpf.c, with `-D` definitions, once per process. */
export function compile(name: string, definitions: readonly string[] = []): Uint8Array {
  const key = [name, ...definitions].join(' ');
  const before = compiled.get(key);
  if (before) return before;
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-addon-object-'));
  try {
    const output = join(directory, 'out.o');
    const source = fileURLToPath(new URL(`bpf/${name}.bpf.c`, sourceDirectory()));
    const flags = '-O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror'.split(' ');
    const include = '-I/usr/include/x86_64-linux-gnu';
    execFileSync('clang', [
      ...flags,
      include,
      ...definitions.map((d) => `-D${d}`),
      '-c',
      source,
      '-o',
      output,
    ]);
    const bytes = new Uint8Array(readFileSync(output));
    compiled.set(key, bytes);
    return bytes;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** This file runs from test/addon or, compiled, from dist/test/addon: the C sources are in the first alone. */
function sourceDirectory(): URL {
  const here = new URL('./', import.meta.url);
  return existsSync(new URL('bpf', here)) ? here : new URL('../../../test/addon/', here);
}

const bpffsPrefix = join(tmpdir(), 'fistpath-addon-bpffs-');

/** Mounts a bpffs under a temporary directory; those of test runs that were killed are swept first. */
export function mountBpffs(): string {
  for (const name of readdirSync(tmpdir())) {
    const path = join(tmpdir(), name);
    const pid = path.startsWith(bpffsPrefix) ? path.slice(bpffsPrefix.length) : undefined;
    if (pid && !existsSync(`/proc/${pid}`)) unmountBpffs(path);
  }
  const path = `${bpffsPrefix}${process.pid}`;
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'bpf', '-o', 'mode=0755', 'bpf', path]);
  return path;
}

export function unmountBpffs(path: string): void {
  if (readFileSync('/proc/mounts', 'utf8').includes(` ${path} `)) execFileSync('umount', [path]);
  rmdirSync(path);
}

export interface ChildResult {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end, a minute at most. */
export function run(
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<ChildResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** Open descriptors of this process that belong to bpf, event or namespace objects. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Bytes of a 32-bit number, host order (every machine that this runs on is little-endian). */
export function u32(...numbers: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(numbers).buffer);
}

export const addonUrl = import.meta.resolve('#addon');
