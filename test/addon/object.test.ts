import assert from 'node:assert/strict';
import { type BpfError, BpfObject, libbpfVersion } from '#addon';
import { addonUrl, compile, run, u32 } from './support.ts';

const frame = new Uint8Array(64);

describe('addon: objects', () => {
  it('lists programs and declared maps, not those of global variables', () => {
    const object = new BpfObject(compile('basic'));
    assert.deepEqual(object.programs, ['count_xdp', 'count_tc', 'grow', 'constants', 'drop_xdp']);
    assert.deepEqual(object.maps, ['rows', 'counts', 'events', 'devices']);
    assert.match(libbpfVersion, /^\d+\.\d+$/);
  });

  it('opens from a buffer at an odd address, and keeps no reference to it', () => {
    const elf = compile('basic');
    const odd = Buffer.alloc(elf.length + 1);
    odd.set(elf, 1);
    const object = new BpfObject(odd.subarray(1));
    odd.fill(0xff);
    object.load();
    assert.equal(object.program('drop_xdp').testRun({ data: frame }).retval, 1);
  });

  it('sets constants by name', () => {
    const object = new BpfObject(compile('basic'));
    object.setRodata('octets', new Uint8Array([0, 0, 5]));
    object.setRodata('wide', new Uint8Array(new BigUint64Array([9n]).buffer));
    object.setRodata('verdict', u32(3));
    object.load();
    assert.equal(object.program('constants').testRun({ data: frame }).retval, 5009);
    assert.equal(object.program('count_xdp').testRun({ data: frame }).retval, 3);
  });

  it('keeps the initial value of a constant that is not set', () => {
    const object = new BpfObject(compile('basic'));
    object.load();
    assert.equal(object.program('constants').testRun({ data: frame }).retval, 7);
  });

  it('refuses a constant that does not exist, has another size, or comes too late', () => {
    const object = new BpfObject(compile('basic'));
    assert.throws(() => object.setRodata('verdicts', u32(1)), { code: 'ENOENT', message: /'verdicts'/ });
    assert.throws(() => object.setRodata('verdict', new Uint8Array(3)), {
      name: 'TypeError',
      message: "value of 'verdict' must have 4 bytes, not 3",
    });
    object.load();
    assert.throws(() => object.setRodata('verdict', u32(1)), { code: 'EBUSY' });
  });

  it('sets capacities before load, and not after', () => {
    const object = new BpfObject(compile('basic'));
    object.setMaxEntries('rows', 77);
    object.load();
    assert.equal(object.map('rows').info.maxEntries, 77);
    assert.throws(() => object.setMaxEntries('rows', 78), { code: 'EBUSY' });
  });

  it('does not load a skipped program', () => {
    const object = new BpfObject(compile('basic'));
    object.skipProgram('drop_xdp');
    object.load();
    assert.throws(() => object.program('drop_xdp'), { code: 'EINVAL', message: /skipped/ });
    assert.equal(object.program('grow').info.name, 'grow');
  });

  it('answers clearly for names that do not exist and for what is not loaded yet', () => {
    const object = new BpfObject(compile('basic'));
    assert.throws(() => object.program('nothing'), { code: 'ENOENT', message: /'nothing'/ });
    assert.throws(() => object.map('nothing'), { code: 'ENOENT', message: /'nothing'/ });
    assert.throws(() => object.program('grow'), { code: 'EINVAL', message: /not loaded/ });
    assert.throws(() => object.map('rows'), { code: 'EINVAL', message: /not loaded/ });
  });

  it('shapes the error for what is no object like the others', () => {
    assert.throws(
      () => new BpfObject(Buffer.from('not an ELF file at all')),
      (error: BpfError) => {
        assert.equal(error.code, 'LIBBPF_ERRNO__FORMAT');
        assert.equal(error.errno, 4001);
        assert.equal(error.syscall, 'bpf_object__open_mem');
        return error instanceof Error;
      },
    );
    assert.throws(() => new BpfObject(new Uint8Array(0)), { syscall: 'bpf_object__open_mem' });
    const truncated = compile('basic').subarray(0, 500);
    assert.throws(() => new BpfObject(truncated), { syscall: 'bpf_object__open_mem' });
  });

  it('gives the complete verifier log, however long', () => {
    const object = new BpfObject(compile('refused', ['STEPS=40000']));
    assert.throws(
      () => object.load(),
      (error: BpfError) => {
        assert.equal(error.code, 'EACCES');
        assert.match(error.message, /'refused'.*R\d offset is outside of the packet$/);
        const log = error.log ?? '';
        assert.ok(
          log.length > 16 * 1024 * 1024,
          `${log.length} bytes: not longer than libbpf's first buffer`,
        );
        assert.match(log.slice(0, 100), /^0: R1=ctx\(\) R10=fp0\n/);
        assert.match(log.slice(-200), /\nprocessed \d+ insns .*\n$/);
        return true;
      },
    );
    assert.throws(() => object.load(), { code: 'EINVAL' });
  });

  it('prints nothing on its own', async () => {
    const script = `
      const { BpfObject } = await import(${JSON.stringify(addonUrl)});
      try { new BpfObject(Buffer.from('garbage')); } catch (error) { console.log(error.code); }`;
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script]);
    assert.deepEqual([stdout, stderr], ['LIBBPF_ERRNO__FORMAT\n', '']);
  });

  it('gives handles that outlive the object', () => {
    const object = new BpfObject(compile('basic'));
    object.load();
    const program = object.program('drop_xdp');
    const map = object.map('rows');
    object.close();
    object.close();
    assert.equal(program.testRun({ data: frame }).retval, 1);
    map.update(new Uint8Array(8), new Uint8Array(12));
    assert.throws(() => object.programs, { code: 'EBADF', message: /closed/ });
    assert.throws(() => object.load(), { code: 'EBADF' });
  });
});
