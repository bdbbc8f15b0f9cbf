import type { Cluster } from './cluster.ts';
import type { LabNode } from './topology.ts';

interface Traffic {
  packets: number;
  bytes: number;
}

export interface Counters {
  programs: ({ program: string; verdict: string; reason: string } & Traffic)[];
  ports: {
    device: string;
    sent: Record<'port' | 'tunnel' | 'kernel' | 'drop', Traffic>;
    received: Traffic;
  }[];
}

/** The fast path's counters of a node, as `fistpath counters` reads them. */
export function readCounters(cluster: Cluster, node: LabNode): Promise<Counters> {
  return cluster.cliJson<Counters>(node, ['counters', '--all']);
}

/** Packets that a node's programs counted under a verdict, and a reason when told. */
export function packetsOf(counters: Counters, program: string, verdict: string, reason?: string): number {
  return counters.programs
    .filter((each) => each.program === program && each.verdict === verdict)
    .filter((each) => reason === undefined || each.reason === reason)
    .reduce((sum, each) => sum + each.packets, 0);
}

/** Zero for a port that has sent and received nothing yet. */
export function portCounters(counters: Counters, device: string): Counters['ports'][number] {
  const none = { packets: 0, bytes: 0 };
  const nothing = { device, sent: { port: none, tunnel: none, kernel: none, drop: none }, received: none };
  return counters.ports.find((port) => port.device === device) ?? nothing;
}

/** A witness that is not ours: nft's own count of the unicast frames that a node's bridges forward. */
const WITNESS = `
table bridge witness
delete table bridge witness
table bridge witness {
  chain forwarded {
    type filter hook forward priority 0
    ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 ether type != arp counter
  }
}
`;

export async function startWitness(node: LabNode): Promise<void> {
  await node.shell(`nft -f /dev/stdin <<'RULES'\n${WITNESS}\nRULES`);
}

/** Unicast frames other than ARP that the kernel's bridges have forwarded since startWitness. */
export async function kernelForwarded(node: LabNode): Promise<number> {
  const text = await node.run(['nft', 'list', 'table', 'bridge', 'witness']);
  return Number(/packets (\d+)/.exec(text)![1]);
}
