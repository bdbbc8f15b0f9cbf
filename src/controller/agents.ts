/**
 * The controller's end of the streams of agents. An agent that says hello gets its whole desired state, and from then
 * on each network that changes, at once; what it says of objects and steps goes into records and events.
 */
import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import type { Context } from './context.ts';
import type { Nodes } from './nodes.ts';
import type { Removals } from './removals.ts';
import type { Reports } from './reports.ts';
import { Session, type Wire } from './session.ts';
import { findRouter, networksOf, networksTouchedBy, viewNetwork } from './view.ts';

const { CREATED } = fistpath.State;
const CHECK_MS = 1000;
/** How long a request waits until the network node has applied it, and for a ping of ten packets. */
const PATIENCE: Patience = { answerMs: 5000, pingMs: 10_000 };
/** So late a check says that this process stood still, not that its agents are silent. */
const STALL_MS = 2 * CHECK_MS;

export interface Patience {
  answerMs: number;
  pingMs: number;
}

export interface AgentsOptions {
  context: Context;
  /** This cluster's uuid. */
  cluster: string;
  nodes: Nodes;
  reports: Reports;
  removals: () => Removals;
  /** Seconds without a message after which a node is missing. */
  missingAfterSeconds: number;
  patience?: Patience | undefined;
}

/** One agent's stream, as the transport calls it. */
export interface Connection {
  receive(message: fistpath.AgentMessage): void;
  drained(): void;
  closed(): void;
}

export class Agents {
  readonly #options: AgentsOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #started: number;
  readonly #timer: NodeJS.Timeout;
  readonly #touched = new Set<string>();
  #checked = performance.now();
  #settingsChanged = false;
  #flushing = false;
  #closed = false;

  constructor(options: AgentsOptions) {
    this.#options = options;
    const { cache, clock } = options.context;
    this.#started = clock();
    cache.onChange((changes) => {
      const touched = networksTouchedBy(cache, changes);
      for (const uuid of touched) this.#touch(uuid);
      if (changes.some(({ table }) => table === 'node')) this.#settingsChanged = true;
      if (touched.size > 0 || this.#settingsChanged) this.#flushSoon();
    });
    this.#timer = setInterval(() => this.#checkMissing(), CHECK_MS).unref();
  }

  get count(): number {
    return this.#sessions.size;
  }

  isConnected(node: string): boolean {
    return this.#sessions.has(node);
  }

  isSettled(node: string, network: string): boolean {
    return this.#sessions.get(node)?.isSettled(network) ?? false;
  }

  /**
   * Resolves once the network node has said that it applied, or could not apply, all that was changed of a network by
   * now. Not for ever: a node that hangs holds no request up, and one that is not connected none at all.
   */
  async answered(network: string): Promise<void> {
    const { context, patience = PATIENCE } = this.#options;
    const session = this.#router();
    if (!session || (await session.answered(network, patience.answerMs))) return;
    const seconds = patience.answerMs / 1000;
    context.log.warn({ node: session.node, network }, `no answer within ${seconds} s: the request goes on`);
  }

  /** Has the network node ping from a network's router; RequestError 'not-ready' when it does not answer. */
  async ping(network: string, address: string): Promise<fistpath.IPingReply> {
    const session = this.#router();
    if (session) return session.ping(network, address, (this.#options.patience ?? PATIENCE).pingMs);
    throw new RequestError('not-ready', 'no network node is connected: pings come from its routers');
  }

  #router(): Session | undefined {
    return this.#sessions.get(findRouter(this.#options.context.cache)?.name ?? '');
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const session of this.#sessions.values()) session.end('the controller stops');
  }

  /** A stream was opened; its first message has to be a hello. */
  connect(wire: Wire): Connection {
    const { context, nodes, reports } = this.#options;
    let session: Session | undefined;
    let closed = false;
    const inbox: fistpath.AgentMessage[] = [];
    let working = false;

    const work = async () => {
      while (inbox.length > 0 && !closed) {
        if (!session) {
          const hello = inbox.shift()!.hello;
          if (!hello) throw new RequestError('malformed', 'the first message of an agent is its hello');
          session = await this.#open(hello as fistpath.Hello, wire, () => closed);
          continue;
        }
        const settled = await reports.take(session, inbox.splice(0));
        if (this.#sessions.get(session.node) !== session) continue;
        if (settled === 'all') await this.#options.removals().settleAll();
        else await this.#options.removals().settle(settled);
      }
    };
    return {
      receive: (message) => {
        if (session) nodes.heard(session.node);
        // A heartbeat has said all that it has to say.
        if (session && message.heartbeat) return;
        inbox.push(message);
        if (working) return;
        working = true;
        work()
          .catch((error: Error) => {
            if (this.#closed) return;
            context.log.warn({ node: session?.node, error: error.message }, 'agent stream ended by an error');
            wire.end(error.message);
          })
          .finally(() => {
            working = false;
          });
      },
      drained: () => {
        session?.drained();
        if (session?.isWaiting) this.#flushSoon();
      },
      closed: () => {
        closed = true;
        session?.left();
        if (!session || this.#sessions.get(session.node) !== session) return;
        this.#sessions.delete(session.node);
        context.log.info({ node: session.node }, 'agent disconnected');
      },
    };
  }

  async #open(hello: fistpath.Hello, wire: Wire, isClosed: () => boolean): Promise<Session | undefined> {
    const { context, nodes } = this.#options;
    await nodes.register(hello);
    if (isClosed()) return undefined;
    // From here to the snapshot nothing waits, so that no change falls between the snapshot and what follows it.
    const { cache } = context;
    const router = findRouter(cache);
    const networks = [...networksOf(cache, hello.node)]
      .map((uuid) => viewNetwork(context, uuid, router).get(hello.node))
      .filter((network) => network !== undefined);
    const before = this.#sessions.get(hello.node);
    const snapshot = { networks, settings: this.#settings(hello.node), cluster: this.#options.cluster };
    const session = new Session(hello.node, wire, cache.revision, snapshot);
    this.#sessions.set(hello.node, session);
    before?.end(`node ${hello.node} has connected anew`);
    context.log.info({ node: hello.node, networks: networks.length }, 'agent connected');
    return session;
  }

  #settings(node: string): fistpath.INodeSettings {
    const { cache } = this.#options.context;
    const known = [...cache.all('node')].sort((a, b) => (a.name < b.name ? -1 : 1));
    const nodeNames = Object.fromEntries(known.map(({ address, name }) => [address, name]));
    return { datapath: cache.get('node', node)?.datapath ?? 'ebpf', nodeNames };
  }

  #touch(uuid: string): void {
    this.#touched.add(uuid);
    for (const session of this.#sessions.values()) session.touch(uuid);
  }

  /** Joins the changes of one turn: a commit often brings many transactions. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      if (this.#closed) return;
      this.#flush();
    });
  }

  #flush(): void {
    const { context } = this.#options;
    const { cache, log } = context;
    const router = findRouter(cache);
    const views = new Map<string, ReturnType<typeof viewNetwork>>();
    const view = (uuid: string) => {
      const known = views.get(uuid) ?? viewNetwork(context, uuid, router);
      views.set(uuid, known);
      return known;
    };
    const touched = new Set(this.#touched);
    this.#touched.clear();
    for (const session of this.#sessions.values()) {
      if (this.#settingsChanged) session.sendSettings(cache.revision, this.#settings(session.node));
      // What had to wait for the stream may turn out to be settled, with nothing to send and nobody to report it.
      for (const uuid of session.flush(cache.revision, (each) => view(each).get(session.node)))
        touched.add(uuid);
    }
    this.#settingsChanged = false;
    this.#options
      .removals()
      .settle([...touched])
      .catch((error: Error) => log.error({ error: error.message }, 'deleted objects could not be finished'));
  }

  #checkMissing(): void {
    const { context, nodes, missingAfterSeconds } = this.#options;
    const late = performance.now() - this.#checked;
    this.#checked = performance.now();
    if (late > CHECK_MS + STALL_MS) {
      for (const { name } of context.cache.all('node')) nodes.heard(name);
      return;
    }
    const now = context.clock();
    for (const { name, state } of context.cache.all('node')) {
      const silent = now - (nodes.lastHeard(name) ?? this.#started);
      if (state !== CREATED || silent <= missingAfterSeconds) continue;
      const message = `no message for ${Math.round(silent)} s`;
      context.log.warn({ node: name }, `node is missing: ${message}`);
      this.#sessions.get(name)?.end(message);
      this.#sessions.delete(name);
      nodes
        .markMissing(name, message)
        .then(() => this.#options.removals().settleAll())
        .catch((error: Error) =>
          context.log.error({ node: name, error: error.message }, 'node could not be marked missing'),
        );
    }
  }
}
