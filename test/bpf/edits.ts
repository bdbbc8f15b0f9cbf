/** Edits of a frame for fuzzing: each aims at one thing that a program decides on. */
import { concat, ETHERTYPE, set16, set32, setMac } from './frames.ts';
import { ADDRESSES, FILL, MACS, VNIS } from './pools.ts';
import type { Random } from './random.ts';

/** A value that field checks get wrong: edges, neighbours of what is there, single bits. */
function trickyValue(random: Random, old: number, bits: number): number {
  const all = 2 ** bits - 1;
  const value = random.pick([
    0,
    1,
    all,
    all - 1,
    old + 1,
    old - 1,
    old ^ (1 << random.below(bits)),
    random.next(),
  ]);
  return value & all;
}

/** Headers' fields, from the start of the Ethernet header: [offset, bytes]. */
const IPV4_FIELDS: [number, number][] = [
  [12, 2],
  [14, 1],
  [15, 1],
  [16, 2],
  [18, 2],
  [20, 2],
  [22, 1],
  [23, 1],
  [24, 2],
  [34, 2],
  [36, 2],
  [38, 2],
  [40, 2],
  [46, 1],
  [47, 1],
  [50, 2],
];
const IPV6_FIELDS: [number, number][] = [
  [12, 2],
  [14, 1],
  [15, 1],
  [18, 2],
  [20, 1],
  [21, 1],
  [66, 1],
  [58, 2],
];
const ARP_FIELDS: [number, number][] = [
  [12, 2],
  [14, 2],
  [16, 2],
  [18, 1],
  [19, 1],
  [20, 2],
  [22, 2],
  [26, 2],
  [28, 2],
  [38, 2],
];
const VXLAN_FIELDS: [number, number][] = [
  [36, 2],
  [38, 2],
  [40, 2],
  [42, 1],
  [43, 1],
  [44, 2],
  [46, 1],
  [47, 1],
  [48, 1],
  [49, 1],
];

type Edit = (random: Random, f: Uint8Array, ethernetAt: number) => Uint8Array;

export const typeAt = (f: Uint8Array, at: number): number => (f[at + 12]! << 8) | f[at + 13]!;

function editField(fields: [number, number][]): Edit {
  return (random, f, base) => {
    const [offset, bytes] = random.pick(fields);
    const at = base + offset;
    if (at + bytes > f.length) return f;
    if (bytes === 1) f[at] = trickyValue(random, f[at]!, 8);
    else set16(f, at, trickyValue(random, (f[at]! << 8) | f[at + 1]!, 16));
    return f;
  };
}

const insert = (f: Uint8Array, at: number, what: Uint8Array): Uint8Array =>
  at > f.length ? f : concat(f.subarray(0, at), what, f.subarray(at));

const editIpField: Edit = (random, f, base) => {
  const type = typeAt(f, base);
  const fields = { [ETHERTYPE.ipv6]: IPV6_FIELDS, [ETHERTYPE.arp]: ARP_FIELDS }[type] ?? IPV4_FIELDS;
  return editField(fields)(random, f, base);
};

export const EDITS: Edit[] = [
  editIpField,
  editIpField,
  editIpField,
  // MACs
  (random, f, base) => {
    if (base + 6 <= f.length) setMac(f, base, random.pick(MACS));
    return f;
  },
  (random, f, base) => {
    if (base + 12 <= f.length) setMac(f, base + 6, random.pick(MACS));
    return f;
  },
  // IPv4 addresses, or what lies there; ARP sender
  (random, f, base) => {
    const at = base + (typeAt(f, base) === ETHERTYPE.arp ? 28 : random.pick([26, 30]));
    if (at + 4 <= f.length) set32(f, at, random.pick(ADDRESSES));
    return f;
  },
  // a single bit of the headers
  (random, f) => {
    const at = random.below(Math.min(f.length, 120));
    f[at] = f[at]! ^ (1 << random.below(8));
    return f;
  },
  // shorter, longer
  (random, f) =>
    f.slice(0, Math.max(14, random.chance(50) ? random.below(f.length + 1) : f.length - 1 - random.below(8))),
  (random, f) => concat(f, FILL.subarray(0, 1 + random.below(64))),
  // a VLAN tag, or two
  (random, f, base) => {
    const tag = new Uint8Array([
      ...random.pick([
        [0x81, 0],
        [0x88, 0xa8],
      ]),
      random.below(256),
      random.below(4),
    ]);
    return insert(f, base + 12, random.chance(80) ? tag : concat(tag, tag));
  },
  // IPv4 options with the lengths in order
  (random, f, base) => {
    if (typeAt(f, base) !== ETHERTYPE.ipv4 || base + 34 > f.length) return f;
    const words = 1 + random.below(10);
    f[base + 14] = 0x40 | (5 + words);
    set16(f, base + 16, (((f[base + 16]! << 8) | f[base + 17]!) + words * 4) & 0xffff);
    return insert(f, base + 34, new Uint8Array(words * 4).fill(1));
  },
  // an IPv6 extension header with the length in order
  (random, f, base) => {
    if (typeAt(f, base) !== ETHERTYPE.ipv6 || base + 54 > f.length) return f;
    const old = f[base + 20]!;
    f[base + 20] = random.pick([0, 43, 44, 60, 51, 135]);
    set16(f, base + 18, (((f[base + 18]! << 8) | f[base + 19]!) + 8) & 0xffff);
    return insert(f, base + 54, new Uint8Array([old, 0, 1, 4, 0, 0, 0, 0]));
  },
  // fragments: flags and offset
  (random, f, base) => {
    if (base + 22 <= f.length)
      set16(f, base + 20, random.pick([0x2000, 0x4000, 0x8000, 1, 0x1fff, 0x2001, 0x6000]));
    return f;
  },
  // ECN and DSCP
  (random, f, base) => {
    if (base + 16 <= f.length) f[base + 15] = random.below(256);
    return f;
  },
];

export const TUNNEL_EDITS: Edit[] = [
  editField(VXLAN_FIELDS),
  (random, f) => {
    if (f.length >= 50) set32(f, 46, random.pick(VNIS) * 256 + (random.chance(10) ? 1 : 0));
    return f;
  },
  (random, f) => {
    if (f.length >= 30) set32(f, 26, random.pick(ADDRESSES));
    return f;
  },
  // the outer lengths follow a shortened frame: only the inner packet is then wrong
  (random, f) => {
    const shorter = f.slice(0, Math.max(14, f.length - random.below(90)));
    if (shorter.length < 42) return shorter;
    set16(shorter, 16, shorter.length - 14);
    set16(shorter, 38, shorter.length - 34);
    return shorter;
  },
];
