/** Who is who in the test world of world.ts: devices, networks, MACs, addresses. */
import { ipv4Address, type TunnelFields } from './frames.ts';

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
