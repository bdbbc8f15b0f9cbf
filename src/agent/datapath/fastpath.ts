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
import { Event, FdbKey, MemberKey, Port, PortCounters, Tunnel } from './abi.ts';
import { bytesOf, type Entries, MirroredMap } from './mirror.ts';
import { readNexthops } from './nexthops.ts';
import { Pins } from './pins.ts';
import { detachPinned, Programs, type ProgramsConfig, type UnderlayHook } from './programs.ts';
import { bytes, type NetworkTables, NO_TABLES, networkTables, U32 } from './tables.ts';

export interface FastPathConfig extends ProgramsConfig {
  bpfDirectory: string;
  /** Wanted; falls back to tc, with the reason in status(). */
  underlayHook: UnderlayHook;
}

/** A network as it is wanted and as it is on this node. */
export interface PlacedNetwork {
  wanted: fistpath.INodeNetwork;
  devices: NetworkDevices;
}

type TableName = keyof NetworkTables;

/** In this order a network comes; it goes in the other one. */
const ORDER: TableName[] = ['members', 'fdb', 'ports', 'tunnels', 'networks'];

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The key of ports and tunnels. */
function ifindexOf(key: string): number {
  return view(bytesOf(key)).getUint32(0, true);
}

/** The VNI that an entry found in a map belongs to. */
const GROUP_OF: Record<TableName, (key: Uint8Array, value: Uint8Array) => number> = {
  ports: (_key, value) => Port.read(view(value), 0).vni,
  fdb: (key) => FdbKey.read(view(key), 0).vni,
  networks: (key) => view(key).getUint32(0, true),
  tunnels: (_key, value) => Tunnel.read(view(value), 0).vni,
  members: (key) => MemberKey.read(view(key), 0).vni,
};

export class FastPath {
  readonly #config: FastPathConfig;
  readonly #pins: Pins;
  readonly #programs: Programs;
  readonly #tables: Record<TableName, MirroredMap>;
  readonly #nexthops: MirroredMap;
  readonly #portCounters: BpfMap;
  readonly #events: { map: BpfMap; ring: RingBuffer };
  /** port_counters slots by ifindex. */
  readonly #slots = new Map<number, number>();
  #freeSlots: number[] = [];
  #nextSlot = 0;
  readonly #peers = new Map<number, string[]>();
  #underlay: { ifindex: number; hook: UnderlayHook; problem?: string } | undefined;
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
    };
    this.#nexthops = new MirroredMap(open('nexthops'), () => 0);
    this.#portCounters = open('port_counters');
    const map = open('events');
    this.#events = {
      map,
      ring: new RingBuffer(map, (records) => {
        for (const record of records) onEvent(Event.read(view(record), 0));
      }),
    };
    for (const vni of this.#tables.ports.groups()) {
      for (const [key, value] of this.#tables.ports.entries(vni)) {
        this.#slots.set(ifindexOf(key), Port.read(view(value), 0).slot);
      }
    }
    const used = new Set(this.#slots.values());
    this.#nextSlot = Math.max(-1, ...used) + 1;
    this.#freeSlots = Array.from({ length: this.#nextSlot }, (_, slot) => slot).filter(
      (slot) => !used.has(slot),
    );
  }

  /** Changes made to maps and attachments so far. */
  get writes(): number {
    return this.#writes;
  }

  get underlayHook(): UnderlayHook | undefined {
    return this.#underlay?.hook;
  }

  get problems(): string[] {
    return this.#underlay?.problem === undefined ? [] : [this.#underlay.problem];
  }

  /**
   * Makes one network's entries and attachments what they should be. Throws when entries found no room: what they
   * are about stays with the kernel.
   */
  apply({ wanted, devices }: PlacedNetwork): void {
    // What claims to come from this node itself is forged: the kernel drops it as a martian.
    const peers = (wanted.peers ?? []).filter((peer) => peer !== this.#config.underlayAddress);
    const tables = networkTables({ ...wanted, peers }, devices, (ifindex) => this.#slotOf(ifindex));
    this.#peers.set(devices.vni, peers);
    const leaving = this.#attachmentsOf(devices.vni);
    for (const { ifindex } of devices.ports) leaving.delete(`port-${ifindex}`);
    leaving.delete(`tunnel-${devices.vxlanIfindex}`);

    this.#detach(leaving);
    const failure = this.#replace(devices.vni, tables);
    for (const { ifindex } of devices.ports) {
      if (this.#programs.attachPort(ifindex)) this.#writes++;
    }
    if (this.#programs.attachTunnel(devices.vxlanIfindex)) this.#writes++;
    if (failure) throw failure;
  }

  /** Forgets a network that is no longer on this node. */
  remove(vni: number): void {
    this.#detach(this.#attachmentsOf(vni));
    const failure = this.#replace(vni, NO_TABLES);
    this.#peers.delete(vni);
    if (failure) throw failure;
  }

  /** VNIs that have entries, those found at the start included. */
  networks(): number[] {
    return [...new Set(Object.values(this.#tables).flatMap((table) => table.groups()))];
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

  /** Removes attachments whose device is no port or tunnel of any network here. */
  sweep(): void {
    const known = new Set(this.networks().flatMap((vni) => [...this.#attachmentsOf(vni)]));
    const stale = this.#programs
      .attached()
      .filter((name) => !name.startsWith('underlay-') && !known.has(name));
    this.#detach(new Set(stale));
  }

  /** Lets go of every handle; what is pinned goes on working. */
  close(): void {
    this.#closed = true;
    this.#events.ring.close();
    this.#events.map.close();
    for (const table of [...Object.values(this.#tables), this.#nexthops]) table.map.close();
    this.#portCounters.close();
    this.#programs.close();
  }

  /** Takes the fast path away: hooks first, then entries. Counters stay. */
  switchOff(): void {
    if (this.#underlay) this.#programs.detach(`underlay-${this.#underlay.hook}-${this.#underlay.ifindex}`);
    for (const vni of this.networks()) this.remove(vni);
    this.#detach(new Set(this.#programs.attached()));
    this.#nexthops.replace(0, new Map());
    this.#peers.clear();
    this.#underlay = undefined;
  }

  /** What found no room; the rest is done all the same. */
  #replace(vni: number, wanted: NetworkTables): Error | undefined {
    const before = new Set(this.#tables.ports.entries(vni).keys());
    let tables = wanted;
    let failure: Error | undefined;
    for (const name of wanted === NO_TABLES ? ORDER.toReversed() : ORDER) {
      try {
        this.#writes += this.#tables[name].replace(vni, tables[name]);
      } catch (error) {
        failure ??= error as Error;
        // Who is a member is not known completely: without this entry the kernel decides about strangers.
        if (name === 'members') tables = { ...tables, networks: NO_TABLES.networks };
      }
    }
    for (const key of before) {
      const slot = this.#slots.get(ifindexOf(key));
      if (tables.ports.has(key) || slot === undefined) continue;
      this.#slots.delete(ifindexOf(key));
      this.#freeSlots.push(slot);
    }
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
    ]);
  }

  /** A port keeps its slot; a new one gets a free one, with counters at zero, or, without any, one that does not count. */
  #slotOf(ifindex: number): number {
    const known = this.#slots.get(ifindex);
    if (known !== undefined) return known;
    const { maxEntries } = this.#portCounters.info;
    if (this.#freeSlots.length === 0 && this.#nextSlot >= maxEntries) return maxEntries;
    const slot = this.#freeSlots.pop() ?? this.#nextSlot++;
    this.#portCounters.update(bytes(U32, slot), new Uint8Array(PortCounters.size * this.#portCounters.cpus));
    this.#slots.set(ifindex, slot);
    return slot;
  }
}

/**
 * Detaches everything pinned below a directory, and what else may be attached by these names, without loading any
 * program: for a node that is to run on the kernel alone.
 */
export function detachAll(bpfDirectory: string, names: Iterable<string>): void {
  const pins = new Pins(bpfDirectory);
  for (const name of new Set([...pins.linkNames(), ...names])) detachPinned(pins, name);
}
