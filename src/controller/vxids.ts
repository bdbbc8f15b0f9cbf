import { RequestError } from '../records/errors.ts';
import { vxidId } from '../records/keys.ts';
import type { Cache } from './cache.ts';
import type { Draft } from './writer.ts';

/** VNIs have 24 bits; 0 is the floating network. */
const LARGEST = 2 ** 24 - 1;

/** VXLAN network ids: each belongs to one network, as long as that is not deleted. */
export class Vxids {
  readonly #cache: Cache;
  /** Taken by changes on their way to the store. */
  readonly #taken = new Set<number>();
  /** All below are in use. */
  #lowest = 1;

  constructor(cache: Cache) {
    this.#cache = cache;
    cache.onChange((changes) => {
      for (const { table, id, after } of changes) {
        if (table === 'vxid' && after === undefined)
          this.#lowest = Math.min(this.#lowest, Number.parseInt(id, 16));
      }
    });
  }

  /** The vxid asked for ('malformed' out of range, 'conflict' in use), or the lowest free one ('no-capacity'). */
  allocate(draft: Draft, network: string, asked: number | undefined): number {
    const vxid = asked === undefined ? this.#lowestFree() : this.#asked(asked);
    this.#taken.add(vxid);
    draft.onSettled(() => this.#taken.delete(vxid));
    draft.put('vxid', vxidId(vxid), network);
    return vxid;
  }

  release(draft: Draft, vxid: number): void {
    draft.remove('vxid', vxidId(vxid));
  }

  #asked(vxid: number): number {
    if (!Number.isInteger(vxid) || vxid < 1 || vxid > LARGEST) {
      throw new RequestError('malformed', `vxid ${vxid} is not between 1 and ${LARGEST}`);
    }
    if (this.#taken.has(vxid) || this.#cache.get('vxid', vxidId(vxid)) !== undefined) {
      throw new RequestError('conflict', `vxid ${vxid} belongs to another network`);
    }
    return vxid;
  }

  #lowestFree(): number {
    while (this.#cache.get('vxid', vxidId(this.#lowest)) !== undefined) this.#lowest++;
    let vxid = this.#lowest;
    while (this.#taken.has(vxid) || this.#cache.get('vxid', vxidId(vxid)) !== undefined) vxid++;
    if (vxid > LARGEST) throw new RequestError('no-capacity', `all ${LARGEST} vxids belong to networks`);
    return vxid;
  }
}
