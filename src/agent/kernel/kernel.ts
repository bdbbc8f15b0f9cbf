/**
 * The kernel fallback: every network as plain kernel objects, with which it works whether or not the fast path is on.
 *
 * One way through: read what is (read.ts), plan the difference (plan.ts, pure), carry it out in batches (execute.ts).
 * A second pass finds no difference and executes nothing. The objects of a network are listed in links.ts, its
 * forwarding entries in forwarding.ts, who may send in guard.ts. NAT: rules in nat-table.ts, what a router's namespace
 * needs besides in nat-inner.ts, the way to the uplink in egress.ts.
 */
import type { fistpath } from '#proto';
import type { Actual, ActualLink } from './actual.ts';
import { type WantedNetwork, wantedState } from './desired.ts';
import { type Execution, execute } from './execute.ts';
import { type LinkConfig, portKinds } from './links.ts';
import { NAMESPACES } from './look.ts';
import { Memory } from './memory.ts';
import { EGRESS, macBytes, macText, networkNames, networkOfAlias } from './names.ts';
import type { InnerState } from './operations.ts';
import { plan } from './plan.ts';
import { readActual, readLinks, rememberTables } from './read.ts';
import { type Run, runTool } from './run.ts';
import { routerSettings } from './settings.ts';
import type { Step } from './steps.ts';

export type { Step } from './steps.ts';

export interface KernelConfig extends LinkConfig {
  node: string;
  /** Holds what must be remembered across restarts: netns/, pending-links.json, guard.json. */
  stateDirectory: string;
}

export interface PortDevice {
  /** null: the router. */
  interface: string | null;
  ifname: string;
  ifindex: number;
  mac: Uint8Array;
  /** Empty: none. */
  ipv4: string;
  router: boolean;
  /** A veth whose other end is in another namespace. */
  peer: boolean;
  /** Takes frames that XDP redirects to it: a tap, or a veth whose other end has GRO, hence NAPI, on. */
  xdp: boolean;
}

export interface NetworkDevices {
  uuid: string;
  vni: number;
  /** Layer 3 bytes. */
  mtu: number;
  vxlanIfindex: number;
  ports: PortDevice[];
  /** null: the network's router is not on this node, or has no NAT. */
  nat: NatDevices | null;
}

/** The two ends of a router that does NAT, and where its outside end leads. */
export interface NatDevices {
  /** Path of the router's namespace. */
  namespace: string;
  /** Inside it, towards the network: `veth-<x>-i`. */
  vethInner: string;
  insideMac: Uint8Array;
  /** Inside it, towards the outside: `phy-<x>-i`. */
  physicalInner: string;
  outsideMac: Uint8Array;
  /** Where translated packets leave: the uplink when the egress bridge is ours, else the bridge. */
  egressIfindex: number;
  /** Layer 3 bytes. */
  uplinkMtu: number;
  /** The egress bridge's own: what has it as destination is for the node itself. */
  bridgeMac: Uint8Array;
}

export interface NetworkResult {
  uuid: string;
  /** What failed, why, and what to do; none: the network is as it should be. */
  error?: string;
  steps: Step[];
  /** Not for networks that are gone or have an error, unless all that they lack is the way outside. */
  devices?: NetworkDevices;
}

export interface ApplyResult {
  networks: Map<string, NetworkResult>;
  /** What failed that is no single network's, such as the removal of something left over. */
  problems: string[];
  /** Changes made or tried: 0 when everything was as it should be. */
  commands: number;
  /** Processes run, reading included. */
  processes: number;
}

/** Router namespaces looked into by a full pass, in turn: from outside a lost address can't be seen. */
const LOOK_INTO = 4;

const VANISHED = 'one of its devices was deleted by somebody else just now; the next pass makes it again';

export class KernelFallback {
  readonly #config: KernelConfig;
  readonly #run: Run;
  readonly #memory: Memory;
  #processes = 0;
  #turn = 0;
  #ftpHelper: boolean | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(config: KernelConfig, run: Run = runTool) {
    this.#config = config;
    this.#run = (command, args) => {
      this.#processes++;
      return run(command, args);
    };
    this.#memory = new Memory(config.stateDirectory, config.vxlanPort);
  }

  /**
   * Makes this node equal to `desired`; calls wait for each other.
   * @param desired every network of this node, whatever the scope
   * @param scope uuids of the networks that changed or went; absent: everything, leftovers of unknown networks included
   * @throws Error when this node's state can't be read; then nothing was changed
   */
  apply(
    desired: ReadonlyMap<string, fistpath.INodeNetwork>,
    scope?: ReadonlySet<string>,
  ): Promise<ApplyResult> {
    const result = this.#queue.then(() => this.#apply(desired, scope));
    this.#queue = result.catch(() => {});
    return result;
  }

  async #apply(
    desired: ReadonlyMap<string, fistpath.INodeNetwork>,
    scope: ReadonlySet<string> | undefined,
  ): Promise<ApplyResult> {
    this.#processes = 0;
    const { underlay } = this.#config;
    const translates = [...desired.values()].some(({ router }) => router?.nat);
    const uplink = translates ? this.#config.uplink : null;
    const inside = scope ? new Map<string, string[]>() : this.#nextRouters(desired);
    const question = { inside, uplink, scope, ftpHelper: this.#ftpHelper };
    const actual = await readActual(this.#run, this.#memory, question);
    if (uplink) this.#ftpHelper = actual.ftpHelper;
    const device = actual.links.get(underlay.device);
    if (!device)
      throw new Error(
        `underlay device ${underlay.device} does not exist: correct underlay.device in the configuration`,
      );

    const wanted = wantedState(desired, underlay.address, device.mtu);
    const everything = scope === undefined;
    const planned = plan(
      wanted,
      actual,
      { everything, has: (uuid) => scope?.has(uuid) ?? true },
      this.#config,
    );
    const execution = await execute(planned, this.#run, this.#memory);
    // What changed inside namespaces is not seen from here.
    const moved = planned.stages.some(({ operations }) => operations.some(({ tool }) => tool === 'ip'));
    const links = moved ? await readLinks(this.#run) : actual.links;
    if (planned.stages.length > 0) await this.#remember(actual, execution, links);

    const { errors, steps } = execution;
    const touched = new Set([...(scope ?? desired.keys()), ...errors.keys(), ...steps.keys()]);
    const networks = new Map<string, NetworkResult>();
    for (const uuid of touched) {
      const result: NetworkResult = { uuid, steps: steps.get(uuid) ?? [] };
      const network = wanted.networks.get(uuid);
      const shortcoming = planned.shortcomings.get(uuid);
      const nat = network && shortcoming === undefined ? this.#natDevices(network, links) : null;
      const devices = network && { ...this.#devices(network, desired.get(uuid)!, links), nat };
      const lost = [devices?.vxlanIfindex, ...(devices?.ports ?? []).map(({ ifindex }) => ifindex)].includes(
        0,
      );
      const error = planned.errors.get(uuid) ?? errors.get(uuid) ?? (lost ? VANISHED : undefined);
      if (error === undefined && devices) result.devices = devices;
      const problem = error ?? shortcoming;
      if (problem !== undefined) result.error = problem;
      networks.set(uuid, result);
    }
    const { problems, commands } = execution;
    return { networks, problems, commands, processes: this.#processes };
  }

  /** Router → settings to look at. */
  #nextRouters(desired: ReadonlyMap<string, fistpath.INodeNetwork>): Map<string, string[]> {
    const routers = [...desired].filter(([, network]) => network.router);
    const start = this.#turn % Math.max(routers.length, 1);
    this.#turn = start + LOOK_INTO;
    const turn = [...routers, ...routers].slice(start, start + Math.min(LOOK_INTO, routers.length));
    return new Map(
      turn.map(([uuid, { vni, router }]) => [
        uuid,
        routerSettings(networkNames(vni ?? 0), router?.nat ? 'nat' : 'idle').map(([path]) => path),
      ]),
    );
  }

  async #remember(
    actual: Actual,
    execution: Execution,
    links: ReadonlyMap<string, ActualLink>,
  ): Promise<void> {
    const replaced = actual.guard.ip === null || actual.guard.bridge === null;
    if (replaced && !execution.failedStages.has('guard')) await rememberTables(this.#run, this.#memory);
    const claims = this.#memory.claims();
    for (const { namespace, ready } of execution.inner) {
      // A router that failed later on is set up again, announcements and all.
      if (execution.errors.has(namespace)) continue;
      const states: Record<string, InnerState> = {};
      for (const [name, state] of Object.entries({ ...claims.get(namespace), ...ready })) {
        const ifindex = links.get(name)?.ifindex;
        if (state === null || ifindex === undefined) continue;
        states[name] = name in ready ? { ...state, ifindex } : state;
      }
      this.#memory.claim(namespace, states);
    }
  }

  #devices(
    network: WantedNetwork,
    record: fistpath.INodeNetwork,
    links: ReadonlyMap<string, ActualLink>,
  ): Omit<NetworkDevices, 'nat'> {
    const { uuid, vni, mtu, router } = network;
    const names = networkNames(vni);
    const index = (name: string) => links.get(name)?.ifindex ?? 0;
    const { peer, xdp } = portKinds[this.#config.portKind];
    const macs = new Map((record.ports ?? []).map((port) => [macText(port.mac!), port.mac!]));
    const ports = network.ports.map(
      ({ interface: id, ifname, mac, ipv4 }): PortDevice => ({
        ...{ interface: id, ifname, ifindex: index(ifname), mac: macs.get(mac)!, ipv4 },
        ...{ router: false, peer, xdp },
      }),
    );
    if (router) {
      const outer = { interface: null, ifname: names.routerOuter, ifindex: index(names.routerOuter) };
      const mac = record.router!.mac!;
      ports.push({ ...outer, mac, ipv4: router.address, router: true, peer: true, xdp: true });
    }
    return { uuid, vni, mtu, vxlanIfindex: index(names.vxlan), ports };
  }

  #natDevices(network: WantedNetwork, links: ReadonlyMap<string, ActualLink>): NatDevices | null {
    const { uuid, vni, router } = network;
    const { uplink } = this.#config;
    if (!router?.nat || !uplink) return null;
    const device = links.get(uplink.device);
    const bridge = links.get(uplink.bridge);
    if (!device || !bridge) return null;
    const { routerInner, physicalInner } = networkNames(vni);
    return {
      namespace: `${NAMESPACES}/${uuid}`,
      ...{ vethInner: routerInner, insideMac: macBytes(router.mac) },
      ...{ physicalInner, outsideMac: macBytes(router.nat.outside) },
      egressIfindex: networkOfAlias(bridge.alias) === EGRESS ? device.ifindex : bridge.ifindex,
      uplinkMtu: device.mtu,
      bridgeMac: macBytes(bridge.mac),
    };
  }
}
