/**
 * The program under test: an object of bpf/out in the kernel, its maps filled with a test world, run with BPF_PROG_RUN.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BpfMap, BpfObject, type BpfProgram } from '#addon';
import { be32, EXPIRY_NS, fill, flowKeyBytes, REFRESH_NS, struct, writeFlows } from './fill.ts';
import { ETHERTYPE, set16, toHex } from './frames.ts';
import { type Flow, flowKey, type Maps, USAGE_SLOTS } from './maps.ts';
import { type Context, isXdp, type ProgramName, type Reason, type Verdict } from './model.ts';
import { SLOTS } from './places.ts';

const REASONS = 42;
const PORT_COUNTERS_SIZE = 7 * 16;

/** BPF_OUT names another directory of objects: of a version broken on purpose, to see the tests go red. */
const OBJECTS = process.env.BPF_OUT ?? fileURLToPath(new URL('../../bpf/out', import.meta.url));
export const objectFile = (name: string): Buffer => readFileSync(`${OBJECTS}/${name}.bpf.o`);

let knownReasons: Reason[] | undefined;

/** `enum reason` as abi.h was compiled: names without the prefix, by number. */
function reasonNames(): Reason[] {
  if (knownReasons !== undefined) return knownReasons;
  const abi = new BpfObject(objectFile('abi'));
  const reasons = abi.btf().find((type) => type?.kind.startsWith('enum') && type.name === 'reason');
  abi.close();
  if (reasons?.values === undefined) throw new Error('bpf/out/abi.bpf.o has no BTF for enum reason');
  const names: Reason[] = [];
  for (const { name, value } of reasons.values) names[value] = name.replace(/^REASON_/, '') as Reason;
  knownReasons = names;
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
  if (isXdp(program)) return false;
  const type = (frame[12]! << 8) | frame[13]!;
  return (type === ETHERTYPE.ipv4 && frame.length < 34) || (type === ETHERTYPE.ipv6 && frame.length < 54);
}

/** Sums over all CPUs: [packets, bytes] by what was counted. */
export type Totals = Map<string, [number, number]>;

const VERDICTS: Verdict[] = ['PORT', 'TUNNEL', 'UPLINK', 'ROUTER', 'KERNEL', 'DROP'];
const PROGRAM_NUMBERS = {
  port: 0,
  underlay_tc: 1,
  underlay_xdp: 1,
  tunnel: 2,
  uplink_tc: 3,
  uplink_xdp: 3,
  learn: 4,
} as const;
const USAGE_SIZE = 2 * 16;
const FLOW_KEY_SIZE = 20;
const FLOW_SIZE = 72;

export const reasonKey = (reason: Reason): string => reason;
export const sentKey = (slot: number, verdict: Verdict): string => `slot ${slot} sent ${verdict}`;
export const receivedKey = (slot: number): string => `slot ${slot} received`;
export const usageKey = (slot: number, direction: 'sent' | 'received'): string =>
  `usage ${slot} ${direction}`;
export const flowCountKey = (name: string): string => `flow ${name}`;
/** Does a key of Totals count packets by the reason that ended their way? Every packet has one. */
export const isReason = (key: string): boolean => /^(program|[A-Z])/.test(key);
export const dueKey = (name: string): string => `due ${name}`;

/** Adds up a struct traffic of all CPUs under a name, unless it is zero. */
const adderTo =
  (all: Totals) =>
  (key: string, values: Uint8Array, at: number, stride: number, cpus: number): void => {
    const view = new DataView(values.buffer, values.byteOffset);
    let [packets, bytes] = [0, 0];
    for (let cpu = 0; cpu < cpus; cpu++) {
      packets += Number(view.getBigUint64(at + cpu * stride, true));
      bytes += Number(view.getBigUint64(at + cpu * stride + 8, true));
    }
    if (packets !== 0 || bytes !== 0) all.set(key, [packets, bytes]);
  };

/** What an object's program of this number (enum program) has counted, by reason. */
export function readCounters(object: BpfObject, number: number): Totals {
  const all: Totals = new Map();
  const counters = object.map('counters');
  const names = reasonNames();
  const { count, values } = counters.entries();
  const { cpus } = counters;
  counters.close();
  for (let index = 0; index < count; index++) {
    const program = Math.floor(index / REASONS);
    const reason = names[index % REASONS]!;
    const key = program === number ? reasonKey(reason) : `program ${program} ${reason}`;
    adderTo(all)(key, values, index * 16 * cpus, 16, cpus);
  }
  return all;
}

export interface SubjectOptions {
  /** Bytes of the ring buffer. */
  ringSize?: number;
  refreshNs?: bigint;
  expiryNs?: bigint;
  /** On a bpffs: maps are shared with other subjects by it. */
  pinDirectory?: string;
}

/** Sets the constants that the object has: not every program needs each. */
function setConstants(object: BpfObject, maps: Maps, options: SubjectOptions): void {
  const u64 = (value: bigint): Uint8Array => struct(8, (_, v) => v.setBigUint64(0, value, true));
  const constants: Record<string, Uint8Array> = {
    vxlan_port: struct(2, (b) => set16(b, 0, maps.vxlanPort)),
    underlay_address: be32(maps.underlayAddress),
    flow_refresh_ns: u64(options.refreshNs ?? REFRESH_NS),
    flow_expiry_ns: u64(options.expiryNs ?? EXPIRY_NS),
  };
  for (const [name, value] of Object.entries(constants))
    try {
      object.setRodata(name, value);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT') throw error;
    }
}

const SMALL_MAPS = [
  'ports',
  'fdb',
  'networks',
  'tunnels',
  'members',
  'nexthops',
  'routed',
  'routers',
  'gateways',
  'accounts',
];

export class Subject {
  readonly object: BpfObject;
  readonly program: BpfProgram;
  readonly #name: ProgramName | 'learn';
  readonly #portCounters: BpfMap;
  readonly #flows?: BpfMap;
  readonly #usage?: BpfMap;
  /** Names of the flows, by the bytes of their keys. */
  readonly #flowNames = new Map<string, string>();
  #context: { of: string; bytes: Uint8Array } = { of: '', bytes: new Uint8Array(0) };

  constructor(name: ProgramName | 'learn', maps: Maps, options: SubjectOptions = {}) {
    this.#name = name;
    this.object = new BpfObject(objectFile(name.replace(/_(tc|xdp)$/, '')), {
      pinDirectory: options.pinDirectory,
    });
    const { object } = this;
    setConstants(object, maps, options);
    for (const map of object.maps) if (SMALL_MAPS.includes(map)) object.setMaxEntries(map, 64);
    if (object.maps.includes('port_counters')) object.setMaxEntries('port_counters', SLOTS);
    if (object.maps.includes('flows')) object.setMaxEntries('flows', 4096);
    if (object.maps.includes('usage')) object.setMaxEntries('usage', USAGE_SLOTS);
    if (options.ringSize !== undefined) object.setMaxEntries('events', options.ringSize);
    object.load();
    fill(object, maps);
    this.program = object.program(name);
    this.#portCounters = object.map('port_counters');
    if (object.maps.includes('flows')) this.#flows = object.map('flows');
    if (object.maps.includes('usage')) this.#usage = object.map('usage');
    this.writeFlows(maps);
    for (const flow of maps.flows.values())
      this.#flowNames.set(toHex(flowKeyBytes(flow.key)), flowKey(flow.key));
  }

  run(frame: Uint8Array, context: Context): { retval: number; data: Uint8Array } {
    if (this.#name !== 'learn' && isXdp(this.#name)) {
      if ((context.linear ?? frame.length) >= frame.length) return this.program.testRun({ data: frame });
      return this.program.testRun({ data: frame, context: xdpContext(context.linear!) });
    }
    const of = `${context.ifindex} ${context.gsoSize} ${context.gsoSegments}`;
    if (of !== this.#context.of) this.#context = { of, bytes: skbContext(context) };
    return this.program.testRun({ data: frame, context: this.#context.bytes });
  }

  /** Everything counted since the object was loaded; what is zero is left out. */
  totals(): Totals {
    const all = readCounters(this.object, PROGRAM_NUMBERS[this.#name]);
    const add = adderTo(all);
    const { cpus } = this.#portCounters;
    const ports = this.#portCounters.entries();
    for (let slot = 0; slot < ports.count; slot++) {
      const at = slot * PORT_COUNTERS_SIZE * cpus;
      const stride = PORT_COUNTERS_SIZE;
      VERDICTS.forEach((verdict, i) => {
        add(sentKey(slot, verdict), ports.values, at + i * 16, stride, cpus);
      });
      add(receivedKey(slot), ports.values, at + VERDICTS.length * 16, stride, cpus);
    }
    const usage = this.#usage?.entries();
    for (let slot = 0; slot < (usage?.count ?? 0); slot++) {
      const at = slot * USAGE_SIZE * cpus;
      add(usageKey(slot, 'sent'), usage!.values, at, USAGE_SIZE, cpus);
      add(usageKey(slot, 'received'), usage!.values, at + 16, USAGE_SIZE, cpus);
    }
    this.#addFlows(all);
    return all;
  }

  #addFlows(all: Totals): void {
    const flows = this.#flows?.entries();
    const now = process.hrtime.bigint();
    for (let i = 0; i < (flows?.count ?? 0); i++) {
      const key = toHex(flows!.keys.subarray(i * FLOW_KEY_SIZE, (i + 1) * FLOW_KEY_SIZE));
      const name = this.#flowNames.get(key) ?? key;
      const view = new DataView(flows!.values.buffer, flows!.values.byteOffset + i * FLOW_SIZE);
      const [packets, bytes] = [view.getBigUint64(16, true), view.getBigUint64(24, true)].map(Number);
      if (packets !== 0 || bytes !== 0) all.set(flowCountKey(name), [packets!, bytes!]);
      if (BigInt.asUintN(64, now - view.getBigUint64(8, true)) >= REFRESH_NS) all.set(dueKey(name), [1, 0]);
    }
  }

  /** Packets by reason. */
  reasons(): Map<string, number> {
    const totals = readCounters(this.object, PROGRAM_NUMBERS[this.#name]);
    return new Map([...totals].map(([key, [packets]]) => [key, packets]));
  }

  forgetFlow(flow: Flow): void {
    this.#flows?.delete(flowKeyBytes(flow.key));
  }

  /** Sets every flow to what the model has. */
  writeFlows(maps: Maps): void {
    if (this.#flows) writeFlows(this.#flows, maps);
  }

  close(): void {
    this.object.close();
  }
}
