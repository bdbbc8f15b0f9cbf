import { fistpath } from '#proto';
import { eventKey, eventPrefix, eventSequence } from '../records/keys.ts';
import type { Operation, Store } from '../store/store.ts';

/** Events kept of each object: the oldest give way. */
const KEPT = 1000;

/** What happened to each object, in the store, numbered per object. */
export class Events {
  readonly #store: Store;
  readonly #kept: number;
  /** The next number of each object that has had an event in this process. */
  readonly #next = new Map<string, number>();

  constructor(store: Store, kept = KEPT) {
    this.#store = store;
    this.#kept = kept;
  }

  /** An object that was just made up: it can't have events yet, nothing has to be read to number the first. */
  begin(objectType: string, objectUuid: string): void {
    this.#next.set(eventPrefix(objectType, objectUuid), 0);
  }

  /** What puts these events into the store, and takes out those that are too old by now. */
  async operations(events: readonly fistpath.Event[]): Promise<Operation[]> {
    const operations: Operation[] = [];
    for (const event of events) {
      const { objectType, objectUuid } = event;
      const prefix = eventPrefix(objectType, objectUuid);
      if (!this.#next.has(prefix)) {
        const { entries } = await this.#store.range(prefix);
        const last = entries.at(-1);
        // Another caller may have numbered one while this one was reading.
        if (!this.#next.has(prefix)) this.#next.set(prefix, last ? eventSequence(last.key) + 1 : 0);
      }
      const sequence = this.#next.get(prefix)!;
      this.#next.set(prefix, sequence + 1);
      const value = fistpath.Event.encode(event).finish();
      operations.push({ put: eventKey(objectType, objectUuid, sequence), value });
      if (sequence >= this.#kept)
        operations.push({ delete: eventKey(objectType, objectUuid, sequence - this.#kept) });
    }
    return operations;
  }

  /** Writes events that belong to no change of records. */
  async write(events: readonly fistpath.Event[]): Promise<void> {
    if (events.length > 0) await this.#store.transaction([], await this.operations(events));
  }

  /** An object's events, oldest first. */
  async list(objectType: string, objectUuid: string): Promise<fistpath.Event[]> {
    const { entries } = await this.#store.range(eventPrefix(objectType, objectUuid));
    const events = entries.slice(-this.#kept).map(({ value }) => fistpath.Event.decode(value));
    return events.sort((a, b) => a.timestamp - b.timestamp);
  }

  /** Removes an object's events. */
  async forget(objectType: string, objectUuid: string): Promise<void> {
    const prefix = eventPrefix(objectType, objectUuid);
    const { entries } = await this.#store.range(prefix);
    this.#next.delete(prefix);
    if (entries.length > 0)
      await this.#store.transaction(
        [],
        entries.map(({ key }) => ({ delete: key })),
      );
  }
}
