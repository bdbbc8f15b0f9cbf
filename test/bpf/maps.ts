/** What the maps of bpf/maps.h hold, as the tests of the programs write and the model reads it. */

export interface Port {
  vni: number;
  slot: number;
  ipv4: number;
  mtu: number;
  router: boolean;
  mac: string;
}

export interface FdbEntry {
  /** Local port; 0: on another node. */
  ifindex: number;
  remote: number;
  slot: number;
  mtu: number;
  peer: boolean;
  xdp: boolean;
  /** The router's veth: what goes there may be a flow. */
  router?: boolean;
}

export interface Nexthop {
  ifindex: number;
  mtu: number;
  destination: string;
  source: string;
}

export interface Router {
  generation: number;
  /** Device that what goes outside leaves by. */
  egress: number;
  mtu: number;
  /** That device takes frames from XDP. */
  xdp: boolean;
  /** So does the underlay's device. */
  underlayXdp: boolean;
}

export type Side = 'inside' | 'outside' | 'node';

export interface Gateway {
  vni: number;
  side: Side;
}

export interface Tuple {
  source: number;
  destination: number;
  /** ICMP echo: the identifier. */
  sourcePort: number;
  /** ICMP echo: the type. */
  destinationPort: number;
}

export interface FlowKey {
  /** Of the network that the packet comes from; 0: from outside. */
  vni: number;
  protocol: number;
  tuple: Tuple;
}

export interface Flow {
  key: FlowKey;
  tuple: Tuple;
  vni: number;
  generation: number;
  account: number;
  outside: boolean;
  hairpin: boolean;
  destinationMac: string;
  sourceMac: string;
  /** Learned too long ago. */
  expired?: boolean;
  /** Its next packet is the kernel's; afterwards it is so no longer. */
  due?: boolean;
  /** By the fast path. */
  packets: number;
  bytes: number;
}

/** Entries of usage. */
export const USAGE_SLOTS = 8;

export interface Maps {
  vxlanPort: number;
  underlayAddress: number;
  /** Of the device that tunnel packets come in by. */
  underlayMac: string;
  ports: Map<number, Port>;
  /** By `fdbKey()`. */
  fdb: Map<string, FdbEntry>;
  networks: Map<number, { vxlanIfindex: number; mtu: number }>;
  tunnels: Map<number, number>;
  /** By `memberKey()`. */
  members: Set<string>;
  /** By `memberKey()`: addresses of the floating network that any port of a network may use. */
  routed: Set<string>;
  nexthops: Map<number, Nexthop>;
  routers: Map<number, Router>;
  /** By MAC. */
  gateways: Map<string, Gateway>;
  /** By `memberKey()` of an interface: its index into usage. */
  accounts: Map<string, number>;
  /** By `flowKey()`. */
  flows: Map<string, Flow>;
}

export const fdbKey = (vni: number, mac: string): string => `${vni}/${mac}`;
export const memberKey = (vni: number, address: number): string => `${vni}/${address}`;
export const flowKey = ({ vni, protocol, tuple }: FlowKey): string =>
  `${vni}/${protocol}/${tuple.source}:${tuple.sourcePort}>${tuple.destination}:${tuple.destinationPort}`;

/** Maps without NAT: what a node that is not the network node has. */
export function withoutNat(maps: Omit<Maps, 'routed' | 'routers' | 'gateways' | 'accounts' | 'flows'>): Maps {
  return {
    ...maps,
    routed: new Set(),
    routers: new Map(),
    gateways: new Map(),
    accounts: new Map(),
    flows: new Map(),
  };
}
