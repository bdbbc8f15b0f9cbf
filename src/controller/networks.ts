import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { FLOATING } from '../records/keys.ts';
import { formatBlock, overlaps, parseNetblock } from '../records/netblock.ts';
import { revise } from '../records/revise.ts';
import { checkTransition, isLive, stateName } from '../records/states.ts';
import { checkName } from '../records/text.ts';
import type { Addresses } from './addresses.ts';
import { type Context, checkRoom, makeEvent } from './context.ts';
import type { Macs } from './macs.ts';
import type { Caller, NetworkRequest } from './operations.ts';
import type { Pool } from './pool.ts';
import { find, mayActIn, mustBeAdmin, namespaceFor } from './references.ts';
import type { Vxids } from './vxids.ts';
import type { Draft } from './writer.ts';

const { INITIAL, CREATED, DELETE_WAIT, DELETED, ERROR } = fistpath.State;

/** Outer IPv4, UDP, VXLAN and inner Ethernet headers (RFC 7348). */
const ENCAPSULATION = 50;
/** When no node has told its underlay's MTU yet. */
const DEFAULT_MTU = 1450;

export interface Allocators {
  addresses: Addresses;
  vxids: Vxids;
  macs: Macs;
  pool: Pool;
}

/** Virtual networks: creation, listing, and the way out. */
export class Networks {
  readonly #context: Context;
  readonly #allocators: Allocators;

  constructor(context: Context, allocators: Allocators) {
    this.#context = context;
    this.#allocators = allocators;
  }

  async create(caller: Caller, request: NetworkRequest): Promise<fistpath.Network> {
    const context = this.#context;
    const name = checkName('network name', request.name);
    if (name === FLOATING)
      throw new RequestError('malformed', `network name ${FLOATING} is taken: the pool is called so`);
    const block = parseNetblock(request.netblock);
    if (context.floatingPool && overlaps(block, context.floatingPool)) {
      throw new RequestError(
        'malformed',
        `netblock ${request.netblock} overlaps ${formatBlock(context.floatingPool)}, the pool of floating addresses`,
      );
    }
    return context.writer.run((draft) => {
      // Every network that is not deleted has a vxid.
      checkRoom('networks', context.cache.count('vxid'), context.limits.networks);
      const namespace = namespaceFor(context, caller, request.namespace);
      draft.expect('namespace', namespace);
      const uuid = context.chance.uuid();
      const gateway = { type: 'gateway', ownerType: 'network', owner: uuid } as const;
      const network = fistpath.Network.create({
        uuid,
        name,
        namespace,
        vxid: this.#allocators.vxids.allocate(draft, uuid, request.vxid),
        netblock: request.netblock,
        provideDhcp: request.provide_dhcp ?? false,
        provideNat: request.provide_nat ?? false,
        provideDns: request.provide_dns ?? false,
        floatingGateway: request.provide_nat ? this.#allocators.pool.take(draft, gateway) : '',
        state: INITIAL,
        version: 1,
        mtu: this.#mtu(),
        routerMac: this.#allocators.macs.allocate(draft, uuid),
        created: context.clock(),
      });
      this.#allocators.addresses.reserveOwn(draft, uuid, block);
      draft.put('network', uuid, network);
      context.events.begin('network', uuid);
      draft.events.push(makeEvent(context, 'network', uuid, 'api', { phase: 'create', type: 'audit' }));
      return network;
    });
  }

  /** Without the floating network, which is the admin's to get(). */
  list(caller: Caller, { all = false }: { all?: boolean }): fistpath.Network[] {
    const networks = [...this.#context.cache.all('network')].filter(
      ({ uuid, namespace, state }) =>
        (all || state !== DELETED) && uuid !== FLOATING && mayActIn(this.#context, caller, namespace),
    );
    return networks.sort((a, b) => a.created - b.created || a.vxid - b.vxid);
  }

  get(caller: Caller, reference: string): fistpath.Network {
    return find(this.#context, caller, 'network', reference);
  }

  /** Interfaces that are not deleted, by address. */
  interfaces(caller: Caller, reference: string): fistpath.Interface[] {
    return this.#present(this.get(caller, reference).uuid);
  }

  addresses(caller: Caller, reference: string): fistpath.Reservation[] {
    const { uuid } = this.get(caller, reference);
    return [...this.#context.cache.reservationsOf(uuid)]
      .filter(([, reservation]) => !this.#allocators.addresses.hasRested(reservation))
      .sort(([a], [b]) => a - b)
      .map(([, reservation]) => reservation);
  }

  async delete(caller: Caller, reference: string): Promise<fistpath.Network> {
    return this.#context.writer.run((draft) => this.#startDeleting(draft, this.get(caller, reference)));
  }

  /** RequestError 'malformed' without confirmation. Networks in use stay. */
  async deleteAll(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]> {
    const namespace = namespaceToEmpty(caller, options);
    const unused = this.list(caller, {}).filter(
      (network) =>
        network.namespace === namespace && isLive(network) && this.#users(network.uuid).length === 0,
    );
    const deleted = unused.map(({ uuid }) => this.delete(caller, uuid).catch(keepConflicts));
    return (await Promise.all(deleted)).filter((network) => network !== undefined).map(({ uuid }) => uuid);
  }

  /** What the network node's agent says of the network: it is there, or why it is not. */
  async report(uuid: string, error: string | undefined): Promise<void> {
    const context = this.#context;
    await context.writer.run((draft) => {
      const network = context.cache.get('network', uuid);
      if (!network || network.state === DELETED || uuid === FLOATING) return;
      const state = network.state === DELETE_WAIT ? DELETE_WAIT : error === undefined ? CREATED : ERROR;
      if (network.state === state && network.error === (error ?? '')) return;
      draft.put('network', uuid, revise('network', network, { state, error: error ?? '' }));
      if (error !== undefined) {
        draft.events.push(makeEvent(context, 'network', uuid, 'error', { message: error, type: 'status' }));
      } else if (network.state === INITIAL) {
        draft.events.push(makeEvent(context, 'network', uuid, 'api', { phase: 'created', type: 'audit' }));
      }
    });
  }

  /** The nodes have removed it and its interfaces are gone: vxid, MAC and addresses are free again, outside ones after their rest. */
  async finishDeleting(uuid: string): Promise<void> {
    const context = this.#context;
    await context.writer.run((draft) => {
      const network = context.cache.get('network', uuid);
      if (!network || network.state !== DELETE_WAIT || this.#present(uuid).length > 0) return;
      const gone = { state: DELETED, error: '', deleted: context.clock(), floatingGateway: '', routed: [] };
      draft.put('network', uuid, revise('network', network, gone));
      for (const address of [network.floatingGateway, ...network.routed])
        this.#allocators.pool.release(draft, address);
      this.#allocators.vxids.release(draft, network.vxid);
      this.#allocators.macs.release(draft, network.routerMac);
      this.#allocators.addresses.releaseAll(draft, uuid);
      draft.events.push(makeEvent(context, 'network', uuid, 'api', { phase: 'deleted', type: 'audit' }));
    });
  }

  #startDeleting(draft: Draft, network: fistpath.Network): fistpath.Network {
    if (network.state === DELETE_WAIT) return network;
    const { uuid, name } = network;
    if (uuid === FLOATING) {
      throw new RequestError('forbidden', `network ${FLOATING} is the pool of floating addresses: it stays`);
    }
    if (network.state === DELETED)
      throw new RequestError('not-found', `network ${name} (${uuid}) is already deleted`);
    const users = this.#users(uuid);
    if (users.length > 0) {
      const few = users.slice(0, 5).map((instance) => `${instance.name} (${instance.uuid})`);
      const more = users.length > few.length ? ` and ${users.length - few.length} more` : '';
      const text = `network ${name} (${uuid}) cannot be deleted: it is used by instances ${few.join(', ')}${more}`;
      throw new RequestError('forbidden', text);
    }
    checkTransition(`network ${name} (${uuid})`, network.state, DELETE_WAIT);
    const next = revise('network', network, { state: DELETE_WAIT });
    draft.put('network', uuid, next);
    draft.events.push(makeEvent(this.#context, 'network', uuid, 'api', { phase: 'delete', type: 'audit' }));
    return next;
  }

  #present(uuid: string): fistpath.Interface[] {
    return this.#context.cache.interfacesOf(uuid).filter(({ state }) => state !== DELETED);
  }

  /** Instances that keep the network in use. */
  #users(uuid: string): fistpath.Instance[] {
    const live = this.#context.cache.interfacesOf(uuid).filter(isLive);
    const instances = [...new Set(live.map(({ instance }) => instance))];
    return instances.map((instance) => this.#context.cache.get('instance', instance)!);
  }

  #mtu(): number {
    const mtus = [...this.#context.cache.all('node')]
      .map(({ underlayMtu }) => underlayMtu)
      .filter((mtu) => mtu > 0);
    return mtus.length > 0 ? Math.min(...mtus) - ENCAPSULATION : DEFAULT_MTU;
  }
}

/** The namespace of a "delete all"; the admin has to name it, so that nobody empties the cluster by accident. */
export function namespaceToEmpty(
  caller: Caller,
  { confirm, namespace }: { confirm?: boolean; namespace?: string | null },
): string {
  if (confirm !== true) throw new RequestError('malformed', 'deleting all needs the argument confirm: true');
  if (namespace != null && namespace !== caller.namespace) mustBeAdmin(caller, 'delete in another namespace');
  if (namespace == null && caller.namespace === 'system') {
    throw new RequestError(
      'malformed',
      'namespace system has to name the namespace whose objects are to be deleted',
    );
  }
  return namespace ?? caller.namespace;
}

/** An object that came into use, or went, since it was listed is none of those to be deleted. */
export function keepConflicts(error: unknown): undefined {
  if (error instanceof RequestError && ['forbidden', 'not-found', 'conflict'].includes(error.code))
    return undefined;
  throw error;
}

/** Throws RequestError unless the network is there to stay. */
export function mustBeLive(network: fistpath.Network): void {
  if (network.state === DELETED) {
    throw new RequestError('not-found', `network ${network.name} (${network.uuid}) is deleted`);
  }
  if (!isLive(network)) {
    throw new RequestError(
      'conflict',
      `network ${network.name} (${network.uuid}) is in ${stateName(network.state)}`,
    );
  }
}
