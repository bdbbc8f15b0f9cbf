import assert from 'node:assert/strict';
import { type BpfError, type BpfMap, BpfObject, possibleCpus } from '#addon';
import { compile, u32 } from './support.ts';

/** A loaded map: basic.bpf.c's, or layout.bpf.c's `rows` by definitions. */
function mapOf(name: string, definitions?: string[]): BpfMap {
  const object = new BpfObject(definitions ? compile('layout', definitions) : compile('basic'));
  object.load();
  return object.map(name);
}

function rows(count: number, keySize = 8, valueSize = 12) {
  const keys = new Uint8Array(count * keySize);
  const values = new Uint8Array(count * valueSize);
  for (let i = 0; i < count; i++) {
    new DataView(keys.buffer).setUint32(i * keySize, i, true);
    new DataView(values.buffer).setUint32(i * valueSize, i * 3, true);
  }
  return { count, keys, values };
}

/** Key number → value number. */
function numbers(batch: { count: number; keys: Uint8Array; values: Uint8Array }): Map<number, number> {
  const [keySize, valueSize] = [batch.keys.length / batch.count, batch.values.length / batch.count];
  const found = new Map<number, number>();
  for (let i = 0; i < batch.count; i++) {
    const key = new DataView(batch.keys.buffer).getUint32(i * keySize, true);
    found.set(key, new DataView(batch.values.buffer).getUint32(i * valueSize, true));
  }
  return found;
}

const expected = (count: number) => new Map(Array.from({ length: count }, (_, i) => [i, i * 3]));

describe('addon: maps', () => {
  it('describes itself', () => {
    const { info, cpus } = mapOf('rows');
    assert.equal(cpus, 1);
    assert.ok(info.id > 0 && info.btfId > 0 && info.btfKeyTypeId > 0 && info.btfValueTypeId > 0);
    assert.deepEqual(
      [info.name, info.type, info.keySize, info.valueSize, info.maxEntries, info.flags],
      ['rows', 1, 8, 12, 1000, 0],
    );
  });

  it('looks up, updates and deletes single entries', () => {
    const map = mapOf('rows');
    const key = u32(1, 2);
    const value = new Uint8Array(12).fill(9);
    assert.equal(map.lookup(key), undefined);
    assert.equal(map.delete(key), false);
    map.update(key, value);
    assert.deepEqual(map.lookup(key), value);
    assert.throws(() => map.update(key, value, 1), {
      code: 'EEXIST',
      errno: 17,
      syscall: 'bpf_map_update_elem',
    });
    assert.throws(() => map.update(u32(3, 3), value, 2), { code: 'ENOENT' });
    assert.equal(map.delete(key), true);
    assert.equal(map.lookup(key), undefined);
  });

  it('names the kernel-only error 524', () => {
    assert.throws(() => mapOf('events').lookup(new Uint8Array(0)), { code: 'ENOTSUPP', errno: 524 });
    assert.throws(() => mapOf('events').entries(), { code: 'ENOTSUPP' });
  });

  it('copies all CPUs of a per-CPU value, each rounded up to eight bytes', () => {
    const map = mapOf('counts');
    assert.equal(map.cpus, possibleCpus);
    assert.equal(map.info.valueSize, 4);
    const value = new Uint8Array(8 * possibleCpus);
    for (let cpu = 0; cpu < possibleCpus; cpu++) value[8 * cpu] = cpu + 1;
    map.update(u32(2), value);
    assert.deepEqual(map.lookup(u32(2)), value);
    assert.throws(() => map.update(u32(2), new Uint8Array(4)), { name: 'TypeError' });

    const all = map.entries();
    assert.equal(all.count, 4);
    assert.deepEqual(all.values.subarray(2 * value.length, 3 * value.length), value);
    map.updateBatch({ count: 2, keys: u32(0, 3), values: new Uint8Array([...value, ...value]) });
    assert.deepEqual(map.lookup(u32(3)), value);
  });

  it('reads and writes 100,000 entries', () => {
    const map = mapOf('rows', ['MAX_ENTRIES=100000']);
    map.updateBatch(rows(100_000));
    assert.deepEqual(numbers(map.entries()), expected(100_000));
  });

  it('reads a bucket that is larger than the chunk', () => {
    // One value of 600 kB fills a chunk; of 16 entries in 16 buckets two share one, but for one case in a million.
    const valueSize = 600_000;
    const map = mapOf('rows', ['MAX_ENTRIES=16', `VALUE_SIZE=${valueSize}`, 'FLAGS=1']);
    map.updateBatch(rows(16, 8, valueSize));
    assert.deepEqual(numbers(map.entries()), expected(16));
  });

  it('reads an empty map', () => {
    assert.deepEqual(mapOf('rows').entries(), {
      count: 0,
      keys: new Uint8Array(0),
      values: new Uint8Array(0),
    });
  });

  for (const [name, type] of Object.entries({ hash: 1, array: 2, lru: 9, lpm: 11 })) {
    it(`reads, writes and deletes batches of type ${name}`, () => {
      const keySize = type === 2 ? 4 : 8;
      // An LRU map evicts before it is full.
      const capacity = type === 9 ? 8192 : 1000;
      const flags = type === 11 ? 1 : 0;
      const sizes = [`KEY_SIZE=${keySize}`, `MAX_ENTRIES=${capacity}`];
      const map = mapOf('rows', [`TYPE=${type}`, `FLAGS=${flags}`, ...sizes]);
      const batch = rows(1000, keySize);
      // A prefix length comes first in an LPM key; the number after it distinguishes.
      if (type === 11)
        for (let i = 0; i < 1000; i++) batch.keys.set([32, 0, 0, 0, i & 255, i >> 8, 0, 0], i * 8);
      map.updateBatch(batch);
      const all = map.entries();
      assert.equal(all.count, 1000);
      if (type !== 11) assert.deepEqual(numbers(all), expected(1000));
      if (type === 2) assert.throws(() => map.deleteBatch(batch.keys, 1000), { code: /^E/ });
      else assert.equal(map.deleteBatch(batch.keys, 1000), 1000);
      assert.equal(map.entries().count, type === 2 ? 1000 : 0);
    });
  }

  it('goes one by one where the type has no batch operations', () => {
    const map = mapOf('devices'); // DEVMAP_HASH; 1 is the loopback device
    const keys = u32(10, 20, 30);
    const values = new Uint8Array([...u32(1, 0), ...u32(1, 0), ...u32(1, 0)]);
    map.updateBatch({ count: 3, keys, values });
    const all = map.entries();
    assert.deepEqual(
      [...numbers(all).keys()].sort((a, b) => a - b),
      [10, 20, 30],
    );
    assert.deepEqual(all.values.subarray(0, 4), u32(1));
    assert.equal(map.deleteBatch(u32(10, 11, 30), 3), 2);
    assert.deepEqual([...numbers(map.entries()).keys()], [20]);
  });

  it('says how many entries were written before the map was full', () => {
    const map = mapOf('rows', ['MAX_ENTRIES=6000']);
    assert.throws(
      () => map.updateBatch(rows(7000)),
      (error: BpfError) => error.code === 'E2BIG' && error.done === 6000,
    );
    assert.deepEqual(numbers(map.entries()), expected(6000));
  });

  it('says that nothing was written when the kernel refused at once', () => {
    const map = mapOf('rows', ['MAX_ENTRIES=1', 'TYPE=2', 'KEY_SIZE=4']);
    assert.throws(
      () => map.updateBatch({ count: 1, keys: u32(5), values: new Uint8Array(12) }),
      (error: BpfError) => error.code === 'E2BIG' && error.done === 0,
    );
  });

  it('steps over missing keys when it deletes', () => {
    const map = mapOf('rows', ['MAX_ENTRIES=10000']);
    const batch = rows(10_000);
    map.updateBatch(batch);
    const odd = Uint8Array.from(
      { length: 5000 * 8 },
      (_, i) => batch.keys[Math.floor(i / 8) * 16 + 8 + (i % 8)]!,
    );
    assert.equal(map.deleteBatch(odd, 5000), 5000);
    assert.equal(map.deleteBatch(batch.keys, 10_000), 5000);
    assert.equal(map.deleteBatch(batch.keys, 10_000), 0);
    assert.equal(map.entries().count, 0);
  });

  it('accepts an empty batch', () => {
    const map = mapOf('rows');
    const none = new Uint8Array(0);
    map.updateBatch({ count: 0, keys: none, values: none });
    assert.equal(map.deleteBatch(none, 0), 0);
  });
});
