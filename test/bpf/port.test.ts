import assert from 'node:assert/strict';
import {
  arp,
  concat,
  ETHERTYPE,
  echo,
  ethernet,
  type Ipv4Fields,
  ipv4,
  ipv6,
  tcp,
  toHex,
  udp,
} from './frames.ts';
import { type Row, staysVerifiable, table } from './harness.ts';
import { ADDRESS, DEVICES, MAC } from './places.ts';

const BROADCAST = 'ffffffffffff';
const data = new Uint8Array(18);
const datagram = udp(5000, 53, data);

function packet(fields: Partial<Ipv4Fields> = {}, payload = datagram): Uint8Array {
  return ipv4({ source: ADDRESS.guestA, destination: ADDRESS.guestB, protocol: 17, ...fields }, payload);
}

const to = (destination: string, l3 = packet(), type: number = ETHERTYPE.ipv4): Uint8Array =>
  ethernet(destination, MAC.guestA, type, l3);

/** A frame with some bytes of it overwritten. */
function edit(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const edited = frame.slice();
  edited.set(bytes, at);
  return edited;
}

function arpFrame(
  fields: Partial<Parameters<typeof arp>[0]>,
  destination = BROADCAST,
  source: string = MAC.guestA,
) {
  const request = {
    operation: 1,
    senderMac: MAC.guestA,
    senderAddress: ADDRESS.guestA,
    targetMac: '000000000000',
    targetAddress: ADDRESS.guestB,
  };
  return ethernet(destination, source, ETHERTYPE.arp, arp({ ...request, ...fields }));
}

/** The frame behind 50 new bytes (encap.test.ts and golden.test.ts say which). */
function encapsulated(out: Uint8Array, frame: Uint8Array): void {
  assert.equal(toHex(out.subarray(50)), toHex(frame));
}

const LOCAL = to(MAC.guestB);
const sized = (length: number, destination: string): Uint8Array =>
  to(destination, packet({}, udp(5000, 53, new Uint8Array(length - 28))));

const rows: Row[] = [
  {
    name: 'unicast to a port of this node',
    frame: LOCAL,
    reason: 'TO_PORT',
    ports: { 'slot 1 sent PORT': [1, LOCAL.length], 'slot 2 received': [1, LOCAL.length] },
  },
  {
    name: 'through redirect_peer',
    frame: ethernet(MAC.guestA, MAC.guestB, ETHERTYPE.ipv4, packet({ source: ADDRESS.guestB })),
    ifindex: DEVICES.guestB,
    reason: 'TO_PORT',
  },
  { name: 'ICMP', frame: to(MAC.guestB, packet({ protocol: 1 }, echo(8, data))), reason: 'TO_PORT' },
  {
    name: 'SCTP, as any whole IPv4 packet',
    frame: to(MAC.guestB, packet({ protocol: 132 })),
    reason: 'TO_PORT',
  },
  {
    name: 'IPv6 UDP',
    frame: to(MAC.guestB, ipv6({ nextHeader: 17 }, datagram), ETHERTYPE.ipv6),
    reason: 'TO_PORT',
  },
  {
    name: 'unicast to another node',
    frame: to(MAC.remote),
    reason: 'TO_TUNNEL',
    out: encapsulated,
    ports: { 'slot 1 sent TUNNEL': [1, LOCAL.length] },
  },
  {
    name: 'IPv6 to another node',
    frame: to(MAC.remote, ipv6({ nextHeader: 58 }, echo(128, data)), ETHERTYPE.ipv6),
    reason: 'TO_TUNNEL',
    out: encapsulated,
  },
  { name: 'a device in no map', frame: LOCAL, ifindex: DEVICES.unknown, reason: 'UNKNOWN_DEVICE', ports: {} },

  // The sender guard comes first.
  {
    name: "another's MAC",
    frame: ethernet(MAC.guestB, MAC.remote, ETHERTYPE.ipv4, packet()),
    reason: 'SPOOFED_MAC',
    ports: { 'slot 1 sent DROP': [1, LOCAL.length] },
  },
  {
    name: "another's MAC, last byte only, to everybody",
    frame: ethernet(BROADCAST, '02000000000b', ETHERTYPE.ipv4, packet()),
    reason: 'SPOOFED_MAC',
  },
  {
    name: "another's MAC in a frame of an unknown EtherType",
    frame: ethernet(MAC.guestB, MAC.remote, 0x88cc, data),
    reason: 'SPOOFED_MAC',
  },
  {
    name: "the router's MAC is guarded too",
    frame: ethernet(MAC.guestB, MAC.guestA, ETHERTYPE.ipv4, packet()),
    ifindex: DEVICES.router,
    reason: 'SPOOFED_MAC',
  },
  {
    name: "another's IPv4",
    frame: to(MAC.guestB, packet({ source: ADDRESS.other })),
    reason: 'SPOOFED_IPV4',
  },
  {
    name: "another's IPv4 to everybody",
    frame: to(BROADCAST, packet({ source: ADDRESS.other })),
    reason: 'SPOOFED_IPV4',
  },
  {
    name: "another's IPv4 in a later fragment with options",
    frame: to(
      MAC.guestB,
      packet({ source: ADDRESS.other, fragment: 100, options: new Uint8Array([1, 1, 1, 0]) }),
    ),
    reason: 'SPOOFED_IPV4',
  },
  {
    name: 'IPv4 from an interface without an address',
    frame: ethernet(MAC.guestB, MAC.bare, ETHERTYPE.ipv4, packet()),
    ifindex: DEVICES.bare,
    reason: 'SPOOFED_IPV4',
  },
  {
    name: 'a router forwards any IPv4 source',
    frame: ethernet(MAC.guestB, MAC.router, ETHERTYPE.ipv4, packet({ source: ADDRESS.other })),
    ifindex: DEVICES.router,
    reason: 'TO_PORT',
  },
  {
    name: 'DHCP discover',
    frame: to(BROADCAST, packet({ source: 0, destination: 0xffffffff }, udp(68, 67, data))),
    reason: 'MULTICAST',
  },
  {
    name: 'source 0.0.0.0 to one receiver',
    frame: to(MAC.guestB, packet({ source: 0 })),
    reason: 'IP_MALFORMED',
  },
  {
    name: 'source 0.0.0.0 of an interface without an address',
    frame: ethernet(MAC.guestB, MAC.bare, ETHERTYPE.ipv4, packet({ source: 0 })),
    ifindex: DEVICES.bare,
    reason: 'IP_MALFORMED',
  },

  // ARP
  { name: 'request', frame: arpFrame({}), reason: 'ARP' },
  { name: 'reply to one receiver', frame: arpFrame({ operation: 2 }, MAC.guestB), reason: 'ARP' },
  { name: 'probe, sender 0.0.0.0', frame: arpFrame({ senderAddress: 0 }), reason: 'ARP' },
  { name: "another's address", frame: arpFrame({ senderAddress: ADDRESS.guestB }), reason: 'SPOOFED_ARP' },
  { name: "another's MAC inside", frame: arpFrame({ senderMac: MAC.guestB }), reason: 'SPOOFED_ARP' },
  {
    name: 'a probe with another MAC inside',
    frame: arpFrame({ senderMac: MAC.guestB, senderAddress: 0 }),
    reason: 'SPOOFED_ARP',
  },
  {
    name: 'a router answers for any address',
    frame: arpFrame({ senderMac: MAC.router, senderAddress: ADDRESS.other }, BROADCAST, MAC.router),
    ifindex: DEVICES.router,
    reason: 'ARP',
  },
  {
    name: "a router with another's MAC inside",
    frame: arpFrame({ senderMac: MAC.guestA }, BROADCAST, MAC.router),
    ifindex: DEVICES.router,
    reason: 'SPOOFED_ARP',
  },
  {
    name: 'shorter than ARP',
    frame: arpFrame({ senderAddress: ADDRESS.guestB }).subarray(0, 41),
    reason: 'TRUNCATED',
  },

  // What only the kernel understands.
  { name: 'broadcast', frame: to(BROADCAST), reason: 'MULTICAST' },
  { name: 'IPv4 multicast', frame: to('01005e000001'), reason: 'MULTICAST' },
  {
    name: '802.1Q',
    frame: to(MAC.guestB, concat(new Uint8Array([0, 5, 8, 0]), packet()), ETHERTYPE.vlan),
    reason: 'ETHERTYPE',
  },
  { name: 'LLC', frame: to(MAC.guestB, data, data.length), reason: 'ETHERTYPE' },
  { name: 'IPv4 version 5', frame: edit(LOCAL, 14, 0x55), reason: 'IP_MALFORMED' },
  { name: 'IPv4 header of 16 bytes', frame: edit(LOCAL, 14, 0x44), reason: 'IP_MALFORMED' },
  { name: 'IPv4 total length below its header', frame: edit(LOCAL, 16, 0, 19), reason: 'IP_MALFORMED' },
  { name: 'IPv4 total length one too long', frame: edit(LOCAL, 17, LOCAL[17]! + 1), reason: 'TRUNCATED' },
  { name: 'padding behind the packet', frame: concat(LOCAL, new Uint8Array(6)), reason: 'TO_PORT' },
  {
    name: 'IPv4 options',
    frame: to(MAC.guestB, packet({ options: new Uint8Array([148, 4, 0, 0]) })),
    reason: 'IP_OPTIONS',
  },
  { name: 'first fragment', frame: to(MAC.guestB, packet({ fragment: 0x2000 })), reason: 'FRAGMENT' },
  { name: 'last fragment', frame: to(MAC.guestB, packet({ fragment: 1 })), reason: 'FRAGMENT' },
  {
    name: "don't fragment is no fragment",
    frame: to(MAC.guestB, packet({ fragment: 0x4000 })),
    reason: 'TO_PORT',
  },
  {
    name: 'IPv6 version 4',
    frame: edit(to(MAC.guestB, ipv6({ nextHeader: 17 }, datagram), ETHERTYPE.ipv6), 14, 0x40),
    reason: 'IP_MALFORMED',
  },
  {
    name: 'IPv6 payload length one too long',
    frame: edit(to(MAC.guestB, ipv6({ nextHeader: 17 }, datagram), ETHERTYPE.ipv6), 19, datagram.length + 1),
    reason: 'TRUNCATED',
  },
  {
    name: 'IPv6 hop-by-hop options',
    frame: to(MAC.guestB, ipv6({ nextHeader: 0 }, datagram), ETHERTYPE.ipv6),
    reason: 'IP_OPTIONS',
  },
  {
    name: 'IPv6 fragment header',
    frame: to(MAC.guestB, ipv6({ nextHeader: 44 }, datagram), ETHERTYPE.ipv6),
    reason: 'IP_OPTIONS',
  },

  // The destination
  { name: 'no one knows it', frame: to(MAC.stranger), reason: 'UNKNOWN_MAC' },
  {
    name: 'known in another network only',
    frame: ethernet(MAC.router, MAC.guestA, ETHERTYPE.ipv4, packet()),
    ifindex: DEVICES.twin,
    reason: 'UNKNOWN_MAC',
  },
  {
    name: 'same MACs and addresses in another network: there it is remote',
    frame: LOCAL,
    ifindex: DEVICES.twin,
    reason: 'TO_TUNNEL',
    out: (out, frame) => {
      encapsulated(out, frame);
      assert.equal(toHex(out.subarray(46, 50)), '00000200', 'VNI 2');
    },
  },
  { name: 'to itself', frame: to(MAC.guestA), reason: 'SAME_PORT' },
  { name: 'next hop unresolved', frame: to(MAC.unresolved), reason: 'NO_NEXTHOP' },

  // MTU 1500
  { name: '1500 bytes to a port', frame: sized(1500, MAC.guestB), reason: 'TO_PORT' },
  { name: '1501 bytes to a port', frame: sized(1501, MAC.guestB), reason: 'TOO_BIG' },
  {
    name: '1500 bytes to another node',
    frame: sized(1500, MAC.remote),
    reason: 'TO_TUNNEL',
    out: encapsulated,
  },
  { name: '1501 bytes to another node', frame: sized(1501, MAC.remote), reason: 'TOO_BIG' },
  {
    name: 'TCP segments of 1500 bytes',
    frame: to(MAC.guestB, packet({ protocol: 6 }, tcp(1, 2, new Uint8Array(2920)))),
    gsoSize: 1460,
    gsoSegments: 2,
    reason: 'TO_PORT',
    ports: { 'slot 1 sent PORT': [2, 2974], 'slot 2 received': [2, 2974] },
  },
  {
    name: 'TCP segments of 1501 bytes',
    frame: to(MAC.guestB, packet({ protocol: 6 }, tcp(1, 2, new Uint8Array(2922)))),
    gsoSize: 1461,
    gsoSegments: 2,
    reason: 'TOO_BIG',
  },
  {
    name: 'UDP segments of 1500 bytes',
    frame: to(MAC.guestB, packet({}, udp(1, 2, new Uint8Array(2944)))),
    gsoSize: 1472,
    gsoSegments: 2,
    reason: 'TO_PORT',
  },
  {
    name: 'segments of an unknown protocol',
    frame: to(MAC.guestB, packet({ protocol: 132 }, new Uint8Array(200))),
    gsoSize: 100,
    gsoSegments: 2,
    reason: 'TOO_BIG',
  },
  {
    // A test run's frame has a segment size but no kind of GSO, which bpf_skb_adjust_room refuses.
    name: 'segments that the helper does not know how to encapsulate',
    frame: to(MAC.remote, packet({ protocol: 6 }, tcp(1, 2, new Uint8Array(2920)))),
    gsoSize: 1460,
    gsoSegments: 2,
    reason: 'HELPER',
  },
];

describe('port', () => {
  table('port', DEVICES.guestA, rows);
  staysVerifiable('port', { instructions: 2600, verified: 300_000 });
});

describe('port, on an underlay whose MTU has no room for the tunnel headers', () => {
  table(
    'port',
    DEVICES.guestA,
    [
      { name: '1450 bytes', frame: sized(1450, MAC.remote), reason: 'TO_TUNNEL', out: encapsulated },
      { name: '1451 bytes', frame: sized(1451, MAC.remote), reason: 'TOO_BIG' },
      { name: '1500 bytes to a port', frame: sized(1500, MAC.guestB), reason: 'TO_PORT' },
    ],
    'small underlay',
  );
});
