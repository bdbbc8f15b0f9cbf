import type { BpfMap } from '#addon';
import { sizeField } from './sizes.ts';

/** Entries of one map, keyed by the key's bytes (as a latin1 string). */
export type Entries = ReadonlyMap<string, Uint8Array>;

export function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function bytesOf(key: string): Uint8Array {
  return Buffer.from(key, 'latin1');
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The smallest change that turns one set of entries into another; of a full map, what it holds can still change. */
export function difference(
  actual: Entries,
  desired: Entries,
): { write: [string, Uint8Array][]; remove: string[] } {
  const change: [string, Uint8Array][] = [];
  const add: [string, Uint8Array][] = [];
  for (const [key, value] of desired) {
    const present = actual.get(key);
    if (present === undefined) add.push([key, value]);
    else if (Buffer.compare(present, value) !== 0) change.push([key, value]);
  }
  const remove = [...actual.keys()].filter((key) => !desired.has(key));
  return { write: [...change, ...add], remove };
}

function packed(chunks: Uint8Array[]): Uint8Array {
  return Buffer.concat(chunks);
}

/**
 * A kernel map together with what this process knows to be in it, in groups (a network's VNI), so that a
 * change of one network compares only that network's entries. Nobody else writes these maps: the kernel is
 * read once, at adoption.
 */
export class MirroredMap {
  readonly map: BpfMap;
  readonly #groups = new Map<number, Map<string, Uint8Array>>();

  /** @param groupOf the group that an entry found in the kernel belongs to */
  constructor(map: BpfMap, groupOf: (key: Uint8Array, value: Uint8Array) => number) {
    this.map = map;
    const { keySize, valueSize } = map.info;
    const { count, keys, values } = map.entries();
    for (let i = 0; i < count; i++) {
      const key = keys.slice(i * keySize, (i + 1) * keySize);
      const value = values.slice(i * valueSize, (i + 1) * valueSize);
      this.#group(groupOf(key, value)).set(keyOf(key), value);
    }
  }

  groups(): number[] {
    return [...this.#groups.keys()];
  }

  entries(group: number): Entries {
    return this.#groups.get(group) ?? new Map();
  }

  /** Makes a group equal to the desired entries: removes first, so that a full map has room. Returns the number of writes. */
  replace(group: number, desired: Entries): number {
    const actual = this.#group(group);
    const { write, remove } = difference(actual, desired);
    if (remove.length > 0) {
      this.map.deleteBatch(packed(remove.map(bytesOf)), remove.length);
      for (const key of remove) actual.delete(key);
    }
    if (write.length > 0) this.#write(actual, write);
    if (actual.size === 0) this.#groups.delete(group);
    return write.length + remove.length;
  }

  #write(actual: Map<string, Uint8Array>, write: [string, Uint8Array][]): void {
    const batch = {
      count: write.length,
      keys: packed(write.map(([key]) => bytesOf(key))),
      values: packed(write.map(([, value]) => value)),
    };
    let done = write.length;
    try {
      this.map.updateBatch(batch);
    } catch (error) {
      done = (error as { done?: number }).done ?? 0;
      if ((error as { code?: string }).code !== 'E2BIG') throw error;
      const { name, maxEntries } = this.map.info;
      throw new Error(
        `map ${name} is full (${maxEntries} entries): raise map_sizes.${sizeField(name)} in the daemon's configuration`,
      );
    } finally {
      for (const [key, value] of write.slice(0, done)) actual.set(key, value);
    }
  }

  #group(group: number): Map<string, Uint8Array> {
    let entries = this.#groups.get(group);
    if (entries === undefined) {
      entries = new Map();
      this.#groups.set(group, entries);
    }
    return entries;
  }
}
