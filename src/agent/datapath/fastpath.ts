/**
 * The fast path of one node: programs, maps and attachments in front of the kernel objects.
 *
 * It is a cache: everything here can be refused, lost or switched off, and the kernel path carries on.
 * Order matters where half of the truth would drop a packet: a port's entries are in the maps before its program
 * is attached, and the members of a network before the entry that says that nobody else may send.
 */
import { type BpfMap, RingBuffer } from '#addon';
import type { fistpath } from '#proto';
import type { NetworkDevices } from '../kernel/kernel.ts';
import { Account, AccountKey, Event, FdbKey, Gateway, MemberKey, Port, RoutedKey, Tunnel } from './abi.ts';
import { bytesOf, type Entries, MirroredMap, viewOf } from './mirror.ts';
import { learnPins, Nat, type NatConfig } from './nat.ts';
import { readNexthops } from './nexthops.ts';
import { Pins } from './pins.ts';
import { detachPinned, type Hook, Programs, type ProgramsConfig } from './programs.ts';
import { Slots } from './slots.ts';
import { type NetworkTables, NO_TABLES, networkTables } from './tables.ts';

export interface FastPathConfig extends ProgramsConfig, NatConfig {
  bpfDirectory: string;
  /** Wanted; falls back to tc, with the reason in problems. */
  underlayHook: Hook;
}

/** A network as it is wanted and as it is on this node. */
export interface PlacedNetwork {
  wanted: fistpath.INodeNetwork;
  devices: NetworkDevices;
}

type TableName = keyof NetworkTables;

/** In this order a network comes; it goes in the other one. */
const ORDER: TableName[] = [
  ...(['members', 'routed', 'fdb', 'ports', 'tunnels', 'networks'] as const),
  // A flow counts, and is recorded, when its router is there: the rest must be right by then.
  ...(['accounts', 'gateways', 'routers'] as const),
];

/** The key of ports and tunnels. */
function ifindexOf(key: string): number {
  return viewOf(bytesOf(key)).getUint32(0, true);
}

function allEntries(table: MirroredMap): [string, Uint8Array][] {
  return table.groups().flatMap((group) => [...table.entries(group)]);
}

/** The VNI that an entry found in a map belongs to. */
const GROUP_OF: Record<TableName, (key: Uint8Array, value: Uint8Array) => number> = {
  ports: (_key, value) => Port.read(viewOf(value), 0).vni,
  fdb: (key) => FdbKey.read(viewOf(key), 0).vni,
  networks: (key) => viewOf(key).getUint32(0, true),
  tunnels: (_key, value) => Tunnel.read(viewOf(value), 0).vni,
  members: (key) => MemberKey.read(viewOf(key), 0).vni,
  routed: (key) => RoutedKey.read(viewOf(key), 0).vni,
  accounts: (key) => AccountKey.read(viewOf(key), 0).vni,
  gateways: (_key, value) => Gateway.read(viewOf(value), 0).vni,
  routers: (key) => viewOf(key).getUint32(0, true),
};

export class FastPath {
  readonly #config: FastPathConfig;
  readonly #pins: Pins;
  readonly #programs: Programs;
  readonly #tables: Record<TableName, MirroredMap>;
  readonly #nexthops: MirroredMap;
  readonly #events: { map: BpfMap; ring: RingBuffer };
  /** Of port_counters, by ifindex. */
  readonly #portSlots: Slots<number>;
  /** Of usage, by the account's key. */
  readonly #accountSlots: Slots<string>;
  readonly #nat: Nat;
  readonly #peers = new Map<number, string[]>();
  #underlay: { ifindex: number; hook: Hook; problem?: string } | undefined;
  #refreshing: Promise<void> = Promise.resolve();
  #closed = false;
  #writes = 0;

  /** Loads the programs and adopts what is pinned. Throws when this kernel or machine can't: the node then stays on the kernel path. */
  constructor(config: FastPathConfig, onEvent: (event: Event) => void) {
    this.#config = config;
    this.#pins = new Pins(config.bpfDirectory);
    this.#pins.create();
    this.#programs = new Programs(this.#pins, config);
    const open = (name: string) => this.#programs.openMap(name);
    const mirror = (name: TableName) => new MirroredMap(open(name), GROUP_OF[name]);
    this.#tables = {
      ports: mirror('ports'),
      fdb: mirror('fdb'),
      networks: mirror('networks'),
      tunnels: mirror('tunnels'),
      members: mirror('members'),
      routed: mirror('routed'),
      accounts: mirror('accounts'),
      gateways: mirror('gateways'),
      routers: mirror('routers'),
    };
    this.#nexthops = new MirroredMap(open('nexthops'), () => 0);
    const { ports, accounts, routers } = this.#tables;
    const portSlots = allEntries(ports).map(([key, value]): [number, number] => [
      ifindexOf(key),
      Port.read(viewOf(value), 0).slot,
    ]);
    this.#portSlots = new Slots(open('port_counters'), portSlots);
    const accountSlots = allEntries(accounts).map(([key, value]): [string, number] => [
      key,
      Account.read(viewOf(value), 0).slot,
    ]);
    this.#accountSlots = new Slots(open('usage'), accountSlots);
    const { gateways } = this.#tables;
    this.#nat = new Nat(config, this.#programs, { gateways, routers, flows: open('flows') });
    const map = open('events');
    this.#events = {
      map,
      ring: new RingBuffer(map, (records) => {
        for (const record of records) onEvent(Event.read(viewOf(record), 0));
      }),
    };
  }

  /** Changes made to maps and attachments so far. */
  get writes(): number {
    return this.#writes + this.#nat.writes;
  }

  get underlayHook(): Hook | undefined {
    return this.#underlay?.hook;
  }

  /** Why NAT is the kernel's alone; undefined: the fast path takes part, or nobody has asked for it yet. */
  get natRefusal(): string | undefined {
    return this.#nat.refusal;
  }

  get flowTable(): Nat['flowTable'] {
    return this.#nat.flowTable;
  }

  get problems(): string[] {
    const { problem } = this.#underlay ?? {};
    return [...(problem === undefined ? [] : [problem]), ...this.#nat.problems];
  }

  /** Before networks are applied: see Nat.prepare(). */
  prepareNat(uplink: number | undefined, underlay: number): void {
    this.#nat.prepare(uplink, underlay);
  }

  /**
   * Makes one network's entries and attachments what they should be. Rejects when entries found no room, or its NAT
   * can't be followed: what they are about stays with the kernel.
   */
  async apply({ wanted, devices }: PlacedNetwork): Promise<void> {
    const { vni } = devices;
    // What claims to come from this node itself is forged: the kernel drops it as a martian.
    const peers = (wanted.peers ?? []).filter((peer) => peer !== this.#config.underlayAddress);
    let failure: Error | undefined;
    const router = await this.#nat.router(wanted, devices).catch((error: Error) => {
      failure = error;
      return undefined;
    });
    const tables = networkTables(
      { ...wanted, peers },
      devices,
      (ifindex) => this.#portSlots.of(ifindex),
      router && { ...router, slotOf: (key) => this.#accountSlots.of(key) },
    );
    this.#peers.set(vni, peers);
    const leaving = this.#attachmentsOf(vni);
    for (const { ifindex } of devices.ports) leaving.delete(`port-${ifindex}`);
    leaving.delete(`tunnel-${devices.vxlanIfindex}`);
    if (router) for (const name of learnPins(vni)) leaving.delete(name);

    this.#detach(leaving);
    const full = this.#replace(vni, tables);
    failure ??= full;
    for (const { ifindex } of devices.ports) {
      if (this.#programs.attachPort(ifindex)) this.#writes++;
    }
    if (this.#programs.attachTunnel(devices.vxlanIfindex)) this.#writes++;
    if (failure) throw failure;
  }

  /**
   * Forgets a network that is no longer on this node.
   * @param stays it is still wanted, and left to the kernel for a while: what its interfaces have used is not forgotten
   */
  remove(vni: number, stays = false): void {
    this.#nat.drop(vni);
    this.#detach(this.#attachmentsOf(vni));
    const accounts = stays ? this.#tables.accounts.entries(vni) : NO_TABLES.accounts;
    const failure = this.#replace(vni, { ...NO_TABLES, accounts }, true);
    this.#peers.delete(vni);
    if (failure) throw failure;
  }

  /** VNIs that have entries, those found at the start included. */
  networks(): number[] {
    const vnis = new Set(Object.values(this.#tables).flatMap((table) => table.groups()));
    // The node's own gateways are in no network's group.
    vnis.delete(0);
    return [...vnis];
  }

  /**
   * Follows the kernel's routes and neighbours; one reading at a time, so that an older one never wins. Rejects when
   * they can't be read: no next hop is known then, and the kernel sends.
   */
  refreshNexthops(): Promise<void> {
    const refresh = this.#refreshing.then(async () => {
      const peers = new Set([...this.#peers.values()].flat());
      let entries: Entries = new Map();
      try {
        entries = await readNexthops(this.#config.underlayAddress, peers);
      } finally {
        if (!this.#closed) this.#writes += this.#nexthops.replace(0, entries);
      }
    });
    this.#refreshing = refresh.catch(() => {});
    return refresh;
  }

  /** Attaches to the underlay device; XDP that can't be had becomes TC, and `problems` says why. */
  attachUnderlay(ifindex: number): void {
    const hook = this.#config.underlayHook;
    try {
      if (this.#programs.attachUnderlay(ifindex, hook)) this.#writes++;
      this.#underlay = { ifindex, hook };
    } catch (error) {
      if (hook === 'tc') throw error;
      if (this.#programs.attachUnderlay(ifindex, 'tc')) this.#writes++;
      this.#underlay = {
        ifindex,
        hook: 'tc',
        problem: `XDP can't be attached to the underlay device (${(error as Error).message}): tc is used instead`,
      };
    }
    for (const name of this.#programs.attached()) {
      if (name.startsWith('underlay-') && !name.endsWith(`-${ifindex}`)) this.#programs.detach(name);
    }
  }

  /**
   * After everything was applied: removes attachments whose device is no port or tunnel of any network here, flows that
   * count no longer, and what older versions have pinned.
   */
  sweep(): void {
    const known = new Set(this.networks().flatMap((vni) => [...this.#attachmentsOf(vni)]));
    const stale = this.#programs
      .attached()
      .filter((name) => !/^(underlay|uplink)-/.test(name) && !known.has(name));
    this.#detach(new Set(stale));
    this.#nat.sweep();
    this.#writes += this.#pins.removeOtherVersions();
  }

  /** Lets go of every handle; what is pinned goes on working. */
  close(): void {
    this.#closed = true;
    this.#events.ring.close();
    this.#events.map.close();
    for (const table of [...Object.values(this.#tables), this.#nexthops]) table.map.close();
    this.#portSlots.close();
    this.#accountSlots.close();
    this.#nat.close();
    this.#programs.close();
  }

  /** Takes the fast path away: hooks first, then entries. Counters stay, and whose they are. */
  switchOff(): void {
    if (this.#underlay) this.#programs.detach(`underlay-${this.#underlay.hook}-${this.#underlay.ifindex}`);
    for (const vni of this.networks()) this.remove(vni, true);
    this.#detach(new Set(this.#programs.attached()));
    this.#nexthops.replace(0, new Map());
    this.#peers.clear();
    this.#underlay = undefined;
  }

  /** What found no room; the rest is done all the same. */
  #replace(vni: number, wanted: NetworkTables, leaving = false): Error | undefined {
    const before = {
      ports: [...this.#tables.ports.entries(vni).keys()],
      accounts: [...this.#tables.accounts.entries(vni).keys()],
    };
    let tables = wanted;
    let failure: Error | undefined;
    for (const name of leaving ? ORDER.toReversed() : ORDER) {
      try {
        this.#writes += this.#tables[name].replace(vni, tables[name]);
      } catch (error) {
        failure ??= error as Error;
        // Who is a member is not known completely: without this entry the kernel decides about strangers.
        if (name === 'members') tables = { ...tables, networks: NO_TABLES.networks };
        // Who has sent it could not be told: the kernel's own counters can.
        if (name === 'accounts' || name === 'gateways') tables = { ...tables, routers: NO_TABLES.routers };
      }
    }
    for (const key of before.ports) if (!tables.ports.has(key)) this.#portSlots.release(ifindexOf(key));
    const accounts = this.#tables.accounts.entries(vni);
    for (const key of [...before.accounts, ...wanted.accounts.keys()])
      if (!accounts.has(key)) this.#accountSlots.release(key);
    return failure;
  }

  #detach(names: Set<string>): void {
    for (const name of names) {
      this.#programs.detach(name);
      this.#writes++;
    }
  }

  #attachmentsOf(vni: number): Set<string> {
    const ifindexes = (table: MirroredMap) => [...table.entries(vni).keys()].map(ifindexOf);
    return new Set([
      ...ifindexes(this.#tables.ports).map((ifindex) => `port-${ifindex}`),
      ...ifindexes(this.#tables.tunnels).map((ifindex) => `tunnel-${ifindex}`),
      ...(this.#tables.gateways.entries(vni).size > 0 ? learnPins(vni) : []),
    ]);
  }
}

/**
 * Detaches everything pinned below a directory, and what else may be attached by these names, without loading any
 * program: for a node that is to run on the kernel alone.
 */
export function detachAll(bpfDirectory: string, names: Iterable<string>): void {
  const pins = new Pins(bpfDirectory);
  for (const name of new Set([...pins.linkNames(), ...names])) detachPinned(pins, name);
  pins.removeOtherVersions();
}
