/** What this node has: the parsers of the tools' JSON, in the shapes that the planner compares. */
import type { InnerState } from './operations.ts';

export interface ActualLink {
  ifindex: number;
  name: string;
  kind: string;
  /** Empty: none. */
  alias: string;
  mac: string;
  mtu: number;
  up: boolean;
  group: string;
  /** Bridge that it is a port of; null: none. */
  master: string | null;
  /** Of a bridge port; true otherwise. */
  learning: boolean;
  flood: boolean;
  /** Namespace that a veth's other end is in; null: this one, or one without a name. */
  peerNamespace: string | null;
  /** IFLA_INFO_DATA as `ip -d -j` prints it. */
  info: Record<string, unknown>;
}

/** One row of a bridge's table: where its port is, for a MAC. */
export interface BridgeEntry {
  ifname: string;
  state: string;
}

export interface Fdb {
  /** VXLAN device → MAC → underlay addresses. */
  tunnel: Map<string, Map<string, Set<string>>>;
  /** Bridge → MAC → entry. */
  bridge: Map<string, Map<string, BridgeEntry>>;
}

/** Elements of our nftables sets and maps, as text. */
export type SetElements = Map<string, Set<string>>;

export interface Table {
  elements: SetElements;
  /** Chains, rules and the forms of sets, as text that changes only with them. */
  structure: string;
}

/** null: the table is not there or not as we make it. */
export interface Guard {
  bridge: SetElements | null;
  ip: SetElements | null;
}

/** A device in a router's namespace. */
export interface InnerLink {
  mac: string;
  mtu: number;
  up: boolean;
  /** `address/prefix` */
  addresses: string[];
}

/** What was seen inside a router's namespace. */
export interface InnerView {
  links: Map<string, InnerLink>;
  /** `destination next-hop device`, without next hop `destination device` */
  routes: Set<string>;
  /** Addresses that are answered for. */
  proxies: Set<string>;
  /** Path below /proc/sys/net → value. */
  settings: Map<string, string>;
  table: Table | null;
}

export interface Actual {
  links: Map<string, ActualLink>;
  fdb: Fdb;
  guard: Guard;
  /** Names under /run/netns, with those whose file is no namespace (a crash between file and mount). */
  namespaces: { present: Set<string>; broken: Set<string> };
  /** Namespaces that we made, with what was set up in them: device outside → its state. */
  claims: Map<string, Record<string, InnerState>>;
  /** Links that we were about to create when we last wrote: ours even without an alias. */
  pending: Set<string>;
  /** Router namespaces that were looked into, by name. */
  inner: Map<string, InnerView>;
  /** Devices of the networks in question on which IPv6 is on. */
  ipv6: Set<string>;
  /** The kernel has IPv6 at all. */
  hasIpv6: boolean;
  /** Switches of br_netfilter that are on, as paths. */
  bridgeNetfilter: string[];
  /** Of the uplink, when it was needed to know: `address/prefix`. */
  uplinkAddresses: string[];
  /** The kernel can follow FTP. */
  ftpHelper: boolean;
}

interface LinkJson {
  ifindex: number;
  ifname: string;
  ifalias?: string;
  address?: string;
  mtu: number;
  flags: string[];
  group?: string;
  master?: string;
  link_netnsid?: number;
  linkinfo?: {
    info_kind?: string;
    info_data?: Record<string, unknown>;
    info_slave_kind?: string;
    info_slave_data?: Record<string, unknown>;
  };
}

/** The tools print nothing at all for an empty table. */
function parseArray<T>(text: string): T[] {
  return text.trim() === '' ? [] : (JSON.parse(text) as T[]);
}

/** @param namespaceOfId name of the namespace that this one knows under an id */
export function parseLinks(
  json: string,
  namespaceOfId: ReadonlyMap<number, string>,
): Map<string, ActualLink> {
  const links = new Map<string, ActualLink>();
  for (const link of parseArray<LinkJson>(json)) {
    const slave = link.linkinfo?.info_slave_kind === 'bridge' ? link.linkinfo.info_slave_data : undefined;
    links.set(link.ifname, {
      ifindex: link.ifindex,
      name: link.ifname,
      kind: link.linkinfo?.info_kind ?? '',
      alias: link.ifalias ?? '',
      mac: link.address ?? '',
      mtu: link.mtu,
      up: link.flags.includes('UP'),
      group: link.group ?? 'default',
      master: link.master ?? null,
      learning: slave?.learning !== false,
      flood: slave?.flood !== false,
      peerNamespace: namespaceOfId.get(link.link_netnsid ?? -1) ?? null,
      info: link.linkinfo?.info_data ?? {},
    });
  }
  return links;
}

/** `ip -j netns list`: id → name. */
export function parseNamespaceIds(json: string): Map<number, string> {
  const ids = new Map<number, string>();
  for (const row of parseArray<{ name: string; id?: number }>(json))
    if (row.id !== undefined) ids.set(row.id, row.name);
  return ids;
}

interface FdbJson {
  mac: string;
  ifname: string;
  dst?: string;
  vlan?: number;
  port?: number;
  vni?: number;
  via?: string;
  flags: string[];
  master?: string;
  state: string;
}

/** The map's value for a key, made when it is missing. */
export function valueAt<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

/**
 * `bridge -j fdb`. Left out: devices' own multicast filters, and rows of single VLANs, which kernels with
 * bridge VLANs add beside each row.
 */
export function parseFdb(json: string): Fdb {
  const fdb: Fdb = { tunnel: new Map(), bridge: new Map() };
  for (const row of parseArray<FdbJson>(json)) {
    if (row.vlan !== undefined) continue;
    if (row.master !== undefined) {
      valueAt(fdb.bridge, row.master, () => new Map()).set(row.mac, { ifname: row.ifname, state: row.state });
    } else if (row.dst !== undefined && row.flags.includes('self')) {
      // A row with another port, VNI or device is not one that we make: its text equals no wanted address.
      const extras = [
        row.port && `port ${row.port}`,
        row.vni && `vni ${row.vni}`,
        row.via && `via ${row.via}`,
      ];
      const dst = [row.dst, ...extras.filter(Boolean)].join(' ');
      const device = valueAt(fdb.tunnel, row.ifname, () => new Map<string, Set<string>>());
      valueAt(device, row.mac, () => new Set()).add(dst);
    }
  }
  return fdb;
}

interface NftJson {
  nftables: {
    table?: Record<string, unknown>;
    set?: { name: string; elem?: unknown[] };
    map?: { name: string; elem?: [unknown, unknown][] };
    'ct helper'?: Record<string, unknown>;
    chain?: Record<string, unknown>;
    rule?: Record<string, unknown>;
  }[];
}

/** One part of a set element as text: nft prints numbers, texts and, with counters or comments, wrappers. */
function elementText(element: unknown): string {
  if (typeof element === 'object' && element !== null) {
    if ('concat' in element) return (element.concat as unknown[]).map(elementText).join(' . ');
    if ('elem' in element) return elementText((element.elem as { val: unknown }).val);
  }
  return String(element);
}

/** `nft -j list table` */
export function parseTable(json: string): Table {
  const elements: SetElements = new Map();
  const structure: unknown[] = [];
  for (const { table, set, map, 'ct helper': helper, chain, rule } of (JSON.parse(json) as NftJson)
    .nftables) {
    if (table) structure.push({ table: { ...table, handle: undefined } });
    if (set) {
      elements.set(set.name, new Set((set.elem ?? []).map(elementText)));
      structure.push({ set: { ...set, elem: undefined, handle: undefined } });
    }
    if (map) {
      const rows = (map.elem ?? []).map((row) => row.map(elementText).join(' : '));
      elements.set(map.name, new Set(rows));
      structure.push({ map: { ...map, elem: undefined, handle: undefined } });
    }
    if (helper) structure.push({ helper: { ...helper, handle: undefined } });
    if (chain) structure.push({ chain: { ...chain, handle: undefined } });
    if (rule) structure.push({ rule: { ...rule, handle: undefined } });
  }
  // Counters count: what they show is no part of the structure.
  const text = JSON.stringify(structure, (key, value) => (key === 'counter' ? {} : value));
  return { elements, structure: text };
}

interface AddressJson {
  ifname: string;
  address: string;
  mtu: number;
  flags: string[];
  addr_info?: { family: string; local: string; prefixlen: number }[];
}

interface RouteJson {
  dst: string;
  gateway?: string;
  dev?: string;
}

/** Separates the answers of look.ts. */
export const NEXT = '====\n';

/** What look.ts says. */
export function parseView(text: string, hasTable: boolean): InnerView {
  const [addresses = '', routes = '', proxies = '', settings = '', table = ''] = text.split(NEXT);
  const pairs = settings.split('\n').filter(Boolean);
  return {
    links: parseInner(addresses),
    routes: new Set(
      parseArray<RouteJson>(routes).map(({ dst, gateway, dev }) =>
        [dst, gateway, dev].filter((part) => part !== undefined).join(' '),
      ),
    ),
    proxies: new Set(parseArray<{ dst: string }>(proxies).map(({ dst }) => dst)),
    settings: new Map(pairs.map((pair) => pair.split(' ') as [string, string])),
    table: hasTable ? parseTable(table) : null,
  };
}

/** `ip -j addr`: every device's addresses, of both families. */
export function parseAddresses(json: string): string[] {
  return parseArray<AddressJson>(json).flatMap(({ addr_info: addresses = [] }) =>
    addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
  );
}

function parseInner(json: string): Map<string, InnerLink> {
  const links = new Map<string, InnerLink>();
  for (const link of parseArray<AddressJson>(json)) {
    const inet = (link.addr_info ?? []).filter((address) => address.family === 'inet');
    links.set(link.ifname, {
      mac: link.address,
      mtu: link.mtu,
      up: link.flags.includes('UP'),
      addresses: inet.map((address) => `${address.local}/${address.prefixlen}`),
    });
  }
  return links;
}
