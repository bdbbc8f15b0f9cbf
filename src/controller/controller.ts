import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import type { Agents } from './agents.ts';
import { type Context, makeEvent } from './context.ts';
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
import type { Removals } from './removals.ts';

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
    return this.#parts.networks.delete(caller, reference);
  }

  async deleteNetworks(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]> {
    return this.#parts.networks.deleteAll(caller, options);
  }

  async networkInterfaces(caller: Caller, reference: string): Promise<fistpath.Interface[]> {
    return this.#parts.networks.interfaces(caller, reference);
  }

  async networkAddresses(caller: Caller, reference: string): Promise<fistpath.Reservation[]> {
    return this.#parts.networks.addresses(caller, reference);
  }

  async routeAddress(): Promise<string> {
    throw notYet();
  }

  async unrouteAddress(): Promise<void> {
    throw notYet();
  }

  async setDnsEntry(): Promise<void> {
    throw notYet();
  }

  async deleteDnsEntry(): Promise<void> {
    throw notYet();
  }

  async pingFromNetwork(): Promise<{ stdout: string; stderr: string }> {
    throw notYet();
  }

  async floatInterface(): Promise<void> {
    throw notYet();
  }

  async defloatInterface(): Promise<void> {
    throw notYet();
  }

  async usage(): Promise<UsageNumbers> {
    throw notYet();
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
    return instance;
  }

  async deleteInstances(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]> {
    const uuids = await this.#parts.instances.deleteAll(caller, options);
    await Promise.all(uuids.map((uuid) => this.#parts.removals.settleInstance(uuid)));
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
      return count;
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

function notYet(): RequestError {
  return new RequestError('not-ready', 'floating addresses are not served yet');
}
