/** The network node with an uplink, and what is beyond it. */
import type { KernelConfig } from '../../../src/agent/kernel/kernel.ts';
import { Node, twoNodes } from './node.ts';
import { type Guest, NEXT_HOP } from './samples.ts';

export const UPLINK = { device: 'uplink0', bridge: 'br-egress' };
/** Behind the next hop, like every address of its /24. */
export const SERVER = '198.51.100.1';
export const UPLINK_MTU = 1500;

export interface Site {
  sf1: Node;
  sf2: Node;
  outside: Node;
}

export async function site(change: Partial<KernelConfig> = {}): Promise<Site> {
  const [[sf1, sf2], outside] = await Promise.all([
    twoNodes({ uplink: UPLINK, ...change }),
    Node.start(NEXT_HOP),
  ]);
  await sf1.run(
    `ip link add ${UPLINK.device} mtu ${UPLINK_MTU} type veth peer name out0 netns ${outside.pid}`,
  );
  await sf1.run(`ip link set ${UPLINK.device} up`);
  for (const line of [
    `ip addr add ${NEXT_HOP}/24 dev out0`,
    `ip link set out0 mtu ${UPLINK_MTU} up`,
    `ip addr add ${SERVER}/24 dev lo`,
    'sysctl -qw net.ipv4.ip_forward=1',
  ])
    await outside.run(line);
  return { sf1, sf2, outside };
}

/** Gives a guest what DHCP would: its default route. */
export async function withRoute(node: Node, { instance }: Guest): Promise<void> {
  await node.run(`@${instance} ip route replace default via 192.168.0.1`);
}
