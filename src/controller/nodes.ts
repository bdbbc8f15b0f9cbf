import { isIPv4 } from 'node:net';
import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import { revise } from '../records/revise.ts';
import { checkPrintable } from '../records/text.ts';
import { type Context, makeEvent } from './context.ts';
import type { Caller } from './operations.ts';
import { findNode, mustBeAdmin } from './references.ts';

const { CREATED, MISSING } = fistpath.State;

/** As the daemon's configuration has it; a node's name is part of keys and events. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/;

/** Nodes: registered by their agents. */
export class Nodes {
  readonly #context: Context;
  /** When each connected agent was last heard of; the record has it from the last change of state only. */
  readonly #lastSeen = new Map<string, number>();

  constructor(context: Context) {
    this.#context = context;
  }

  list(caller: Caller): fistpath.Node[] {
    mustBeAdmin(caller, 'see the nodes');
    const nodes = [...this.#context.cache.all('node')].map((node) => this.#current(node));
    return nodes.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(caller: Caller, name: string): fistpath.Node {
    mustBeAdmin(caller, 'see the nodes');
    return this.#current(findNode(this.#context, name));
  }

  /** RequestError 'conflict' while it has instances, or answers. `connected`: its agent is. */
  async delete(caller: Caller, name: string, connected: boolean): Promise<void> {
    mustBeAdmin(caller, 'delete nodes');
    const { cache, events, writer } = this.#context;
    await writer.run((draft) => {
      findNode(this.#context, name);
      const instances = cache.liveInstancesOn(name);
      if (instances > 0)
        throw new RequestError('conflict', `node ${name} has ${instances} instances: delete them first`);
      if (connected) throw new RequestError('conflict', `node ${name} is connected: stop its agent first`);
      draft.remove('node', name);
    });
    this.#lastSeen.delete(name);
    await events.forget('node', name);
  }

  async setDatapath(caller: Caller, name: string, mode: string): Promise<fistpath.Node> {
    mustBeAdmin(caller, 'switch datapaths');
    if (mode !== 'ebpf' && mode !== 'kernel') {
      throw new RequestError('malformed', `datapath ${JSON.stringify(mode)} is neither "ebpf" nor "kernel"`);
    }
    return this.#context.writer.run((draft) => {
      const before = findNode(this.#context, name);
      if (before.datapath === mode) return this.#current(before);
      const after = revise('node', before, { datapath: mode });
      draft.put('node', name, after);
      draft.events.push(makeEvent(this.#context, 'node', name, 'datapath', { message: mode }));
      return this.#current(after);
    });
  }

  /** An agent has connected. RequestError when its hello makes no sense or its address is another node's. */
  async register(hello: fistpath.Hello): Promise<fistpath.Node> {
    const { name, address } = { name: hello.node, address: hello.address };
    if (!NAME.test(name))
      throw new RequestError('malformed', `${JSON.stringify(name)} is no name for a node`);
    if (!isIPv4(address))
      throw new RequestError('malformed', `node ${name}: ${JSON.stringify(address)} is no IPv4 address`);
    checkPrintable('release', hello.release);
    const { cache, clock, writer } = this.#context;
    this.#lastSeen.set(name, clock());
    return writer.run((draft) => {
      for (const other of cache.all('node')) {
        if (other.name !== name && other.address === address) {
          throw new RequestError(
            'conflict',
            `node ${name}: address ${address} belongs to node ${other.name}`,
          );
        }
      }
      const before = cache.get('node', name);
      const known = before ?? fistpath.Node.create({ datapath: 'ebpf' });
      const after = revise('node', known, {
        name,
        address,
        lastSeen: clock(),
        state: CREATED,
        networkNode: hello.networkNode,
        hypervisor: hello.hypervisor,
        underlayMtu: hello.underlayMtu,
        release: hello.release,
      });
      draft.put('node', name, after);
      draft.events.push(
        makeEvent(this.#context, 'node', name, 'api', { phase: 'created', type: 'status', node: name }),
      );
      return after;
    });
  }

  heard(name: string): void {
    this.#lastSeen.set(name, this.#context.clock());
  }

  /** Seconds since the epoch; undefined: not since this controller started. */
  lastHeard(name: string): number | undefined {
    return this.#lastSeen.get(name);
  }

  /** What the agent says of its fast path. */
  async reportDatapath(name: string, status: fistpath.IDatapathStatus): Promise<void> {
    await this.#context.writer.run((draft) => {
      const before = this.#context.cache.get('node', name);
      if (!before) return;
      const datapathStatus = fistpath.DatapathStatus.create(status);
      if (before.datapathStatus && sameStatus(before.datapathStatus, datapathStatus)) return;
      draft.put('node', name, revise('node', before, { datapathStatus }));
      const { mode, reason, nat, natReason, problems } = datapathStatus;
      const why = [reason, natReason, ...problems].filter((text) => text !== '').join('; ');
      const message = `${mode} in force${nat ? `, NAT by ${nat}` : ''}${why ? `: ${why}` : ''}`;
      draft.events.push(
        makeEvent(this.#context, 'node', name, 'datapath status', { message, node: name, type: 'status' }),
      );
    });
  }

  /** The node has not answered for too long. It stays a member of its networks: it may well still forward. */
  async markMissing(name: string, message: string): Promise<void> {
    await this.#context.writer.run((draft) => {
      const before = this.#context.cache.get('node', name);
      if (before?.state !== CREATED) return;
      draft.put(
        'node',
        name,
        revise('node', before, { state: MISSING, lastSeen: this.#lastSeen.get(name) ?? before.lastSeen }),
      );
      draft.events.push(makeEvent(this.#context, 'node', name, 'missing', { message, type: 'status' }));
    });
  }

  #current(node: fistpath.Node): fistpath.Node {
    const lastSeen = this.#lastSeen.get(node.name) ?? node.lastSeen;
    return fistpath.Node.create(Object.assign({}, node, { lastSeen }));
  }
}

function sameStatus(a: fistpath.IDatapathStatus, b: fistpath.IDatapathStatus): boolean {
  return (
    Buffer.compare(fistpath.DatapathStatus.encode(a).finish(), fistpath.DatapathStatus.encode(b).finish()) ===
    0
  );
}
