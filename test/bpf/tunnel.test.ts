import { ETHERTYPE, ethernet, ipv4, ipv6, tcp, udp } from './frames.ts';
import { staysVerifiable, table } from './harness.ts';
import { ADDRESS, DEVICES, MAC } from './places.ts';

const BROADCAST = 'ffffffffffff';
const data = new Uint8Array(18);
const ends = { source: ADDRESS.other, destination: ADDRESS.guestB };
const TCP = ipv4({ ...ends, protocol: 6 }, tcp(1, 2, data));

const to = (destination: string, l3 = TCP, type: number = ETHERTYPE.ipv4): Uint8Array =>
  ethernet(destination, MAC.remote, type, l3);
const segments = (size: number): Uint8Array =>
  to(MAC.guestB, ipv4({ ...ends, protocol: 6 }, tcp(1, 2, new Uint8Array(2 * size))));

describe('tunnel', () => {
  table('tunnel', DEVICES.vxlan1, [
    {
      name: 'TCP to a port of this node',
      frame: to(MAC.guestB),
      reason: 'TO_PORT',
      ports: { 'slot 2 received': [1, to(MAC.guestB).length] },
    },
    { name: 'through redirect_peer', frame: to(MAC.guestA), reason: 'TO_PORT' },
    {
      name: 'TCP in IPv6',
      frame: to(MAC.guestA, ipv6({ nextHeader: 6 }, tcp(1, 2, data)), ETHERTYPE.ipv6),
      reason: 'TO_PORT',
    },
    {
      name: 'UDP',
      frame: to(MAC.guestB, ipv4({ ...ends, protocol: 17 }, udp(1, 2, data))),
      reason: 'TO_PORT',
    },
    { name: 'merged by GRO', frame: segments(1460), gsoSize: 1460, gsoSegments: 2, reason: 'TO_PORT' },
    {
      name: 'merged, too big a segment',
      frame: segments(1461),
      gsoSize: 1461,
      gsoSegments: 2,
      reason: 'TOO_BIG',
    },
    { name: 'a device in no map', frame: to(MAC.guestB), ifindex: DEVICES.unknown, reason: 'UNKNOWN_DEVICE' },
    { name: 'broadcast', frame: to(BROADCAST), reason: 'MULTICAST' },
    { name: '802.1Q', frame: to(MAC.guestB, data, ETHERTYPE.vlan), reason: 'ETHERTYPE' },
    {
      name: 'a fragment',
      frame: to(MAC.guestB, ipv4({ ...ends, protocol: 17, fragment: 0x2000 }, udp(1, 2, data))),
      reason: 'FRAGMENT',
    },
    { name: 'unknown MAC', frame: to(MAC.stranger), reason: 'UNKNOWN_MAC' },
    { name: 'a MAC on another node', frame: to(MAC.remote), reason: 'NOT_LOCAL' },
    {
      name: 'known in another network only',
      frame: to(MAC.bare),
      ifindex: DEVICES.vxlan2,
      reason: 'UNKNOWN_MAC',
    },
    {
      name: 'the same MAC in another network: that one’s port',
      frame: to(MAC.guestA),
      ifindex: DEVICES.vxlan2,
      reason: 'TO_PORT',
      ports: { 'slot 5 received': [1, to(MAC.guestA).length] },
    },
  ]);
  staysVerifiable('tunnel', { instructions: 2000, verified: 200_000 });
});
