/**
 * The embedded engine: one lmdb environment in one directory, one process.
 *
 * Transactions queue up while the previous commit is on its way to the disk and then share the next one: many
 * concurrent small transactions cost few fsyncs. Comparisons are checked here, against what is committed plus what
 * the same group has already decided, and an lmdb commit is atomic, so after a crash each transaction is there whole
 * or not at all. lmdb's own `overlappingSync` is off: it acknowledges a commit before it is on the disk.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { History } from './history.ts';
import { Leases } from './leases.ts';
import { takeLock } from './lock.ts';
import type {
  Compare,
  KeyValue,
  Operation,
  Store,
  StoreChange,
  TransactionResult,
  WatchBatch,
} from './store.ts';

const FORMAT = 1;
/** Transactions kept for watchers that come late. */
const HISTORY = 4096;
/** Transactions in one commit: bounds the time of one commit, not the throughput. */
const GROUP = 1024;
/** lmdb's limit for keys is 1978 bytes. */
const KEY = /^[\x20-\x7e]{1,1024}$/;
/** createRevision, modRevision, version, 6 bytes each. */
const HEADER = 18;

interface Pending {
  compare: Compare[];
  operations: () => Operation[];
  resolve: (result: TransactionResult) => void;
  reject: (error: Error) => void;
}

export interface EmbeddedStoreOptions {
  /** How many transactions watch() can go back. */
  history?: number;
}

/** Opens, or creates, the store in a directory. Throws when another process has it open, naming that process. */
export async function openEmbeddedStore(
  directory: string,
  options: EmbeddedStoreOptions = {},
): Promise<Store> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  let lock: { release(): void };
  try {
    lock = takeLock(join(directory, 'writer.lock'));
  } catch (error) {
    throw new Error(
      `store ${directory}: ${(error as Error).message}: stop that daemon, or use another directory`,
    );
  }
  try {
    const store = new EmbeddedStore(directory, lock, options);
    await store.start();
    return store;
  } catch (error) {
    lock.release();
    throw error;
  }
}

class EmbeddedStore implements Store {
  readonly #directory: string;
  readonly #lock: { release(): void };
  readonly #root: RootDatabase;
  readonly #data: Database<Buffer, string>;
  readonly #meta: Database<number, string>;
  /** Keys that hang on a lease. A lease ends with the process that keeps it alive, which is the store's own. */
  readonly #leased: Database<boolean, string>;
  readonly #history: History;
  readonly #leases: Leases;
  #revision: number;
  #queue: Pending[] = [];
  #committing: Promise<void> | undefined;
  /** The commit that is on its way to the disk. */
  #group: Promise<void> | undefined;
  #closed = false;

  constructor(directory: string, lock: { release(): void }, options: EmbeddedStoreOptions) {
    this.#directory = directory;
    this.#lock = lock;
    this.#root = open({ path: join(directory, 'records.mdb'), maxDbs: 4, overlappingSync: false });
    this.#data = this.#root.openDB('data', { encoding: 'binary' });
    this.#meta = this.#root.openDB('meta', { encoding: 'json' });
    this.#leased = this.#root.openDB('leased', { encoding: 'json' });
    this.#revision = this.#meta.get('revision') ?? 0;
    this.#history = new History(this.#revision + 1, options.history ?? HISTORY);
    this.#leases = new Leases((lease) => {
      this.#submit([], () => this.#leases.end(lease).map((key) => ({ delete: key }))).catch(() => {
        // The keys stay until the next start, which removes whatever hung on a lease.
      });
    });
  }

  async start(): Promise<void> {
    const format = this.#meta.get('format') ?? FORMAT;
    if (format !== FORMAT) {
      await this.#root.close();
      throw new Error(
        `store ${this.#directory} has format ${format}, this daemon knows ${FORMAT}: use its release`,
      );
    }
    await this.#meta.put('format', FORMAT);
    const orphans = [...this.#leased.getKeys()];
    if (orphans.length > 0) await this.#submit([], () => orphans.map((key) => ({ delete: key })));
  }

  async get(key: string): Promise<KeyValue | undefined> {
    this.#mustBeOpen();
    const stored = this.#data.get(key);
    return stored && decode(key, stored);
  }

  async range(prefix: string): Promise<{ revision: number; entries: KeyValue[] }> {
    this.#mustBeOpen();
    const bounds = prefix === '' ? {} : { start: prefix, end: after(prefix) };
    const entries: KeyValue[] = [];
    // Reads see commits at once, our revision follows when the commit's promise resolves: a reader in between would
    // get data newer than its revision, and then the same change again from watch(). Hence the wait.
    while ((this.#meta.get('revision') ?? 0) !== this.#revision) await this.#group;
    for (const { key, value } of this.#data.getRange(bounds)) entries.push(decode(key, value));
    return { revision: this.#revision, entries };
  }

  async transaction(compare: Compare[], operations: Operation[]): Promise<TransactionResult> {
    const keys = operations.map((operation) => ('put' in operation ? operation.put : operation.delete));
    for (const key of [...keys, ...compare.map(({ key }) => key)]) {
      if (!KEY.test(key))
        throw new TypeError(`store key ${JSON.stringify(key)}: 1 to 1024 printable ASCII characters`);
    }
    if (new Set(keys).size !== keys.length) throw new TypeError('a transaction may change each key once');
    for (const operation of operations) {
      if ('put' in operation && operation.lease !== undefined) this.#leases.mustExist(operation.lease);
    }
    return this.#submit(compare, () => operations);
  }

  async watch(
    prefix: string,
    fromRevision: number,
    onBatch: (batch: WatchBatch) => void,
  ): Promise<{ close(): void }> {
    this.#mustBeOpen();
    return this.#history.watch(prefix, fromRevision, onBatch);
  }

  async grantLease(ttlSeconds: number): Promise<bigint> {
    this.#mustBeOpen();
    return this.#leases.grant(ttlSeconds);
  }

  async keepAlive(lease: bigint): Promise<void> {
    this.#leases.keepAlive(lease);
  }

  async revokeLease(lease: bigint): Promise<void> {
    this.#leases.mustExist(lease);
    await this.#submit([], () => this.#leases.end(lease).map((key) => ({ delete: key })));
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#leases.close();
    await this.#committing;
    await this.#root.close();
    this.#lock.release();
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new Error(`store ${this.#directory} is closed`);
  }

  #submit(compare: Compare[], operations: () => Operation[]): Promise<TransactionResult> {
    this.#mustBeOpen();
    return new Promise((resolve, reject) => {
      this.#queue.push({ compare, operations, resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  async #commitAll(): Promise<void> {
    // Whoever asks in the same turn joins the first group.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      this.#group = this.#commit(this.#queue.splice(0, GROUP));
      await this.#group;
    }
    // In the turn that saw the queue empty: who comes later has to start anew.
    this.#committing = undefined;
  }

  async #commit(group: Pending[]): Promise<void> {
    const planned = new Map<string, Buffer | undefined>();
    const leases = new Map<string, bigint | undefined>();
    const current = (key: string) => (planned.has(key) ? planned.get(key) : this.#data.get(key));
    const decided: { pending: Pending; result: TransactionResult; changes: StoreChange[] }[] = [];
    let revision = this.#revision;

    for (const pending of group) {
      const holds = pending.compare.every(({ key, modRevision }) => revisionOf(current(key)) === modRevision);
      const operations = holds ? pending.operations() : [];
      const changes: StoreChange[] = [];
      for (const operation of operations) {
        if ('put' in operation) {
          planned.set(operation.put, encode(current(operation.put), revision + 1, operation.value));
          leases.set(operation.put, operation.lease);
          changes.push({ key: operation.put, value: operation.value });
        } else if (current(operation.delete) !== undefined) {
          planned.set(operation.delete, undefined);
          leases.set(operation.delete, undefined);
          changes.push({ key: operation.delete, value: undefined });
        }
      }
      if (changes.length > 0) revision++;
      decided.push({ pending, result: { succeeded: holds, revision }, changes });
    }

    if (revision !== this.#revision) {
      try {
        // Each write has a promise of its own, which fails with the commit.
        const writes: Promise<unknown>[] = [];
        const committed = this.#root.batch(() => {
          writes.push(this.#meta.put('revision', revision));
          for (const [key, value] of planned) {
            writes.push(value ? this.#data.put(key, value) : this.#data.remove(key));
          }
          for (const [key, lease] of leases) {
            writes.push(lease ? this.#leased.put(key, true) : this.#leased.remove(key));
          }
        });
        await Promise.all([committed, ...writes]);
      } catch (failure) {
        const cause = await reasonOf(failure as CommitFailure);
        const error = new Error(`store ${this.#directory}: nothing was written: ${cause.message}`, { cause });
        for (const { pending } of decided) pending.reject(error);
        return;
      }
      this.#revision = revision;
      for (const [key, lease] of leases) this.#leases.attach(key, lease);
    }
    // Watchers first: who waits for its transaction then finds that caches fed by a watch already have it.
    for (const { changes } of decided) if (changes.length > 0) this.#history.append(changes);
    for (const { pending, result } of decided) pending.resolve(result);
  }
}

/** What lmdb rejects with; its promise of the real error has to be taken, or that ends the process. */
type CommitFailure = Error & { commitError?: Promise<never> };

async function reasonOf(failure: CommitFailure): Promise<Error> {
  return (await failure.commitError?.catch((reason: Error) => reason)) ?? failure;
}

function encode(previous: Buffer | undefined, revision: number, value: Uint8Array): Buffer {
  const stored = Buffer.allocUnsafe(HEADER + value.length);
  stored.writeUIntBE(previous ? previous.readUIntBE(0, 6) : revision, 0, 6);
  stored.writeUIntBE(revision, 6, 6);
  stored.writeUIntBE(previous ? previous.readUIntBE(12, 6) + 1 : 1, 12, 6);
  stored.set(value, HEADER);
  return stored;
}

function decode(key: string, stored: Buffer): KeyValue {
  return {
    key,
    value: stored.subarray(HEADER),
    createRevision: stored.readUIntBE(0, 6),
    modRevision: stored.readUIntBE(6, 6),
    version: stored.readUIntBE(12, 6),
  };
}

function revisionOf(stored: Buffer | undefined): number {
  return stored ? stored.readUIntBE(6, 6) : 0;
}

/** The first key after all that begin with the prefix. */
function after(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
