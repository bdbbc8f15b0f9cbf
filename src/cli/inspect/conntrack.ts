/** What conntrack knows in a router's namespace. */
import type { Tuple } from '../../agent/datapath/abi.ts';
import { ipv4Number } from '../../agent/datapath/tables.ts';
import { run } from '../../agent/process.ts';

export interface Connection {
  /** IPPROTO_TCP, IPPROTO_UDP or IPPROTO_ICMP. */
  protocol: number;
  /** As the first packet came in; ICMP echo as in flows: identifier and type for ports. */
  original: Tuple;
  /** As its answer comes in. */
  reply: Tuple;
  /** Seconds until it is forgotten. */
  timeout: number;
  /** Of TCP, in lower case. */
  state: string | null;
  assured: boolean;
  replied: boolean;
}

/** src=… dst=… and sport=… dport=… or type=… code=… id=…, once for each direction. */
const DIRECTION =
  /src=([0-9.]+) dst=([0-9.]+) (?:sport=([0-9]+) dport=([0-9]+)|type=([0-9]+) code=[0-9]+ id=([0-9]+))/g;

function tupleOf([, source, destination, sport, dport, type, id]: RegExpMatchArray): Tuple {
  return {
    source: ipv4Number(source!),
    destination: ipv4Number(destination!),
    source_port: Number(sport ?? id),
    destination_port: Number(dport ?? type),
  };
}

/** Lines of `conntrack -L`; other protocols than those of flows are left out. */
export function parseConnections(text: string): Connection[] {
  return text.split('\n').flatMap((line): Connection[] => {
    const head = /^(?:tcp|udp|icmp) +([0-9]+) ([0-9]+) (?:([A-Z_0-9]+) )?src=/.exec(line);
    const [original, reply] = [...line.matchAll(DIRECTION)];
    if (head === null || original === undefined || reply === undefined) return [];
    return [
      {
        protocol: Number(head[1]),
        timeout: Number(head[2]),
        state: head[3]?.toLowerCase() ?? null,
        original: tupleOf(original),
        reply: tupleOf(reply),
        assured: line.includes('[ASSURED]'),
        replied: !line.includes('[UNREPLIED]'),
      },
    ];
  });
}

/** Runs a command in a network's router namespace. Rejects where there is none, or where one may not enter it. */
export async function inRouter(network: string, command: string[]): Promise<string> {
  return (await run('nsenter', [`--net=/run/netns/${network}`, ...command])).stdout;
}

export async function readConnections(network: string): Promise<Connection[]> {
  return parseConnections(await inRouter(network, ['conntrack', '-L', '-f', 'ipv4']));
}

/** "established, 299 s" */
export function connectionText({ state, timeout, replied }: Connection): string {
  return `${state ?? (replied ? 'replied' : 'unreplied')}, ${timeout} s`;
}
