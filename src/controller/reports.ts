import { fistpath } from '#proto';
import type { Context } from './context.ts';
import { makeEvent } from './context.ts';
import type { Instances, InterfaceReport } from './instances.ts';
import type { Networks } from './networks.ts';
import type { Nodes } from './nodes.ts';
import type { Session } from './session.ts';
import type { Usage } from './usage.ts';
import { findRouter } from './view.ts';

const { DONE, ERROR } = fistpath.ObjectStatus.Progress;

/** Agents are told by other software on their nodes what to say: texts have limits. */
const LONGEST_TEXT = 4096;
const LONGEST_WORD = 64;
const EVENT_TYPES = new Set(['mutate', 'audit', 'status', 'usage']);

/** Turns what agents say into records and events. */
export class Reports {
  readonly #context: Context;
  readonly #nodes: Nodes;
  readonly #networks: Networks;
  readonly #instances: Instances;
  readonly #usage: Usage;

  constructor(
    context: Context,
    parts: { nodes: Nodes; networks: Networks; instances: Instances; usage: Usage },
  ) {
    this.#context = context;
    this.#nodes = parts.nodes;
    this.#networks = parts.networks;
    this.#instances = parts.instances;
    this.#usage = parts.usage;
  }

  /** Takes messages of one agent, in order. Returns the networks that may have left the node, or 'all'. */
  async take(session: Session, messages: readonly fistpath.AgentMessage[]): Promise<string[] | 'all'> {
    const events: fistpath.Event[] = [];
    const networks = new Map<string, fistpath.IObjectStatus>();
    const interfaces = new Map<string, fistpath.IObjectStatus>();
    const settled: string[] = [];
    let all = false;
    for (const { status, event, datapath, ping, usage } of messages) {
      if (event) events.push(...this.#event(session, event));
      if (ping) session.ponged(ping);
      if (usage) this.#usage.take(session.node, usage);
      if (datapath) await this.#nodes.reportDatapath(session.node, datapath);
      if (!status || (status.progress !== DONE && status.progress !== ERROR)) continue;
      const uuid = status.objectUuid ?? '';
      const revision = Number(status.revision ?? 0);
      if (status.objectType === 'network') {
        networks.set(uuid, status);
        if (status.progress === ERROR) session.failed(uuid, revision);
        else session.applied(uuid, revision, this.#context.clock());
        settled.push(uuid);
      } else if (status.objectType === 'interface') {
        interfaces.set(uuid, status);
      } else if (status.objectType === 'node' && status.progress === DONE) {
        const wasSynced = session.isSynced;
        settled.push(...session.appliedAll(revision));
        all ||= session.isSynced && !wasSynced;
      }
    }
    // Steps come before what they led to, in the store as on the stream.
    await this.#context.events.write(events);
    await Promise.all([...networks].map(([uuid, status]) => this.#network(session, uuid, status)));
    await this.#interfaces(session, interfaces);
    await this.#usage.tell();
    return all ? 'all' : settled;
  }

  #event(session: Session, event: fistpath.IEvent): fistpath.Event[] {
    const { cache, clock } = this.#context;
    const objectType = event.objectType ?? '';
    const objectUuid = event.objectUuid ?? '';
    const known =
      (objectType === 'node' && objectUuid === session.node) ||
      ((objectType === 'network' || objectType === 'instance' || objectType === 'interface') &&
        cache.get(objectType, objectUuid) !== undefined);
    if (!known) return [];
    return [
      fistpath.Event.create({
        ...event,
        node: session.node,
        timestamp: event.timestamp || clock(),
        operation: (event.operation ?? '').slice(0, LONGEST_WORD),
        phase: (event.phase ?? '').slice(0, LONGEST_WORD),
        message: (event.message ?? '').slice(0, LONGEST_TEXT),
        type: EVENT_TYPES.has(event.type ?? '') ? event.type : 'mutate',
      }),
    ];
  }

  async #network(session: Session, uuid: string, status: fistpath.IObjectStatus): Promise<void> {
    const { cache, events } = this.#context;
    const error = errorOf(status);
    if (findRouter(cache)?.name === session.node) return this.#networks.report(uuid, error);
    // The network is there without this member; its interfaces on this node tell what does not work.
    if (error === undefined || !cache.get('network', uuid)) return;
    const fields = { node: session.node, message: error, type: 'status' };
    await events.write([makeEvent(this.#context, 'network', uuid, 'error', fields)]);
  }

  async #interfaces(session: Session, statuses: ReadonlyMap<string, fistpath.IObjectStatus>): Promise<void> {
    const { cache, clock } = this.#context;
    const byInstance = new Map<string, InterfaceReport[]>();
    for (const [uuid, status] of statuses) {
      const record = cache.get('interface', uuid);
      if (!record || cache.get('instance', record.instance)?.node !== session.node) continue;
      const networkReady = session.readySince(record.network) ?? clock();
      const reports = byInstance.get(record.instance) ?? [];
      reports.push({ uuid, error: errorOf(status), networkReady });
      byInstance.set(record.instance, reports);
    }
    await Promise.all([...byInstance].map(([uuid, reports]) => this.#instances.report(uuid, reports)));
  }
}

function errorOf({ progress, error }: fistpath.IObjectStatus): string | undefined {
  if (progress !== ERROR) return undefined;
  return error ? error.slice(0, LONGEST_TEXT) : 'the agent did not say why';
}
