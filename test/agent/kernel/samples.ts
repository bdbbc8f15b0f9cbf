import type { fistpath } from '#proto';

export const NETWORK = '41f41085-b6d1-4c47-83ea-c8065bd54292';
export const OTHER_NETWORK = '52f41085-b6d1-4c47-83ea-c8065bd54293';
export const SF1 = '10.2.1.11';
export const SF2 = '10.2.1.12';
export const ROUTER_MAC = '02:00:00:00:00:01';

export interface Guest {
  instance: string;
  interface: string;
  mac: string;
  ipv4: string;
}

/** The n-th guest of a network: .100 + n. */
export function guest(n: number, vni = 2): Guest {
  const hex = n.toString(16).padStart(2, '0');
  const net = vni.toString(16).padStart(2, '0');
  return {
    instance: `0d7fc92d-9577-4d17-97af-1a7ff3bd${net}${hex}`,
    interface: `c0513${hex}d-58${net}-439b-8a6b-e772858298b0`,
    mac: `02:00:00:00:01:${hex}`,
    ipv4: `192.168.0.${100 + n}`,
  };
}

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}

export function deviceOf(guest: Guest): string {
  return `p-${guest.interface.replaceAll('-', '').slice(0, 12)}`;
}

export interface NetworkOptions {
  uuid?: string;
  vni?: number;
  mtu?: number;
  local?: Guest[];
  remote?: Guest[];
  /** Underlay address of the other node. */
  peer?: string | null;
  router?: 'here' | 'there' | null;
  /** For a router that is here. */
  nat?: NatOptions;
  routed?: string[];
}

export interface NatOptions {
  /** .2 of the pool unless told. */
  gateway?: string;
  /** Floating address → guest. */
  floats?: Record<string, Guest>;
}

export const POOL = '10.10.0.0/24';
export const NEXT_HOP = '10.10.0.1';
export const GATEWAY = '10.10.0.2';

/** Of one network; the others' differ in the last byte but one. */
function routerMac(vni: number): Uint8Array {
  return macBytes(vni === 2 ? ROUTER_MAC : `02:00:00:00:${vni.toString(16).padStart(2, '0')}:01`);
}

function natOf({ gateway = GATEWAY, floats = {} }: NatOptions): fistpath.INat {
  return {
    ...{ gateway, pool: POOL, nextHop: NEXT_HOP },
    floats: Object.entries(floats).map(([floating, { ipv4 }]) => ({ floating, ipv4 })),
  };
}

/** A network as one node of two sees it. */
export function network(options: NetworkOptions = {}): fistpath.INodeNetwork {
  const { uuid = NETWORK, vni = 2, mtu = 8950, local = [], remote = [], peer = SF2, router = null } = options;
  const { nat, routed = [] } = options;
  const remoteMacs = remote.map(({ mac }) => ({ mac: macBytes(mac), node: peer ?? '' }));
  if (router === 'there') remoteMacs.push({ mac: macBytes(ROUTER_MAC), node: peer ?? '' });
  return {
    uuid,
    name: 'demonet',
    vni,
    mtu,
    netblock: '192.168.0.0/24',
    peers: peer === null ? [] : [peer],
    remoteMacs,
    ports: local.map((each) => ({ ...each, mac: macBytes(each.mac), order: 0 })),
    routed,
    ...(router === 'here' && {
      router: {
        mac: routerMac(vni),
        address: '192.168.0.1',
        ...(nat && { nat: natOf(nat) }),
        leases: [...local, ...remote].map((each) => ({ ...each, mac: macBytes(each.mac), name: '' })),
      },
    }),
  };
}
