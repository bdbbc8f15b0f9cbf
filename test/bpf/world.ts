/**
 * The networks that the tests of the programs live in: two tenants with the same MACs and addresses (VNI 1 and 2),
 * the largest VNI, a network without members, and addresses that are members of one VNI only.
 */
import { ipv4Address, type TunnelFields } from './frames.ts';
import { type FdbEntry, fdbKey, type Maps, memberKey, type Nexthop, type Port } from './model.ts';

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
export const SLOTS = 8;

function port(vni: number, slot: number, mac: string, ipv4: number, mtu = 1500): Port {
  return { vni, slot, ipv4, mtu, router: false, mac };
}

function local(
  ifindex: number,
  slot: number,
  flags: { peer?: boolean; xdp?: boolean },
  mtu = 1500,
): FdbEntry {
  return { ifindex, remote: 0, slot, mtu, peer: flags.peer ?? false, xdp: flags.xdp ?? false };
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
      [DEVICES.bare, port(first, 4, MAC.bare, 0)],
      [DEVICES.twin, port(second, 5, MAC.guestA, ADDRESS.guestA)],
      [DEVICES.large, port(largest, 6, MAC.large, ADDRESS.large, 8950)],
    ]),
    fdb: new Map([
      [fdbKey(first, MAC.guestA), local(DEVICES.guestA, 1, { peer: true, xdp: true })],
      [fdbKey(first, MAC.guestB), local(DEVICES.guestB, 2, { xdp: true })],
      [fdbKey(first, MAC.router), local(DEVICES.router, 3, { peer: true })],
      [fdbKey(first, MAC.bare), local(DEVICES.bare, 4, {})],
      [fdbKey(first, MAC.remote), remote(ADDRESS.peer)],
      [fdbKey(first, MAC.moved), local(DEVICES.guestB, 2, { xdp: true })],
      [fdbKey(first, MAC.unresolved), remote(ADDRESS.half)],
      [fdbKey(first, MAC.narrow), remote(ADDRESS.narrow)],
      [fdbKey(second, MAC.guestA), local(DEVICES.twin, 5, { xdp: true })],
      [fdbKey(second, MAC.guestB), remote(ADDRESS.peer)],
      [fdbKey(second, MAC.moved), remote(ADDRESS.peer)],
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
    nexthops: new Map([
      [ADDRESS.peer, nexthop(9000)],
      [ADDRESS.narrow, nexthop(170)],
    ]),
  };
}
