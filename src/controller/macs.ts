import { RequestError } from '../records/errors.ts';
import { formatMac, parseMac } from '../records/mac.ts';
import type { Context } from './context.ts';
import type { Draft } from './writer.ts';

/** Random picks before we give up: with a million interfaces one in 16 picks is taken. */
const PICKS = 256;

/** MAC addresses: unique in the cluster. Ours are locally administered, 02:00:00:xx:xx:xx. */
export class Macs {
  readonly #context: Context;
  /** Taken by changes on their way to the store. */
  readonly #taken = new Set<string>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** The MAC asked for ('malformed', or 'conflict' in use), or a free one. `owner`: uuid of what gets it. */
  allocate(draft: Draft, owner: string, asked?: string): Uint8Array {
    const mac = asked === undefined ? this.#any() : this.#asked(parseMac(asked));
    const id = formatMac(mac);
    this.#taken.add(id);
    draft.onSettled(() => this.#taken.delete(id));
    draft.put('mac', id, owner);
    return mac;
  }

  release(draft: Draft, mac: Uint8Array): void {
    draft.remove('mac', formatMac(mac));
  }

  #asked(mac: Uint8Array): Uint8Array {
    const id = formatMac(mac);
    if (this.#taken.has(id) || this.#context.cache.get('mac', id) !== undefined) {
      throw new RequestError('conflict', `MAC ${id} is in use by another interface`);
    }
    return mac;
  }

  #any(): Uint8Array {
    for (let pick = 0; pick < PICKS; pick++) {
      const mac = Uint8Array.of(2, 0, 0, ...this.#context.chance.bytes(3));
      const id = formatMac(mac);
      if (!this.#taken.has(id) && this.#context.cache.get('mac', id) === undefined) return mac;
    }
    throw new RequestError('no-capacity', 'no free MAC address was found in 02:00:00:00:00:00/24');
  }
}
