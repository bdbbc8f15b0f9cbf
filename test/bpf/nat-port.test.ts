import { frameOf, type PacketOptions, packetOfTuple, translatedFrameOf } from './flows.ts';
import { concat, ETHERTYPE, ethernet, ipv4, ipv6, tcpPacket, udpPacket } from './frames.ts';
import { type Row, table } from './harness.ts';
import { flowKey } from './maps.ts';
import {
  back,
  C,
  edited,
  ends,
  fromB,
  layer3,
  length,
  out,
  passes,
  payloadFor,
  same,
  summed,
  toRouter,
  UDP_FRAME,
} from './nat-rows.ts';
import { ADDRESS, DEVICES, MAC } from './places.ts';

describe('NAT from a port', () => {
  const sized = (bytes: number): PacketOptions => ({ payload: new Uint8Array(bytes - 28) });
  const rows: Row[] = [
    passes('UDP by the gateway', out('udp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      ports: { 'slot 2 sent UPLINK': [1, length], 'usage 1 sent': [1, layer3] },
      flows: { [`flow ${flowKey(out('udp').key)}`]: [1, layer3] },
    }),
    passes('TCP by the gateway', out('tcp'), 'TO_UPLINK', MAC.guestB, MAC.router),
    passes('TCP with PSH and ACK', out('tcp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      options: { flags: 0x18 },
    }),
    passes('echo request, another identifier outside', out('echo'), 'TO_UPLINK', MAC.guestB, MAC.router),
    passes('TCP from a floating address', out('floatingTcp'), 'TO_UPLINK', MAC.guestA, MAC.router, {
      ifindex: DEVICES.guestA,
    }),
    passes('UDP from a floating address', out('floatingUdp'), 'TO_UPLINK', MAC.guestA, MAC.router, {
      ifindex: DEVICES.guestA,
    }),
    passes('echo from a floating address', out('floatingEcho'), 'TO_UPLINK', MAC.guestA, MAC.router, {
      ifindex: DEVICES.guestA,
    }),
    passes('echo reply from a floating address', out('floatingAsked'), 'TO_UPLINK', MAC.guestA, MAC.router, {
      ifindex: DEVICES.guestA,
    }),
    passes('from a routed address, unchanged', out('routedUdp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      ports: { 'slot 2 sent UPLINK': [1, length] },
    }),
    passes('the same numbers in network 2', out('twinTcp'), 'TO_UPLINK', MAC.guestA, MAC.secondRouter, {
      ifindex: DEVICES.twin,
    }),
    passes('TTL 2, odd length', out('udp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      options: { ttl: 2, payload: new Uint8Array([1, 2, 3, 4, 5, 6, 7]) },
    }),
    passes('TTL 255', out('udp'), 'TO_UPLINK', MAC.guestB, MAC.router, { options: { ttl: 255 } }),
    passes('UDP checksum 0 stays 0', out('udp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      options: { unsummed: true },
    }),
    passes('UDP checksum that becomes 0 is 0xffff', out('udp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      options: { payload: payloadFor(out('udp'), 0xffff, true) },
    }),
    passes('UDP checksum 0xffff', out('udp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      options: { payload: payloadFor(out('udp'), 0xffff, false) },
    }),
    passes('1500 bytes', out('udp'), 'TO_UPLINK', MAC.guestB, MAC.router, { options: sized(1500) }),

    // Hairpin inside the network: to a guest's floating address.
    passes("a neighbour's floating address", out('inside'), 'TO_PORT', MAC.guestB, MAC.router),
    passes('its answer', back('inside'), 'TO_PORT', MAC.guestA, MAC.router, { ifindex: DEVICES.guestA }),
    passes('the answer to another node', back('insideRemote'), 'TO_TUNNEL', MAC.guestA, MAC.router, {
      ifindex: DEVICES.guestA,
    }),
    passes('its own floating address', out('self'), 'TO_PORT', MAC.guestA, MAC.router, {
      ifindex: DEVICES.guestA,
      ports: { 'slot 1 sent PORT': [1, 72], 'slot 1 received': [1, 72] },
    }),
    // Between networks: two routers, so two from the TTL.
    passes('a floating address of network 2', out('between'), 'TO_PORT', MAC.guestB, MAC.router, {
      last: C.between![1]!,
      hops: 2,
      flows: {
        [`flow ${flowKey(C.between![0]!.key)}`]: [1, 58],
        [`flow ${flowKey(C.between![1]!.key)}`]: [1, 58],
      },
    }),
    passes('its answer', C.between![2]!, 'TO_PORT', MAC.guestA, MAC.secondRouter, {
      ifindex: DEVICES.twin,
      last: C.between![3]!,
      hops: 2,
    }),
    toRouter('the turn of both of its flows', fromB(out('dueBetween')), 'REFRESH', {
      flows: {
        [`due ${flowKey(C.dueBetween![0]!.key)}`]: [-1, 0],
        [`due ${flowKey(C.dueBetween![1]!.key)}`]: [-1, 0],
      },
    }),
    // Network 2's router has an uplink of 1400 bytes: so has the way between the two.
    passes('1400 bytes between two routers', C.between![2]!, 'TO_PORT', MAC.guestA, MAC.secondRouter, {
      ifindex: DEVICES.twin,
      last: C.between![3]!,
      hops: 2,
      options: { payload: new Uint8Array(1360) },
    }),
    {
      name: '1401 bytes between two routers',
      frame: frameOf(C.between![2]!, MAC.guestA, MAC.secondRouter, { payload: new Uint8Array(1361) }),
      ifindex: DEVICES.twin,
      reason: 'FLOW_TOO_BIG',
      flows: {},
    },
    passes('the answer to another node', C.betweenRemote![2]!, 'TO_TUNNEL', MAC.guestA, MAC.secondRouter, {
      ifindex: DEVICES.twin,
      last: C.betweenRemote![3]!,
      hops: 2,
    }),
    passes('TTL 3 through two routers', out('between'), 'TO_PORT', MAC.guestB, MAC.router, {
      last: C.between![1]!,
      hops: 2,
      options: { ttl: 3 },
    }),

    // The kernel's: the router gets them as any packet.
    toRouter('another port', fromB({ ...out('udp'), key: back('udp').key }).slice(), 'NO_FLOW', {
      frame: ethernet(
        MAC.router,
        MAC.guestB,
        ETHERTYPE.ipv4,
        ipv4({ ...ends, protocol: 17 }, udpPacket(ends, 5001, 53, new Uint8Array(18))),
      ),
    }),
    toRouter('of a twin in network 2', fromB(out('twinUdp'), { payload: new Uint8Array(20) }), 'TO_UPLINK', {
      // The five numbers are those of network 1's own connection.
      name: "network 2's five numbers: network 1's flow",
      out: same(translatedFrameOf(out('udp'), { payload: new Uint8Array(20) })),
      ports: undefined,
      flows: undefined,
    }),
    toRouter('TTL 1', fromB(out('udp'), { ttl: 1 }), 'TTL'),
    toRouter('TTL 0', fromB(out('udp'), { ttl: 0 }), 'TTL'),
    toRouter('TTL 2 through two routers', fromB(out('between'), { ttl: 2 }), 'TTL'),
    ...[
      ['SYN', 0x02],
      ['SYN and ACK', 0x12],
      ['FIN', 0x11],
      ['RST', 0x04],
      ['RST and ACK', 0x14],
      ['SYN and FIN', 0x03],
    ].map(([name, flags]) =>
      toRouter(`TCP ${name}`, fromB(out('tcp'), { flags: flags as number }), 'TCP_FLAGS'),
    ),
    toRouter('a flow of an older generation', fromB(out('oldGeneration')), 'STALE_FLOW'),
    toRouter('a flow of a newer generation', fromB(out('newerGeneration')), 'STALE_FLOW'),
    toRouter('a flow that the kernel has not seen for long', fromB(out('expired')), 'STALE_FLOW'),
    toRouter("another router's flow", fromB(out('otherRouter')), 'NO_FLOW'),
    toRouter('its turn to be seen by the kernel', fromB(out('due')), 'REFRESH', {
      flows: { [`due ${flowKey(out('due').key)}`]: [-1, 0] },
    }),
    {
      ...passes('the next packet is not', out('due'), 'TO_UPLINK', MAC.guestB, MAC.router),
      flows: { [`flow ${flowKey(out('due').key)}`]: [1, layer3] },
    },
    toRouter('the second router does not know it', fromB(out('halfHairpin')), 'NO_FLOW'),
    toRouter('ICMP unreachable', edited(fromB(out('echo')), 34, 3), 'PROTOCOL'),
    toRouter('ICMP timestamp', edited(fromB(out('echo')), 34, 13), 'PROTOCOL'),
    toRouter(
      'SCTP',
      ethernet(MAC.router, MAC.guestB, ETHERTYPE.ipv4, ipv4({ ...ends, protocol: 132 }, new Uint8Array(30))),
      'PROTOCOL',
    ),
    toRouter(
      'IPv6',
      ethernet(MAC.router, MAC.guestB, ETHERTYPE.ipv6, ipv6({ nextHeader: 17 }, new Uint8Array(30))),
      'PROTOCOL',
    ),
    { name: 'a fragment', frame: summed(edited(UDP_FRAME, 20, 0x20)), reason: 'FRAGMENT', flows: {} },
    {
      name: 'options',
      frame: ethernet(
        MAC.router,
        MAC.guestB,
        ETHERTYPE.ipv4,
        ipv4(
          { ...ends, protocol: 17, options: new Uint8Array(4) },
          udpPacket(ends, 5000, 53, new Uint8Array(8)),
        ),
      ),
      reason: 'IP_OPTIONS',
      flows: {},
    },
    {
      name: "another's address towards the router",
      frame: ethernet(
        MAC.router,
        MAC.guestB,
        ETHERTYPE.ipv4,
        packetOfTuple(17, out('floatingUdp').key.tuple),
      ),
      reason: 'SPOOFED_IPV4',
      flows: {},
    },
  ];
  table('port', DEVICES.guestB, rows);
});

describe('NAT of GSO frames', () => {
  // Two segments of 1460 bytes: the checksum is of the whole frame here, as a test run has no partial ones.
  const payload = new Uint8Array(2920);
  table('port', DEVICES.guestB, [
    passes('TCP segments of 1500 bytes', out('tcp'), 'TO_UPLINK', MAC.guestB, MAC.router, {
      options: { payload },
      gsoSize: 1460,
      gsoSegments: 2,
      flows: { [`flow ${flowKey(out('tcp').key)}`]: [2, 40 + 2920] },
    }),
  ]);
});

describe('routed addresses and the guard', () => {
  const packet = (source: number): Uint8Array =>
    ipv4(
      { source, destination: ADDRESS.guestA, protocol: 6 },
      tcpPacket({ source, destination: ADDRESS.guestA }, 1, 2, concat()),
    );
  const from = (mac: string, source: number): Uint8Array =>
    ethernet(MAC.guestA, mac, ETHERTYPE.ipv4, packet(source));
  table('port', DEVICES.guestB, [
    { name: 'a routed address of the network', frame: from(MAC.guestB, ADDRESS.routed), reason: 'TO_PORT' },
    { name: 'next to it', frame: from(MAC.guestB, ADDRESS.routed + 1), reason: 'SPOOFED_IPV4' },
    {
      name: "another network's",
      frame: ethernet(MAC.guestB, MAC.guestA, ETHERTYPE.ipv4, packet(ADDRESS.routed)),
      ifindex: DEVICES.twin,
      reason: 'SPOOFED_IPV4',
    },
  ]);
});
