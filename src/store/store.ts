/**
 * The store: an etcd-shaped interface with two possible engines (embedded, etcd).
 *
 * Keys are strings with '/' between parts; values are bytes. Every write transaction raises one
 * cluster-wide revision by one. A key's `version` counts its writes since it was created (etcd's
 * terms: create_revision, mod_revision, version).
 */
export interface KeyValue {
  key: string;
  value: Uint8Array;
  createRevision: number;
  modRevision: number;
  version: number;
}

/** A condition of a transaction. modRevision 0: the key does not exist. */
export interface Compare {
  key: string;
  modRevision: number;
}

export type Operation = { put: string; value: Uint8Array; lease?: bigint } | { delete: string };

export interface TransactionResult {
  /** False: a comparison failed and nothing was written. */
  succeeded: boolean;
  /** The store's revision afterwards. */
  revision: number;
}

export interface StoreChange {
  key: string;
  /** Undefined: deleted. */
  value: Uint8Array | undefined;
}

export interface WatchBatch {
  revision: number;
  changes: StoreChange[];
}

export interface Store {
  get(key: string): Promise<KeyValue | undefined>;
  /** All keys with the prefix, in byte order, at one revision. */
  range(prefix: string): Promise<{ revision: number; entries: KeyValue[] }>;
  /** All comparisons hold, or nothing is written. Durable when it resolves. */
  transaction(compare: Compare[], operations: Operation[]): Promise<TransactionResult>;
  /**
   * Every later change under the prefix, one batch per transaction, in order, starting at fromRevision
   * (inclusive). Rejects with {@link CompactedError} when that revision is no longer kept: range again.
   */
  watch(
    prefix: string,
    fromRevision: number,
    onBatch: (batch: WatchBatch) => void,
  ): Promise<{ close(): void }>;
  /** A lease of ttl seconds; keys put with it vanish when it is not kept alive. */
  grantLease(ttlSeconds: number): Promise<bigint>;
  keepAlive(lease: bigint): Promise<void>;
  revokeLease(lease: bigint): Promise<void>;
  close(): Promise<void>;
}

/** The revision asked for is older than what is kept. */
export class CompactedError extends Error {
  readonly oldest: number;
  constructor(asked: number, oldest: number) {
    super(
      `revision ${asked} is no longer kept (oldest: ${oldest}): read the range again and watch from there`,
    );
    this.name = 'CompactedError';
    this.oldest = oldest;
  }
}
