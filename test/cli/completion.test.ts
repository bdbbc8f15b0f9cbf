import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { candidates } from '../../src/cli/complete.ts';
import { createProgram } from '../../src/cli/program.ts';
import { readSettings } from '../../src/cli/settings.ts';
import { fistpath, StandIn } from './harness.ts';

const execute = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

describe('CLI: completion', () => {
  const api = new StandIn();
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-cli-completion-'));

  before(async () => {
    await api.listen();
    api.answer(({ path }) => {
      if (path === '/networks')
        return { body: [{ name: 'demonet' }, { name: 'web net' }, { name: 'backend' }] };
      if (path === '/instances')
        return { body: [{ name: 'inst-on-sf-2', interfaces: [{ uuid: 'c051356d' }] }] };
      if (path === '/nodes') return { body: [{ name: 'sf-1' }, { name: 'sf-2' }] };
      return undefined;
    });
  });
  after(async () => {
    await api.close();
    rmSync(directory, { recursive: true });
  });

  it('offers commands, options and the names of live objects', async () => {
    const settings = readSettings({ apiUrl: api.url }, { FISTPATH_KEY: 'secret' });
    const cases: [string[], string[]][] = [
      [['ne'], ['network']],
      [['network', 's'], ['show']],
      [
        ['network', 'show', ''],
        ['backend', 'demonet', 'web net'],
      ],
      [['network', 'show', 'd'], ['demonet']],
      [['network', 'show', 'demonet', ''], []],
      [['--api-url', 'x', '--json', 'node', 'show', 'sf-2'], ['sf-2']],
      [
        ['node', 'datapath', 'sf-1', ''],
        ['ebpf', 'kernel'],
      ],
      [['instance', 'delete', 'inst'], ['inst-on-sf-2']],
      [['interface', 'show', ''], ['c051356d']],
      [['instance', 'create', 'x', '1', '1', '-n', 'd'], ['demonet']],
      [
        ['instance', 'create', 'x', '1', '1', '--placement', ''],
        ['sf-1', 'sf-2'],
      ],
      [['instance', 'create', ''], []],
      [
        ['network', 'create', 'a', '--no'],
        ['--no-dhcp', '--no-nat'],
      ],
      [['fdb', 'show', 'b'], ['backend']],
      [
        ['completion', ''],
        ['bash', 'fish', 'zsh'],
      ],
    ];
    for (const [words, expected] of cases) {
      assert.deepEqual(await candidates(createProgram(), words, settings), expected, words.join(' '));
    }
  });

  it('offers nothing, and says nothing, when nobody answers', async () => {
    const { code, stdout, stderr } = await fistpath(['__complete', '--', 'network', 'show', '']);
    assert.deepEqual([code, stdout, stderr], [0, '', '']);
  });

  it('works in a real bash, blanks in names included', async () => {
    const { stdout: script } = await fistpath(['completion', 'bash']);
    writeFileSync(join(directory, 'fistpath.bash'), script);
    const program = join(directory, 'fistpath');
    writeFileSync(
      program,
      `#!/bin/sh\ncd '${ROOT}' && exec '${process.execPath}' --import tsx '${MAIN}' "$@"\n`,
      { mode: 0o755 },
    );
    const type = (words: string[]) => {
      const typed = words.map((word) => `'${word}'`).join(' ');
      return `COMP_WORDS=(fistpath ${typed}); COMP_CWORD=${words.length}; _fistpath; printf '%s\\n' "\${COMPREPLY[@]}"`;
    };
    const lines = [
      'source "$1"',
      'complete -p fistpath',
      type(['network', 'show', 'w']),
      type(['node', 'l']),
    ];
    const { stdout } = await execute(
      'bash',
      ['-c', lines.join('\n'), 'bash', join(directory, 'fistpath.bash')],
      {
        env: { PATH: `${directory}:${process.env.PATH}`, FISTPATH_API_URL: api.url, FISTPATH_KEY: 'secret' },
      },
    );
    assert.deepEqual(stdout.trim().split('\n'), [
      'complete -o default -F _fistpath fistpath',
      'web\\ net',
      'list',
    ]);
  });

  it('has a script for each shell', async () => {
    const [zsh, fish] = await Promise.all([
      fistpath(['completion', 'zsh']),
      fistpath(['completion', 'fish']),
    ]);
    assert.match(zsh.stdout, /^#compdef fistpath\n[\s\S]*fistpath __complete -- /);
    assert.match(fish.stdout, /complete -c fistpath -f -a/);
  });
});
