/**
 * The networks that the tests of the programs live in: two tenants with the same MACs and addresses (VNI 1 and 2),
 * the largest VNI, a network without members, and addresses that are members of one VNI only.
 */

import { connection, hairpin, NO_ACCOUNT, neighbours, type Party, type RouterEnds } from './flows.ts';
import { ipv4Address, type TunnelFields } from './frames.ts';
import {
  type FdbEntry,
  type Flow,
  fdbKey,
  flowKey,
  type Maps,
  memberKey,
  type Nexthop,
  type Port,
} from './maps.ts';

/** Devices that the child process creates, in this order; their ifindexes are DEVICE_BASE, DEVICE_BASE + 1, … */
export const DEVICE_BASE = 100;
const device = (order: number): number => DEVICE_BASE + order;
export const DEVICES = {
  guestA: device(0),
  guestB: device(1),
  router: device(2),
  /** An interface without an IPv4 address. */
  bare: device(3),
  /** Of VNI 2, with guestA's MAC and address. */
  twin: device(4),
  /** Of VNI 0xffffff; the only one with a large MTU. */
  large: device(5),
  vxlan1: device(6),
  vxlan2: device(7),
  vxlanLarge: device(8),
  /** In no map; where tunnel packets come in, with the underlay's MAC. */
  unknown: device(9),
  /** Where the network node reaches the outside; network 2 does through a bridge. */
  uplink: device(10),
  bridge: device(11),
  /** Routers of VNI 2 and 0xffffff. */
  secondRouter: device(12),
  largeRouter: device(13),
} as const;

export const VNI = { first: 1, second: 2, lonely: 3, foreign: 4, largest: 0xffffff, unknown: 9 } as const;

/** 12 hexadecimal digits each; all unicast and locally administered. */
export const MAC = {
  guestA: '02000000000a',
  guestB: '02000000000b',
  router: '0200000000fe',
  bare: '02000000000c',
  large: '02000000000d',
  remote: '020000000101',
  /** Local in VNI 1, remote in VNI 2. */
  moved: '020000000102',
  /** On a node whose next hop is not resolved. */
  unresolved: '020000000103',
  remoteLarge: '020000000104',
  /** On a node that the underlay reaches with a small MTU only. */
  narrow: '020000000105',
  /** In the FDB of no network. */
  stranger: '0200000000ff',
  underlay: '0a0000000001',
  nextHop: '0a0000000002',
  secondRouter: '0200000000fd',
  largeRouter: '0200000000fc',
  /** Those routers' outer ends. */
  outside: '0600000000fe',
  secondOutside: '0600000000fd',
  largeOutside: '0600000000fc',
  /** The egress bridge itself. */
  bridge: '0a00000000bb',
  /** The router of the outside. */
  beyond: '0a00000000cc',
} as const;

export const ADDRESS = {
  guestA: ipv4Address('10.0.0.10'),
  guestB: ipv4Address('10.0.0.11'),
  large: ipv4Address('10.0.0.13'),
  other: ipv4Address('10.0.0.99'),
  underlay: ipv4Address('10.2.1.11'),
  /** Member of VNI 1, 2 and 0xffffff. */
  peer: ipv4Address('10.2.1.12'),
  /** Member of VNI 1 only; its next hop is not resolved. */
  half: ipv4Address('10.2.1.13'),
  /** Member of VNI 2 only. */
  otherTenant: ipv4Address('10.2.1.14'),
  /** Member of nothing; known as a next hop with a small MTU. */
  narrow: ipv4Address('10.2.1.15'),
  /** Member of nothing. */
  forger: ipv4Address('10.2.1.99'),
  /** A guest on another node. */
  remote: ipv4Address('10.0.0.20'),
  server: ipv4Address('198.51.100.1'),
  gateway: ipv4Address('10.10.0.2'),
  secondGateway: ipv4Address('10.10.0.3'),
  largeGateway: ipv4Address('10.10.0.4'),
  /** Floating addresses: of guestA, of the guest on another node, and of guestA's twin in VNI 2. */
  floating: ipv4Address('10.10.0.50'),
  remoteFloating: ipv4Address('10.10.0.51'),
  twinFloating: ipv4Address('10.10.0.60'),
  /** Routed to VNI 1. */
  routed: ipv4Address('10.10.0.70'),
} as const;

/** Outer headers of a tunnel packet from a member of the first network. */
export const FROM_PEER: TunnelFields = {
  destinationMac: MAC.underlay,
  sourceMac: MAC.nextHop,
  source: ADDRESS.peer,
  destination: ADDRESS.underlay,
  port: 4789,
  sourcePort: 50000,
  vni: VNI.first,
  tos: 0,
  id: 7,
};

/** Slots of port_counters. */
export const SLOTS = 12;

function port(vni: number, slot: number, mac: string, ipv4: number, mtu = 1500): Port {
  return { vni, slot, ipv4, mtu, router: false, mac };
}

function local(
  ifindex: number,
  slot: number,
  flags: { peer?: boolean; xdp?: boolean; router?: boolean },
  mtu = 1500,
): FdbEntry {
  return { ifindex, remote: 0, slot, mtu, peer: false, xdp: false, ...flags };
}

function remote(address: number, mtu = 1500): FdbEntry {
  return { ifindex: 0, remote: address, slot: 0, mtu, peer: false, xdp: false };
}

const nexthop = (mtu: number): Nexthop => ({
  ifindex: DEVICES.unknown,
  mtu,
  destination: MAC.nextHop,
  source: MAC.underlay,
});

/** Of network 1's router. */
const GENERATION = 7;

const ROUTERS = {
  first: {
    vni: VNI.first,
    generation: GENERATION,
    gateway: ADDRESS.gateway,
    inside: MAC.router,
    outside: MAC.outside,
    beyond: MAC.beyond,
  },
  second: {
    vni: VNI.second,
    generation: 1,
    gateway: ADDRESS.secondGateway,
    inside: MAC.secondRouter,
    outside: MAC.secondOutside,
    beyond: MAC.beyond,
  },
  third: {
    vni: VNI.largest,
    generation: 2,
    gateway: ADDRESS.largeGateway,
    inside: MAC.largeRouter,
    outside: MAC.largeOutside,
    beyond: MAC.beyond,
  },
} satisfies Record<string, RouterEnds>;

const PARTIES = {
  guestA: { vni: VNI.first, mac: MAC.guestA, address: ADDRESS.guestA, account: 0 },
  guestB: { vni: VNI.first, mac: MAC.guestB, address: ADDRESS.guestB, account: 1 },
  remote: { vni: VNI.first, mac: MAC.remote, address: ADDRESS.remote, account: 2 },
  /** Has no account. */
  routed: { vni: VNI.first, mac: MAC.guestB, address: ADDRESS.routed, account: NO_ACCOUNT },
  twin: { vni: VNI.second, mac: MAC.guestA, address: ADDRESS.guestA, account: 3 },
  twinB: { vni: VNI.second, mac: MAC.guestB, address: ADDRESS.guestB, account: NO_ACCOUNT },
  large: { vni: VNI.largest, mac: MAC.large, address: ADDRESS.large, account: NO_ACCOUNT },
  largeRemote: { vni: VNI.largest, mac: MAC.remoteLarge, address: ADDRESS.remote, account: NO_ACCOUNT },
} satisfies Record<string, Party>;

const [TCP, UDP, ICMP] = [6, 17, 1];

/** What the kernel is said to have decided: connections by name, each with the flows of both directions. */
export function connections(): Record<string, Flow[]> {
  const { guestA, guestB, remote, routed, twin, twinB, large, largeRemote } = PARTIES;
  const [first, second, third] = [ROUTERS.first, ROUTERS.second, ROUTERS.third];
  const server = { address: ADDRESS.server, port: 53 };
  const web = { address: ADDRESS.server, port: 443 };
  const by = (router: RouterEnds, party: Party, port: number, out: number, protocol = UDP) =>
    connection(router, party, port, { address: router.gateway, port: out }, server, protocol);
  const floats = (address: number, party: Party, port: number, protocol = TCP) =>
    connection(first, party, port, { address, port }, web, protocol);
  const with_ = (flows: Flow[], change: Partial<Flow>): Flow[] =>
    flows.map((flow) => ({ ...flow, ...change }));
  return {
    udp: by(first, guestB, 5000, 40000),
    tcp: by(first, guestB, 5000, 40000, TCP),
    echo: by(first, guestB, 77, 1025, ICMP),
    // The same five numbers as in network 1, and another port outside.
    twinUdp: by(second, twinB, 5000, 40000),
    twinTcp: by(second, twin, 5000, 40001, TCP),
    remoteUdp: by(first, remote, 5000, 40002),
    remoteTcp: by(first, remote, 5000, 40002, TCP),
    remoteEcho: by(first, remote, 77, 77, ICMP),
    floatingTcp: floats(ADDRESS.floating, guestA, 22),
    floatingUdp: floats(ADDRESS.floating, guestA, 123, UDP),
    floatingEcho: connection(first, guestA, 9, { address: ADDRESS.floating, port: 9 }, server, ICMP),
    // Of a server that asks: the types are the other way round.
    floatingAsked: connection(first, guestA, 10, { address: ADDRESS.floating, port: 10 }, server, ICMP, true),
    remoteFloatingUdp: floats(ADDRESS.remoteFloating, remote, 123, UDP),
    routedUdp: connection(first, routed, 5001, { address: ADDRESS.routed, port: 5001 }, server, UDP),
    // guestB → guestA by its floating address, and the guest on another node → guestA.
    inside: neighbours(first, guestB, 6000, { address: first.gateway, port: 40010 }, guestA, {
      address: ADDRESS.floating,
      port: 80,
    }),
    insideRemote: neighbours(first, remote, 6000, { address: ADDRESS.remoteFloating, port: 6000 }, guestA, {
      address: ADDRESS.floating,
      port: 80,
    }),
    // Networks 1 and 2: a guest of this node, and one on another.
    between: hairpin(first, guestB, 7000, { address: first.gateway, port: 40020 }, second, twin, {
      address: ADDRESS.twinFloating,
      port: 80,
    }),
    betweenRemote: hairpin(first, remote, 7000, { address: first.gateway, port: 40021 }, second, twin, {
      address: ADDRESS.twinFloating,
      port: 80,
    }),
    // An instance that calls its own floating address: back to the very port, or node, that it came from.
    self: neighbours(first, guestA, 6100, { address: ADDRESS.floating, port: 6100 }, guestA, {
      address: ADDRESS.floating,
      port: 90,
    }),
    selfRemote: neighbours(
      first,
      remote,
      6100,
      { address: ADDRESS.remoteFloating, port: 6100 },
      remote,
      { address: ADDRESS.remoteFloating, port: 90 },
      UDP,
    ),
    insideUdp: neighbours(
      first,
      remote,
      6101,
      { address: ADDRESS.remoteFloating, port: 6101 },
      guestA,
      { address: ADDRESS.floating, port: 91 },
      UDP,
    ),
    // From one node by this one to another: out of a tunnel and into one, of another network.
    betweenNodes: hairpin(
      first,
      remote,
      7100,
      { address: ADDRESS.remoteFloating, port: 7100 },
      second,
      twinB,
      { address: ADDRESS.twinFloating, port: 92 },
      UDP,
    ),
    largeUdp: by(third, large, 5000, 40000),
    largeRemoteUdp: by(third, largeRemote, 5000, 40001),
    due: with_(by(first, guestB, 5100, 40100), { due: true }),
    dueRemote: with_(by(first, remote, 5100, 40102), { due: true }),
    dueLarge: with_(by(third, largeRemote, 5100, 40100), { due: true }),
    dueTwin: with_(by(second, twin, 5100, 40100), { due: true }),
    expired: with_(by(first, guestB, 5101, 40101), { expired: true }),
    oldGeneration: with_(by(first, guestB, 5102, 40103), { generation: GENERATION - 1 }),
    newerGeneration: with_(by(first, guestB, 5103, 40104), { generation: GENERATION + 1 }),
    // Of a network whose router is not on this node any more.
    noRouter: by({ ...first, vni: VNI.foreign }, { ...remote, vni: VNI.foreign }, 5104, 40105),
    otherRouter: with_(by(first, guestB, 5112, 40113), { vni: VNI.second }),
    // The second half of this one's way is missing.
    halfHairpin: hairpin(first, guestB, 7001, { address: first.gateway, port: 40022 }, second, twin, {
      address: ADDRESS.twinFloating,
      port: 81,
    }).slice(0, 1),
    unknownMac: with_(by(first, guestB, 5105, 40106), { destinationMac: MAC.stranger }),
    unresolved: with_(by(first, guestB, 5106, 40107), { destinationMac: MAC.unresolved }),
    narrow: with_(by(first, guestB, 5107, 40108), { destinationMac: MAC.narrow }),
    bare: with_(by(first, guestB, 5108, 40109), { destinationMac: MAC.bare }),
    // Hairpin that leads to no gateway, to a router's inside, and to the node.
    nowhere: with_(by(first, guestB, 5109, 40110), { outside: false, hairpin: true }),
    toInside: with_(by(first, guestB, 5110, 40111), {
      outside: false,
      hairpin: true,
      destinationMac: MAC.router,
    }),
    toNode: with_(by(first, guestB, 5111, 40112), {
      outside: false,
      hairpin: true,
      destinationMac: MAC.bridge,
    }),
  };
}

export function world(): Maps {
  const { first, second, largest } = VNI;
  return {
    vxlanPort: 4789,
    underlayAddress: ADDRESS.underlay,
    underlayMac: MAC.underlay,
    ports: new Map([
      [DEVICES.guestA, port(first, 1, MAC.guestA, ADDRESS.guestA)],
      [DEVICES.guestB, port(first, 2, MAC.guestB, ADDRESS.guestB)],
      [DEVICES.router, { ...port(first, 3, MAC.router, ipv4Address('10.0.0.1')), router: true }],
      [DEVICES.secondRouter, { ...port(second, 7, MAC.secondRouter, ipv4Address('10.0.0.1')), router: true }],
      [DEVICES.bare, port(first, 4, MAC.bare, 0)],
      [DEVICES.twin, port(second, 5, MAC.guestA, ADDRESS.guestA)],
      [DEVICES.large, port(largest, 6, MAC.large, ADDRESS.large, 8950)],
    ]),
    fdb: new Map([
      [fdbKey(first, MAC.guestA), local(DEVICES.guestA, 1, { peer: true, xdp: true })],
      [fdbKey(first, MAC.guestB), local(DEVICES.guestB, 2, { xdp: true })],
      [fdbKey(first, MAC.router), local(DEVICES.router, 3, { peer: true, router: true })],
      [fdbKey(first, MAC.bare), local(DEVICES.bare, 4, {})],
      [fdbKey(first, MAC.remote), remote(ADDRESS.peer)],
      [fdbKey(first, MAC.moved), local(DEVICES.guestB, 2, { xdp: true })],
      [fdbKey(first, MAC.unresolved), remote(ADDRESS.half)],
      [fdbKey(first, MAC.narrow), remote(ADDRESS.narrow)],
      [fdbKey(second, MAC.guestA), local(DEVICES.twin, 5, { xdp: true })],
      [fdbKey(second, MAC.guestB), remote(ADDRESS.peer)],
      [fdbKey(second, MAC.moved), remote(ADDRESS.peer)],
      [
        fdbKey(second, MAC.secondRouter),
        local(DEVICES.secondRouter, 7, { peer: true, xdp: true, router: true }),
      ],
      [
        fdbKey(largest, MAC.largeRouter),
        local(DEVICES.largeRouter, 8, { peer: true, xdp: true, router: true }, 8950),
      ],
      // Of a network whose router is no longer known.
      [fdbKey(VNI.foreign, MAC.router), local(DEVICES.router, 9, { peer: true, xdp: true, router: true })],
      [fdbKey(largest, MAC.large), local(DEVICES.large, 6, { peer: true, xdp: true }, 8950)],
      [fdbKey(largest, MAC.remoteLarge), remote(ADDRESS.peer, 8950)],
      [fdbKey(largest, MAC.guestA), remote(ADDRESS.peer, 8950)],
    ]),
    networks: new Map([
      [first, { vxlanIfindex: DEVICES.vxlan1, mtu: 1500 }],
      [second, { vxlanIfindex: DEVICES.vxlan2, mtu: 1500 }],
      [largest, { vxlanIfindex: DEVICES.vxlanLarge, mtu: 8950 }],
      [VNI.lonely, { vxlanIfindex: 0, mtu: 1500 }],
    ]),
    tunnels: new Map([
      [DEVICES.vxlan1, first],
      [DEVICES.vxlan2, second],
      [DEVICES.vxlanLarge, largest],
    ]),
    members: new Set([
      memberKey(first, ADDRESS.peer),
      memberKey(first, ADDRESS.half),
      memberKey(second, ADDRESS.peer),
      memberKey(second, ADDRESS.otherTenant),
      memberKey(largest, ADDRESS.peer),
      memberKey(VNI.foreign, ADDRESS.peer),
    ]),
    routed: new Set([memberKey(first, ADDRESS.routed)]),
    routers: new Map([
      [first, { generation: GENERATION, egress: DEVICES.uplink, mtu: 1500, xdp: true, underlayXdp: true }],
      [second, { generation: 1, egress: DEVICES.bridge, mtu: 1500, xdp: false, underlayXdp: true }],
      [largest, { generation: 2, egress: DEVICES.uplink, mtu: 1500, xdp: true, underlayXdp: false }],
    ]),
    gateways: new Map([
      [MAC.router, { vni: first, side: 'inside' }],
      [MAC.outside, { vni: first, side: 'outside' }],
      [MAC.secondRouter, { vni: second, side: 'inside' }],
      [MAC.secondOutside, { vni: second, side: 'outside' }],
      [MAC.largeRouter, { vni: largest, side: 'inside' }],
      [MAC.largeOutside, { vni: largest, side: 'outside' }],
      [MAC.bridge, { vni: 0, side: 'node' }],
    ]),
    accounts: new Map([
      [memberKey(first, ADDRESS.guestA), 0],
      [memberKey(first, ADDRESS.guestB), 1],
      [memberKey(first, ADDRESS.remote), 2],
      [memberKey(second, ADDRESS.guestA), 3],
    ]),
    flows: new Map(Object.values(connections()).flatMap((flows) => flows.map((f) => [flowKey(f.key), f]))),
    nexthops: new Map([
      [ADDRESS.peer, nexthop(9000)],
      [ADDRESS.narrow, nexthop(170)],
    ]),
  };
}
