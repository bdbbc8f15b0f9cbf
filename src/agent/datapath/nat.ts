/**
 * What the fast path needs to follow the kernel's NAT: its programs, who a router's MACs belong to, and the
 * generation that makes every earlier flow of a network a miss.
 */
import type { BpfMap } from '#addon';
import type { fistpath } from '#proto';
import type { NatDevices, NetworkDevices } from '../kernel/kernel.ts';
import { macText, networkNames } from '../kernel/names.ts';
import { Gateway, GatewayKey, RouterFlag } from './abi.ts';
import { natRefusal, transmitsXdp } from './capability.ts';
import { Flows } from './flows.ts';
import { type MirroredMap, viewOf } from './mirror.ts';
import { flowExpiryNs, type Hook, learnPin, type Programs } from './programs.ts';
import { bytes, NO_TABLES, natPrint, nodeGateway, type RouterPart } from './tables.ts';

export interface NatConfig {
  networkNode: boolean;
  underlayHook: Hook;
  /** Wanted; falls back to tc, with the reason in problems. */
  uplinkHook: Hook;
  flowRefreshSeconds: number;
  /** Why this kernel's NAT can't be followed; asked again while it can't. */
  natRefusal?: () => string | undefined;
}

/** Group of the gateways that are no network's. */
const NODE = 0;

/** Share of the flow table from which connections that are in use may lose their place. */
const CROWDED = 0.9;

/** Pins of the programs inside a network's router namespace. */
export function learnPins(vni: number): string[] {
  const { routerInner, physicalInner } = networkNames(vni);
  return [learnPin(routerInner), learnPin(physicalInner)];
}

export class Nat {
  readonly #config: NatConfig;
  readonly #programs: Programs;
  readonly #gateways: MirroredMap;
  readonly #routers: MirroredMap;
  readonly #flows: Flows;
  #flowCount = 0;
  /** `final`: asking again would not help. */
  #state: 'ready' | { refusal: string; final?: boolean } | undefined;
  #underlay = 0;
  #problem: string | undefined;
  /** Devices that send what XDP redirects to them, as far as there is XDP. */
  #transmitting = new Set<number>();
  /** What a network's generation stands for, by VNI. */
  readonly #prints = new Map<number, string>();
  /** MAC of the egress bridge, by VNI. */
  readonly #bridges = new Map<number, Uint8Array>();
  writes = 0;

  /** @param gateways, @param routers the maps of those names, grouped by VNI; @param flows is closed by close() */
  constructor(
    config: NatConfig,
    programs: Programs,
    maps: { gateways: MirroredMap; routers: MirroredMap; flows: BpfMap },
  ) {
    this.#config = config;
    this.#programs = programs;
    this.#gateways = maps.gateways;
    this.#routers = maps.routers;
    this.#flows = new Flows(maps.flows, maps.routers, flowExpiryNs(config.flowRefreshSeconds));
    // What was decided by an earlier process's word may be wrong by now, and an uplink attached anew would go by it.
    for (const vni of maps.routers.groups()) this.drop(vni);
  }

  /** Why NAT is the kernel's alone; undefined: the fast path takes part, or nobody has asked for it yet. */
  get refusal(): string | undefined {
    return typeof this.#state === 'object' ? this.#state.refusal : undefined;
  }

  get problems(): string[] {
    const { maxEntries } = this.#flows.map.info;
    const crowded = `map flows is nearly full (of ${maxEntries} entries), what finds no room is the kernel's: raise map_sizes.flows in the daemon's configuration`;
    return [this.#problem, this.#flowCount > CROWDED * maxEntries ? crowded : undefined].filter(
      (text) => text !== undefined,
    );
  }

  /**
   * Loads the programs, or finds out why that can't be, and attaches to the uplink.
   * @param uplink its ifindex; undefined: nothing is translated here, or there is no such device
   * @param underlay the mesh NIC's ifindex
   */
  prepare(uplink: number | undefined, underlay: number): void {
    this.#problem = undefined;
    const names = new Set<string>();
    // A module may have come that was missing; a program that was refused stays so.
    if (this.#config.networkNode && this.#state !== 'ready' && !this.#state?.final)
      this.#state = this.#load();
    if (uplink !== undefined && this.#state === 'ready') this.#attachUplink(uplink, underlay, names);
    for (const name of this.#programs.attached()) {
      if (!name.startsWith('uplink-') || names.has(name)) continue;
      this.#programs.detach(name);
      this.writes++;
    }
  }

  /**
   * What the tables of a network with NAT are made of; undefined: its NAT is not followed, or it has none. Nothing
   * passes by an old decision when this returns, nor is any recorded, until the router's entry is written.
   * Rejects when it can't be followed, and has dropped the router then.
   */
  async router(
    wanted: fistpath.INodeNetwork,
    devices: NetworkDevices,
  ): Promise<Omit<RouterPart, 'slotOf'> | undefined> {
    const { vni, nat } = devices;
    if (this.#state !== 'ready' || !nat) {
      this.drop(vni);
      return undefined;
    }
    const print = natPrint(wanted, devices);
    if (this.#prints.get(vni) !== print) this.drop(vni);
    try {
      await this.#prepareRouter(vni, nat);
    } catch (error) {
      this.drop(vni);
      throw error;
    }
    this.#prints.set(vni, print);
    const generation = this.#flows.generationOf(vni) || this.#flows.nextGeneration();
    const flags =
      (this.#transmitting.has(nat.egressIfindex) ? RouterFlag.ROUTER_XDP : 0) |
      (this.#transmitting.has(this.#underlay) ? RouterFlag.ROUTER_UNDERLAY_XDP : 0);
    return { devices: nat, generation, flags };
  }

  /** Every flow of the network's router is a miss from now on. */
  drop(vni: number): void {
    this.#prints.delete(vni);
    this.#bridges.delete(vni);
    this.writes += this.#routers.replace(vni, NO_TABLES.routers);
  }

  /** After everything was applied: forgets bridges of old, and flows that count no longer. */
  sweep(): void {
    this.writes += this.#gateways.replace(NODE, new Map([...this.#bridges.values()].map(nodeGateway)));
    if (!this.#config.networkNode) return;
    const { left } = this.#flows.sweep();
    this.#flowCount = left;
  }

  /** How full the table of flows was at the last sweep; undefined: nothing is translated here. */
  get flowTable(): { used: number; capacity: number } | undefined {
    if (this.#state !== 'ready') return undefined;
    return { used: this.#flowCount, capacity: this.#flows.map.info.maxEntries };
  }

  close(): void {
    this.#flows.map.close();
  }

  #load(): 'ready' | { refusal: string; final?: boolean } {
    const refusal = (this.#config.natRefusal ?? natRefusal)();
    if (refusal !== undefined) return { refusal };
    try {
      this.#programs.loadNat();
      return 'ready';
    } catch (error) {
      const { message, log } = error as { message: string; log?: string };
      // The verifier says why at the end.
      const said = log === undefined ? '' : ` (${log.trim().split('\n').slice(-3).join('; ')})`;
      return { refusal: `the kernel refuses its programs: ${message}${said}`, final: true };
    }
  }

  /** @param names what it attaches */
  #attachUplink(uplink: number, underlay: number, names: Set<string>): void {
    const { underlayHook, uplinkHook } = this.#config;
    const attach = (hook: Hook) => {
      if (this.#programs.attachUplink(uplink, hook)) this.writes++;
      names.add(`uplink-${hook}-${uplink}`);
    };
    try {
      attach('tc');
    } catch (error) {
      this.#state = { refusal: `the uplink can't be attached to: ${(error as Error).message}` };
      return;
    }
    if (uplinkHook === 'xdp' && underlayHook === 'xdp' && uplink === underlay) {
      this.#problem =
        'the uplink is the underlay device, where XDP is used for the tunnels: tc is used for the uplink';
    } else if (uplinkHook === 'xdp') {
      try {
        attach('xdp');
      } catch (error) {
        this.#problem = `XDP can't be attached to the uplink (${(error as Error).message}): tc is used instead`;
      }
    }
    const xdp = underlayHook === 'xdp' || names.has(`uplink-xdp-${uplink}`);
    this.#transmitting = new Set(xdp ? [uplink, underlay].filter(transmitsXdp) : []);
    this.#underlay = underlay;
  }

  /** What must be there before flows of a router count. */
  async #prepareRouter(vni: number, nat: NatDevices): Promise<void> {
    for (const mac of [nat.insideMac, nat.outsideMac]) {
      const owner = this.#gateways.map.lookup(bytes(GatewayKey, { mac }));
      if (owner && Gateway.read(viewOf(owner), 0).vni !== vni)
        throw new Error(`MAC ${macText(mac)} of its router is another one's: its NAT is the kernel's alone`);
    }
    this.#bridges.set(vni, nat.bridgeMac);
    const [key, value] = nodeGateway(nat.bridgeMac);
    const node = this.#gateways.entries(NODE);
    if (!node.has(key)) this.writes += this.#gateways.replace(NODE, new Map([...node, [key, value]]));
    for (const ifname of [nat.vethInner, nat.physicalInner]) {
      if (await this.#programs.attachLearn(nat.namespace, ifname)) this.writes++;
    }
  }
}
