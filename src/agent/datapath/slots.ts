import type { BpfMap } from '#addon';
import { bytes, U32 } from './tables.ts';

/** Elements of a per-CPU array of counters: given to owners with counters at zero, and taken back. */
export class Slots<Owner> {
  readonly #array: BpfMap;
  readonly #slots = new Map<Owner, number>();
  #free: number[];
  #next: number;

  /** @param owned what an earlier process has given away */
  constructor(array: BpfMap, owned: Iterable<[Owner, number]>) {
    this.#array = array;
    for (const [owner, slot] of owned) {
      if (slot < array.info.maxEntries) this.#slots.set(owner, slot);
    }
    const used = new Set(this.#slots.values());
    this.#next = [...used].reduce((most, slot) => Math.max(most, slot), -1) + 1;
    this.#free = Array.from({ length: this.#next }, (_, slot) => slot).filter((slot) => !used.has(slot));
  }

  /** An owner keeps its slot; a new one gets a free one or, without any, one out of range, that does not count. */
  of(owner: Owner): number {
    const known = this.#slots.get(owner);
    if (known !== undefined) return known;
    const { maxEntries, valueSize } = this.#array.info;
    if (this.#free.length === 0 && this.#next >= maxEntries) return maxEntries;
    const slot = this.#free.pop() ?? this.#next++;
    // Of a per-CPU value each CPU's part is padded to 8 bytes.
    const zero = new Uint8Array(Math.ceil(valueSize / 8) * 8 * this.#array.cpus);
    this.#array.update(bytes(U32, slot), zero);
    this.#slots.set(owner, slot);
    return slot;
  }

  release(owner: Owner): void {
    const slot = this.#slots.get(owner);
    if (slot === undefined) return;
    this.#slots.delete(owner);
    this.#free.push(slot);
  }

  close(): void {
    this.#array.close();
  }
}
