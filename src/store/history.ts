import { CompactedError, type StoreChange, type WatchBatch } from './store.ts';

interface Watcher {
  prefix: string;
  onBatch: (batch: WatchBatch) => void;
}

/** The latest transactions of a store, and those who watch it. Revisions are consecutive, one per transaction. */
export class History {
  readonly #limit: number;
  readonly #watchers = new Set<Watcher>();
  #batches: WatchBatch[] = [];
  #next: number;

  /** `next`: the revision of the first transaction to come; `limit`: how many transactions are kept. */
  constructor(next: number, limit: number) {
    this.#next = next;
    this.#limit = limit;
  }

  get #oldest(): number {
    return this.#next - this.#batches.length;
  }

  /** Keeps a transaction and shows it to the watchers. */
  append(changes: StoreChange[]): void {
    const batch = { revision: this.#next++, changes };
    this.#batches.push(batch);
    if (this.#batches.length >= 2 * this.#limit) this.#batches = this.#batches.slice(-this.#limit);
    for (const watcher of this.#watchers) show(watcher, batch);
  }

  /** See Store.watch. Earlier transactions are shown before it returns. */
  watch(prefix: string, fromRevision: number, onBatch: Watcher['onBatch']): { close(): void } {
    if (fromRevision < this.#oldest) throw new CompactedError(fromRevision, this.#oldest);
    const watcher = { prefix, onBatch };
    for (const batch of this.#batches.slice(fromRevision - this.#oldest)) show(watcher, batch);
    this.#watchers.add(watcher);
    return { close: () => this.#watchers.delete(watcher) };
  }
}

function show({ prefix, onBatch }: Watcher, batch: WatchBatch): void {
  const changes = batch.changes.filter(({ key }) => key.startsWith(prefix));
  if (changes.length === 0) return;
  try {
    onBatch({ revision: batch.revision, changes });
  } catch (error) {
    // A watcher's fault must neither fail the transaction, which is durable, nor stay unseen.
    queueMicrotask(() => {
      throw error;
    });
  }
}
