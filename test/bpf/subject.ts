/**
 * The program under test: an object of bpf/out in the kernel, its maps filled with a test world, run with BPF_PROG_RUN.
 * Layouts are written here once more, from abi.h, so that a generated codec is checked and not trusted.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BpfMap, BpfObject, type BpfProgram } from '#addon';
import { ETHERTYPE, set16, set32, setMac } from './frames.ts';
import type { Context, FdbEntry, Maps, ProgramName, Reason, Verdict } from './model.ts';
import { SLOTS } from './world.ts';

const REASONS = 42;
const PORT_COUNTERS_SIZE = 7 * 16;

/** Writes a struct: host order is little-endian here (abi.h's __be fields use the setters of frames.ts). */
function struct(size: number, write: (bytes: Uint8Array, view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(size);
  write(bytes, new DataView(bytes.buffer));
  return bytes;
}

const u32 = (value: number): Uint8Array => struct(4, (_, v) => v.setUint32(0, value, true));
const be32 = (value: number): Uint8Array => struct(4, (b) => set32(b, 0, value));

function fdbEntry(e: FdbEntry): Uint8Array {
  return struct(16, (b, v) => {
    v.setUint32(0, e.ifindex, true);
    set32(b, 4, e.remote);
    v.setUint32(8, e.slot, true);
    v.setUint16(12, e.mtu, true);
    v.setUint16(14, (e.peer ? 1 : 0) | (e.xdp ? 2 : 0), true);
  });
}

function fill(object: BpfObject, maps: Maps): void {
  const write = (name: string, rows: Iterable<[Uint8Array, Uint8Array]>): void => {
    if (!object.maps.includes(name)) return;
    const map = object.map(name);
    for (const [key, value] of rows) map.update(key, value);
  };
  const vniAnd = (key: string): [number, string] => {
    const [vni, rest] = key.split('/') as [string, string];
    return [Number(vni), rest];
  };
  write(
    'ports',
    [...maps.ports].map(([ifindex, p]) => [
      u32(ifindex),
      struct(24, (b, v) => {
        v.setUint32(0, p.vni, true);
        v.setUint32(4, p.slot, true);
        set32(b, 8, p.ipv4);
        v.setUint16(12, p.mtu, true);
        v.setUint16(14, p.router ? 1 : 0, true);
        setMac(b, 16, p.mac);
      }),
    ]),
  );
  write(
    'fdb',
    [...maps.fdb].map(([key, entry]) => {
      const [vni, mac] = vniAnd(key);
      const bytes = struct(12, (b, v) => {
        v.setUint32(0, vni, true);
        setMac(b, 4, mac);
      });
      return [bytes, fdbEntry(entry)];
    }),
  );
  write(
    'networks',
    [...maps.networks].map(([vni, n]) => [
      u32(vni),
      struct(8, (_, v) => {
        v.setUint32(0, n.vxlanIfindex, true);
        v.setUint16(4, n.mtu, true);
      }),
    ]),
  );
  write(
    'tunnels',
    [...maps.tunnels].map(([ifindex, vni]) => [u32(ifindex), u32(vni)]),
  );
  write(
    'members',
    [...maps.members].map((key) => {
      const [vni, address] = vniAnd(key);
      const bytes = struct(8, (b, v) => {
        v.setUint32(0, vni, true);
        set32(b, 4, Number(address));
      });
      return [bytes, u32(0)];
    }),
  );
  write(
    'nexthops',
    [...maps.nexthops].map(([address, n]) => [
      be32(address),
      struct(20, (b, v) => {
        v.setUint32(0, n.ifindex, true);
        v.setUint16(4, n.mtu, true);
        setMac(b, 6, n.destination);
        setMac(b, 12, n.source);
      }),
    ]),
  );
}

/** BPF_OUT names another directory of objects: of a version broken on purpose, to see the tests go red. */
const OBJECTS = process.env.BPF_OUT ?? fileURLToPath(new URL('../../bpf/out', import.meta.url));
const objectFile = (name: string): Buffer => readFileSync(`${OBJECTS}/${name}.bpf.o`);

/** `enum reason` as abi.h was compiled: names without the prefix, by number. */
function reasonNames(): Reason[] {
  const abi = new BpfObject(objectFile('abi'));
  const reasons = abi.btf().find((type) => type?.kind.startsWith('enum') && type.name === 'reason');
  abi.close();
  if (reasons?.values === undefined) throw new Error('bpf/out/abi.bpf.o has no BTF for enum reason');
  const names: Reason[] = [];
  for (const { name, value } of reasons.values) names[value] = name.replace(/^REASON_/, '') as Reason;
  return names;
}

/** `struct __sk_buff` (linux/bpf.h) with the fields that a test run takes. */
function skbContext(context: Context): Uint8Array {
  return struct(192, (_, v) => {
    v.setUint32(40, context.ifindex, true);
    v.setUint32(164, context.gsoSegments, true);
    v.setUint32(176, context.gsoSize, true);
  });
}

/** `struct xdp_md` whose data_end makes only the first bytes part of the first buffer (from kernel 6.18). */
function xdpContext(linear: number): Uint8Array {
  return struct(24, (_, v) => v.setUint32(4, linear, true));
}

/**
 * Does the kernel refuse to run this frame at all (EINVAL)? Without a whole Ethernet header always; in TC also when an
 * IPv4 or IPv6 EtherType has no whole header behind it. Real devices deliver those: truncation.test.ts sends them.
 */
export function refusedByTestRun(program: ProgramName, frame: Uint8Array): boolean {
  if (frame.length < 14) return true;
  if (program === 'underlay_xdp') return false;
  const type = (frame[12]! << 8) | frame[13]!;
  return (type === ETHERTYPE.ipv4 && frame.length < 34) || (type === ETHERTYPE.ipv6 && frame.length < 54);
}

/** Sums over all CPUs: [packets, bytes] by what was counted. */
export type Totals = Map<string, [number, number]>;

const VERDICTS: Verdict[] = ['PORT', 'TUNNEL', 'UPLINK', 'ROUTER', 'KERNEL', 'DROP'];
const PROGRAM_NUMBERS = { port: 0, underlay_tc: 1, underlay_xdp: 1, tunnel: 2 } as const;

export const reasonKey = (reason: Reason): string => reason;
export const sentKey = (slot: number, verdict: Verdict): string => `slot ${slot} sent ${verdict}`;
export const receivedKey = (slot: number): string => `slot ${slot} received`;

export class Subject {
  readonly object: BpfObject;
  readonly program: BpfProgram;
  readonly #name: ProgramName;
  readonly #reasons: Reason[];
  readonly #counters: BpfMap;
  readonly #portCounters: BpfMap;
  #context: { of: string; bytes: Uint8Array } = { of: '', bytes: new Uint8Array(0) };

  constructor(name: ProgramName, maps: Maps, options: { ringSize?: number } = {}) {
    this.#name = name;
    const file = name.startsWith('underlay') ? 'underlay' : name;
    this.object = new BpfObject(objectFile(file));
    const { object } = this;
    // Where an object has them: the tunnel program needs no outer header.
    const rodata = (variable: string, bytes: Uint8Array): void => {
      if (file !== 'tunnel') object.setRodata(variable, bytes);
    };
    rodata(
      'vxlan_port',
      struct(2, (b) => set16(b, 0, maps.vxlanPort)),
    );
    rodata('underlay_address', be32(maps.underlayAddress));
    for (const map of ['ports', 'fdb', 'networks', 'tunnels', 'members', 'nexthops'])
      if (object.maps.includes(map)) object.setMaxEntries(map, 64);
    object.setMaxEntries('port_counters', SLOTS);
    if (options.ringSize !== undefined) object.setMaxEntries('events', options.ringSize);
    object.load();
    fill(object, maps);
    this.program = object.program(name);
    this.#reasons = reasonNames();
    this.#counters = object.map('counters');
    this.#portCounters = object.map('port_counters');
  }

  run(frame: Uint8Array, context: Context): { retval: number; data: Uint8Array } {
    if (this.#name === 'underlay_xdp') {
      if ((context.linear ?? frame.length) >= frame.length) return this.program.testRun({ data: frame });
      return this.program.testRun({ data: frame, context: xdpContext(context.linear!) });
    }
    const of = `${context.ifindex} ${context.gsoSize} ${context.gsoSegments}`;
    if (of !== this.#context.of) this.#context = { of, bytes: skbContext(context) };
    return this.program.testRun({ data: frame, context: this.#context.bytes });
  }

  /** Everything counted since the object was loaded; what is zero is left out. */
  totals(): Totals {
    const all: Totals = new Map();
    const add = (key: string, values: Uint8Array, at: number, stride: number, cpus: number): void => {
      const view = new DataView(values.buffer, values.byteOffset);
      let [packets, bytes] = [0, 0];
      for (let cpu = 0; cpu < cpus; cpu++) {
        packets += Number(view.getBigUint64(at + cpu * stride, true));
        bytes += Number(view.getBigUint64(at + cpu * stride + 8, true));
      }
      if (packets !== 0 || bytes !== 0) all.set(key, [packets, bytes]);
    };
    const cpus = this.#counters.cpus;
    const { count, values } = this.#counters.entries();
    for (let index = 0; index < count; index++) {
      const program = Math.floor(index / REASONS);
      const reason = this.#reasons[index % REASONS]!;
      const ours = program === PROGRAM_NUMBERS[this.#name];
      add(ours ? reasonKey(reason) : `program ${program} ${reason}`, values, index * 16 * cpus, 16, cpus);
    }
    const ports = this.#portCounters.entries();
    for (let slot = 0; slot < ports.count; slot++) {
      const at = slot * PORT_COUNTERS_SIZE * cpus;
      const stride = PORT_COUNTERS_SIZE;
      VERDICTS.forEach((verdict, i) => {
        add(sentKey(slot, verdict), ports.values, at + i * 16, stride, cpus);
      });
      add(receivedKey(slot), ports.values, at + VERDICTS.length * 16, stride, cpus);
    }
    return all;
  }

  close(): void {
    this.object.close();
  }
}
