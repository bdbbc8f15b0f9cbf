/**
 * What the maps of one network should hold: a pure function of its desired state and its devices.
 */
import type { fistpath } from '#proto';
import type { NetworkDevices } from '../kernel/kernel.ts';
import { FdbEntry, FdbFlag, FdbKey, Member, MemberKey, Network, Port, PortFlag, Tunnel } from './abi.ts';
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
}

export const NO_TABLES: NetworkTables = {
  ports: new Map(),
  fdb: new Map(),
  networks: new Map(),
  tunnels: new Map(),
  members: new Map(),
};

/**
 * @param slotOf the port_counters slot of a port's ifindex
 */
export function networkTables(
  network: fistpath.INodeNetwork,
  devices: NetworkDevices,
  slotOf: (ifindex: number) => number,
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
        flags: (port.peer ? FdbFlag.FDB_PEER : 0) | (port.xdp ? FdbFlag.FDB_XDP : 0),
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
  };
}
