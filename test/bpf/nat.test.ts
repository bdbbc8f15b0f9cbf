import assert from 'node:assert/strict';
import { frameOf, type PacketOptions, packetOfTuple, translatedFrameOf } from './flows.ts';
import {
  concat,
  ETHERTYPE,
  encapsulate,
  ethernet,
  ipv4,
  ipv6,
  set16,
  tcpPacket,
  toHex,
  udpPacket,
} from './frames.ts';
import { type Row, staysVerifiable, table } from './harness.ts';
import { type Flow, flowKey } from './maps.ts';
import type { Reason } from './model.ts';
import { ADDRESS, connections, DEVICES, FROM_PEER, MAC, VNI } from './world.ts';

/**
 * What comes out is compared with packets built anew, whose checksums are computed over all of their bytes: not with
 * the model, which edits them.
 */
const C = connections();
const out = (name: string): Flow => C[name]![0]!;
const back = (name: string): Flow => C[name]![1]!;

const same =
  (expected: Uint8Array): Row['out'] =>
  (got) =>
    assert.equal(toHex(got), toHex(expected));

/** Behind the outer headers, towards another node, of this VNI. */
const tunnelled =
  (expected: Uint8Array, vni: number): Row['out'] =>
  (got) => {
    assert.equal(toHex(got.subarray(0, 12)), MAC.nextHop + MAC.underlay);
    assert.equal(toHex(got.subarray(46, 50)), `${vni.toString(16).padStart(6, '0')}00`);
    assert.equal(toHex(got.subarray(50)), toHex(expected));
  };

/** A packet of the flow, from the guest or from outside, and the one that must come out. */
function passes(
  name: string,
  flow: Flow,
  reason: Reason,
  source: string,
  router: string,
  rest: Partial<Row> & { options?: PacketOptions; hops?: number; last?: Flow } = {},
): Row {
  const { options, hops, last, ...row } = rest;
  const result = translatedFrameOf(last ?? flow, options, hops);
  const where = reason === 'TO_TUNNEL' ? tunnelled(result, (last ?? flow).vni) : same(result);
  return { name, frame: frameOf(flow, source, router, options), reason, out: where, ...row };
}

/** To the router of network 1, from guestB. */
const fromB = (flow: Flow, options?: PacketOptions): Uint8Array =>
  frameOf(flow, MAC.guestB, MAC.router, options);

const UDP_FRAME = fromB(out('udp'));
const length = UDP_FRAME.length;
/** What flows and interfaces count. */
const layer3 = length - 14;

function edited(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const f = frame.slice();
  f.set(bytes, at);
  return f;
}

/** With the IPv4 checksum put right after an edit of its header. */
function summed(frame: Uint8Array): Uint8Array {
  const f = frame.slice();
  set16(f, 24, 0);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += (f[at]! << 8) | f[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  set16(f, 24, ~sum & 0xffff);
  return f;
}

/** Payload with which the flow's checksum becomes `value` before or, with `after`, behind the router. */
function payloadFor(flow: Flow, value: number, after: boolean): Uint8Array {
  const payload = new Uint8Array(18);
  for (let filler = 0; filler < 0x10000; filler++) {
    set16(payload, 0, filler);
    const tuple = after ? flow.tuple : flow.key.tuple;
    const packet = packetOfTuple(17, tuple, { payload });
    if (((packet[26]! << 8) | packet[27]!) === value) return payload.slice();
  }
  throw new Error('no such payload');
}

/** To the router's own veth, as it came. */
const toRouter = (name: string, frame: Uint8Array, reason: Reason, rest: Partial<Row> = {}): Row => ({
  name,
  frame,
  reason,
  flows: {},
  ports: { 'slot 2 sent ROUTER': [1, frame.length], 'slot 3 received': [1, frame.length] },
  ...rest,
});

const guestB = { address: ADDRESS.guestB, server: ADDRESS.server };
const ends = { source: guestB.address, destination: guestB.server };

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

describe('NAT from the outside', () => {
  const to = (flow: Flow, router: string = MAC.outside, options?: PacketOptions): Uint8Array =>
    frameOf(flow, MAC.beyond, router, options);
  const answer = (name: string, flow: string, reason: Reason, rest: Parameters<typeof passes>[5] = {}): Row =>
    passes(name, back(flow), reason, MAC.beyond, MAC.outside, rest);
  const kernels = (name: string, frame: Uint8Array, reason: Reason, rest: Partial<Row> = {}): Row => ({
    name,
    frame,
    reason,
    ports: {},
    flows: {},
    ...rest,
  });
  const rows: Row[] = [
    answer('UDP to a guest of this node', 'udp', 'TO_PORT', {
      ports: { 'slot 2 received': [1, length], 'usage 1 received': [1, layer3] },
      flows: { [`flow ${flowKey(back('udp').key)}`]: [1, layer3] },
    }),
    answer('echo reply', 'echo', 'TO_PORT'),
    answer('UDP to a floating address', 'floatingUdp', 'TO_PORT'),
    answer('echo reply to a floating address', 'floatingEcho', 'TO_PORT'),
    answer('echo request to a floating address', 'floatingAsked', 'TO_PORT'),
    answer('to a routed address', 'routedUdp', 'TO_PORT'),
    answer('UDP to another node', 'remoteUdp', 'TO_TUNNEL', { ports: { 'usage 2 received': [1, layer3] } }),
    answer('echo reply to another node', 'remoteEcho', 'TO_TUNNEL'),
    answer('UDP to a floating address on another node', 'remoteFloatingUdp', 'TO_TUNNEL'),
    answer('UDP checksum 0 stays 0', 'udp', 'TO_PORT', { options: { unsummed: true } }),
    answer('UDP checksum that becomes 0 is 0xffff', 'udp', 'TO_PORT', {
      options: { payload: payloadFor(back('udp'), 0xffff, true) },
    }),
    passes("network 2's answer", back('twinUdp'), 'TO_TUNNEL', MAC.beyond, MAC.secondOutside),

    kernels("another router's", to(back('otherRouter')), 'NO_FLOW'),
    kernels(
      'unsolicited UDP',
      ethernet(
        MAC.outside,
        MAC.beyond,
        ETHERTYPE.ipv4,
        packetOfTuple(17, { ...back('udp').key.tuple, destinationPort: 40999 }),
      ),
      'NO_FLOW',
    ),
    kernels('an answer of network 1, to the MAC of network 2', to(back('udp'), MAC.secondOutside), 'NO_FLOW'),
    kernels("to the inside MAC of a router: nobody's out here", to(back('udp'), MAC.router), 'UNKNOWN_MAC'),
    kernels('to the node itself', to(back('udp'), MAC.bridge), 'UNKNOWN_MAC'),
    kernels('to a stranger', to(back('udp'), MAC.stranger), 'UNKNOWN_MAC'),
    kernels('broadcast', to(back('udp'), 'ffffffffffff'), 'UNKNOWN_MAC'),
    kernels('TTL 1', to(back('udp'), MAC.outside, { ttl: 1 }), 'TTL'),
    kernels('older generation', to(back('oldGeneration')), 'STALE_FLOW'),
    kernels('expired', to(back('expired')), 'STALE_FLOW'),
    kernels('to a MAC that no one has', to(back('unknownMac')), 'FLOW_UNREACHABLE'),
    kernels('to a node whose next hop is not resolved', to(back('unresolved')), 'FLOW_UNREACHABLE'),
    kernels('a bad IPv4 checksum', edited(to(back('udp')), 24, to(back('udp'))[24]! ^ 1), 'IP_MALFORMED'),
    kernels(
      'half a UDP header',
      ethernet(
        MAC.outside,
        MAC.beyond,
        ETHERTYPE.ipv4,
        ipv4({ source: ADDRESS.server, destination: ADDRESS.gateway, protocol: 17 }, new Uint8Array(7)),
      ),
      'PROTOCOL',
    ),
    kernels('a fragment', summed(edited(to(back('udp')), 20, 0x20)), 'FRAGMENT'),
    kernels('1501 bytes', to(back('udp'), MAC.outside, { payload: new Uint8Array(1473) }), 'FLOW_TOO_BIG'),
  ];
  const tcOnly: Row[] = [
    answer('TCP', 'tcp', 'TO_PORT'),
    answer('TCP to a floating address', 'floatingTcp', 'TO_PORT'),
    answer('TCP to another node', 'remoteTcp', 'TO_TUNNEL', { options: { tos: 0xba, id: 4711 } }),
    passes("network 2's answer to its port", back('twinTcp'), 'TO_PORT', MAC.beyond, MAC.secondOutside),
    kernels('SYN', to(back('floatingTcp'), MAC.outside, { flags: 2 }), 'TCP_FLAGS'),
    kernels('RST', to(back('tcp'), MAC.outside, { flags: 4 }), 'TCP_FLAGS'),
    kernels('its turn', to(back('due')), 'REFRESH', {
      flows: { [`due ${flowKey(back('due').key)}`]: [-1, 0] },
    }),
    answer('the next one is not', 'due', 'TO_PORT'),
    answer('to a port that takes nothing from XDP', 'bare', 'TO_PORT'),
  ];
  const xdpOnly: Row[] = [
    kernels('GRO comes first', to(back('tcp')), 'TCP'),
    // Twice: the turn is for TC to take, which comes next.
    kernels('its turn', to(back('due')), 'REFRESH'),
    kernels('its turn still', to(back('due')), 'REFRESH'),
    kernels('to a port that takes nothing from XDP', to(back('bare')), 'FLOW_UNREACHABLE'),
    kernels(
      'from an underlay that takes nothing from XDP',
      to(back('largeRemoteUdp'), MAC.largeOutside),
      'FLOW_UNREACHABLE',
    ),
  ];
  describe('uplink_tc', () => {
    table('uplink_tc', DEVICES.uplink, [...rows, ...tcOnly]);
    staysVerifiable('uplink_tc', { instructions: 2200, verified: 250_000 });
  });
  describe('uplink_xdp', () => {
    table('uplink_xdp', DEVICES.uplink, [...rows, ...xdpOnly]);
    staysVerifiable('uplink_xdp', { instructions: 2200, verified: 20_000 });
  });
});

describe('NAT from the tunnel', () => {
  const wrap = (frame: Uint8Array, vni: number = VNI.first): Uint8Array =>
    encapsulate(frame, { ...FROM_PEER, vni });
  const through = (row: Row, vni?: number): Row => ({ ...row, frame: wrap(row.frame, vni) });
  const sent = (name: string, flow: Flow, reason: Reason, rest: Parameters<typeof passes>[5] = {}): Row =>
    through(passes(name, flow, reason, MAC.remote, MAC.router, rest));
  const both: Row[] = [
    sent('UDP by the gateway', out('remoteUdp'), 'TO_UPLINK', {
      ports: { 'usage 2 sent': [1, layer3] },
      flows: { [`flow ${flowKey(out('remoteUdp').key)}`]: [1, layer3] },
    }),
    sent('echo request', out('remoteEcho'), 'TO_UPLINK'),
    sent('UDP from a floating address', out('remoteFloatingUdp'), 'TO_UPLINK'),
    sent('UDP checksum 0 stays 0', out('remoteUdp'), 'TO_UPLINK', { options: { unsummed: true } }),
    sent('UDP checksum that becomes 0 is 0xffff', out('remoteUdp'), 'TO_UPLINK', {
      options: { payload: payloadFor(out('remoteUdp'), 0xffff, true) },
    }),
    sent("UDP to a neighbour's floating address", out('insideUdp'), 'TO_PORT'),
    sent('UDP to its own floating address', out('selfRemote'), 'TO_TUNNEL'),
    sent('UDP to a floating address of network 2, on another node', out('betweenNodes'), 'TO_TUNNEL', {
      last: C.betweenNodes![1]!,
      hops: 2,
      options: { tos: 0xb8, id: 77 },
    }),
    {
      name: 'TCP: the kernel merges it first',
      frame: wrap(frameOf(out('remoteTcp'), MAC.remote, MAC.router)),
      reason: 'TCP',
      flows: {},
    },
    {
      ...through(
        passes(
          '1501 bytes to an uplink of 1500',
          out('largeRemoteUdp'),
          'TO_UPLINK',
          MAC.remoteLarge,
          MAC.largeRouter,
          { options: { payload: new Uint8Array(1473) } },
        ),
        VNI.largest,
      ),
      reason: 'FLOW_TOO_BIG',
      out: (got, frame) => assert.equal(toHex(got), toHex(frame.subarray(50))),
    },
    through(
      passes(
        '1500 bytes to an uplink of 1500',
        out('largeRemoteUdp'),
        'TO_UPLINK',
        MAC.remoteLarge,
        MAC.largeRouter,
        {
          options: { payload: new Uint8Array(1472) },
        },
      ),
      VNI.largest,
    ),
  ];
  /** Out of the tunnel and to the router's own veth. */
  const toRouterUnpacked = (name: string, flow: Flow, reason: Reason, options?: PacketOptions): Row => {
    const frame = frameOf(flow, MAC.remote, MAC.router, options);
    return {
      name,
      frame: wrap(frame),
      reason,
      out: same(frame),
      ports: { 'slot 3 received': [1, frame.length + 50] },
    };
  };
  describe('underlay_tc', () => {
    table('underlay_tc', DEVICES.unknown, [
      ...both,
      toRouterUnpacked(
        'no flow',
        {
          ...out('remoteUdp'),
          key: { ...out('remoteUdp').key, tuple: { ...out('remoteUdp').key.tuple, sourcePort: 9 } },
        },
        'NO_FLOW',
      ),
      toRouterUnpacked('TTL 1', out('remoteUdp'), 'TTL', { ttl: 1 }),
      toRouterUnpacked('its turn', out('dueRemote'), 'REFRESH'),
      sent('the next one is not', out('dueRemote'), 'TO_UPLINK'),
    ]);
  });
  describe('underlay_xdp', () => {
    table('underlay_xdp', DEVICES.unknown, [
      ...both,
      {
        name: 'no flow, and a router that takes nothing from XDP',
        frame: wrap(frameOf({ ...out('remoteUdp'), key: back('remoteUdp').key }, MAC.remote, MAC.router)),
        reason: 'NO_XDP',
      },
      through(
        {
          ...toRouterUnpacked('its turn', out('dueLarge'), 'REFRESH'),
          frame: frameOf(out('dueLarge'), MAC.remoteLarge, MAC.largeRouter),
          out: same(frameOf(out('dueLarge'), MAC.remoteLarge, MAC.largeRouter)),
          ports: undefined,
          flows: { [`due ${flowKey(out('dueLarge').key)}`]: [-1, 0] },
        },
        VNI.largest,
      ),
      {
        name: 'an egress bridge that takes nothing from XDP',
        frame: wrap(frameOf(out('twinUdp'), MAC.guestB, MAC.secondRouter), VNI.second),
        reason: 'FLOW_UNREACHABLE',
        out: (got, frame) => assert.equal(toHex(got), toHex(frame.subarray(50))),
      },
    ]);
  });
  describe('tunnel', () => {
    table('tunnel', DEVICES.vxlan1, [
      passes('TCP by the gateway', out('remoteTcp'), 'TO_UPLINK', MAC.remote, MAC.router),
      passes("TCP to a neighbour's floating address", out('insideRemote'), 'TO_PORT', MAC.remote, MAC.router),
      passes(
        'TCP to a floating address of network 2',
        out('betweenRemote'),
        'TO_PORT',
        MAC.remote,
        MAC.router,
        {
          last: C.betweenRemote![1]!,
          hops: 2,
        },
      ),
      toRouter('FIN', frameOf(out('remoteTcp'), MAC.remote, MAC.router, { flags: 0x11 }), 'TCP_FLAGS', {
        ports: { 'slot 3 received': [1, frameOf(out('remoteTcp'), MAC.remote, MAC.router).length] },
      }),
    ]);
  });
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
