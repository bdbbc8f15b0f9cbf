/** Flows with what conntrack says of them, as commands show them. */
import type { BpfMap } from '#addon';
import type { Flow } from '../../agent/datapath/abi.ts';
import { FlowFlag } from '../../agent/datapath/abi.ts';
import { ipv4Text } from '../../agent/datapath/tables.ts';
import { type Connection, readConnections } from './conntrack.ts';
import {
  type Connections,
  connectionOf,
  type Entry,
  type Filter,
  indexed,
  inOrder,
  matches,
  type Pair,
  PROTOCOLS,
  pairUp,
  readEntries,
} from './flows.ts';
import type { NameBook } from './name-book.ts';
import type { PinnedMaps } from './pinned-maps.ts';

interface Side {
  source: string;
  /** ICMP: the identifier. */
  source_port: number;
  destination: string;
  /** ICMP: the type, 8 or 0. */
  destination_port: number;
}

export interface FlowDirection {
  /** As the packet comes to the router, and as it leaves. */
  original: Side;
  rewritten: Side;
  to: 'outside' | 'another router' | 'inside';
  packets: number;
  bytes: number;
  /** Seconds since the kernel last forwarded a packet of it. */
  age: number;
  /** Seconds since the fast path last left a packet of it to the kernel; null: never. */
  refreshed: number | null;
  generation: number;
  /** Of the router's present generation: older ones are misses. */
  current: boolean;
}

export interface FlowRow {
  network: string;
  vni: number;
  protocol: string;
  /** The direction that conntrack saw first, where that is known; else the one out of the virtual network. */
  there: FlowDirection;
  back: FlowDirection | null;
  /** False: conntrack does not know it; null: it could not be asked. */
  conntrack: Omit<Connection, 'protocol' | 'original' | 'reply'> | false | null;
}

/** All entries, or a Failure when the map is not pinned. */
export function readFlows(maps: PinnedMaps, filter: Filter): Entry[] {
  return readEntries(maps.raw('flows')).filter((entry) => matches(entry, filter));
}

/** vni → generation of the routers that are here. */
export function readGenerations(maps: PinnedMaps): Map<number, number> {
  const rows = maps.rowsOf('routers') ?? [];
  return new Map(rows.map(({ key, value }) => [Number(key), (value as { generation: number }).generation]));
}

function side({ source, source_port, destination, destination_port }: Flow['tuple']): Side {
  return { source: ipv4Text(source), source_port, destination: ipv4Text(destination), destination_port };
}

function seconds(now: bigint, then: bigint): number {
  return Math.max(0, Number((now - then) / 1_000_000n) / 1000);
}

/** @param now CLOCK_MONOTONIC, nanoseconds */
function direction({ key, value }: Entry, generation: number | undefined, now: bigint): FlowDirection {
  const { flags } = value;
  const outside = (flags & FlowFlag.FLOW_OUTSIDE) !== 0;
  return {
    original: side(key.tuple),
    rewritten: side(value.tuple),
    to: outside ? 'outside' : (flags & FlowFlag.FLOW_HAIRPIN) !== 0 ? 'another router' : 'inside',
    packets: Number(value.packets),
    bytes: Number(value.bytes),
    age: seconds(now, value.learned_ns),
    refreshed: value.passed_ns === 0n ? null : seconds(now, value.passed_ns),
    generation: value.generation,
    current: value.generation === generation,
  };
}

function packets({ there, back }: Pair): bigint {
  return there.value.packets + (back?.value.packets ?? 0n);
}

/** The busiest connections first, `limit` of them (0: all). */
export function busiest(entries: Entry[], limit: number): { pairs: Pair[]; total: number } {
  const pairs = pairUp(entries).sort((a, b) => Number(packets(b) - packets(a)));
  return { pairs: limit === 0 ? pairs : pairs.slice(0, limit), total: pairs.length };
}

/** Asks conntrack of each network once; `note` hears where it could not be asked. */
export async function askConntrack(
  vnis: Iterable<number>,
  book: NameBook,
  note: (text: string) => void,
): Promise<Map<number, Connections>> {
  const known = new Map<number, Connections>();
  for (const vni of new Set(vnis)) {
    const network = book.network(vni);
    try {
      if (network === undefined) throw new Error('no name of it is known here');
      known.set(vni, indexed(await readConnections(network.uuid)));
    } catch (error) {
      note(`conntrack of network ${network?.name ?? vni} can't be asked: ${(error as Error).message}`);
    }
  }
  return known;
}

export function flowRow(
  pair: Pair,
  generations: Map<number, number>,
  known: Map<number, Connections>,
  book: NameBook,
): FlowRow {
  const { vni } = pair.there.value;
  const connections = known.get(vni);
  const connection = connections && connectionOf(pair, connections);
  const { there, back } = inOrder(pair, connection);
  const now = process.hrtime.bigint();
  const told = connection && {
    timeout: connection.timeout,
    state: connection.state,
    assured: connection.assured,
    replied: connection.replied,
  };
  return {
    network: book.network(vni)?.name ?? String(vni),
    vni,
    protocol: PROTOCOLS[there.key.protocol] ?? String(there.key.protocol),
    there: direction(there, generations.get(vni), now),
    back: back === undefined ? null : direction(back, generations.get(vni), now),
    conntrack: connections === undefined ? null : (told ?? false),
  };
}

/** Removes entries; what is gone already is no failure. Returns how many were there. */
export function removeFlows(map: BpfMap, entries: Entry[]): number {
  if (entries.length === 0) return 0;
  return map.deleteBatch(Buffer.concat(entries.map(({ bytes }) => bytes)), entries.length);
}
