/** What a router's rules counted of each instance's traffic with the outside (nat-table.ts makes the sets). */
import { type Run, runTool } from './run.ts';

export interface Traffic {
  packets: number;
  /** Layer 3 bytes. */
  bytes: number;
}

/** Seen from the instance. */
export interface OutsideTraffic {
  sent: Traffic;
  received: Traffic;
}

interface CountersJson {
  nftables: {
    set?: { name: string; elem?: { elem: { val: string; counter: Traffic } }[] };
  }[];
}

/**
 * Traffic with the outside that the kernel carried, by the instance's IPv4 address; the fast path's is not in it.
 * Numbers begin anew when the rules had to be made again.
 * @param namespace name of a router's namespace: the network's uuid
 * @returns an empty map when the router does no NAT
 * @throws Error when the rules can't be read
 */
export async function readOutsideTraffic(
  namespace: string,
  run: Run = runTool,
): Promise<Map<string, OutsideTraffic>> {
  const words = [`--net=/run/netns/${namespace}`, 'nft', '-j', 'list', 'table', 'ip', 'fistpath'];
  const { code, stdout, stderr } = await run('nsenter', words);
  const traffic = new Map<string, OutsideTraffic>();
  if (code !== 0) {
    if (stderr.includes('No such file or directory')) return traffic;
    throw new Error(`the counters of router namespace ${namespace} can't be read: ${stderr.trim()}`);
  }
  const none = { packets: 0, bytes: 0 };
  for (const { set } of (JSON.parse(stdout) as CountersJson).nftables) {
    if (set?.name !== 'sent' && set?.name !== 'received') continue;
    for (const { elem } of set.elem ?? []) {
      const both = traffic.get(elem.val) ?? { sent: none, received: none };
      traffic.set(elem.val, { ...both, [set.name]: elem.counter });
    }
  }
  return traffic;
}
