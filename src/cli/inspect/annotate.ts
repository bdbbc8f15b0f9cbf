/** What the members of a map's keys and values mean, by the names that bpf/abi.h gives them. */
import {
  FdbFlag,
  FlowFlag,
  PortFlag,
  Program,
  Reason,
  RouterFlag,
  Side,
  Verdict,
} from '../../agent/datapath/abi.ts';
import type { BtfValue } from '../../agent/datapath/btf.ts';
import { PROTOCOLS } from './flows.ts';
import type { NameBook } from './name-book.ts';
import type { PinnedMaps, Row } from './pinned-maps.ts';

/** Keys that are one number or address have no member name in BTF: this is what they are. */
export const KEY_FIELD: Record<string, string> = {
  ports: 'ifindex',
  networks: 'vni',
  tunnels: 'ifindex',
  nexthops: 'address',
  routers: 'vni',
  counters: 'index',
  port_counters: 'slot',
  usage: 'slot',
  event_gates: 'reason',
};

/** `UNKNOWN_MAC` of a generated table → `unknown mac`. */
export function word(table: Record<string, number>, value: number): string {
  const name = Object.entries(table).find(([key, known]) => known === value && key !== 'MAX')?.[0];
  return name === undefined ? String(value) : name.toLowerCase().replaceAll('_', ' ');
}

/** The number of a word; words are written with blanks, dashes or underscores. */
export function numberOf(table: Record<string, number>, text: string): number | undefined {
  const name = text.toUpperCase().replaceAll(/[ -]/g, '_');
  return name === 'MAX' ? undefined : table[name];
}

export interface Entry {
  key: { [member: string]: BtfValue };
  value: { [member: string]: BtfValue };
  /** For people: what members of key and value mean. */
  names: { [member: string]: string };
}

/** Whose the rows of port_counters (ports) and of usage (accounts) are, so that they can be named and filtered. */
export interface Slots {
  ports: Map<number, { ifindex: number; vni: number }>;
  accounts: Map<number, { address: string; vni: number }>;
}

export function readSlots(maps: PinnedMaps): Slots {
  const ports = (maps.rowsOf('ports') ?? []).map(({ key, value }) => {
    const { slot, vni } = value as { slot: number; vni: number };
    return [slot, { ifindex: Number(key), vni }] as const;
  });
  const accounts = (maps.rowsOf('accounts') ?? []).map(({ key, value }) => {
    const { vni, address } = key as { vni: number; address: string };
    return [(value as { slot: number }).slot, { address, vni }] as const;
  });
  return { ports: new Map(ports), accounts: new Map(accounts) };
}

const FLAGS: Record<string, Record<string, number>> = {
  ports: PortFlag,
  fdb: FdbFlag,
  routers: RouterFlag,
  flows: FlowFlag,
};

function flagWords(table: Record<string, number>, flags: number): string {
  const set = Object.entries(table).filter(([, bit]) => (flags & bit) !== 0);
  return set.map(([name]) => name.replace(/^(FDB|PORT|ROUTER|FLOW)_/, '').toLowerCase()).join(' ');
}

function meaning(
  map: string,
  member: string,
  value: BtfValue,
  book: NameBook,
  slots: Slots,
): string | undefined {
  const number = Number(value);
  switch (member) {
    case 'vni':
    case 'router':
      return book.network(number)?.name;
    case 'side':
      return word(Side, number);
    case 'protocol':
      return PROTOCOLS[number];
    case 'account':
      return slots.accounts.get(number)?.address;
    case 'ifindex':
    case 'egress_ifindex':
    case 'vxlan_ifindex':
      return number === 0 ? undefined : book.device(number);
    case 'remote':
    case 'address':
      return book.nodeAt(String(value as string));
    case 'slot':
      return map === 'usage' || map === 'accounts'
        ? slots.accounts.get(number)?.address
        : book.device(slots.ports.get(number)?.ifindex ?? 0);
    case 'reason':
      return word(Reason, number);
    case 'flags':
      return flagWords(FLAGS[map] ?? {}, number) || undefined;
    default:
      return undefined;
  }
}

function asObject(value: BtfValue, member: string): { [member: string]: BtfValue } {
  return typeof value === 'object' && !Array.isArray(value) ? value : { [member]: value };
}

/** A flow's key and value both have a tuple and a VNI: the value's are what the packet becomes, and whose router decided. */
function withoutClash(value: Entry['value'], key: Entry['key']): Entry['value'] {
  const names: Record<string, string> = { tuple: 'rewritten', vni: 'router' };
  return Object.fromEntries(
    Object.entries(value).map(([member, content]) => [
      member in key ? (names[member] ?? `new ${member}`) : member,
      content,
    ]),
  );
}

/** A row with the meaning of its numbers. */
export function annotate(map: string, row: Row, book: NameBook, slots: Slots): Entry {
  const key = asObject(row.key, KEY_FIELD[map] ?? 'key');
  const value = withoutClash(asObject(row.value, 'value'), key);
  const names: { [member: string]: string } = {};
  if (map === 'counters') {
    names.program = word(Program, Math.floor(Number(row.key) / Reason.MAX));
    names.reason = word(Reason, Number(row.key) % Reason.MAX);
  }
  for (const [member, content] of Object.entries({ ...value, ...key })) {
    // A slot is meaningless where there is no port: a remote MAC's entry holds 0.
    if (member === 'slot' && value.ifindex === 0) continue;
    const text = meaning(map, member, content, book, slots);
    if (text !== undefined) names[member] = text;
  }
  return { key, value, names };
}

/** The network that an entry belongs to, or undefined when it belongs to none. */
export function vniOf(map: string, entry: Entry, slots: Slots): number | undefined {
  if (map === 'port_counters') return slots.ports.get(Number(entry.key.slot))?.vni;
  if (map === 'usage') return slots.accounts.get(Number(entry.key.slot))?.vni;
  const vni = entry.value.router ?? entry.key.vni ?? entry.value.vni;
  return vni === undefined ? undefined : Number(vni);
}

/** Maps whose entries belong to networks, and which can be filtered by one. */
export const FILTERABLE = [
  ...['accounts', 'fdb', 'flows', 'gateways', 'members', 'networks', 'port_counters', 'ports'],
  ...['routed', 'routers', 'tunnels', 'usage'],
];

/** Nested members as one row of cells: `sent.drop.packets`. An array by verdict is labelled by it. */
export function flatten(value: { [member: string]: BtfValue }, prefix = ''): [string, BtfValue][] {
  return Object.entries(value).flatMap(([member, content]): [string, BtfValue][] => {
    const name = prefix + member;
    if (Array.isArray(content)) {
      const labelled = content.map(
        (item, i) => [member === 'sent' ? word(Verdict, i) : String(i), item] as const,
      );
      return flatten(Object.fromEntries(labelled), `${name}.`);
    }
    return typeof content === 'object' ? flatten(content, `${name}.`) : [[name, content]];
  });
}
