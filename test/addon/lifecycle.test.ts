/** Ends of handles, worker threads and processes: nothing crashes, nothing hangs, nothing leaks. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { BpfObject, RingBuffer } from '#addon';
import { addonUrl, compile, openDescriptors, run } from './support.ts';

const elf = compile('basic');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Descriptors after garbage collection and the finalizers that follow it. */
async function settledDescriptors(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    collect();
    await delay(10);
  }
  return openDescriptors();
}

/** Everything that can be open at once: handles, a delivering ring buffer, a run of live frames. */
const busy = `
  const object = new addon.BpfObject(elf);
  object.load();
  const program = object.program('count_tc');
  new addon.RingBuffer(object.map('events'), () => {});
  const feed = setInterval(() => program.testRun({ data: new Uint8Array(64), repeat: 1000 }), 1);
  object.program('drop_xdp').testRunAsync({ data: new Uint8Array(64), liveFrames: true, repeat: 2 ** 31 - 1 })
    .catch((error) => { if (error.code !== 'EINTR') throw error; });
`;

function worker(code: string): Worker {
  const text = `
    const { parentPort, workerData: { url, elf } } = require('node:worker_threads');
    import(url).then(async (addon) => { ${code} });`;
  return new Worker(text, { eval: true, workerData: { url: addonUrl, elf }, execArgv: [] });
}

function child(code: string) {
  const text = `
    const addon = await import(${JSON.stringify(addonUrl)});
    const elf = Buffer.from(process.env.ELF, 'base64');
    ${code}`;
  const env = { ELF: Buffer.from(elf).toString('base64') };
  return run(process.execPath, ['--expose-gc', '--input-type=module', '-e', text], env);
}

describe('addon: lifecycle', () => {
  it('close() gives every descriptor back', async () => {
    const before = await settledDescriptors();
    for (let i = 0; i < 20; i++) {
      const object = new BpfObject(elf);
      object.load();
      const map = object.map('events');
      const program = object.program('grow');
      const ring = new RingBuffer(map, () => {});
      assert.ok(openDescriptors() > before);
      for (const handle of [ring, object, map, program]) handle.close();
      assert.equal(openDescriptors(), before);
    }
  });

  it('garbage collection gives the descriptors of forgotten handles back', async () => {
    const before = await settledDescriptors();
    // In a function of its own, whose frame is gone when the collector looks.
    const forget = () => {
      const object = new BpfObject(elf);
      object.load();
      object.map('rows').update(new Uint8Array(8), new Uint8Array(12));
      object.program('grow').testRun({ data: new Uint8Array(64) });
    };
    for (let i = 0; i < 50; i++) forget();
    assert.ok(openDescriptors() > before);
    assert.equal(await settledDescriptors(), before);
  });

  it('failed constructions and loads leave no descriptor', async () => {
    const before = await settledDescriptors();
    for (let i = 0; i < 20; i++) {
      assert.throws(() => new BpfObject(elf.subarray(0, 1000)));
      const object = new BpfObject(elf);
      object.setMaxEntries('rows', 2 ** 32 - 1); // more than the kernel gives
      assert.throws(() => object.load(), { syscall: 'bpf_object__load' });
      object.close();
    }
    assert.equal(await settledDescriptors(), before);
  });

  it('an async run keeps what it needs while everything else is collected', async () => {
    const runs = Array.from({ length: 8 }, () => {
      const object = new BpfObject(elf);
      object.load();
      return object.program('grow').testRunAsync({ data: new Uint8Array(64).fill(3), repeat: 50 });
    });
    collect();
    for (const result of await Promise.all(runs)) assert.equal(result.data[0], 3);
  });

  it('a worker thread that ends closes its handles', async () => {
    const before = await settledDescriptors();
    for (let i = 0; i < 5; i++) {
      const thread = worker(`
        const object = new addon.BpfObject(elf);
        object.load();
        globalThis.kept = [object, object.map('rows'), object.program('grow')];
        parentPort.postMessage((await object.program('grow').testRunAsync({ data: new Uint8Array(64) })).data.length);`);
      const [length, code] = await Promise.all([
        new Promise((resolve) => thread.once('message', resolve)),
        new Promise((resolve) => thread.once('exit', resolve)),
      ]);
      assert.deepEqual([length, code], [68, 0]);
    }
    assert.equal(await settledDescriptors(), before);
  });

  it('a worker thread is terminated in the middle of everything', async () => {
    const before = await settledDescriptors();
    for (const wait of [0, 1, 5, 20, 50]) {
      const thread = worker(`${busy} parentPort.postMessage('busy');`);
      await new Promise((resolve) => thread.once('message', resolve));
      await delay(wait);
      const start = Date.now();
      await thread.terminate();
      assert.ok(Date.now() - start < 2000, `${Date.now() - start} ms to end`);
    }
    assert.equal(await settledDescriptors(), before);
  });

  it('many worker threads at once', async () => {
    const threads = Array.from({ length: 6 }, () => worker(`${busy} setTimeout(() => process.exit(7), 50);`));
    const codes = await Promise.all(
      threads.map((thread) => new Promise((resolve) => thread.once('exit', resolve))),
    );
    assert.deepEqual(codes, [7, 7, 7, 7, 7, 7]);
  });

  it('a process exits in the middle of everything', async () => {
    for (const wait of [0, 30]) {
      const result = await child(`${busy} setTimeout(() => process.exit(9), ${wait});`);
      assert.deepEqual([result.code, result.signal], [9, null], result.stderr);
    }
  });

  it('a process ends by itself when nothing is left to do, handles or not', async () => {
    const result = await child(`
      globalThis.object = new addon.BpfObject(elf);
      object.load();
      globalThis.kept = [object.program('grow'), object.map('rows')];
      console.log('done');`);
    assert.deepEqual([result.stdout, result.code, result.signal], ['done\n', 0, null], result.stderr);
  });

  it('an open ring buffer keeps the process alive, and itself', async () => {
    const result = await child(`
      const object = new addon.BpfObject(elf);
      object.load();
      let ring = new addon.RingBuffer(object.map('events'), () => { console.log('delivered'); process.exit(0); });
      ring = undefined;
      setTimeout(() => { gc(); object.program('count_tc').testRun({ data: new Uint8Array(64) }); }, 50).unref();`);
    assert.deepEqual([result.stdout, result.code], ['delivered\n', 0], result.stderr);
  });

  it('says how to build the addon when it is not built', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'fistpath-addon-unbuilt-'));
    try {
      cpSync(fileURLToPath(addonUrl), join(directory, 'index.mjs'));
      const code = `await import(${JSON.stringify(join(directory, 'index.mjs'))}).catch((e) => console.log(e.message));`;
      const result = await child(code);
      assert.match(result.stdout, /is not built .*npm run build:addon/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
