/**
 * The agent: makes this node equal to the desired state that a controller sends, kernel path first, then DHCP and
 * DNS beside the fast path (what the kernel has forgotten must not wait for a slow dnsmasq), and says how far it is.
 * One change runs at a time; what arrives meanwhile is joined into the next.
 */
import type { Logger } from 'pino';
import { fistpath } from '#proto';
import type { Config } from '../config.ts';
import { joinCluster } from './cluster.ts';
import { KernelWatch } from './datapath/nexthops.ts';
import { DatapathSwitch } from './datapath/switch.ts';
import { KernelFallback, type NetworkResult } from './kernel/kernel.ts';
import { writeNames } from './names.ts';
import { Dnsmasq } from './services/dnsmasq.ts';
import { Pings } from './services/ping.ts';
import { readUsage } from './services/usage.ts';
import { ControllerStream } from './stream.ts';
import { readUnderlay } from './underlay.ts';

const RECONCILE_MS = 30_000;
const RETRY_MS = 5_000;
const FOREIGN_CHANGE_MS = 1_000;

type Networks = Map<string, fistpath.INodeNetwork>;

export interface AgentOptions {
  config: Config;
  log: Logger;
  release: string;
}

export class Agent {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #kernel: KernelFallback;
  readonly #dnsmasq: Dnsmasq;
  readonly #datapath: DatapathSwitch;
  readonly #pings = new Pings();
  readonly #stream: ControllerStream;
  #watch: KernelWatch | undefined;
  #networks: Networks = new Map();
  #nodeNames: Record<string, string> = {};
  #known = false;
  /** Whether the stream's controller is of this node's cluster. */
  #obeys = false;
  /** Of the newest message; and the newest that was reported as applied. */
  #revision = 0;
  #appliedRevision = -1;
  /** What waits to be applied: single networks, or everything. */
  readonly #changed = new Set<string>();
  #everything = false;
  #again: { at: number; timer: NodeJS.Timeout } | undefined;
  #running: Promise<void> | undefined;
  #closed = false;
  /** What was last reported of each network, so that a pass that changed nothing says nothing. */
  readonly #reported = new Map<string, { network: string; ports: string }>();
  /** At which revision each network came as it is wanted now, or went. */
  readonly #asked = new Map<string, number>();
  #usageTimer: NodeJS.Timeout | undefined;
  #saidUsage = '';
  #readingUsage = false;

  constructor({ config, log, release }: AgentOptions) {
    this.#config = config;
    this.#log = log;
    this.#kernel = new KernelFallback({
      node: config.node,
      underlay: config.underlay,
      vxlanPort: config.vxlan_port,
      portKind: config.port_kind,
      uplink: config.uplink ?? null,
      stateDirectory: config.state_directory,
    });
    this.#dnsmasq = new Dnsmasq({
      stateDirectory: config.state_directory,
      servers: config.dns_servers,
      onSick: (network) => {
        log.warn({ network }, 'dnsmasq ended, was stopped, or does not answer: it is replaced');
        this.#changed.add(network);
        this.#work();
      },
    });
    this.#datapath = new DatapathSwitch({
      config,
      log,
      onStatus: (datapath) => this.#stream.send({ datapath }),
      onEvent: (event) => this.#stream.send({ event: { ...event, node: config.node } }),
    });
    this.#stream = new ControllerStream({
      controllers: config.controllers,
      hello: async () => ({
        node: config.node,
        address: config.underlay.address,
        underlayMtu: (await readUnderlay(config.underlay)).mtu,
        networkNode: config.network_node,
        hypervisor: config.hypervisor,
        release,
        portKind: config.port_kind,
      }),
      onMessage: (message) => this.#receive(message),
      onState: (state, detail) => log[state === 'lost' ? 'warn' : 'info']({ detail }, `controller ${state}`),
    });
  }

  /** Runs until close(). */
  async run(): Promise<void> {
    this.#watch = new KernelWatch((what) => {
      if (what === 'link') this.#schedule(FOREIGN_CHANGE_MS);
      else this.#datapath.nexthopsChanged().catch((error: Error) => this.#failed(error));
    });
    this.#usageTimer = setInterval(() => void this.#sayUsage(), this.#config.usage_seconds * 1000);
    await this.#stream.run();
  }

  /** Stops asking and doing; the node's network goes on as it is. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stream.close();
    this.#watch?.close();
    clearTimeout(this.#again?.timer);
    clearInterval(this.#usageTimer);
    this.#dnsmasq.close();
    await this.#running;
    this.#datapath.close();
  }

  #receive(message: fistpath.ControllerMessage): void {
    if (message.snapshot) this.#obeys = this.#join(message.snapshot.cluster ?? '');
    if (!this.#obeys) return;
    if (message.ping) {
      void this.#pings.ping(message.ping, this.#networks).then((ping) => this.#stream.send({ ping }));
      return;
    }
    this.#revision = Number(message.revision);
    if (message.snapshot) {
      this.#networks = new Map((message.snapshot.networks ?? []).map((network) => [network.uuid!, network]));
      this.#reported.clear();
      this.#asked.clear();
      this.#saidUsage = '';
      this.#appliedRevision = -1;
      this.#known = true;
      this.#everything = true;
      this.#settings(message.snapshot.settings);
      this.#datapath.repeatStatus();
    } else if (message.network) {
      this.#networks.set(message.network.uuid!, message.network);
      this.#change(message.network.uuid!);
    } else if (message.removed) {
      this.#networks.delete(message.removed);
      this.#change(message.removed);
    } else if (message.settings) {
      this.#settings(message.settings);
    }
    this.#work();
  }

  #join(cluster: string): boolean {
    const problem = joinCluster(this.#config.state_directory, cluster);
    if (problem === undefined) return true;
    this.#log.error(problem);
    const event = { objectType: 'node', objectUuid: this.#config.node, operation: 'join cluster', phase: '' };
    this.#stream.send({
      event: {
        ...event,
        node: this.#config.node,
        timestamp: Date.now() / 1000,
        message: problem,
        type: 'status',
      },
    });
    return false;
  }

  #change(network: string): void {
    this.#changed.add(network);
    this.#asked.set(network, this.#revision);
  }

  #settings(settings: fistpath.INodeSettings | null | undefined): void {
    if (!settings) return;
    this.#nodeNames = settings.nodeNames ?? {};
    const wanted = settings.datapath === 'kernel' || this.#config.datapath === 'kernel' ? 'kernel' : 'ebpf';
    if (this.#datapath.want(wanted)) this.#everything = true;
  }

  /** A full pass in `ms`, unless one comes sooner. */
  #schedule(ms: number): void {
    const at = Date.now() + ms;
    if (this.#closed || (this.#again && this.#again.at <= at)) return;
    clearTimeout(this.#again?.timer);
    const timer = setTimeout(() => {
      this.#again = undefined;
      this.#everything = true;
      this.#work();
    }, ms);
    this.#again = { at, timer };
  }

  #work(): void {
    if (this.#running || this.#closed || !this.#known) return;
    this.#running = this.#passes().finally(() => {
      this.#running = undefined;
    });
  }

  async #passes(): Promise<void> {
    while (!this.#closed && (this.#everything || this.#changed.size > 0)) {
      const scope = this.#everything ? undefined : new Set(this.#changed);
      this.#everything = false;
      this.#changed.clear();
      try {
        await this.#pass(scope);
      } catch (error) {
        this.#failed(error as Error);
      }
      this.#schedule(RECONCILE_MS);
    }
  }

  #failed(error: Error): void {
    this.#log.error({ error: error.message }, 'this node could not be brought to its desired state');
    this.#schedule(RETRY_MS);
  }

  async #pass(scope: ReadonlySet<string> | undefined): Promise<void> {
    const started = performance.now();
    const revision = this.#revision;
    const wanted: Networks = new Map(this.#networks);
    const asked = new Map(this.#asked);
    const { networks, problems, commands, processes } = await this.#kernel.apply(wanted, scope);
    const rest = [
      this.#dnsmasq.apply(wanted, networks, scope),
      this.#datapath.apply(wanted, networks, scope === undefined),
    ] as const;
    // Both come to their end, whatever happens to one: another pass must not begin beside it.
    await Promise.allSettled(rest);
    const [services, { writes, retry }] = await Promise.all(rest);

    // A network without DHCP is forwarded all the same: only now is its error the network's.
    for (const uuid of new Set([...networks.keys(), ...services.steps.keys(), ...services.errors.keys()])) {
      const result = networks.get(uuid) ?? { uuid, steps: [] };
      result.steps.push(...(services.steps.get(uuid) ?? []));
      const error = result.error ?? services.errors.get(uuid);
      networks.set(uuid, { ...result, ...(error !== undefined && { error }) });
    }
    for (const [uuid, result] of networks)
      this.#report(uuid, wanted.get(uuid), result, revision, asked.get(uuid));
    if (problems.length > 0) this.#failed(new Error(problems.join('; ')));
    else this.#reportApplied(revision);
    if (retry || [...networks.values()].some((result) => result.error !== undefined))
      this.#schedule(RETRY_MS);
    // Last, since nothing but inspection needs them.
    writeNames(this.#config, this.#nodeNames, wanted, networks);
    const changes = commands + writes + services.steps.size;
    const ms = Math.round(performance.now() - started);
    const counts = { networks: networks.size, commands, writes, services: services.steps.size };
    this.#log[changes > 0 ? 'info' : 'debug'](
      { ...counts, processes: processes + services.processes, ms },
      'applied',
    );
  }

  /** This node is as it should be up to a revision, but for what was reported as failed. */
  #reportApplied(revision: number): void {
    if (revision === this.#appliedRevision) return;
    this.#appliedRevision = revision;
    const { DONE } = fistpath.ObjectStatus.Progress;
    this.#stream.send({
      status: { objectType: 'node', objectUuid: this.#config.node, progress: DONE, error: '', revision },
    });
  }

  #report(
    uuid: string,
    wanted: fistpath.INodeNetwork | undefined,
    result: NetworkResult,
    revision: number,
    asked: number | undefined,
  ): void {
    for (const step of result.steps) {
      const event = {
        node: this.#config.node,
        objectType: 'network',
        objectUuid: uuid,
        operation: step.operation,
        type: 'mutate',
        message: step.message ?? '',
      };
      if (step.duration === undefined) {
        this.#stream.send({ event: { ...event, timestamp: step.start, phase: '' } });
        continue;
      }
      this.#stream.send({ event: { ...event, timestamp: step.start, phase: 'start' } });
      const finish = { timestamp: step.start + step.duration, phase: 'finish', duration: step.duration };
      this.#stream.send({ event: { ...event, ...finish } });
    }

    const { DONE, ERROR } = fistpath.ObjectStatus.Progress;
    const progress = result.error === undefined ? DONE : ERROR;
    const ports = (wanted?.ports ?? []).map((port) => port.interface!);
    // Said again when it was asked for anew: somebody may wait for this revision.
    const said = {
      network: JSON.stringify([wanted !== undefined, progress, result.error, asked]),
      ports: JSON.stringify([progress, result.error, ports]),
    };
    const before = this.#reported.get(uuid);
    if (wanted) this.#reported.set(uuid, said);
    else {
      this.#reported.delete(uuid);
      if (this.#asked.get(uuid) === asked) this.#asked.delete(uuid);
    }
    if (before?.network === said.network && before.ports === said.ports) return;
    if (result.error)
      this.#log.error({ network: uuid, error: result.error }, 'network is not as it should be');
    const status = { progress, error: result.error ?? '', revision };
    this.#stream.send({ status: { ...status, objectType: 'network', objectUuid: uuid } });
    if (before?.ports === said.ports) return;
    for (const port of ports)
      this.#stream.send({ status: { ...status, objectType: 'interface', objectUuid: port } });
  }

  /** Says what interfaces sent and received, when that is news. */
  async #sayUsage(): Promise<void> {
    if (this.#readingUsage || !this.#known) return;
    this.#readingUsage = true;
    const { port_kind: portKind, bpf_directory: bpfDirectory } = this.#config;
    try {
      const traffic = await readUsage(this.#networks.values(), { portKind, bpfDirectory }, (error) =>
        this.#log.debug({ error: error.message }, 'some traffic numbers are not known now'),
      );
      const usage = { ...traffic, flowTable: this.#datapath.flowTable };
      const text = JSON.stringify(usage);
      if (text !== this.#saidUsage) this.#stream.send({ usage });
      this.#saidUsage = text;
    } catch (error) {
      this.#log.error({ error: (error as Error).message }, 'traffic could not be read');
    } finally {
      this.#readingUsage = false;
    }
  }
}
