import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './process.ts';
import { repository } from './repository.ts';

const OUTPUT = join(repository, 'dist', 'lab');

async function compile(source: string, output: string, compiler: readonly string[]): Promise<string> {
  const target = join(OUTPUT, output);
  const made = statSync(target, { throwIfNoEntry: false });
  const folder = dirname(source);
  const headers = readdirSync(folder).filter((name) => name.endsWith('.h'));
  const newest = Math.max(
    ...[source, ...headers.map((name) => join(folder, name))].map((file) => statSync(file).mtimeMs),
  );
  if (made !== undefined && made.mtimeMs > newest) return target;
  mkdirSync(OUTPUT, { recursive: true });
  const unfinished = `${target}.${process.pid}`;
  await run([...compiler, '-O2', '-Wall', '-Wextra', '-Werror', '-o', unfinished, source], {
    timeout: 60_000,
  });
  renameSync(unfinished, target);
  return target;
}

/** Builds a C program of the lab (path below test/, without `.c`) when it changed; returns the executable. */
export function compileTool(path: string): Promise<string> {
  const source = join(repository, 'test', `${path}.c`);
  return compile(source, path.replaceAll('/', '-'), ['cc', '-pthread']);
}

/** Builds an eBPF object of the lab (path below test/, without `.bpf.c`) when it changed; returns the object file. */
export function compileProgram(path: string): Promise<string> {
  const source = join(repository, 'test', `${path}.bpf.c`);
  const compiler = ['clang', '-g', '-target', 'bpf', '-mcpu=v3', '-c', '-I/usr/include/x86_64-linux-gnu'];
  return compile(source, `${path.replaceAll('/', '-')}.bpf.o`, compiler);
}
