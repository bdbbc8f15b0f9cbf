// What a process that is killed leaves behind, and who may open a store.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openEmbeddedStore } from '../../src/store/embedded.ts';

const WRITER = join(import.meta.dirname, 'writer.ts');

describe('embedded store: processes', () => {
  let directory: string;
  let child: ChildProcess | undefined;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fistpath-store-'));
  });
  afterEach(() => {
    child?.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  async function startWriter(): Promise<{ acknowledged: Set<number>; next: () => Promise<unknown> }> {
    child = spawn(process.execPath, ['--import', 'tsx', WRITER, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout! });
    const acknowledged = new Set<number>();
    await once(lines, 'line');
    lines.on('line', (line) => acknowledged.add(Number(line)));
    return { acknowledged, next: () => once(lines, 'line') };
  }

  it('has every acknowledged transaction, and each whole, after kill -9 of the writer', async () => {
    let total = 0;
    for (let kill = 0; kill < 3; kill++) {
      const { acknowledged, next } = await startWriter();
      await next();
      await new Promise((resolve) => setTimeout(resolve, 60 + 70 * kill));
      child!.kill('SIGKILL');
      await once(child!, 'close');
      const store = await openEmbeddedStore(directory);
      const left = (await store.range('/left/')).entries;
      const right = (await store.range('/right/')).entries;
      await store.close();
      const numbers = (entries: typeof left, prefix: string) =>
        entries.map(({ key }) => key.slice(prefix.length));
      assert.deepEqual(numbers(left, '/left/'), numbers(right, '/right/'), 'a transaction is there by half');
      for (const [index, { modRevision }] of left.entries())
        assert.equal(right[index]!.modRevision, modRevision);
      const there = new Set(numbers(left, '/left/').map(Number));
      for (const number of acknowledged)
        assert.ok(there.has(number), `${number} was acknowledged and is lost`);
      assert.ok(acknowledged.size > 0);
      total += acknowledged.size;
    }
    assert.ok(total > 100, `only ${total} were written`);
  });

  it('refuses a second process at once, naming the first', async () => {
    await startWriter();
    const started = performance.now();
    await assert.rejects(openEmbeddedStore(directory), {
      message: `store ${directory}: ${directory}/writer.lock is locked by process ${child!.pid}: stop that daemon, or use another directory`,
    });
    assert.ok(performance.now() - started < 1000);
    child!.kill('SIGKILL');
    await once(child!, 'close');
    await (await openEmbeddedStore(directory)).close();
  });

  it('refuses a second open in the same process, until the first is closed', async () => {
    const store = await openEmbeddedStore(directory);
    await assert.rejects(openEmbeddedStore(directory), new RegExp(`locked by process ${process.pid}`));
    await store.close();
    await (await openEmbeddedStore(directory)).close();
  });

  it('says that nothing was written when the disk is full, stays usable, and loses nothing', () => {
    // A small file system of its own, in a mount namespace of its own.
    const script = join(import.meta.dirname, 'full-disk.ts');
    const shell = `mount -t tmpfs -o size=600k none "$0" && exec "$1" --import tsx "$2" "$0"`;
    const args = ['--mount', 'bash', '-c', shell, directory, process.execPath, script];
    const said = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' })) as {
      written: number;
      error: string;
      present: number;
      afterwards: number;
      halves: number;
    };
    assert.match(said.error, /nothing was written: /);
    assert.ok(said.written > 10);
    assert.equal(said.present, said.written);
    assert.equal(said.halves, 0);
    assert.equal(said.afterwards, said.written);
  });
});
