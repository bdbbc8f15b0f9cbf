import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../src', import.meta.url));

/**
 * The floors: what each folder of src/ may import besides itself, npm packages and #proto.
 * Root files: fistpathd.ts puts everything together, config.ts and defaults.ts are everybody's.
 */
const MAY_IMPORT: Record<string, string[]> = {
  'fistpathd.ts': ['agent', 'api', 'controller', 'store', 'config.ts'],
  'config.ts': ['defaults.ts', 'records'],
  'defaults.ts': [],
  cli: ['api', 'records', 'agent', 'config.ts', 'defaults.ts', '#addon'],
  api: ['controller', 'records'],
  controller: ['records', 'store'],
  records: [],
  store: [],
  agent: ['records', 'config.ts', '#addon'],
};

function floorOf(path: string): string {
  return relative(SOURCE, path).split('/')[0]!;
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!);
}

/** The sentence that is wrong, for each import that points upwards. */
function violations(file: string, imports: string[]): string[] {
  const floor = floorOf(file);
  return imports.flatMap((target) => {
    const to = target.startsWith('.') ? floorOf(resolve(dirname(file), target)) : target;
    const concerns = target.startsWith('.') || target === '#addon';
    if (!concerns || to === floor || MAY_IMPORT[floor]?.includes(to)) return [];
    return [`${relative(SOURCE, file)} imports ${target}`];
  });
}

describe('import direction', () => {
  it('points downwards only, in every file of src/', () => {
    const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(SOURCE, name));
    assert.ok(files.length > 20, `only ${files.length} files found in ${SOURCE}`);
    assert.deepEqual(
      files.flatMap((file) => violations(file, importsOf(file))),
      [],
    );
  });

  it('sees an import that points upwards', () => {
    const file = join(SOURCE, 'agent/agent.ts');
    assert.deepEqual(violations(file, ['../controller/open.ts']), [
      'agent/agent.ts imports ../controller/open.ts',
    ]);
    assert.deepEqual(violations(join(SOURCE, 'controller/x.ts'), ['#addon']), [
      'controller/x.ts imports #addon',
    ]);
    assert.deepEqual(violations(file, ['./names.ts', '#addon', 'pino', '../config.ts']), []);
  });
});
