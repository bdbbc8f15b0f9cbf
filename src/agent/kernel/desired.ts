/** What this node should have: the controller's NodeNetwork, checked and in the planner's shapes. */
import { isIPv4 } from 'node:net';
import type { fistpath } from '#proto';
import { type Block, contains, parseBlock } from './addresses.ts';
import { check, Refused } from './check.ts';
import { macText, portName } from './names.ts';
import { type WantedNat, wantedNat } from './wanted-nat.ts';

export interface WantedPort {
  interface: string;
  instance: string;
  ifname: string;
  mac: string;
  /** Empty: none. */
  ipv4: string;
  order: number;
}

export interface WantedNetwork {
  uuid: string;
  vni: number;
  mtu: number;
  /** Length of the netblock's mask. */
  prefix: number;
  peers: string[];
  /** MAC → underlay address of its node. */
  remotes: Map<string, string>;
  ports: WantedPort[];
  router: WantedRouter | null;
  /** Addresses of the floating network that its ports may have as their own. */
  routed: string[];
}

export interface WantedRouter {
  mac: string;
  address: string;
  nat: WantedNat | null;
}

export interface Wanted {
  /** Networks that can be built. */
  networks: Map<string, WantedNetwork>;
  /** Networks that can't, and why. What they already have stays as it is. */
  errors: Map<string, string>;
  /** Namespaces that those networks may be using. */
  badNamespaces: Set<string>;
  /** Networks with NAT on this node, those that can't be built among them. */
  translated: Set<string>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** IPv4 header and 8 bytes: the least that IPv4 allows (RFC 791), and the least the kernel takes. */
const MTU_MIN = 68;
/** Outer Ethernet is not part of the underlay's MTU; IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14 are. */
export const VXLAN_OVERHEAD = 50;

function checkedMac(mac: Uint8Array | null | undefined, owner: string): string {
  check(mac?.length === 6, `the MAC of ${owner} is not 6 bytes`);
  check(((mac[0] as number) & 1) === 0, `the MAC of ${owner}, ${macText(mac)}, is a group address`);
  check(
    mac.some((byte) => byte !== 0),
    `the MAC of ${owner} is all zero`,
  );
  return macText(mac);
}

function wantedRouter(router: fistpath.IRouter, netblock: Block, routed: readonly string[]): WantedRouter {
  const address = router.address ?? '';
  check(isIPv4(address), `router address "${address}" is not IPv4`);
  check(contains(netblock, address), `router address ${address} is not in the netblock`);
  const mac = checkedMac(router.mac, 'the router');
  return { mac, address, nat: router.nat ? wantedNat(router.nat, router, netblock, routed) : null };
}

function wantedNetwork(network: fistpath.INodeNetwork, ownAddress: string): WantedNetwork {
  const uuid = network.uuid ?? '';
  check(UUID.test(uuid), `"${uuid}" is not a lower-case uuid`);
  const vni = network.vni ?? 0;
  check(Number.isInteger(vni) && vni >= 1 && vni < 1 << 24, `vxid ${vni} is not between 1 and 16777215`);
  const mtu = network.mtu ?? 0;
  check(mtu >= MTU_MIN && mtu <= 65535 - VXLAN_OVERHEAD, `MTU ${mtu} is out of range`);
  const netblock = parseBlock(network.netblock ?? '');
  check(netblock !== undefined, `netblock "${network.netblock}" is malformed`);
  const routed = [...new Set(network.routed ?? [])].sort();
  for (const address of routed) check(isIPv4(address), `routed address "${address}" is not IPv4`);

  const peers = [...new Set(network.peers ?? [])];
  for (const peer of peers) check(isIPv4(peer), `mesh member "${peer}" is not an IPv4 address`);

  const ports = (network.ports ?? []).map((port): WantedPort => {
    const id = port.interface ?? '';
    check(UUID.test(id), `interface "${id}" is not a lower-case uuid`);
    check(
      UUID.test(port.instance ?? ''),
      `instance "${port.instance}" of interface ${id} is not a lower-case uuid`,
    );
    check(!port.ipv4 || isIPv4(port.ipv4), `address "${port.ipv4}" of interface ${id} is not IPv4`);
    const mac = checkedMac(port.mac, `interface ${id}`);
    const order = port.order ?? 0;
    check(order < 1000, `order ${order} of interface ${id} is out of range`);
    return {
      interface: id,
      instance: port.instance as string,
      ifname: portName(id),
      mac,
      ipv4: port.ipv4 ?? '',
      order,
    };
  });

  const router = network.router ? wantedRouter(network.router, netblock, routed) : null;

  const local = ports.map((port) => port.mac).concat(router ? [router.mac] : []);
  check(new Set(local).size === local.length, 'two of its interfaces on this node have the same MAC');

  const remotes = new Map<string, string>();
  for (const remote of network.remoteMacs ?? []) {
    const node = remote.node ?? '';
    check(isIPv4(node), `node "${node}" of a remote MAC is not an IPv4 address`);
    const mac = checkedMac(remote.mac, `an interface on ${node}`);
    // While an interface moves here, its old place may be in the list still: the port at hand is right.
    if (node !== ownAddress && !local.includes(mac)) remotes.set(mac, node);
  }

  // A node is never its own peer: its frames would come back.
  return {
    uuid,
    vni,
    mtu,
    prefix: netblock.prefix,
    peers: peers.filter((p) => p !== ownAddress).sort(),
    remotes,
    ports,
    router,
    routed,
  };
}

/**
 * Checks every network by itself and against the others; one bad network does not stop the rest.
 * @param ownAddress this node's underlay address
 * @param underlayMtu of the underlay device, layer 3 bytes
 */
export function wantedState(
  desired: ReadonlyMap<string, fistpath.INodeNetwork>,
  ownAddress: string,
  underlayMtu: number,
): Wanted {
  const networks = new Map<string, WantedNetwork>();
  const errors = new Map<string, string>();
  const badNamespaces = new Set<string>();
  const translated = new Set<string>();
  const takenBy = new Map<string, string>();
  for (const [key, record] of desired) {
    if (record.router?.nat) translated.add(key);
    try {
      const network = wantedNetwork(record, ownAddress);
      check(network.uuid === key, `it is filed under ${key}`);
      const room = underlayMtu - VXLAN_OVERHEAD;
      check(
        network.mtu <= room,
        `MTU ${network.mtu} does not fit the underlay, whose MTU ${underlayMtu} leaves ${room}: raise the underlay's to ${network.mtu + VXLAN_OVERHEAD}`,
      );
      const { nat } = network.router ?? {};
      const outside = nat ? [nat.gateway, ...nat.floats.keys(), ...nat.routed] : [];
      const names = [
        `vxid ${network.vni}`,
        ...network.ports.map((port) => `device name ${port.ifname}`),
        ...outside.map((address) => `address ${address} of the floating network`),
      ];
      const clash = names.find((name, i) => takenBy.has(name) || names.indexOf(name) !== i);
      check(clash === undefined, `${clash} is taken by network ${takenBy.get(clash ?? '') ?? key} already`);
      for (const name of names) takenBy.set(name, key);
      networks.set(key, network);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      errors.set(key, `network ${key} can't be built: ${error.message}`);
      badNamespaces.add(key);
      for (const port of record.ports ?? []) badNamespaces.add(port.instance ?? '');
    }
  }
  return { networks, errors, badNamespaces, translated };
}
