import type { fistpath } from '#proto';
import { encodeRecord, type RecordOf } from '../records/codec.ts';
import { RequestError } from '../records/errors.ts';
import { recordKey, type TableName } from '../records/keys.ts';
import type { Operation, Store } from '../store/store.ts';
import type { Cache } from './cache.ts';
import type { Events } from './events.ts';

const ATTEMPTS = 20;

/**
 * One change of several records, as one transaction. Whatever it puts, removes or expects must still be as the cache
 * showed it, or the transaction fails and the change is built anew from what is there by then.
 */
export class Draft {
  readonly #cache: Cache;
  readonly #compare = new Map<string, number>();
  readonly #operations = new Map<string, Operation>();
  readonly #releases: (() => void)[] = [];
  readonly events: fistpath.Event[] = [];

  constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** The record that this change relies on without changing it. */
  expect(table: TableName, id: string): void {
    this.#compare.set(recordKey(table, id), this.#cache.entry(table, id)?.modRevision ?? 0);
  }

  put<T extends TableName>(table: T, id: string, record: RecordOf[T]): void {
    this.expect(table, id);
    const key = recordKey(table, id);
    this.#operations.set(key, { put: key, value: encodeRecord(table, record) });
  }

  remove(table: TableName, id: string): void {
    this.expect(table, id);
    const key = recordKey(table, id);
    this.#operations.set(key, { delete: key });
  }

  /** Called once the transaction has succeeded or failed: releases what an allocator held for it. */
  onSettled(release: () => void): void {
    this.#releases.push(release);
  }

  settle(): void {
    for (const release of this.#releases) release();
  }

  get compare() {
    return [...this.#compare].map(([key, modRevision]) => ({ key, modRevision }));
  }

  get operations(): Operation[] {
    return [...this.#operations.values()];
  }
}

/**
 * Thrown by a build that can't have what changes on their way to the store may turn out not to need: it is built
 * again. With all of them settled, the answer is right.
 */
export class HeldError extends Error {}

export interface Writer {
  /**
   * Builds a change (without waiting in between) and commits it; builds again when somebody else was faster.
   * What `build` throws is thrown. Afterwards the cache has the change. RequestError 'conflict' when it never works.
   */
  run<T>(build: (draft: Draft) => T): Promise<T>;
}

export function createWriter(
  store: Store,
  cache: Cache,
  events: Events,
  delay: (ms: number) => Promise<void>,
): Writer {
  async function attempt<T>(build: (draft: Draft) => T): Promise<{ result: T } | undefined> {
    const draft = new Draft(cache);
    try {
      const result = build(draft);
      const { compare, operations } = draft;
      if (operations.length + draft.events.length === 0) return { result };
      const all = [...operations, ...(await events.operations(draft.events))];
      const { succeeded, revision } = await store.transaction(compare, all);
      if (succeeded && operations.length > 0) await cache.reached(revision);
      return succeeded ? { result } : undefined;
    } catch (error) {
      if (error instanceof HeldError) return undefined;
      throw error;
    } finally {
      draft.settle();
    }
  }

  return {
    async run(build) {
      for (let count = 0; count < ATTEMPTS; count++) {
        const done = await attempt(build);
        if (done) return done.result;
        // With the embedded store the cache is current by now; with a remote one it takes a moment.
        if (count > 2) await delay(Math.random() * 2 ** Math.min(count, 7));
      }
      throw new RequestError(
        'conflict',
        `others changed the same records ${ATTEMPTS} times meanwhile: try again`,
      );
    },
  };
}
