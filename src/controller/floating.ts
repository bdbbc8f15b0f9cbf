import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { formatAddress, parseAddress } from '../records/netblock.ts';
import { revise } from '../records/revise.ts';
import { isLive, stateName } from '../records/states.ts';
import { type Context, checkRoom, makeEvent } from './context.ts';
import { mustBeLive } from './networks.ts';
import type { Caller } from './operations.ts';
import type { Pool } from './pool.ts';
import { find, findInterface } from './references.ts';
import type { Draft } from './writer.ts';

/** Per network; the pool is everybody's. */
const MOST_ROUTED = 64;

/** Floating addresses of interfaces, and addresses of the floating network that are routed into a network. */
export class Floating {
  readonly #context: Context;
  readonly #pool: Pool;

  constructor(context: Context, pool: Pool) {
    this.#context = context;
    this.#pool = pool;
  }

  /** Returns the uuid of the network that this changes. */
  async float(caller: Caller, uuid: string): Promise<string> {
    const { cache, writer } = this.#context;
    return writer.run((draft) => {
      const before = this.#live(caller, uuid);
      if (before.floating !== '') {
        throw new RequestError(
          'conflict',
          `interface ${uuid} has floating address ${before.floating} already`,
        );
      }
      const network = cache.get('network', before.network)!;
      const floating = floatingFor(draft, this.#pool, network, before);
      draft.put('interface', uuid, revise('interface', before, { floating }));
      this.#record(draft, 'interface', uuid, 'float', floating);
      return network.uuid;
    });
  }

  /** Returns the uuid of the network that this changes. */
  async defloat(caller: Caller, uuid: string): Promise<string> {
    return this.#context.writer.run((draft) => {
      const before = this.#live(caller, uuid);
      if (before.floating === '') {
        throw new RequestError('conflict', `interface ${uuid} has no floating address`);
      }
      this.#pool.release(draft, before.floating);
      draft.put('interface', uuid, revise('interface', before, { floating: '' }));
      this.#record(draft, 'interface', uuid, 'defloat', before.floating);
      return before.network;
    });
  }

  async route(caller: Caller, reference: string): Promise<{ network: string; address: string }> {
    return this.#context.writer.run((draft) => {
      const network = find(this.#context, caller, 'network', reference);
      const { uuid } = network;
      mustBeLive(network);
      mustHaveNat(network);
      checkRoom(`routed addresses of network ${network.name} (${uuid})`, network.routed.length, MOST_ROUTED);
      const address = this.#pool.take(draft, { type: 'routed', ownerType: 'network', owner: uuid });
      draft.put('network', uuid, revise('network', network, { routed: [...network.routed, address] }));
      this.#record(draft, 'network', uuid, 'route', address);
      return { network: uuid, address };
    });
  }

  /** Returns the uuid of the network that this changes. */
  async unroute(caller: Caller, reference: string, text: string): Promise<string> {
    const address = formatAddress(parseAddress(text));
    return this.#context.writer.run((draft) => {
      const network = find(this.#context, caller, 'network', reference);
      const { uuid, name } = network;
      mustBeLive(network);
      if (!network.routed.includes(address)) {
        throw new RequestError('not-found', `address ${address} is not routed to network ${name} (${uuid})`);
      }
      this.#pool.release(draft, address);
      const routed = network.routed.filter((each) => each !== address);
      draft.put('network', uuid, revise('network', network, { routed }));
      this.#record(draft, 'network', uuid, 'unroute', address);
      return uuid;
    });
  }

  #live(caller: Caller, uuid: string): fistpath.Interface {
    const found = findInterface(this.#context, caller, uuid);
    if (isLive(found)) return found;
    const code = found.state === fistpath.State.DELETED ? 'not-found' : 'conflict';
    throw new RequestError(code, `interface ${uuid} is in ${stateName(found.state)}`);
  }

  #record(draft: Draft, type: 'interface' | 'network', uuid: string, phase: string, message: string): void {
    draft.events.push(makeEvent(this.#context, type, uuid, 'api', { phase, message, type: 'audit' }));
  }
}

/** A floating address for an interface; RequestError when it, or its network, can have none. */
export function floatingFor(
  draft: Draft,
  pool: Pool,
  network: fistpath.Network,
  { uuid, ipv4 }: { uuid: string; ipv4: string },
): string {
  if (ipv4 === '') {
    throw new RequestError('malformed', `interface ${uuid} has no IPv4 address that one can float to`);
  }
  mustHaveNat(network);
  return pool.take(draft, { type: 'floating', ownerType: 'interface', owner: uuid });
}

function mustHaveNat({ name, uuid, provideNat, floatingGateway }: fistpath.Network): void {
  if (floatingGateway !== '') return;
  const why = provideNat
    ? 'has no gateway: no address of the pool was free for it. Free one, and start the controller anew'
    : 'was created without provide_nat: nothing of the floating network reaches it';
  throw new RequestError('conflict', `network ${name} (${uuid}) ${why}`);
}
