/** Pinned maps, opened read-only and decoded by their own types. Nothing here needs a daemon. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Batch, BpfMap, Btf } from '#addon';
import { type BtfValue, decode, encode, typeName } from '../../agent/datapath/btf.ts';
import { Pins } from '../../agent/datapath/pins.ts';
import { EXIT, Failure } from '../failure.ts';

/** enum bpf_map_type of linux/bpf.h, as far as pinned maps of this project can be. */
const TYPE_NAMES: Record<number, string> = {
  1: 'hash',
  2: 'array',
  5: 'percpu_hash',
  6: 'percpu_array',
  9: 'lru_hash',
  10: 'lru_percpu_hash',
  11: 'lpm_trie',
  14: 'devmap',
  25: 'devmap_hash',
  27: 'ringbuf',
};
const ARRAYS = ['array', 'percpu_array'];
const PER_CPU = ['percpu_hash', 'percpu_array', 'lru_percpu_hash'];

export interface Row {
  key: BtfValue;
  /** Of a per-CPU map: the sum over all CPUs. */
  value: BtfValue;
}

/** Adds values of the same type member by member: what a per-CPU map's value means to a reader. */
function sum(left: BtfValue, right: BtfValue): BtfValue {
  if (Array.isArray(left) && Array.isArray(right)) return left.map((item, i) => sum(item, right[i] ?? 0));
  if (
    typeof left === 'object' &&
    typeof right === 'object' &&
    !Array.isArray(left) &&
    !Array.isArray(right)
  ) {
    return Object.fromEntries(
      Object.entries(left).map(([name, item]) => [name, sum(item, right[name] ?? 0)]),
    );
  }
  const total = BigInt(left as number | string) + BigInt(right as number | string);
  return Number.isSafeInteger(Number(total)) ? Number(total) : total.toString();
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

export class PinnedMap {
  readonly name: string;
  readonly #map: BpfMap;
  readonly #btf: Btf | undefined;

  constructor(name: string, map: BpfMap) {
    this.name = name;
    this.#map = map;
    this.#btf = map.info.btfId === 0 ? undefined : map.btf();
  }

  get type(): string {
    return TYPE_NAMES[this.#map.info.type] ?? `type ${this.#map.info.type}`;
  }

  get maxEntries(): number {
    return this.#map.info.maxEntries;
  }

  get keyType(): string {
    return this.#typeOf(this.#map.info.btfKeyTypeId, this.#map.info.keySize);
  }

  get valueType(): string {
    return this.#typeOf(this.#map.info.btfValueTypeId, this.#map.info.valueSize);
  }

  /** Whether entries can be listed: a ring buffer has none. */
  get listable(): boolean {
    return this.type !== 'ringbuf';
  }

  /** Entries in it; an array is always full. Undefined for a ring buffer. */
  count(): number | undefined {
    if (!this.listable) return undefined;
    return ARRAYS.includes(this.type) ? this.maxEntries : this.#map.entries().count;
  }

  /** Bytes of kernel memory, from this process's own descriptor of the map; undefined where the kernel does not say. */
  memory(): number | undefined {
    for (const descriptor of readdirSync('/proc/self/fdinfo')) {
      try {
        const text = readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8');
        if (new RegExp(`^map_id:\\s*${this.#map.info.id}$`, 'm').test(text)) {
          return Number(/^memlock:\s*([0-9]+)$/m.exec(text)?.[1]);
        }
      } catch {
        // A descriptor that was closed meanwhile.
      }
    }
    return undefined;
  }

  /** All entries; with skipZero those of an array that are all zero are left out. */
  rows(skipZero = false): Row[] {
    const { count, keys, values } = this.#map.entries();
    const { keySize } = this.#map.info;
    const stride = count === 0 ? 0 : values.length / count;
    const rows: Row[] = [];
    for (let i = 0; i < count; i++) {
      const value = values.subarray(i * stride, (i + 1) * stride);
      if (skipZero && ARRAYS.includes(this.type) && isZero(value)) continue;
      rows.push({ key: this.#key(keys.subarray(i * keySize, (i + 1) * keySize)), value: this.#value(value) });
    }
    return rows;
  }

  /** All entries as they are in the kernel. */
  raw(): Batch {
    return this.#map.entries();
  }

  /** The entry of a key that is given as plain JSON. Throws a RangeError that names the member that does not fit. */
  lookup(key: BtfValue): Row | undefined {
    if (this.#btf === undefined)
      throw new Failure(`map ${this.name} has no types (BTF): its keys can't be written`);
    const bytes = encode(this.#btf, this.#map.info.btfKeyTypeId, key);
    const value = this.#map.lookup(bytes);
    return value && { key: this.#key(bytes), value: this.#value(value) };
  }

  close(): void {
    this.#map.close();
  }

  #typeOf(id: number, size: number): string {
    if (!this.listable) return '-';
    return this.#btf === undefined || id === 0 ? `${size} bytes` : typeName(this.#btf, id);
  }

  #key(bytes: Uint8Array): BtfValue {
    return this.#plain(this.#map.info.btfKeyTypeId, bytes);
  }

  #value(bytes: Uint8Array): BtfValue {
    if (!PER_CPU.includes(this.type)) return this.#plain(this.#map.info.btfValueTypeId, bytes);
    const stride = bytes.length / this.#map.cpus;
    const perCpu = Array.from({ length: this.#map.cpus }, (_, cpu) =>
      this.#plain(this.#map.info.btfValueTypeId, bytes.subarray(cpu * stride, (cpu + 1) * stride)),
    );
    return this.#btf === undefined ? perCpu : perCpu.reduce(sum);
  }

  /** Without types: the bytes in hex. */
  #plain(id: number, bytes: Uint8Array): BtfValue {
    return this.#btf === undefined || id === 0
      ? Buffer.from(bytes).toString('hex')
      : decode(this.#btf, id, bytes);
  }
}

function readingFailed(what: string, path: string, error: unknown): Failure {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') {
    return new Failure(
      `cannot read ${what}: ${path}: permission denied; run this as root, or as a member of the pin's group`,
    );
  }
  return new Failure(`cannot read ${what}: ${path}: ${message}`);
}

/** Maps of one node, by its pin directory (`/sys/fs/bpf/fistpath`). */
export class PinnedMaps {
  readonly #pins: Pins;
  readonly #open: (path: string) => BpfMap;

  private constructor(pins: Pins, open: (path: string) => BpfMap) {
    this.#pins = pins;
    this.#open = open;
  }

  /** The addon is loaded here and not before: most commands do without it. */
  static async at(bpfDirectory: string): Promise<PinnedMaps> {
    const { BpfMap } = await import('#addon');
    return new PinnedMaps(new Pins(bpfDirectory), (path) => BpfMap.open(path, { readOnly: true }));
  }

  get directory(): string {
    return this.#pins.maps;
  }

  /** Names of what is pinned, sorted; empty when the directory is not there. */
  names(): string[] {
    try {
      return readdirSync(this.#pins.maps).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw readingFailed('the pinned maps', this.#pins.maps, error);
    }
  }

  /** The same, and a Failure when there is none. */
  requireNames(): string[] {
    const names = this.names();
    if (names.length > 0) return names;
    throw new Failure(
      `no maps are pinned in ${this.#pins.maps}: the fast path was never on here, or this shell sees another bpffs (ip netns exec hides it, nsenter does not), or --bpf-directory is wrong`,
      EXIT.notFound,
    );
  }

  open(name: string): PinnedMap {
    const names = this.requireNames();
    if (!names.includes(name)) {
      throw new Failure(`no map ${name} in ${this.#pins.maps}: there are ${names.join(', ')}`, EXIT.notFound);
    }
    const path = join(this.#pins.maps, name);
    try {
      return new PinnedMap(name, this.#open(path));
    } catch (error) {
      throw readingFailed(`map ${name}`, path, error);
    }
  }

  /** All entries of a map as bytes; a Failure when it is not pinned. */
  raw(name: string): Batch {
    const map = this.open(name);
    try {
      return map.raw();
    } finally {
      map.close();
    }
  }

  /** Opens a map for writing, and closes it after. */
  async change<T>(name: string, work: (map: BpfMap) => T): Promise<T> {
    this.open(name).close();
    const { BpfMap } = await import('#addon');
    const path = join(this.#pins.maps, name);
    let map: BpfMap;
    try {
      map = BpfMap.open(path);
    } catch (error) {
      throw readingFailed(`map ${name} for writing`, path, error);
    }
    try {
      return work(map);
    } finally {
      map.close();
    }
  }

  /** All entries of a map, or undefined when it is not pinned. */
  rowsOf(name: string, skipZero = false): Row[] | undefined {
    if (!this.names().includes(name)) return undefined;
    const map = this.open(name);
    try {
      return map.rows(skipZero);
    } finally {
      map.close();
    }
  }
}
