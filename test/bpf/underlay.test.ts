import assert from 'node:assert/strict';
import {
  arp,
  concat,
  ETHERTYPE,
  encapsulate,
  ethernet,
  ipv4,
  ipv6,
  set16,
  type TunnelFields,
  tcp,
  toHex,
  udp,
} from './frames.ts';
import { type Row, staysVerifiable, table } from './harness.ts';
import type { Reason } from './model.ts';
import { ADDRESS, DEVICES, FROM_PEER, MAC, VNI } from './places.ts';

const BROADCAST = 'ffffffffffff';
/** Outer Ethernet 14, IPv4 20, UDP 8, VXLAN 8. */
const INNER = 50;
const data = new Uint8Array(18);
const packet = (length = 46, tos = 0): Uint8Array =>
  ipv4(
    { source: ADDRESS.guestA, destination: ADDRESS.guestB, protocol: 17, tos },
    udp(5000, 53, new Uint8Array(length - 28)),
  );
const TCP = ipv4({ source: ADDRESS.guestA, destination: ADDRESS.guestB, protocol: 6 }, tcp(1, 2, data));

const to = (destination: string, l3 = packet(), type: number = ETHERTYPE.ipv4): Uint8Array =>
  ethernet(destination, MAC.remote, type, l3);

function tunnelled(inner: Uint8Array, fields: Partial<TunnelFields> = {}): Uint8Array {
  return encapsulate(inner, { ...FROM_PEER, ...fields });
}

const VALID = tunnelled(to(MAC.guestB));

function edit(at: number, ...bytes: number[]): Uint8Array {
  const edited = VALID.slice();
  edited.set(bytes, at);
  return edited;
}

/** The valid packet, as sent by this MAC. */
const from = (mac: string): Uint8Array => tunnelled(ethernet(MAC.guestB, mac, ETHERTYPE.ipv4, packet()));

/** The valid packet with four bytes of outer options; lengths are right. */
function withOptions(): Uint8Array {
  const f = concat(VALID.subarray(0, 34), new Uint8Array([1, 1, 1, 0]), VALID.subarray(34));
  f[14] = 0x46;
  set16(f, 16, f.length - 14);
  return f;
}

/** Only the guest's frame is left. */
function decapsulated(out: Uint8Array, frame: Uint8Array): void {
  assert.equal(toHex(out), toHex(frame.subarray(INNER)));
}

const passes = (name: string, frame: Uint8Array, reason: Reason): Row => ({ name, frame, reason });
const delivers = (name: string, frame: Uint8Array): Row => ({
  name,
  frame,
  reason: 'TO_PORT',
  out: decapsulated,
});

const both: Row[] = [
  {
    ...delivers('a member of the network, to a port here', VALID),
    ports: { 'slot 2 received': [1, VALID.length] },
  },
  delivers(
    'IPv6 inside',
    tunnelled(to(MAC.guestB, ipv6({ nextHeader: 17 }, udp(1, 2, data)), ETHERTYPE.ipv6)),
  ),
  delivers('the largest VNI', tunnelled(to(MAC.large), { vni: VNI.largest })),
  delivers('the same MAC in another network: another port', tunnelled(to(MAC.guestA), { vni: VNI.second })),
  delivers('ECT(0) outside and inside', tunnelled(to(MAC.guestB, packet(46, 2)), { tos: 2 })),
  delivers('ECT(1) outside and inside', tunnelled(to(MAC.guestB, packet(46, 1)), { tos: 1 })),
  delivers('a frame of 1500 bytes', tunnelled(to(MAC.guestB, packet(1500)))),

  // Not ours
  passes('IPv6', edit(12, 0x86, 0xdd), 'NOT_VXLAN'),
  passes('a VLAN tag', edit(12, 0x81, 0x00), 'NOT_VXLAN'),
  passes(
    'ARP',
    to(
      BROADCAST,
      arp({ operation: 1, senderMac: MAC.remote, senderAddress: 1, targetMac: MAC.guestA, targetAddress: 2 }),
      ETHERTYPE.arp,
    ),
    'NOT_VXLAN',
  ),
  passes('TCP', edit(23, 6), 'NOT_VXLAN'),
  passes(
    'another address of this node',
    tunnelled(to(MAC.guestB), { destination: ADDRESS.peer }),
    'NOT_VXLAN',
  ),
  passes('another UDP port', tunnelled(to(MAC.guestB), { port: 8472 }), 'NOT_VXLAN'),

  // Outer headers
  passes('outer version 6', edit(14, 0x65), 'IP_MALFORMED'),
  passes('outer IPv4 checksum', edit(24, VALID[24]! ^ 1), 'IP_MALFORMED'),
  passes('outer options', withOptions(), 'IP_OPTIONS'),
  passes('first outer fragment', edit(20, 0x20, 0), 'FRAGMENT'),
  passes('later outer fragment', edit(20, 0, 1), 'FRAGMENT'),
  passes('outer IPv4 longer than the frame', VALID.subarray(0, VALID.length - 1), 'TRUNCATED'),
  passes('bytes behind the outer packet', concat(VALID, new Uint8Array(1)), 'IP_MALFORMED'),
  passes('outer IPv4 shorter than its UDP', edit(17, VALID[17]! - 1), 'IP_MALFORMED'),
  passes('UDP length too short', edit(39, VALID[39]! - 1), 'IP_MALFORMED'),
  passes('UDP length too long', edit(39, VALID[39]! + 1), 'IP_MALFORMED'),
  passes('I flag clear', edit(42, 0x00), 'VXLAN_FLAGS'),
  passes('another flag set (Group Based Policy)', edit(42, 0x88), 'VXLAN_FLAGS'),
  passes('reserved byte behind the flags', edit(45, 1), 'VXLAN_FLAGS'),
  passes('reserved byte behind the VNI', edit(49, 1), 'VXLAN_FLAGS'),

  // Who sends
  passes('a VNI that is not on this node', tunnelled(to(MAC.guestB), { vni: VNI.unknown }), 'UNKNOWN_VNI'),
  {
    ...passes(
      'a member of nothing',
      tunnelled(to(MAC.guestB), { source: ADDRESS.forger }),
      'UNTRUSTED_SOURCE',
    ),
    ports: {},
  },
  passes(
    'a member of another VNI',
    tunnelled(to(MAC.guestB), { source: ADDRESS.otherTenant }),
    'UNTRUSTED_SOURCE',
  ),
  passes('a network without members', tunnelled(to(MAC.guestB), { vni: VNI.lonely }), 'UNTRUSTED_SOURCE'),
  passes('this node itself', tunnelled(to(MAC.guestB), { source: ADDRESS.underlay }), 'UNTRUSTED_SOURCE'),
  passes('forged TCP', tunnelled(to(MAC.guestB, TCP), { source: ADDRESS.forger }), 'UNTRUSTED_SOURCE'),
  passes('forged broadcast', tunnelled(to(BROADCAST), { source: ADDRESS.forger }), 'UNTRUSTED_SOURCE'),
  passes(
    'forged, marked CE',
    tunnelled(to(MAC.guestB), { source: ADDRESS.forger, tos: 3 }),
    'UNTRUSTED_SOURCE',
  ),
  passes(
    'forged, nothing inside',
    tunnelled(new Uint8Array(0), { source: ADDRESS.forger }),
    'UNTRUSTED_SOURCE',
  ),

  // RFC 6040: the kernel merges.
  passes('CE outside', tunnelled(to(MAC.guestB, packet(46, 2)), { tos: 3 }), 'CONGESTION'),
  passes('ECT(1) around ECT(0)', tunnelled(to(MAC.guestB, packet(46, 2)), { tos: 1 }), 'CONGESTION'),

  // What is inside
  passes('nothing inside', tunnelled(new Uint8Array(0)), 'TRUNCATED'),
  passes('13 bytes inside', tunnelled(to(MAC.guestB).subarray(0, 13)), 'TRUNCATED'),
  passes('half an IPv4 header inside', tunnelled(to(MAC.guestB).subarray(0, 24)), 'TRUNCATED'),
  passes('broadcast inside', tunnelled(to(BROADCAST)), 'MULTICAST'),
  passes('from a group inside', from(BROADCAST), 'MULTICAST'),
  passes('from nobody inside', from('000000000000'), 'MULTICAST'),
  delivers('from a station whose MAC ends in zeros inside', from('020000000000')),
  passes('802.1Q inside', tunnelled(to(MAC.guestB, data, ETHERTYPE.vlan)), 'ETHERTYPE'),
  passes('TCP inside', tunnelled(to(MAC.guestB, TCP)), 'TCP'),
  passes(
    'TCP in IPv6 inside',
    tunnelled(to(MAC.guestB, ipv6({ nextHeader: 6 }, tcp(1, 2, data)), ETHERTYPE.ipv6)),
    'TCP',
  ),
  passes('unknown MAC', tunnelled(to(MAC.stranger)), 'UNKNOWN_MAC'),
  passes('a MAC of another network', tunnelled(to(MAC.large)), 'UNKNOWN_MAC'),
  passes('a MAC on another node', tunnelled(to(MAC.moved), { vni: VNI.second }), 'NOT_LOCAL'),
  passes('1501 bytes for a port of 1500', tunnelled(to(MAC.guestB, packet(1501))), 'TOO_BIG'),
];

describe('underlay in TC', () => {
  table('underlay_tc', DEVICES.unknown, [
    ...both,
    delivers('a port that takes nothing from XDP', tunnelled(to(MAC.bare))),
    passes(
      "to another station's MAC",
      tunnelled(to(MAC.guestB), { destinationMac: MAC.stranger }),
      'NOT_VXLAN',
    ),
    passes(
      'forged, to another station: not ours to judge',
      tunnelled(to(MAC.guestB), { destinationMac: MAC.stranger, source: ADDRESS.forger }),
      'NOT_VXLAN',
    ),
    {
      ...passes('merged by GRO', tunnelled(to(MAC.guestB, packet(1400))), 'MERGED'),
      gsoSize: 700,
      gsoSegments: 2,
    },
    {
      ...passes(
        'forged and merged',
        tunnelled(to(MAC.guestB), { source: ADDRESS.forger }),
        'UNTRUSTED_SOURCE',
      ),
      gsoSize: 23,
      gsoSegments: 2,
    },
  ]);
  staysVerifiable('underlay_tc', { instructions: 2600, verified: 100_000 });
});

describe('underlay in XDP', () => {
  table('underlay_xdp', DEVICES.unknown, [
    ...both,
    passes('a port that takes nothing from XDP', tunnelled(to(MAC.bare)), 'NO_XDP'),
    // What XDP is not told: the NIC's filter of MACs decides before it.
    delivers("to another station's MAC", tunnelled(to(MAC.guestB), { destinationMac: MAC.stranger })),
    // Several buffers: a veth into another namespace takes them.
    delivers('8950 bytes', tunnelled(to(MAC.large, packet(8950)), { vni: VNI.largest })),
  ]);
  staysVerifiable('underlay_xdp', { instructions: 4200, verified: 30_000 });
});

describe('underlay on a node without the network', () => {
  table(
    'underlay_tc',
    DEVICES.unknown,
    [
      passes(
        'no member of what is not here',
        tunnelled(to(MAC.guestB), { source: ADDRESS.forger }),
        'UNKNOWN_VNI',
      ),
    ],
    'no networks',
  );
});
