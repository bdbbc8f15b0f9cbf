/** Whatever JavaScript passes, the answer is an exception and never the end of the process. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import * as addon from '#addon';
import { compile, u32 } from './support.ts';

const { BpfLink, BpfMap, BpfObject, BpfProgram, RingBuffer } = addon;

const frame = new Uint8Array(64);

describe('addon: arguments', () => {
  const object = new BpfObject(compile('basic'));
  before(() => object.load());
  after(() => object.close());

  it('refuses the wrong type, range and size with a TypeError that names the argument', () => {
    const map = object.map('rows');
    const program = object.program('grow');
    const key = new Uint8Array(8);
    const value = new Uint8Array(12);
    const wrong: [(() => unknown) | (() => void), RegExp][] = [
      [() => new BpfObject('elf' as never), /elf must be a Uint8Array/],
      [() => new BpfObject(new Uint16Array(8) as never), /elf must be a Uint8Array/],
      [() => new BpfObject(compile('basic'), 1 as never), /options must be an object/],
      [() => new BpfObject(compile('basic'), { pinDirectory: '' }), /pinDirectory must not be empty/],
      [() => new BpfObject(compile('basic'), { pinDirectory: 'a\0b' }), /contain NUL/],
      [() => object.program(3 as never), /name must be a string/],
      [() => object.setMaxEntries('rows', 0), /entries must be an integer from 1/],
      [() => object.setMaxEntries('rows', 1.5), /entries must be an integer/],
      [() => object.setMaxEntries('rows', Number.NaN), /entries must be an integer/],
      [() => map.lookup(new Uint8Array(7)), /key must have 8 bytes, not 7/],
      [() => map.lookup([1, 2, 3] as never), /key must be a Uint8Array/],
      [() => map.update(key, new Uint8Array(13)), /value must have 12 bytes, not 13/],
      [() => map.update(key, value, -1), /flags must be an integer from 0/],
      [() => map.updateBatch({ count: 2, keys: key, values: value }), /batch.keys must have 16 bytes/],
      [() => map.updateBatch({ count: 1, keys: key, values: key }), /batch.values must have 12 bytes/],
      [() => map.updateBatch(undefined as never), /batch must be an object/],
      [() => map.deleteBatch(key, 2 ** 32), /count must be an integer/],
      [() => program.testRun({} as never), /data must be a Uint8Array/],
      [() => program.testRun(null as never), /options must be an object/],
      [() => program.testRun({ data: frame, repeat: 0 }), /repeat must be an integer from 1/],
      [() => program.testRun({ data: frame, liveFrames: 1 as never }), /liveFrames must be true or false/],
      [() => program.testRun({ data: frame, batchSize: 8 }), /batchSize needs liveFrames/],
      [() => program.attachTcx(0, 'ingress'), /ifindex must be an integer from 1/],
      [() => program.attachTcx(1, 'inwards' as never), /direction must be 'ingress' or 'egress'/],
      [() => program.attachXdp(1, 'driver' as never), /mode must be 'native' or 'generic'/],
      [() => program.attachTc(1, 'ingress', 0, 1), /handle must be an integer from 1/],
      [() => program.attachTc(1, 'ingress', 1, 65536), /priority must be an integer from 1 to 65535/],
      [() => addon.queryTc(1.5, 'ingress', 1, 1), /ifindex must be/],
      [() => BpfMap.open('', {}), /path must not be empty/],
      [() => BpfMap.open('/x', { readOnly: 1 as never }), /readOnly must be true or false/],
      [() => addon.inNamespace('/x', undefined as never), /operation must be an object/],
      [
        () => addon.inNamespace('/x', { verb: 'attachTcx', ifname: 'lo', direction: 'egress' } as never),
        /BpfProgram/,
      ],
    ];
    for (const [call, message] of wrong) assert.throws(call, { name: 'TypeError', message });
  });

  it('rejects asynchronous calls the same way', async () => {
    const program = object.program('grow');
    await assert.rejects(program.testRunAsync({ data: 1 as never }), { name: 'TypeError' });
    await assert.rejects(program.testRunAsync({ data: frame }, {} as never), { name: 'TypeError' });
  });

  it('has no public constructors where only the kernel can make one', () => {
    for (const Class of [BpfMap, BpfProgram, BpfLink]) {
      assert.throws(() => new (Class as never as new () => unknown)(), {
        name: 'TypeError',
        message: /open\(\)/,
      });
      assert.throws(() => (Class as never as () => unknown)(), { name: 'TypeError' });
    }
  });

  it('refuses a receiver of another class, in methods and getters', () => {
    const map = object.map('rows');
    for (const receiver of [object, object.program('grow'), {}, null, undefined, 7, BpfMap.prototype]) {
      assert.throws(() => BpfMap.prototype.lookup.call(receiver as never, u32(1, 1)), { name: 'TypeError' });
      assert.throws(() => Reflect.get(BpfMap.prototype, 'info', receiver), { name: 'TypeError' });
      if (receiver !== object)
        assert.throws(() => Reflect.get(BpfObject.prototype, 'programs', receiver), { name: 'TypeError' });
      assert.throws(() => BpfLink.prototype.update.call(map as never, receiver as never), {
        name: 'TypeError',
      });
      assert.throws(() => new RingBuffer(receiver as never, () => {}), { name: 'TypeError' });
    }
  });

  it('answers EBADF on every closed handle', () => {
    const map = object.map('rows');
    const program = object.program('grow');
    map.close();
    program.close();
    const calls = [
      () => map.lookup(u32(1, 1)),
      () => map.update(u32(1, 1), new Uint8Array(12)),
      () => map.delete(u32(1, 1)),
      () => map.entries(),
      () => map.btf(),
      () => map.pin('/x'),
      () => program.info,
      () => program.testRun({ data: frame }),
      () => program.attachXdp(1, 'native'),
      () => new RingBuffer(map, () => {}),
    ];
    for (const call of calls)
      assert.throws(
        call,
        (error: Error & { code?: string }) => error.name === 'TypeError' || error.code === 'EBADF',
      );
  });

  it('survives any arguments in any method', () => {
    const values = fc.oneof(
      fc.anything(),
      fc.constantFrom<unknown>(
        'rows',
        'grow',
        'ingress',
        'native',
        '/dev/null',
        frame,
        u32(1, 1),
        new Uint8Array(12),
      ),
      fc.record({ data: fc.uint8Array({ maxLength: 100 }), repeat: fc.nat(20), context: fc.uint8Array() }),
      fc.record({ count: fc.nat(3), keys: fc.uint8Array(), values: fc.uint8Array() }),
      fc.uint8Array({ maxLength: 300 }),
      fc.constant(new Uint8Array(new SharedArrayBuffer(8))),
    );
    // Not these: they would attach to a device of this machine, or pin.
    const left = new Set(['constructor', 'attachTcx', 'attachXdp', 'attachTc', 'pin', 'close', 'detach']);
    const fresh = () => [object, object.map('rows'), object.map('counts'), object.program('grow')];
    const methods = fresh().flatMap((handle, index) =>
      Object.getOwnPropertyNames(Object.getPrototypeOf(handle))
        .filter((name) => !left.has(name) && name !== 'testRunAsync')
        .map((name) => [index, name] as const),
    );
    fc.assert(
      fc.property(fc.constantFrom(...methods), fc.array(values, { maxLength: 4 }), ([index, name], args) => {
        const handle = fresh()[index] as unknown as Record<string, unknown>;
        try {
          const member = handle[name];
          if (typeof member === 'function') member.apply(handle, args);
        } catch (error) {
          assert.ok(error instanceof Error, String(error));
        } finally {
          if (index > 0) (handle as unknown as { close(): void }).close();
        }
      }),
      { numRuns: 3000 },
    );
  });
});
