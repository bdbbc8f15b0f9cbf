import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Batch, BpfMap } from '#addon';
import { bytesOf, difference, keyOf, MirroredMap } from '../../src/agent/datapath/mirror.ts';

/** A map in memory that counts its writes and can be full: the kernel's own maps are used in test/addon and test/lab. */
class MemoryMap {
  readonly held = new Map<string, Uint8Array>();
  readonly info: { name: string; keySize: number; valueSize: number; maxEntries: number };
  writes = 0;

  constructor(maxEntries = 1000) {
    this.info = { name: 'fdb', keySize: 2, valueSize: 1, maxEntries };
  }

  entries(): Batch {
    return {
      count: this.held.size,
      keys: Buffer.concat([...this.held.keys()].map(bytesOf)),
      values: Buffer.concat([...this.held.values()]),
    };
  }

  updateBatch({ count, keys, values }: Batch): void {
    for (let i = 0; i < count; i++) {
      const key = keyOf(keys.slice(i * 2, i * 2 + 2));
      if (this.held.size >= this.info.maxEntries && !this.held.has(key)) {
        throw Object.assign(new Error('map is full'), { code: 'E2BIG', done: i });
      }
      this.held.set(key, Uint8Array.of(values[i]!));
      this.writes++;
    }
  }

  deleteBatch(keys: Uint8Array, count: number): number {
    for (let i = 0; i < count; i++) this.held.delete(keyOf(keys.slice(i * 2, i * 2 + 2)));
    this.writes += count;
    return count;
  }
}

const mirrorOf = (map: MemoryMap) => new MirroredMap(map as unknown as BpfMap, (key) => key[0]!);
const entry = (group: number, id: number, value: number): [string, Uint8Array] => [
  keyOf(Uint8Array.of(group, id)),
  Uint8Array.of(value),
];

describe('MirroredMap', () => {
  it('writes only the difference, and nothing the second time', () => {
    const map = new MemoryMap();
    const mirror = mirrorOf(map);
    assert.equal(mirror.replace(1, new Map([entry(1, 1, 10), entry(1, 2, 20)])), 2);
    assert.equal(mirror.replace(1, new Map([entry(1, 1, 10), entry(1, 2, 20)])), 0);
    assert.equal(mirror.replace(1, new Map([entry(1, 1, 11), entry(1, 3, 30)])), 3);
    assert.equal(map.writes, 5);
    assert.deepEqual(map.held, new Map([entry(1, 1, 11), entry(1, 3, 30)]));
  });

  it('changes what a full map holds before it adds what finds no room', () => {
    const map = new MemoryMap(2);
    const mirror = mirrorOf(map);
    mirror.replace(1, new Map([entry(1, 1, 10), entry(1, 2, 20)]));
    const more = new Map([entry(1, 0, 5), entry(1, 1, 11), entry(1, 2, 21)]);
    assert.throws(() => mirror.replace(1, more), /map fdb is full/);
    assert.deepEqual(map.held, new Map([entry(1, 1, 11), entry(1, 2, 21)]));
  });

  it('adopts what the kernel holds, by group', () => {
    const map = new MemoryMap();
    mirrorOf(map).replace(7, new Map([entry(7, 1, 1)]));
    mirrorOf(map).replace(8, new Map([entry(8, 1, 1)]));
    const adopted = mirrorOf(map);
    assert.deepEqual(new Set(adopted.groups()), new Set([7, 8]));
    assert.equal(adopted.replace(7, new Map()), 1);
    assert.deepEqual(map.held, new Map([entry(8, 1, 1)]));
  });

  it('keeps what it holds when the map is full, says so, and knows what was written', () => {
    const map = new MemoryMap(3);
    const mirror = mirrorOf(map);
    mirror.replace(1, new Map([entry(1, 1, 1), entry(1, 2, 2)]));
    assert.throws(
      () => mirror.replace(2, new Map([entry(2, 1, 1), entry(2, 2, 2)])),
      /map fdb is full \(3 entries\): raise map_sizes\.fdb/,
    );
    assert.deepEqual(mirror.entries(2), new Map([entry(2, 1, 1)]));
    assert.equal(mirror.replace(1, new Map()), 2);
    assert.equal(mirror.replace(2, new Map([entry(2, 1, 1), entry(2, 2, 2)])), 1, 'only the missing one');
  });

  it('turns any entries into any others', () => {
    const entries = fc
      .uniqueArray(fc.tuple(fc.nat(20), fc.nat(255)), { selector: ([id]) => id })
      .map((list) => new Map(list.map(([id, value]) => entry(1, id, value))));
    fc.assert(
      fc.property(entries, entries, (before, after) => {
        const map = new MemoryMap();
        const mirror = mirrorOf(map);
        mirror.replace(1, before);
        mirror.replace(1, after);
        assert.deepEqual(map.held, new Map(after)); // in whatever order
        assert.deepEqual(difference(mirror.entries(1), after), { write: [], remove: [] });
      }),
    );
  });
});
