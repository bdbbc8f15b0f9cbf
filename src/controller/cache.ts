import { decodeRecord, type RecordOf } from '../records/codec.ts';
import { parseRecordKey, RECORDS, recordKey, TABLES, type TableName } from '../records/keys.ts';
import { parseAddress } from '../records/netblock.ts';
import { isLive } from '../records/states.ts';
import { CompactedError, type Store, type StoreChange } from '../store/store.ts';

export interface Entry<T> {
  readonly record: T;
  /** For comparisons: the store's revision that wrote it. */
  readonly modRevision: number;
}

/** One record that changed; undefined: it was or is not there. */
export type Change = {
  [T in TableName]: { table: T; id: string; before: RecordOf[T] | undefined; after: RecordOf[T] | undefined };
}[TableName];

type Tables = { [T in TableName]: Map<string, Entry<RecordOf[T]>> };

/**
 * Every record, in memory, kept current by the store's watch. Records are never changed in place: a writer puts a new
 * one into the store, and it arrives here.
 */
export class Cache {
  readonly #tables = Object.fromEntries(TABLES.map((table) => [table, new Map()])) as unknown as Tables;
  readonly #interfacesOf = new Index();
  readonly #instancesOn = new Index();
  readonly #liveOn = new Map<string, number>();
  readonly #named = new Index();
  readonly #reservationsOf = new Map<string, Map<number, RecordOf['address']>>();
  readonly #listeners: ((changes: Change[]) => void)[] = [];
  #waiting: { revision: number; resolve: () => void }[] = [];
  #watch: { close(): void } | undefined;
  #revision = 0;

  /** Reads all records and follows them until close(). */
  async open(store: Store): Promise<void> {
    for (;;) {
      const { revision, entries } = await store.range(RECORDS);
      // Namespace `system` is never deleted: a read without anything is a read that failed, and obeying it would
      // take every network off every node.
      if (entries.length === 0 && (revision > 0 || this.#revision > 0)) {
        throw new Error(`the store is at revision ${revision} and has no records: this is no read to act on`);
      }
      const there = new Set(entries.map(({ key }) => key));
      for (const table of TABLES) {
        for (const id of this.#tables[table].keys()) {
          const key = recordKey(table, id);
          if (!there.has(key)) this.#change({ key, value: undefined }, revision);
        }
      }
      for (const { key, value, modRevision } of entries) this.#change({ key, value }, modRevision);
      this.#revision = revision;
      try {
        this.#watch = await store.watch(RECORDS, revision + 1, (batch) =>
          this.#follow(batch.revision, batch.changes),
        );
        return;
      } catch (error) {
        if (!(error instanceof CompactedError)) throw error;
      }
    }
  }

  close(): void {
    this.#watch?.close();
  }

  /** The store's revision up to which this is current. */
  get revision(): number {
    return this.#revision;
  }

  /** Resolves when a transaction of that revision, which wrote records, has arrived. */
  async reached(revision: number): Promise<void> {
    if (this.#revision >= revision) return;
    await new Promise<void>((resolve) => this.#waiting.push({ revision, resolve }));
  }

  /** Called after each transaction, with what it changed. */
  onChange(listener: (changes: Change[]) => void): void {
    this.#listeners.push(listener);
  }

  entry<T extends TableName>(table: T, id: string): Entry<RecordOf[T]> | undefined {
    return this.#tables[table].get(id) as Entry<RecordOf[T]> | undefined;
  }

  get<T extends TableName>(table: T, id: string): RecordOf[T] | undefined {
    return this.entry(table, id)?.record;
  }

  count(table: TableName): number {
    return this.#tables[table].size;
  }

  *all<T extends TableName>(table: T): Generator<RecordOf[T]> {
    for (const { record } of this.#tables[table].values()) yield record as RecordOf[T];
  }

  *entries<T extends TableName>(table: T): Generator<[id: string, record: RecordOf[T]]> {
    for (const [id, { record }] of this.#tables[table]) yield [id, record as RecordOf[T]];
  }

  /** Interfaces of a network, deleted ones included. */
  interfacesOf(network: string): RecordOf['interface'][] {
    return [...this.#interfacesOf.get(network)].map((uuid) => this.get('interface', uuid)!);
  }

  /** Instances whose record names the node, deleted ones included. */
  instancesOn(node: string): RecordOf['instance'][] {
    return [...this.#instancesOn.get(node)].map((uuid) => this.get('instance', uuid)!);
  }

  /** How many instances of a node are neither deleted nor on their way out. */
  liveInstancesOn(node: string): number {
    return this.#liveOn.get(node) ?? 0;
  }

  /** Networks or instances with a name in a namespace, deleted ones included. */
  named<T extends 'network' | 'instance'>(table: T, namespace: string, name: string): RecordOf[T][] {
    return [...this.#named.get(`${table}/${namespace}/${name}`)].map((uuid) => this.get(table, uuid)!);
  }

  /** Reservations of a network by address. */
  reservationsOf(network: string): ReadonlyMap<number, RecordOf['address']> {
    return this.#reservationsOf.get(network) ?? new Map();
  }

  #follow(revision: number, changes: StoreChange[]): void {
    const done = changes
      .map((change) => this.#change(change, revision))
      .filter((change) => change !== undefined);
    this.#revision = revision;
    for (const listener of this.#listeners) listener(done);
    const ready = this.#waiting.filter((waiting) => waiting.revision <= revision);
    if (ready.length > 0) this.#waiting = this.#waiting.filter((waiting) => waiting.revision > revision);
    for (const { resolve } of ready) resolve();
  }

  #change({ key, value }: StoreChange, modRevision: number): Change | undefined {
    const place = parseRecordKey(key);
    if (!place) return undefined;
    const { table, id } = place;
    const entries = this.#tables[table] as Map<string, Entry<RecordOf[TableName]>>;
    const before = entries.get(id)?.record;
    const after = value && decodeRecord(table, value);
    if (after === undefined) entries.delete(id);
    else entries.set(id, { record: after, modRevision });
    const change = { table, id, before, after } as Change;
    this.#index(change);
    return change;
  }

  #index({ table, id, before, after }: Change): void {
    if (table === 'interface') this.#interfacesOf.move(id, before?.network, after?.network);
    if (table === 'instance') {
      this.#instancesOn.move(id, before?.node, after?.node);
      if (before && isLive(before)) this.#liveOn.set(before.node, this.liveInstancesOn(before.node) - 1);
      if (after && isLive(after)) this.#liveOn.set(after.node, this.liveInstancesOn(after.node) + 1);
    }
    if (table === 'network' || table === 'instance') {
      const name = (record: typeof before) => record && `${table}/${record.namespace}/${record.name}`;
      this.#named.move(id, name(before), name(after));
    }
    if (table === 'address') {
      const { network, address } = (after ?? before)!;
      const ofNetwork = this.#reservationsOf.get(network) ?? new Map();
      if (after) ofNetwork.set(parseAddress(address), after);
      else ofNetwork.delete(parseAddress(address));
      if (ofNetwork.size > 0) this.#reservationsOf.set(network, ofNetwork);
      else this.#reservationsOf.delete(network);
    }
  }
}

/** Ids by something that they have in common. */
class Index {
  readonly #ids = new Map<string, Set<string>>();

  get(key: string): ReadonlySet<string> {
    return this.#ids.get(key) ?? new Set();
  }

  move(id: string, from: string | undefined, to: string | undefined): void {
    if (from === to) return;
    if (from !== undefined) {
      const ids = this.#ids.get(from);
      ids?.delete(id);
      if (ids?.size === 0) this.#ids.delete(from);
    }
    if (to !== undefined) {
      const ids = this.#ids.get(to);
      if (ids) ids.add(id);
      else this.#ids.set(to, new Set([id]));
    }
  }
}
