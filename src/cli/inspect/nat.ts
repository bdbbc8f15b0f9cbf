/** NAT of the networks whose router is on this node, from the agent's names, the maps and the router namespaces. */

import { ipv4Number } from '../../agent/datapath/tables.ts';
import { networkNames } from '../../agent/kernel/names.ts';
import { type Connection, inRouter, readConnections } from './conntrack.ts';
import { readFlows, readGenerations } from './flow-rows.ts';
import { type Entry, PROTOCOLS, pairUp } from './flows.ts';
import type { NameBook, NatNames } from './name-book.ts';
import type { PinnedMaps } from './pinned-maps.ts';

export interface NatRow extends NatNames {
  network: string;
  uuid: string;
  vni: number;
  /** Who translates: the fast path with the kernel behind it, or the kernel alone. */
  where: 'ebpf' | 'kernel';
  /** Of the router in the fast path; null: it has none. */
  generation: number | null;
  /** The kernel's word for its neighbour entry; null: none, or not known. */
  next_hop_state: string | null;
  /** Connections in the fast path, and in conntrack (null: could not be asked). */
  flows: number;
  connections: number | null;
  /** Ports (ICMP: identifiers) of the gateway that connections hold, of 65536 each. */
  ports_used: Record<string, number> | null;
}

interface Neighbour {
  dst: string;
  state?: string[];
}

async function neighbourState(uuid: string, vni: number, address: string): Promise<string | null> {
  const device = networkNames(vni).physicalInner;
  const text = await inRouter(uuid, ['ip', '-j', 'neigh', 'show', 'dev', device, 'to', address]);
  const [found] = JSON.parse(text || '[]') as Neighbour[];
  return found?.state?.[0]?.toLowerCase() ?? null;
}

/** Distinct ports that answers come back to at this address, by protocol. */
export function portsUsed(connections: Connection[], gateway: string): Record<string, number> {
  const address = ipv4Number(gateway);
  const used = connections.filter(({ reply }) => reply.destination === address);
  return Object.fromEntries(
    Object.entries(PROTOCOLS).map(([number, name]): [string, number] => {
      const mine = used.filter(({ protocol }) => protocol === Number(number));
      const ports = mine.map(({ reply }) => (name === 'icmp' ? reply.source_port : reply.destination_port));
      return [name, new Set(ports).size];
    }),
  );
}

function countFlows(entries: Entry[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { there } of pairUp(entries)) {
    const { vni } = there.value;
    counts.set(vni, (counts.get(vni) ?? 0) + 1);
  }
  return counts;
}

/** One row per network with NAT; `note` hears what could not be found out. */
export async function readNat(
  maps: PinnedMaps,
  book: NameBook,
  vni: number | undefined,
  note: (text: string) => void,
): Promise<NatRow[]> {
  const here = book.natNetworks().filter((one) => vni === undefined || one.vni === vni);
  const pinned = maps.names();
  const generations = pinned.includes('routers') ? readGenerations(maps) : new Map<number, number>();
  const flows = countFlows(pinned.includes('flows') ? readFlows(maps, { vni }) : []);
  const rows: NatRow[] = [];
  for (const { vni, uuid, name, nat } of here) {
    const attempt = async <T>(what: string, work: Promise<T>): Promise<T | null> =>
      work.catch((error: Error) => {
        note(`network ${name}: ${what} can't be asked: ${error.message}`);
        return null;
      });
    const [connections, state] = await Promise.all([
      attempt('conntrack', readConnections(uuid)),
      attempt('the next hop', neighbourState(uuid, vni, nat.next_hop)),
    ]);
    rows.push({
      network: name,
      uuid,
      vni,
      ...nat,
      where: generations.has(vni) ? 'ebpf' : 'kernel',
      generation: generations.get(vni) ?? null,
      next_hop_state: state,
      flows: flows.get(vni) ?? 0,
      connections: connections?.length ?? null,
      ports_used: connections && portsUsed(connections, nat.gateway),
    });
  }
  return rows;
}
