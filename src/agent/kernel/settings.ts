/** Settings of a router's namespace, as paths below /proc/sys/net. A new namespace inherits the machine's. */
import type { NetworkNames } from './names.ts';

const PER_DEVICE: [string, string][] = [
  // Nobody is told of shorter ways, nor believed; the rules tell who may use which address, on which side.
  ['send_redirects', '0'],
  ['accept_redirects', '0'],
  ['accept_source_route', '0'],
  ['rp_filter', '0'],
  ['proxy_arp', '0'],
  ['route_localnet', '0'],
  // Neither side hears of the other's addresses.
  ['arp_ignore', '1'],
  ['arp_announce', '2'],
];

/**
 * In the order in which they have to be set: ip_forward resets others.
 * @param physical its outside end: does NAT, is idle, or is not there
 */
export function routerSettings(
  { routerInner, physicalInner }: NetworkNames,
  physical: 'nat' | 'idle' | 'none',
): [string, string][] {
  const present = ['all', 'default', routerInner, ...(physical === 'none' ? [] : [physicalInner])];
  const devices = present.flatMap((device) =>
    PER_DEVICE.map(([name, value]): [string, string] => [`ipv4/conf/${device}/${name}`, value]),
  );
  const more: [string, string][] = [
    // Conntrack does not see every segment: the fast path has most of them.
    ['netfilter/nf_conntrack_tcp_be_liberal', '1'],
    // Lets arping announce routed addresses.
    ['ipv4/ip_nonlocal_bind', '1'],
    // Else the answer for a routed address waits for up to 0.8 s.
    [`ipv4/neigh/${physicalInner}/proxy_delay`, '0'],
  ];
  return [['ipv4/ip_forward', '1'], ...devices, ...(physical === 'nat' ? more : [])];
}
