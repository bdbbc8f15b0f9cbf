import { fistpath } from '#proto';
import { FLOATING } from '../records/keys.ts';
import type { Agents } from './agents.ts';
import { type Context, makeEvent } from './context.ts';
import type { DnsEntries } from './dns.ts';
import type { Floating } from './floating.ts';
import type { Instances } from './instances.ts';
import type { Metadata } from './metadata.ts';
import type { Namespaces } from './namespaces.ts';
import type { Networks } from './networks.ts';
import type { Nodes } from './nodes.ts';
import type {
  Caller,
  EventFilter,
  Health,
  InstanceRequest,
  NetworkRequest,
  ObjectType,
  Operations,
  UsageNumbers,
} from './operations.ts';
import { pingFrom } from './ping.ts';
import type { Removals } from './removals.ts';
import type { Usage } from './usage.ts';

/** Reads of one kind are recorded once in so many seconds: who polls must not push out an object's history. */
const READ_SECONDS = 60;
/** Reads remembered for that. */
const READS = 10_000;

export interface Parts {
  networks: Networks;
  instances: Instances;
  nodes: Nodes;
  namespaces: Namespaces;
  metadata: Metadata;
  agents: Agents;
  removals: Removals;
  floating: Floating;
  dns: DnsEntries;
  usage: Usage;
}

/** What REST can ask for, each call handed to the part that knows. */
export class Controller implements Operations {
  readonly #context: Context;
  readonly #parts: Parts;
  readonly #reads = new Map<string, number>();

  constructor(context: Context, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
  }

  async authenticate(namespace: string, key: string): Promise<void> {
    await this.#parts.namespaces.authenticate(namespace, key);
  }

  async namespaceExists(namespace: string): Promise<boolean> {
    return this.#parts.namespaces.exists(namespace);
  }

  async createNetwork(caller: Caller, request: NetworkRequest): Promise<fistpath.Network> {
    return this.#parts.networks.create(caller, request);
  }

  async listNetworks(caller: Caller, options: { all?: boolean }): Promise<fistpath.Network[]> {
    return this.#parts.networks.list(caller, options);
  }

  async getNetwork(caller: Caller, reference: string): Promise<fistpath.Network> {
    return this.#parts.networks.get(caller, reference);
  }

  async deleteNetwork(caller: Caller, reference: string): Promise<fistpath.Network> {
    const network = await this.#parts.networks.delete(caller, reference);
    await this.#parts.agents.answered(network.uuid);
    return network;
  }

  async deleteNetworks(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]> {
    const uuids = await this.#parts.networks.deleteAll(caller, options);
    await this.#allAnswered(uuids);
    return uuids;
  }

  async networkInterfaces(caller: Caller, reference: string): Promise<fistpath.Interface[]> {
    return this.#parts.networks.interfaces(caller, reference);
  }

  async networkAddresses(caller: Caller, reference: string): Promise<fistpath.Reservation[]> {
    return this.#parts.networks.addresses(caller, reference);
  }

  async routeAddress(caller: Caller, reference: string): Promise<string> {
    const { network, address } = await this.#parts.floating.route(caller, reference);
    await this.#parts.agents.answered(network);
    return address;
  }

  async unrouteAddress(caller: Caller, reference: string, address: string): Promise<void> {
    const network = await this.#parts.floating.unroute(caller, reference, address);
    await this.#parts.agents.answered(network);
  }

  async setDnsEntry(caller: Caller, reference: string, name: string, value: string): Promise<void> {
    await this.#parts.dns.set(caller, reference, name, value);
  }

  async deleteDnsEntry(caller: Caller, reference: string, name: string): Promise<void> {
    await this.#parts.dns.delete(caller, reference, name);
  }

  async pingFromNetwork(
    caller: Caller,
    reference: string,
    address: string,
  ): Promise<{ stdout: string; stderr: string }> {
    const ask = (network: string, target: string) => this.#parts.agents.ping(network, target);
    return pingFrom(this.#context, ask, caller, reference, address);
  }

  async floatInterface(caller: Caller, uuid: string): Promise<void> {
    await this.#parts.agents.answered(await this.#parts.floating.float(caller, uuid));
  }

  async defloatInterface(caller: Caller, uuid: string): Promise<void> {
    await this.#parts.agents.answered(await this.#parts.floating.defloat(caller, uuid));
  }

  async usage(): Promise<UsageNumbers> {
    return this.#parts.usage.numbers();
  }

  async createInstance(caller: Caller, request: InstanceRequest): Promise<fistpath.Instance> {
    return this.#parts.instances.create(caller, request);
  }

  async listInstances(caller: Caller, options: { all?: boolean }): Promise<fistpath.Instance[]> {
    return this.#parts.instances.list(caller, options);
  }

  async getInstance(caller: Caller, reference: string): Promise<fistpath.Instance> {
    const instance = this.#parts.instances.get(caller, reference);
    await this.#recordRead('instance', instance.uuid, 'get');
    return instance;
  }

  async deleteInstance(caller: Caller, reference: string): Promise<fistpath.Instance> {
    const instance = await this.#parts.instances.delete(caller, reference);
    if (instance.interfaces.length === 0) await this.#parts.removals.settleInstance(instance.uuid);
    await this.#allAnswered(this.#networksOf(instance.uuid));
    return instance;
  }

  async deleteInstances(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]> {
    const uuids = await this.#parts.instances.deleteAll(caller, options);
    await Promise.all(uuids.map((uuid) => this.#parts.removals.settleInstance(uuid)));
    await this.#allAnswered(uuids.flatMap((uuid) => this.#networksOf(uuid)));
    return uuids;
  }

  async instanceInterfaces(caller: Caller, reference: string): Promise<fistpath.Interface[]> {
    return this.#parts.instances.interfaces(caller, reference);
  }

  async getInterface(caller: Caller, uuid: string): Promise<fistpath.Interface> {
    return this.#parts.instances.getInterface(caller, uuid);
  }

  async listNodes(caller: Caller): Promise<fistpath.Node[]> {
    return this.#parts.nodes.list(caller);
  }

  async getNode(caller: Caller, name: string): Promise<fistpath.Node> {
    return this.#parts.nodes.get(caller, name);
  }

  async deleteNode(caller: Caller, name: string): Promise<void> {
    await this.#parts.nodes.delete(caller, name, this.#parts.agents.isConnected(name));
    await this.#parts.removals.settleAll();
  }

  async setDatapath(caller: Caller, name: string, mode: string): Promise<fistpath.Node> {
    return this.#parts.nodes.setDatapath(caller, name, mode);
  }

  async events(
    caller: Caller,
    type: ObjectType,
    reference: string,
    filter: EventFilter,
  ): Promise<fistpath.Event[]> {
    const id = this.#parts.metadata.identify(caller, type, reference);
    await this.#recordRead(type, id, 'get events');
    const events = await this.#context.events.list(type, id);
    const wanted = filter.event_type ? events.filter((event) => event.type === filter.event_type) : events;
    return filter.limit == null ? wanted : wanted.slice(-Math.max(filter.limit, 1));
  }

  async getMetadata(caller: Caller, type: ObjectType, reference: string): Promise<Record<string, string>> {
    return this.#parts.metadata.get(caller, type, reference);
  }

  async setMetadata(
    caller: Caller,
    type: ObjectType,
    reference: string,
    key: string,
    value: string,
  ): Promise<void> {
    await this.#parts.metadata.set(caller, type, reference, key, value);
  }

  async deleteMetadata(caller: Caller, type: ObjectType, reference: string, key: string): Promise<void> {
    await this.#parts.metadata.delete(caller, type, reference, key);
  }

  async health(): Promise<Health> {
    const { cache } = this.#context;
    const present = (type: ObjectType) => {
      let count = 0;
      for (const { state } of cache.all(type)) if (state !== fistpath.State.DELETED) count++;
      return type === 'network' && cache.get(type, FLOATING) ? count - 1 : count;
    };
    return {
      ready: true,
      revision: cache.revision,
      objects: {
        network: present('network'),
        instance: present('instance'),
        interface: present('interface'),
        node: present('node'),
        namespace: present('namespace'),
      },
      agents: this.#parts.agents.count,
      nodes: [...cache.all('node')].map(({ name, state, datapathStatus }) => ({
        name,
        answers: state === fistpath.State.CREATED,
        mode: datapathStatus?.mode ?? '',
      })),
    };
  }

  #networksOf(instance: string): string[] {
    const { cache } = this.#context;
    const interfaces = cache.get('instance', instance)?.interfaces ?? [];
    return interfaces.flatMap((uuid) => cache.get('interface', uuid)?.network ?? []);
  }

  async #allAnswered(networks: readonly string[]): Promise<void> {
    await Promise.all([...new Set(networks)].map((uuid) => this.#parts.agents.answered(uuid)));
  }

  async #recordRead(type: ObjectType, id: string, phase: 'get' | 'get events'): Promise<void> {
    const { clock, events } = this.#context;
    const key = `${type}/${id}/${phase}`;
    const before = this.#reads.get(key);
    if (before !== undefined && clock() - before < READ_SECONDS) return;
    if (this.#reads.size >= READS) this.#reads.clear();
    this.#reads.set(key, clock());
    await events.write([makeEvent(this.#context, type, id, 'api', { phase, type: 'audit' })]);
  }
}
