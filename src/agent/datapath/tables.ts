/**
 * What the maps of one network should hold: a pure function of its desired state and its devices.
 */
import type { fistpath } from '#proto';
import type { NatDevices, NetworkDevices } from '../kernel/kernel.ts';
import {
  Account,
  AccountKey,
  FdbEntry,
  FdbFlag,
  FdbKey,
  Gateway,
  GatewayKey,
  Member,
  MemberKey,
  Network,
  Port,
  PortFlag,
  Routed,
  RoutedKey,
  Router,
  Side,
  Tunnel,
} from './abi.ts';
import { type Entries, keyOf } from './mirror.ts';

interface Layout<T> {
  size: number;
  write(view: DataView, at: number, value: T): void;
}

/** The bytes of one struct or integer. */
export function bytes<T>(layout: Layout<T>, value: T): Uint8Array {
  const out = new Uint8Array(layout.size);
  layout.write(new DataView(out.buffer), 0, value);
  return out;
}

/** A u32 in host byte order: the key of ports, networks and tunnels. */
export const U32: Layout<number> = {
  size: 4,
  write: (view, at, value) => view.setUint32(at, value, true),
};

/** A u64 in host byte order. */
export const U64: Layout<bigint> = {
  size: 8,
  write: (view, at, value) => view.setBigUint64(at, value, true),
};

/** A UDP port in network byte order. */
export const Be16: Layout<number> = {
  size: 2,
  write: (view, at, value) => view.setUint16(at, value, false),
};

/** An IPv4 address in network byte order: the key of nexthops. */
export const Be32: Layout<number> = {
  size: 4,
  write: (view, at, value) => view.setUint32(at, value, false),
};

/** "10.0.0.1" → 0x0a000001; empty → 0. */
export function ipv4Number(text: string): number {
  if (text === '') return 0;
  return text.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

export function ipv4Text(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}

export interface NetworkTables {
  ports: Entries;
  fdb: Entries;
  networks: Entries;
  tunnels: Entries;
  members: Entries;
  routed: Entries;
  accounts: Entries;
  gateways: Entries;
  routers: Entries;
}

/** What the fast path adds to a router with NAT on this node; absent: its NAT is the kernel's alone. */
export interface RouterPart {
  devices: NatDevices;
  generation: number;
  /** enum router_flag */
  flags: number;
  /** The usage slot of an account's key. */
  slotOf: (key: string) => number;
}

export const NO_TABLES: NetworkTables = {
  ports: new Map(),
  fdb: new Map(),
  networks: new Map(),
  tunnels: new Map(),
  members: new Map(),
  routed: new Map(),
  accounts: new Map(),
  gateways: new Map(),
  routers: new Map(),
};

const { accounts, gateways, routers } = NO_TABLES;
const NO_ROUTER = { accounts, gateways, routers };

function gatewayEntry(mac: Uint8Array, gateway: Gateway): [string, Uint8Array] {
  return [keyOf(bytes(GatewayKey, { mac })), bytes(Gateway, gateway)];
}

/** A MAC that belongs to the node, and to no network. */
export function nodeGateway(mac: Uint8Array): [string, Uint8Array] {
  return gatewayEntry(mac, { vni: 0, side: Side.NODE });
}

function routerTables(
  network: fistpath.INodeNetwork,
  vni: number,
  { devices, generation, flags, slotOf }: RouterPart,
): typeof NO_ROUTER {
  const keys = (network.router?.leases ?? []).map(({ ipv4 }) =>
    keyOf(bytes(AccountKey, { vni, address: ipv4Number(ipv4!) })),
  );
  return {
    accounts: new Map(keys.map((key) => [key, bytes(Account, { slot: slotOf(key) })])),
    gateways: new Map([
      gatewayEntry(devices.insideMac, { vni, side: Side.INSIDE }),
      gatewayEntry(devices.outsideMac, { vni, side: Side.OUTSIDE }),
    ]),
    routers: new Map([
      [
        keyOf(bytes(U32, vni)),
        bytes(Router, {
          generation,
          egress_ifindex: devices.egressIfindex,
          mtu: devices.uplinkMtu,
          flags,
        }),
      ],
    ]),
  };
}

/**
 * Changes whenever the kernel's NAT of a network may decide otherwise than before, or knows nothing of its earlier
 * decisions (another namespace).
 */
export function natPrint(network: fistpath.INodeNetwork, devices: NetworkDevices): string {
  const { netblock, routed, router } = network;
  const leases = (router?.leases ?? []).map(({ interface: id, mac, ipv4 }) => [id, [...mac!], ipv4]);
  const veth = devices.ports.find((port) => port.router)?.ifindex;
  return JSON.stringify([netblock, routed, router?.address, router?.nat, leases, veth, devices.nat]);
}

/**
 * @param slotOf the port_counters slot of a port's ifindex
 */
export function networkTables(
  network: fistpath.INodeNetwork,
  devices: NetworkDevices,
  slotOf: (ifindex: number) => number,
  router?: RouterPart,
): NetworkTables {
  const { vni, mtu } = devices;
  const ports = new Map<string, Uint8Array>();
  const fdb = new Map<string, Uint8Array>();
  const fdbKey = (mac: Uint8Array) => keyOf(bytes(FdbKey, { vni, mac }));

  for (const remote of network.remoteMacs ?? []) {
    fdb.set(
      fdbKey(remote.mac!),
      bytes(FdbEntry, { ifindex: 0, remote: ipv4Number(remote.node!), slot: 0, mtu, flags: 0 }),
    );
  }
  for (const port of devices.ports) {
    const slot = slotOf(port.ifindex);
    fdb.set(
      fdbKey(port.mac),
      bytes(FdbEntry, {
        ifindex: port.ifindex,
        remote: 0,
        slot,
        mtu,
        flags:
          (port.peer ? FdbFlag.FDB_PEER : 0) |
          (port.xdp ? FdbFlag.FDB_XDP : 0) |
          (port.router && router ? FdbFlag.FDB_ROUTER : 0),
      }),
    );
    ports.set(
      keyOf(bytes(U32, port.ifindex)),
      bytes(Port, {
        vni,
        slot,
        ipv4: ipv4Number(port.ipv4),
        mtu,
        flags: port.router ? PortFlag.PORT_ROUTER : 0,
        mac: port.mac,
      }),
    );
  }

  const peers = (network.peers ?? []).map(ipv4Number);
  return {
    ports,
    fdb,
    networks: new Map([
      [keyOf(bytes(U32, vni)), bytes(Network, { vxlan_ifindex: devices.vxlanIfindex, mtu })],
    ]),
    tunnels: new Map([[keyOf(bytes(U32, devices.vxlanIfindex)), bytes(Tunnel, { vni })]]),
    members: new Map(peers.map((address) => [keyOf(bytes(MemberKey, { vni, address })), bytes(Member, {})])),
    routed: new Map(
      (network.routed ?? []).map((address) => [
        keyOf(bytes(RoutedKey, { vni, address: ipv4Number(address) })),
        bytes(Routed, {}),
      ]),
    ),
    ...(router ? routerTables(network, vni, router) : NO_ROUTER),
  };
}
