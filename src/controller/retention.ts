import { fistpath } from '#proto';
import type { Addresses } from './addresses.ts';
import type { Context } from './context.ts';

const { DELETED } = fistpath.State;

const SWEEP_MS = 60_000;
/** Deleted networks and instances can be read for a day, the latest of them only when there are very many. */
const KEPT_SECONDS = 86_400;
const KEPT_COUNT = 10_000;
/** Records that one transaction removes. */
const CHUNK = 500;

/** Forgets deleted objects, and addresses that have rested, in the background. */
export class Retention {
  readonly #context: Context;
  readonly #addresses: Addresses;
  readonly #keptCount: number;
  readonly #timer: NodeJS.Timeout;

  constructor(context: Context, addresses: Addresses, keptCount = KEPT_COUNT) {
    this.#context = context;
    this.#addresses = addresses;
    this.#keptCount = keptCount;
    this.#timer = setInterval(() => {
      this.sweep().catch((error: Error) =>
        context.log.error({ error: error.message }, 'old records could not be removed'),
      );
    }, SWEEP_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async sweep(): Promise<void> {
    await this.#forgetRested();
    for (const instance of this.#old('instance')) {
      await this.#forget([
        ['instance', instance.uuid],
        ...instance.interfaces.map((id) => ['interface', id] as const),
      ]);
    }
    for (const network of this.#old('network')) {
      const interfaces = this.#context.cache.interfacesOf(network.uuid);
      // Its interfaces go with their instances.
      if (interfaces.length === 0) await this.#forget([['network', network.uuid]]);
    }
  }

  #old<T extends 'network' | 'instance'>(table: T) {
    const deleted = [...this.#context.cache.all(table)].filter(({ state }) => state === DELETED);
    deleted.sort((a, b) => b.deleted - a.deleted);
    const oldest = this.#context.clock() - KEPT_SECONDS;
    return deleted.filter(({ deleted: when }, index) => index >= this.#keptCount || when < oldest);
  }

  async #forget(objects: (readonly ['network' | 'instance' | 'interface', string])[]): Promise<void> {
    await this.#context.writer.run((draft) => {
      for (const [table, id] of objects) draft.remove(table, id);
    });
    for (const [table, id] of objects) await this.#context.events.forget(table, id);
  }

  async #forgetRested(): Promise<void> {
    const { cache, writer } = this.#context;
    const rested = [...cache.entries('address')].filter(([, reservation]) =>
      this.#addresses.hasRested(reservation),
    );
    for (let from = 0; from < rested.length; from += CHUNK) {
      await writer.run((draft) => {
        for (const [id] of rested.slice(from, from + CHUNK)) {
          const now = cache.get('address', id);
          if (now && this.#addresses.hasRested(now)) draft.remove('address', id);
        }
      });
    }
  }
}
