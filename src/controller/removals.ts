import { fistpath } from '#proto';
import type { Context } from './context.ts';
import type { Instances } from './instances.ts';
import type { Networks } from './networks.ts';

const { CREATED, DELETE_WAIT } = fistpath.State;

/**
 * Finishes what is in delete-wait once it is gone from the nodes. A node that is missing holds nobody up: when it
 * returns it gets a snapshot without what was deleted, and until then the other members drop what it sends.
 */
export class Removals {
  readonly #context: Context;
  readonly #networks: Networks;
  readonly #instances: Instances;
  readonly #isSettled: (node: string, network: string) => boolean;

  /** `isSettled`: whether a connected node's state of a network is what the records ask for. */
  constructor(
    context: Context,
    networks: Networks,
    instances: Instances,
    isSettled: (node: string, network: string) => boolean,
  ) {
    this.#context = context;
    this.#networks = networks;
    this.#instances = instances;
    this.#isSettled = isSettled;
  }

  /** Finishes what can be finished of these networks and of the instances on them. */
  async settle(networks: Iterable<string>): Promise<void> {
    const { cache } = this.#context;
    const waiting = new Set<string>();
    for (const uuid of networks) {
      for (const { state, instance } of cache.interfacesOf(uuid))
        if (state === DELETE_WAIT) waiting.add(instance);
    }
    await Promise.all([...waiting].map((uuid) => this.settleInstance(uuid)));
    await Promise.all([...networks].map((uuid) => this.#settleNetwork(uuid)));
  }

  async settleAll(): Promise<void> {
    const { cache } = this.#context;
    const waiting = (table: 'instance' | 'network') =>
      [...cache.all(table)].filter(({ state }) => state === DELETE_WAIT).map(({ uuid }) => uuid);
    await Promise.all(waiting('instance').map((uuid) => this.settleInstance(uuid)));
    await Promise.all(waiting('network').map((uuid) => this.#settleNetwork(uuid)));
  }

  async settleInstance(uuid: string): Promise<void> {
    const { cache } = this.#context;
    const instance = cache.get('instance', uuid);
    if (instance?.state !== DELETE_WAIT) return;
    const networks = instance.interfaces.map((id) => cache.get('interface', id)!.network);
    if (!networks.every((network) => this.#isGone(instance.node, network))) return;
    await this.#instances.finishDeleting(uuid);
    await Promise.all(networks.map((network) => this.#settleNetwork(network)));
  }

  async #settleNetwork(uuid: string): Promise<void> {
    const { cache } = this.#context;
    if (cache.get('network', uuid)?.state !== DELETE_WAIT) return;
    for (const node of cache.all('node')) if (!this.#isGone(node.name, uuid)) return;
    await this.#networks.finishDeleting(uuid);
  }

  #isGone(node: string, network: string): boolean {
    return this.#context.cache.get('node', node)?.state !== CREATED || this.#isSettled(node, network);
  }
}
