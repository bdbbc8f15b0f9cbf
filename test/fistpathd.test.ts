import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const DAEMON = fileURLToPath(new URL('../src/fistpathd.ts', import.meta.url));

describe('fistpathd', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fistpathd-'));
  const file = join(directory, 'config.json');
  const children: ChildProcess[] = [];

  before(() => {
    const config = {
      ...{ node: 'sf-1', roles: ['agent'], state_directory: join(directory, 'state') },
      ...{ underlay: { device: 'nowhere0', address: '10.2.1.11' }, controllers: ['127.0.0.1:9'] },
    };
    writeFileSync(file, JSON.stringify(config));
  });

  after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });

  /** Its first words, and on which stream. */
  async function start(): Promise<{ child: ChildProcess; out: string; err: string }> {
    const child = spawn(process.execPath, ['--import', 'tsx', DAEMON, '--config', file]);
    children.push(child);
    const words = (stream: NodeJS.ReadableStream) => once(stream, 'data').then(String);
    return Promise.race([
      words(child.stdout).then((out) => ({ child, out, err: '' })),
      words(child.stderr).then((err) => ({ child, out: '', err })),
    ]);
  }

  it('runs once per state directory, and again after it was killed', async () => {
    const first = await start();
    assert.match(first.out, /"msg":"ready"/);

    const second = await start();
    assert.match(
      second.err,
      new RegExp(
        `^fistpathd: fistpathd runs on this node already: .* is locked by process ${first.child.pid}\n$`,
      ),
    );
    const [code] =
      second.child.exitCode === null ? await once(second.child, 'exit') : [second.child.exitCode];
    assert.equal(code, 1);
    assert.equal(first.child.exitCode, null);

    const task = `/proc/${first.child.pid}/task/${first.child.pid}/children`;
    const monitors = readFileSync(task, 'utf8').trim().split(' ');
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    assert.deepEqual(monitors.length, 1);
    // A zombie has no command line any more.
    const runs = () => {
      const path = `/proc/${monitors[0]}/cmdline`;
      return existsSync(path) && readFileSync(path, 'utf8') !== '';
    };
    for (let tries = 0; tries < 200 && runs(); tries++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(!runs(), 'what it started to watch the kernel ends with it');
    assert.match((await start()).out, /"msg":"ready"/);
  });

  it('says what is wrong with its configuration', async () => {
    writeFileSync(file, '{"node": "sf-1"}');
    assert.match((await start()).err, /^fistpathd: configuration .*config.json: .*\n$/);
  });
});
