/**
 * The floating network: the pool of outside addresses, kept as a network with vxid 0 that has no mesh. Its first
 * address is the next hop of every network with NAT.
 */
import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { addressId, FLOATING } from '../records/keys.ts';
import {
  formatAddress,
  formatBlock,
  gatewayOf,
  type Netblock,
  overlaps,
  parseBlock,
} from '../records/netblock.ts';
import { revise } from '../records/revise.ts';
import { isLive } from '../records/states.ts';
import type { Addresses, Use } from './addresses.ts';
import { type Context, makeEvent } from './context.ts';
import { ADMIN } from './references.ts';
import type { Draft } from './writer.ts';

export class Pool {
  readonly #context: Context;
  readonly #addresses: Addresses;

  constructor(context: Context, addresses: Addresses) {
    this.#context = context;
    this.#addresses = addresses;
  }

  /**
   * Makes the record agree with the configured pool, and gives networks with NAT that have no gateway theirs. Throws
   * an Error when addresses are in use that the pool does not have, or networks overlap it.
   */
  async open(): Promise<void> {
    const { cache, floatingPool: block, writer } = this.#context;
    const before = cache.get('network', FLOATING);
    const netblock = block && formatBlock(block);
    if (before?.netblock !== netblock) {
      this.#mustFit(block);
      await writer.run((draft) => {
        for (const [address, { type, owner }] of cache.reservationsOf(FLOATING)) {
          const keep = block && owner !== FLOATING && address > block.first && address < block.last;
          if (!keep || (type === 'resting' && address === gatewayOf(block)))
            draft.remove('address', addressId(FLOATING, address));
        }
        if (!block || !netblock) return draft.remove('network', FLOATING);
        const network = before ? revise('network', before, { netblock }) : this.#make(netblock);
        draft.put('network', FLOATING, network);
        this.#addresses.reserveOwn(draft, FLOATING, block);
      });
    }
    await this.#giveGateways();
  }

  /** Takes an address of the pool; RequestError 'no-capacity' says whether there is none left, or no pool. */
  take(draft: Draft, use: Use): string {
    const floating = this.#context.cache.get('network', FLOATING);
    if (!floating) {
      const text = 'there are no floating addresses: the controller is configured without a floating_pool';
      throw new RequestError('no-capacity', text);
    }
    const address = this.#addresses.allocate(draft, floating, undefined, use);
    const fields = { message: address, extra: { use: use.type, [use.ownerType]: use.owner } };
    draft.events.push(makeEvent(this.#context, 'network', FLOATING, 'allocate address', fields));
    return address;
  }

  /** The address rests; nothing happens for an empty one. */
  release(draft: Draft, address: string): void {
    if (address !== '') this.#addresses.release(draft, FLOATING, address);
  }

  #make(netblock: string): fistpath.Network {
    return fistpath.Network.create({
      uuid: FLOATING,
      name: FLOATING,
      namespace: ADMIN,
      netblock,
      state: fistpath.State.CREATED,
      version: 1,
      created: this.#context.clock(),
    });
  }

  #mustFit(block: Netblock | undefined): void {
    const { cache } = this.#context;
    const pool = block ? `floating_pool ${formatBlock(block)}` : 'no floating_pool';
    const strays: string[] = [];
    for (const [address, { type, ownerType, owner }] of cache.reservationsOf(FLOATING)) {
      if (owner === FLOATING || type === 'resting') continue;
      if (block && address > gatewayOf(block) && address < block.last) continue;
      strays.push(`${formatAddress(address)} (${type} of ${ownerType} ${owner})`);
    }
    if (strays.length > 0) {
      const more = strays.length > 5 ? ` and ${strays.length - 5} more` : '';
      throw new Error(
        `the configuration has ${pool}, but addresses outside its usable ones are taken: ` +
          `${strays.slice(0, 5).join(', ')}${more}. Configure a pool that has them, or free them with the old one first`,
      );
    }
    for (const { uuid, name, state, netblock } of cache.all('network')) {
      if (!block || uuid === FLOATING || !isLive({ state })) continue;
      if (!overlaps(block, parseBlock(netblock))) continue;
      throw new Error(
        `the configuration has ${pool}, which overlaps ${netblock} of network ${name} (${uuid})`,
      );
    }
  }

  /** For networks that were made while there was no pool. */
  async #giveGateways(): Promise<void> {
    const { cache, log, writer } = this.#context;
    const lacks = (network: fistpath.Network) =>
      isLive(network) && network.provideNat && network.floatingGateway === '';
    for (const { uuid } of [...cache.all('network')].filter(lacks)) {
      try {
        await writer.run((draft) => {
          const network = cache.get('network', uuid);
          if (!network || !lacks(network)) return;
          const floatingGateway = this.take(draft, { type: 'gateway', ownerType: 'network', owner: uuid });
          draft.put('network', uuid, revise('network', network, { floatingGateway }));
        });
      } catch (error) {
        log.warn({ network: uuid, error: (error as Error).message }, 'network stays without NAT');
      }
    }
  }
}
