import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { FLOATING } from '../records/keys.ts';
import { revise } from '../records/revise.ts';
import { isLive } from '../records/states.ts';
import { checkName, checkPrintable } from '../records/text.ts';
import { type Context, checkRoom, makeEvent } from './context.ts';
import { floatingFor } from './floating.ts';
import { checkMetadata } from './metadata.ts';
import { type Allocators, keepConflicts, mustBeLive, namespaceToEmpty } from './networks.ts';
import type { Caller, InstanceRequest, InterfaceRequest } from './operations.ts';
import { Placement } from './placement.ts';
import { find, findInterface, mayActIn, namespaceFor } from './references.ts';
import type { Draft } from './writer.ts';

const { INITIAL, CREATED, DELETE_WAIT, DELETED, ERROR } = fistpath.State;

const DEFAULT_VIDEO = { model: 'cirrus', memory: 16384 };

/** What an agent says of one interface. */
export interface InterfaceReport {
  uuid: string;
  error: string | undefined;
  /** When the network was there on the instance's node (seconds since the epoch). */
  networkReady: number;
}

/** Instances and their interfaces. */
export class Instances {
  readonly #context: Context;
  readonly #allocators: Allocators;
  readonly #placement: Placement;

  constructor(context: Context, allocators: Allocators) {
    this.#context = context;
    this.#allocators = allocators;
    this.#placement = new Placement(context);
  }

  async create(caller: Caller, request: InstanceRequest): Promise<fistpath.Instance> {
    const context = this.#context;
    const name = checkName('instance name', request.name);
    checkMetadata(`instance ${name}`, request.metadata ?? {});
    for (const channel of request.side_channels ?? []) checkPrintable('side channel', channel);
    const started = context.clock();
    return context.writer.run((draft) => {
      checkRoom('instances', context.cache.count('instance'), context.limits.instances);
      const namespace = namespaceFor(context, caller, request.namespace);
      draft.expect('namespace', namespace);
      const uuid = context.chance.uuid();
      const scheduling = context.clock();
      const node = this.#placement.place(draft, request.placed_on);
      const scheduled = context.clock();
      const interfaces = request.network.map((wanted, order) =>
        this.#addInterface(draft, caller, uuid, wanted, order),
      );
      const instance = fistpath.Instance.create({
        uuid,
        name,
        namespace,
        cpus: request.cpus,
        memory: request.memory,
        diskSpec: request.disk.map(({ size, base, bus, type }) =>
          fistpath.Disk.create({ size: size ?? 0, base: base ?? '', bus: bus ?? '', type: type ?? 'disk' }),
        ),
        video: fistpath.Video.create({ ...DEFAULT_VIDEO, ...request.video }),
        node,
        powerState: interfaces.length > 0 ? 'initial' : 'on',
        state: interfaces.length > 0 ? INITIAL : CREATED,
        sshKey: request.ssh_key ?? '',
        userData: request.user_data ?? '',
        metadata: request.metadata ?? {},
        version: 1,
        interfaces: interfaces.map((created) => created.uuid),
        created: scheduled,
        uefi: request.uefi ?? false,
        secureBoot: request.secure_boot ?? false,
        nvramTemplate: request.nvram_template ?? '',
        sideChannels: request.side_channels ?? [],
        machineType: request.machine_type ?? 'pc',
        configdrive: request.configdrive ?? 'openstack-disk',
      });
      draft.put('instance', uuid, instance);
      context.events.begin('instance', uuid);
      const event = (operation: string, fields: Parameters<typeof makeEvent>[4]) =>
        draft.events.push(makeEvent(context, 'instance', uuid, operation, fields));
      event('api', { phase: 'create', timestamp: started, type: 'audit' });
      event('schedule', { phase: 'start', timestamp: scheduling });
      event('schedule', { phase: 'finish', timestamp: scheduled, duration: scheduled - scheduling });
      // What follows may be found to have happened already: at the same moment, never before.
      event('placement', { message: node, timestamp: scheduled });
      if (interfaces.length > 0) event('ensure networks exist', { phase: 'start', timestamp: scheduled });
      return instance;
    });
  }

  list(caller: Caller, { all = false }: { all?: boolean }): fistpath.Instance[] {
    const instances = [...this.#context.cache.all('instance')].filter(
      ({ namespace, state }) => (all || state !== DELETED) && mayActIn(this.#context, caller, namespace),
    );
    return instances.sort((a, b) => a.created - b.created || (a.uuid < b.uuid ? -1 : 1));
  }

  get(caller: Caller, reference: string): fistpath.Instance {
    return find(this.#context, caller, 'instance', reference);
  }

  /** By order; deleted ones as long as their instance can be read. */
  interfaces(caller: Caller, reference: string): fistpath.Interface[] {
    return this.#interfaces(this.get(caller, reference));
  }

  getInterface(caller: Caller, uuid: string): fistpath.Interface {
    return findInterface(this.#context, caller, uuid);
  }

  async delete(caller: Caller, reference: string): Promise<fistpath.Instance> {
    return this.#context.writer.run((draft) => this.#startDeleting(draft, this.get(caller, reference)));
  }

  /** RequestError 'malformed' without confirmation. */
  async deleteAll(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]> {
    const namespace = namespaceToEmpty(caller, options);
    const doomed = this.list(caller, {}).filter(
      (instance) => instance.namespace === namespace && isLive(instance),
    );
    const deleted = doomed.map(({ uuid }) => this.delete(caller, uuid).catch(keepConflicts));
    return (await Promise.all(deleted)).filter((instance) => instance !== undefined).map(({ uuid }) => uuid);
  }

  /** Takes note of what the instance's agent says of its interfaces. */
  async report(uuid: string, reports: readonly InterfaceReport[]): Promise<void> {
    const context = this.#context;
    await context.writer.run((draft) => {
      const instance = context.cache.get('instance', uuid);
      if (!instance || !isLive(instance)) return;
      const said = new Map(reports.map((report) => [report.uuid, report]));
      const interfaces = this.#interfaces(instance).map((before) => {
        const report = said.get(before.uuid);
        if (!report || !isLive(before)) return before;
        const state = report.error === undefined ? CREATED : ERROR;
        const error = report.error ?? '';
        if (before.state === state && before.error === error) return before;
        const after = revise('interface', before, { state, error });
        draft.put('interface', after.uuid, after);
        return after;
      });
      this.#advance(
        draft,
        instance,
        interfaces,
        Math.max(...reports.map(({ networkReady }) => networkReady)),
      );
    });
  }

  /** Its node has removed the ports: addresses and MACs are free again (the addresses after their rest). */
  async finishDeleting(uuid: string): Promise<void> {
    const context = this.#context;
    await context.writer.run((draft) => {
      const instance = context.cache.get('instance', uuid);
      if (instance?.state !== DELETE_WAIT) return;
      for (const before of this.#interfaces(instance)) {
        const gone = { state: DELETED, error: '', floating: '' };
        draft.put('interface', before.uuid, revise('interface', before, gone));
        this.#allocators.pool.release(draft, before.floating);
        this.#allocators.macs.release(draft, before.mac);
        if (before.ipv4 !== '') this.#allocators.addresses.release(draft, before.network, before.ipv4);
      }
      const gone = { state: DELETED, powerState: 'off', error: '', deleted: context.clock() };
      draft.put('instance', uuid, revise('instance', instance, gone));
      draft.events.push(makeEvent(context, 'instance', uuid, 'api', { phase: 'deleted', type: 'audit' }));
    });
  }

  #interfaces(instance: fistpath.Instance): fistpath.Interface[] {
    return instance.interfaces.map((uuid) => this.#context.cache.get('interface', uuid)!);
  }

  #addInterface(draft: Draft, caller: Caller, instance: string, wanted: InterfaceRequest, order: number) {
    const context = this.#context;
    const network = find(context, caller, 'network', wanted.network_uuid);
    mustBeLive(network);
    if (network.uuid === FLOATING) {
      throw new RequestError('forbidden', `network ${FLOATING} is the pool of floating addresses: use float`);
    }
    draft.expect('network', network.uuid);
    const uuid = context.chance.uuid();
    const mac = this.#allocators.macs.allocate(draft, uuid, wanted.macaddress ?? undefined);
    let ipv4 = '';
    if (wanted.address !== 'none') {
      const use = { type: 'interface', ownerType: 'interface', owner: uuid } as const;
      ipv4 = this.#allocators.addresses.allocate(draft, network, wanted.address ?? undefined, use);
      const extra = { interface: uuid, instance };
      draft.events.push(
        makeEvent(context, 'network', network.uuid, 'allocate address', { message: ipv4, extra }),
      );
    }
    const floating = wanted.float ? floatingFor(draft, this.#allocators.pool, network, { uuid, ipv4 }) : '';
    const model = checkPrintable('interface model', wanted.model ?? 'virtio');
    const fields = {
      uuid,
      network: network.uuid,
      instance,
      mac,
      ipv4,
      order,
      floating,
      model,
      state: INITIAL,
      version: 1,
    };
    const created = fistpath.Interface.create(fields);
    draft.put('interface', uuid, created);
    context.events.begin('interface', uuid);
    draft.events.push(makeEvent(context, 'interface', uuid, 'api', { phase: 'create', type: 'audit' }));
    return created;
  }

  /** The instance's own state, from its interfaces'. */
  #advance(
    draft: Draft,
    before: fistpath.Instance,
    interfaces: fistpath.Interface[],
    networkReady: number,
  ): void {
    const context = this.#context;
    const { uuid } = before;
    const failed = interfaces.find(({ state }) => state === ERROR);
    const ready = interfaces.every(({ state }) => state === CREATED);
    const state = failed ? ERROR : ready ? CREATED : before.state;
    const error = failed ? `interface ${failed.uuid}: ${failed.error}` : '';
    if (before.state === state && before.error === error) return;
    const powerState = ready ? 'on' : before.powerState;
    draft.put('instance', uuid, revise('instance', before, { state, error, powerState }));
    const event = (operation: string, fields: Parameters<typeof makeEvent>[4]) =>
      draft.events.push(makeEvent(context, 'instance', uuid, operation, fields));
    if (failed) event('error', { message: error, type: 'status' });
    if (!ready || before.state !== INITIAL) return;
    const now = context.clock();
    const ensured = Math.min(Math.max(networkReady, before.created), now);
    event('ensure networks exist', {
      phase: 'finish',
      timestamp: ensured,
      duration: ensured - before.created,
    });
    event('instance creation', { phase: 'start', timestamp: ensured });
    event('instance creation', { phase: 'finish', timestamp: now, duration: now - ensured });
    event('api', { phase: 'created', timestamp: now, type: 'audit' });
  }

  #startDeleting(draft: Draft, instance: fistpath.Instance): fistpath.Instance {
    if (instance.state === DELETE_WAIT) return instance;
    const { uuid, name } = instance;
    if (instance.state === DELETED) {
      throw new RequestError('not-found', `instance ${name} (${uuid}) is already deleted`);
    }
    for (const before of this.#interfaces(instance)) {
      draft.put('interface', before.uuid, revise('interface', before, { state: DELETE_WAIT }));
    }
    const next = revise('instance', instance, { state: DELETE_WAIT });
    draft.put('instance', uuid, next);
    draft.events.push(makeEvent(this.#context, 'instance', uuid, 'api', { phase: 'delete', type: 'audit' }));
    return next;
  }
}
