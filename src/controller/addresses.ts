/**
 * IPv4 addresses of a network. The network's own, its broadcast address and index 1 (the router; the next hop of the
 * floating network) are never given out. A released address rests before somebody else gets it, so that neighbours'
 * ARP entries and open connections of its last owner die first.
 */
import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { addressId, FLOATING } from '../records/keys.ts';
import { formatAddress, gatewayOf, type Netblock, parseAddress, parseBlock } from '../records/netblock.ts';
import type { Context } from './context.ts';
import { type Draft, HeldError } from './writer.ts';

const REST_SECONDS = 300;
/** Enough when nothing else is left. */
const SHORT_REST_SECONDS = 30;
/** Random picks before the netblock is searched from end to end. */
const PICKS = 16;

/** What an address is given to, as its reservation has it. */
export interface Use {
  type: 'interface' | 'gateway' | 'floating' | 'routed';
  ownerType: 'interface' | 'network';
  /** uuid */
  owner: string;
}

export class Addresses {
  readonly #context: Context;
  /** Ids of addresses that changes on their way to the store have taken. */
  readonly #taken = new Set<string>();

  constructor(context: Context) {
    this.#context = context;
  }

  /** Reservations that every network starts with. */
  reserveOwn(draft: Draft, network: string, block: Netblock): void {
    const own = { network: block.first, broadcast: block.last, gateway: gatewayOf(block) };
    for (const [type, address] of Object.entries(own)) {
      this.#put(draft, network, address, { type, ownerType: 'network', owner: network });
    }
  }

  /**
   * Takes an address: the one asked for, or any that is free. RequestError 'malformed' out of the netblock,
   * 'conflict' in use, 'no-capacity' none left.
   */
  allocate(draft: Draft, network: fistpath.Network, asked: string | undefined, use: Use): string {
    const block = parseBlock(network.netblock);
    const address =
      asked === undefined ? this.#any(network, block) : this.#asked(network, block, parseAddress(asked));
    const id = addressId(network.uuid, address);
    this.#taken.add(id);
    draft.onSettled(() => this.#taken.delete(id));
    this.#put(draft, network.uuid, address, use);
    return formatAddress(address);
  }

  /** The address is nobody's any more, and rests. */
  release(draft: Draft, network: string, text: string): void {
    const address = parseAddress(text);
    const before = this.#context.cache.get('address', addressId(network, address));
    if (!before || before.type === 'resting') return;
    this.#put(draft, network, address, { type: 'resting', ownerType: before.ownerType, owner: before.owner });
  }

  /** Takes away all reservations, with the network. */
  releaseAll(draft: Draft, network: string): void {
    for (const address of this.#context.cache.reservationsOf(network).keys()) {
      draft.remove('address', addressId(network, address));
    }
  }

  /** Resting addresses whose time is over don't count any more. */
  hasRested(reservation: fistpath.Reservation, seconds = REST_SECONDS): boolean {
    return reservation.type === 'resting' && this.#context.clock() - reservation.when >= seconds;
  }

  #put(
    draft: Draft,
    network: string,
    address: number,
    what: { type: string; ownerType: string; owner: string },
  ): void {
    const when = this.#context.clock();
    const reservation = { ...what, network, address: formatAddress(address), when };
    draft.put('address', addressId(network, address), fistpath.Reservation.create(reservation));
  }

  #isFree(network: string, address: number): boolean {
    if (this.#taken.has(addressId(network, address))) return false;
    const reservation = this.#context.cache.reservationsOf(network).get(address);
    return reservation === undefined || this.hasRested(reservation);
  }

  #asked(network: fistpath.Network, block: Netblock, address: number): number {
    const text = formatAddress(address);
    const where = `of network ${network.name} (${network.netblock})`;
    if (address <= block.first || address >= block.last) {
      throw new RequestError('malformed', `address ${text} is not one of the usable addresses ${where}`);
    }
    const reservation = this.#context.cache.reservationsOf(network.uuid).get(address);
    const inUse = reservation !== undefined && reservation.type !== 'resting';
    if (inUse || this.#taken.has(addressId(network.uuid, address))) {
      const by = reservation ? ` by ${reservation.type} ${reservation.owner}` : '';
      throw new RequestError('conflict', `address ${text} ${where} is in use${by}`);
    }
    return address;
  }

  #any(network: fistpath.Network, block: Netblock): number {
    const start = gatewayOf(block) + 1;
    const count = block.last - start;
    for (let pick = 0; pick < PICKS; pick++) {
      const address = start + this.#context.chance.integer(count);
      if (this.#isFree(network.uuid, address)) return address;
    }
    const offset = this.#context.chance.integer(count);
    for (let index = 0; index < count; index++) {
      const address = start + ((offset + index) % count);
      if (this.#isFree(network.uuid, address)) return address;
    }
    return this.#longestRested(network, count);
  }

  #longestRested(network: fistpath.Network, count: number): number {
    let best: { address: number; when: number } | undefined;
    let resting = 0;
    // The network node cuts a floating address off, and announces it for its next owner: an interface may have the last
    // one as soon as another gives it up.
    const short = network.uuid === FLOATING ? 0 : SHORT_REST_SECONDS;
    for (const [address, reservation] of this.#context.cache.reservationsOf(network.uuid)) {
      if (reservation.type !== 'resting') continue;
      resting++;
      if (this.#taken.has(addressId(network.uuid, address))) continue;
      if (!this.hasRested(reservation, short)) continue;
      if (!best || reservation.when < best.when) best = { address, when: reservation.when };
    }
    if (best) return best.address;
    if ([...this.#taken].some((id) => id.startsWith(`${network.uuid}/`))) throw new HeldError();
    const hint =
      resting > 0 && short > 0 ? `; ${resting} of them were released less than ${short} s ago` : '';
    const text = `network ${network.name} (${network.netblock}) has no address left: all ${count} are taken${hint}`;
    throw new RequestError('no-capacity', text);
  }
}
