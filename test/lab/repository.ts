import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

function findRoot(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package.json above ${import.meta.dirname}`);
    directory = parent;
  }
  return directory;
}

/** The checkout, from source and from dist/ alike: what tsc does not copy (C, Python) is found through it. */
export const repository = findRoot();

/** The command line of another Node script of test/ (path below it, without suffix), which is built or not as this one. */
export function nodeScript(path: string): string[] {
  const built = import.meta.filename.endsWith('.js');
  if (built) return [process.execPath, join(repository, 'dist', 'test', `${path}.js`)];
  const loader = createRequire(import.meta.filename).resolve('tsx');
  return [process.execPath, '--import', loader, join(repository, 'test', `${path}.ts`)];
}
