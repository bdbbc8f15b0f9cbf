import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BpfError, BpfLink, BpfMap, BpfObject, BpfProgram } from '#addon';
import { addonUrl, compile, mountBpffs, run, u32, unmountBpffs } from './support.ts';

function load(name: string, pinDirectory: string, definitions?: string[]): BpfObject {
  const object = new BpfObject(compile(name, definitions), { pinDirectory });
  object.load();
  return object;
}

describe('addon: pins', () => {
  let bpffs: string;
  before(() => {
    bpffs = mountBpffs();
  });
  after(() => unmountBpffs(bpffs));

  it('pins the maps of an object by name, and adopts them afterwards', () => {
    const directory = join(bpffs, 'made', 'on', 'demand');
    const first = load('basic', directory);
    assert.deepEqual(readdirSync(directory).sort(), ['counts', 'devices', 'events', 'rows']);
    first.map('rows').update(u32(1, 2), new Uint8Array(12).fill(3));
    const id = first.map('rows').info.id;
    first.close();

    const second = load('basic', directory);
    assert.equal(second.map('rows').info.id, id);
    assert.deepEqual(second.map('rows').lookup(u32(1, 2)), new Uint8Array(12).fill(3));
    // The device map too, to whose flags the kernel adds one.
    assert.equal(second.map('devices').info.id, BpfMap.open(join(directory, 'devices')).info.id);
    // The programs use the adopted maps.
    second.program('count_tc').testRun({ data: new Uint8Array(64), repeat: 3 });
    const counts = BpfMap.open(join(directory, 'counts')).lookup(u32(0))!;
    assert.equal(
      new BigUint64Array(counts.buffer).reduce((sum, n) => sum + n, 0n),
      3n,
    );
  });

  it('adopts what is there and creates the rest', () => {
    const directory = join(bpffs, 'partly');
    load('layout', directory).map('rows').update(u32(1, 2), new Uint8Array(12).fill(3));
    const object = load('basic', directory);
    assert.deepEqual(object.map('rows').lookup(u32(1, 2)), new Uint8Array(12).fill(3));
    assert.deepEqual(readdirSync(directory).sort(), ['counts', 'devices', 'events', 'rows']);
  });

  const differences: [string, string, string][] = [
    ['type', 'TYPE=9', 'type is 9, not 1'],
    ['key size', 'KEY_SIZE=4', 'key size is 4, not 8'],
    ['value size', 'VALUE_SIZE=16', 'value size is 16, not 12'],
    ['capacity', 'MAX_ENTRIES=999', 'max entries is 999, not 1000'],
    ['flags', 'FLAGS=1', 'flags is 1, not 0'],
  ];
  for (const [what, definition, text] of differences) {
    it(`refuses a pinned map of another ${what}, and says so`, () => {
      const directory = join(bpffs, `differs-${what.replace(' ', '-')}`);
      load('layout', directory, [definition]);
      assert.throws(
        () => load('basic', directory),
        (error: BpfError) => {
          assert.equal(error.code, 'EINVAL');
          assert.ok(error.message.includes(`${directory}/rows`), error.message);
          assert.ok(error.message.endsWith(text), error.message);
          return true;
        },
      );
      assert.deepEqual(readdirSync(directory), ['rows'], 'nothing else was pinned');
    });
  }

  it('compares with the capacity that was set, not the declared one', () => {
    const directory = join(bpffs, 'capacity');
    load('layout', directory, ['MAX_ENTRIES=5']);
    const object = new BpfObject(compile('layout'), { pinDirectory: directory });
    object.setMaxEntries('rows', 5);
    object.load();
    assert.equal(object.map('rows').info.maxEntries, 5);
  });

  it('refuses a map name that something else has', () => {
    const directory = join(bpffs, 'foreign');
    const object = load('basic', join(bpffs, 'foreign-source'));
    load('layout', directory);
    object.program('grow').pin(join(directory, 'events'));
    assert.throws(() => load('basic', directory), {
      code: 'EINVAL',
      message: /events': it is a program, not a map/,
    });
  });

  it('leaves no pin behind when the verifier refuses', () => {
    const directory = join(bpffs, 'refused');
    assert.throws(() => load('refused', directory), { code: 'EACCES' });
    assert.deepEqual(readdirSync(directory), []);
  });

  it('pins and opens programs and maps, each as what it is', () => {
    const object = load('basic', join(bpffs, 'kinds'));
    const program = join(bpffs, 'program');
    const map = join(bpffs, 'map');
    object.program('drop_xdp').pin(program);
    object.map('rows').pin(map);
    assert.equal(BpfProgram.open(program).testRun({ data: new Uint8Array(64) }).retval, 1);
    assert.equal(BpfProgram.open(program).info.name, 'drop_xdp');
    assert.equal(BpfMap.open(map).info.id, object.map('rows').info.id);
    assert.throws(() => object.map('rows').pin(map), { code: 'EEXIST', syscall: 'bpf_obj_pin' });
    assert.throws(() => BpfMap.open(program), { code: 'EINVAL', message: /it is a program, not a map/ });
    assert.throws(() => BpfProgram.open(map), { code: 'EINVAL', message: /it is a map, not a program/ });
    assert.throws(() => BpfLink.open(map), { code: 'EINVAL', message: /it is a map, not a link/ });
    const missing = join(bpffs, 'missing');
    assert.throws(() => BpfMap.open(missing), {
      code: 'ENOENT',
      errno: 2,
      syscall: 'bpf_obj_get',
      message: `ENOENT: No such file or directory, bpf_obj_get '${missing}'`,
    });
  });

  it('says so where no bpffs is mounted, and makes nothing there', () => {
    const plain = mkdtempSync(join(tmpdir(), 'fistpath-addon-plain-'));
    try {
      const object = load('basic', join(bpffs, 'nowhere'));
      assert.throws(() => object.map('rows').pin(join(plain, 'rows')), {
        code: 'EPERM',
        message: /mount -t bpf/,
      });
      const directory = join(plain, 'maps');
      assert.throws(() => load('basic', directory), { code: 'EPERM', message: /mount -t bpf/ });
      assert.equal(existsSync(directory), false);
    } finally {
      rmSync(plain, { recursive: true });
    }
  });

  it('a handle that may only read writes nothing, and says so', () => {
    const path = join(bpffs, 'read-only');
    load('basic', join(bpffs, 'read-only-source')).map('rows').pin(path);
    const map = BpfMap.open(path, { readOnly: true });
    const batch = { count: 1, keys: u32(1, 2), values: new Uint8Array(12) };
    assert.throws(
      () => map.updateBatch(batch),
      (error: BpfError) => error.code === 'EPERM' && error.done === 0,
    );
    assert.throws(() => map.deleteBatch(batch.keys, 1), { code: 'EPERM' });
    assert.equal(map.entries().count, 0);
  });

  it('reads a map without any capability when the mode of the pin allows it', async () => {
    const map = load('basic', join(bpffs, 'unprivileged')).map('rows');
    map.update(u32(1, 2), new Uint8Array(12).fill(3));
    const [open, shut] = [join(bpffs, 'world-readable'), join(bpffs, 'root-only')];
    map.pin(open);
    map.pin(shut);
    chmodSync(open, 0o644);
    const script = `
      const { BpfMap } = await import(${JSON.stringify(addonUrl)});
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      const attempt = (action) => { try { return action(); } catch (error) { return error.code; } };
      const map = BpfMap.open(${JSON.stringify(open)}, { readOnly: true });
      console.log(JSON.stringify([
        map.entries().count,
        attempt(() => map.update(new Uint8Array(8), new Uint8Array(12))),
        attempt(() => BpfMap.open(${JSON.stringify(open)})),
        attempt(() => BpfMap.open(${JSON.stringify(shut)}, { readOnly: true })),
      ]));`;
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script]);
    assert.equal(stdout, '[1,"EPERM","EACCES","EACCES"]\n', stderr);
  });
});
