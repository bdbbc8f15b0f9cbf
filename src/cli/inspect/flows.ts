/**
 * Cached NAT decisions, the two directions of a connection put together. Pure: nothing here reads anything.
 */
import { Flow, FlowFlag, FlowKey, type Tuple } from '../../agent/datapath/abi.ts';
import type { Connection } from './conntrack.ts';

/** IPPROTO_* of linux/in.h, as far as flows exist. */
export const PROTOCOLS: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp' };
const ICMP = 1;
const ECHO = 8;

/** One entry of the map. */
export interface Entry {
  key: FlowKey;
  value: Flow;
  /** The key's bytes. */
  bytes: Uint8Array;
}

/** Both directions of one connection through one router; `back` is missing while only one has been seen. */
export interface Pair {
  there: Entry;
  back: Entry | undefined;
}

export function readEntries(batch: { count: number; keys: Uint8Array; values: Uint8Array }): Entry[] {
  const keys = new DataView(batch.keys.buffer, batch.keys.byteOffset, batch.keys.byteLength);
  const values = new DataView(batch.values.buffer, batch.values.byteOffset, batch.values.byteLength);
  return Array.from({ length: batch.count }, (_, i) => ({
    key: FlowKey.read(keys, i * FlowKey.size),
    value: Flow.read(values, i * Flow.size),
    bytes: batch.keys.subarray(i * FlowKey.size, (i + 1) * FlowKey.size),
  }));
}

/** The tuple of the answer to a packet. An ICMP echo keeps its identifier and changes its type. */
export function turned(tuple: Tuple, protocol: number): Tuple {
  const { source, destination, source_port, destination_port } = tuple;
  if (protocol !== ICMP)
    return {
      source: destination,
      destination: source,
      source_port: destination_port,
      destination_port: source_port,
    };
  const type = destination_port === ECHO ? 0 : ECHO;
  return { source: destination, destination: source, source_port, destination_port: type };
}

export function tupleKey(protocol: number, { source, destination, source_port, destination_port }: Tuple) {
  return `${protocol} ${source} ${source_port} ${destination} ${destination_port}`;
}

function entryKey(vni: number, protocol: number, tuple: Tuple): string {
  return `${vni} ${tupleKey(protocol, tuple)}`;
}

/** The key under which the answer to what this entry sends on comes to the same router. */
function answerKey({ key, value }: Entry): string {
  const leaves = (value.flags & (FlowFlag.FLOW_OUTSIDE | FlowFlag.FLOW_HAIRPIN)) !== 0;
  return entryKey(leaves ? 0 : value.vni, key.protocol, turned(value.tuple, key.protocol));
}

/**
 * Puts the directions together. Which of the two came first is not in the map: the one out of a virtual network
 * stands first, until conntrack says otherwise (inOrder).
 */
export function pairUp(entries: Entry[]): Pair[] {
  const byKey = new Map(
    entries.map((entry) => [entryKey(entry.key.vni, entry.key.protocol, entry.key.tuple), entry]),
  );
  const taken = new Set<Entry>();
  const pairs: Pair[] = [];
  for (const there of [...entries].sort((a, b) => Number(a.key.vni === 0) - Number(b.key.vni === 0))) {
    if (taken.has(there)) continue;
    taken.add(there);
    const answer = byKey.get(answerKey(there));
    const back =
      answer !== undefined && !taken.has(answer) && answer.value.vni === there.value.vni ? answer : undefined;
    if (back !== undefined) taken.add(back);
    pairs.push({ there, back });
  }
  return pairs;
}

export interface Filter {
  /** Whose router decided. */
  vni?: number;
  /** On either side, before or after translation. */
  address?: number;
}

export function matches({ key, value }: Entry, { vni, address }: Filter): boolean {
  if (vni !== undefined && value.vni !== vni) return false;
  return (
    address === undefined ||
    [key.tuple, value.tuple].some((tuple) => tuple.source === address || tuple.destination === address)
  );
}

/** Connections of one router's namespace, by the tuple of either direction as it comes in. */
export type Connections = Map<string, Connection>;

export function indexed(connections: Connection[]): Connections {
  return new Map(
    connections.flatMap((one): [string, Connection][] => [
      [tupleKey(one.protocol, one.original), one],
      [tupleKey(one.protocol, one.reply), one],
    ]),
  );
}

/**
 * The connection that a pair belongs to: it must make the same of the packet as the entry does. Undefined:
 * conntrack does not know it (any more).
 */
export function connectionOf({ there: { key, value } }: Pair, known: Connections): Connection | undefined {
  const found = known.get(tupleKey(key.protocol, key.tuple));
  if (found === undefined) return undefined;
  const isOriginal = tupleKey(key.protocol, found.original) === tupleKey(key.protocol, key.tuple);
  const leavesAs = turned(isOriginal ? found.reply : found.original, key.protocol);
  return tupleKey(key.protocol, leavesAs) === tupleKey(key.protocol, value.tuple) ? found : undefined;
}

/** The direction that conntrack saw first stands first. */
export function inOrder(pair: Pair, connection: Connection | undefined): Pair {
  const { there, back } = pair;
  if (connection === undefined || back === undefined) return pair;
  const first = tupleKey(connection.protocol, connection.original);
  return tupleKey(there.key.protocol, there.key.tuple) === first ? pair : { there: back, back: there };
}
