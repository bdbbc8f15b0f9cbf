/**
 * The native handle on libbpf: verbs without policy. Byte arrays are exactly the kernel's layout
 * (host byte order unless the field's BTF type says otherwise); no method keeps a reference to one.
 *
 * Every failure throws a {@link BpfError}. Handles close themselves when collected, and all of them
 * when the environment (process or worker thread) ends; close() is for doing it now and may be called twice.
 * What is pinned stays.
 */

/** A failed system call or libbpf call, in the shape of Node's own system errors. */
export interface BpfError extends Error {
  /** Symbolic name: 'ENOENT', 'E2BIG', 'ENOTSUPP', 'LIBBPF_ERRNO__VERIFY', … */
  code: string;
  /** Positive errno. */
  errno: number;
  /** What was called: 'bpf_obj_get', 'bpf_map_update_elem', … */
  syscall: string;
  /** The complete verifier log, when a program was refused. */
  log?: string;
}

export interface OpenOptions {
  /** Directory of pinned maps: maps of the object are adopted from it, or created and pinned into it, by name. */
  pinDirectory?: string;
}

/** An ELF object, opened and, after load(), in the kernel. */
export class BpfObject {
  /** Opens an object from its bytes. Nothing reaches the kernel before load(). */
  constructor(elf: Uint8Array, options?: OpenOptions);
  readonly programs: string[];
  readonly maps: string[];
  /** Sets a `const volatile` variable before load(); the size must be the variable's. */
  setRodata(variable: string, value: Uint8Array): void;
  /** Sets a map's capacity before load(). */
  setMaxEntries(map: string, entries: number): void;
  /** Marks a program as not to be loaded (before load()). */
  skipProgram(program: string): void;
  load(): void;
  program(name: string): BpfProgram;
  map(name: string): BpfMap;
  /** The types that the object was compiled with. */
  btf(): Btf;
  close(): void;
}

export interface TestRunOptions {
  /** The packet, Ethernet header first. */
  data: Uint8Array;
  /** Times to run, for the average duration; 1 unless told. */
  repeat?: number;
  /** `struct __sk_buff` or `struct xdp_md` bytes in; see BPF_PROG_RUN in the kernel's documents. */
  context?: Uint8Array;
  /** XDP only: send real frames (BPF_F_TEST_XDP_LIVE_FRAMES); data out and duration are then empty. */
  liveFrames?: boolean;
  /** Frames per batch with liveFrames; the kernel's default is 64. */
  batchSize?: number;
}

export interface TestRunResult {
  /** The program's return value: TC_ACT_*, XDP_*. */
  retval: number;
  /** The packet afterwards. */
  data: Uint8Array;
  context: Uint8Array;
  /** Mean nanoseconds per run. */
  duration: number;
}

export type TcDirection = 'ingress' | 'egress';
export type XdpMode = 'native' | 'generic';

export class BpfProgram {
  /** Opens a pinned program. */
  static open(path: string): BpfProgram;
  readonly info: { id: number; name: string; type: number; instructions: number; verifiedInstructions: number };
  pin(path: string): void;
  /** TCX (kernel 6.6): EINVAL where it is missing. */
  attachTcx(ifindex: number, direction: TcDirection): BpfLink;
  /** EBUSY when another program holds the hook, EOPNOTSUPP or ERANGE when the device can't. */
  attachXdp(ifindex: number, mode: XdpMode): BpfLink;
  /** clsact filter, for kernels without TCX; the clsact qdisc is created when missing and never removed. */
  attachTc(ifindex: number, direction: TcDirection, handle: number, priority: number): void;
  testRun(options: TestRunOptions): TestRunResult;
  /** The same on a worker thread: for long and for live-frames runs. The call ends early when signal aborts. */
  testRunAsync(options: TestRunOptions, signal?: AbortSignal): Promise<TestRunResult>;
  close(): void;
}

/** Removes a clsact filter that attachTc made; ENOENT when it is not there. */
export function detachTc(ifindex: number, direction: TcDirection, handle: number, priority: number): void;
/** Id of the program of a clsact filter, or 0. */
export function queryTc(ifindex: number, direction: TcDirection, handle: number, priority: number): number;

/** An attachment that holds as long as it is open or pinned. */
export class BpfLink {
  static open(path: string): BpfLink;
  /** ifindex 0: the device is gone. */
  readonly info: { id: number; type: number; programId: number; ifindex: number };
  /** Replaces the program without a gap. ENOLINK when the device is gone. */
  update(program: BpfProgram): void;
  pin(path: string): void;
  detach(): void;
  close(): void;
}

export interface MapInfo {
  id: number;
  name: string;
  /** enum bpf_map_type of linux/bpf.h. */
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  /** 0: the map has no BTF. */
  btfId: number;
  btfKeyTypeId: number;
  btfValueTypeId: number;
}

/** Keys and values of many entries, packed one behind the other. */
export interface Batch {
  count: number;
  keys: Uint8Array;
  values: Uint8Array;
}

export class BpfMap {
  /** Opens a pinned map. Read-only needs no capability when the pin's mode allows it. */
  static open(path: string, options?: { readOnly?: boolean }): BpfMap;
  readonly info: MapInfo;
  /** Possible CPUs for per-CPU maps, else 1. A value is round_up(valueSize, 8) × this for per-CPU maps. */
  readonly cpus: number;
  /** The value, or undefined when there is none. */
  lookup(key: Uint8Array): Uint8Array | undefined;
  /** flags: 0 any, 1 only new (EEXIST), 2 only existing (ENOENT). */
  update(key: Uint8Array, value: Uint8Array, flags?: number): void;
  /** False when there was no such entry. */
  delete(key: Uint8Array): boolean;
  /** Every entry. A map that changes meanwhile may miss or repeat entries that change. */
  entries(): Batch;
  /** Writes in chunks; on failure the error's `done` says how many entries were written. */
  updateBatch(batch: Batch): void;
  /** Deletes; missing keys are no error. Returns how many were there. */
  deleteBatch(keys: Uint8Array, count: number): number;
  /** The live map's own types, or undefined when it has none. */
  btf(): Btf | undefined;
  pin(path: string): void;
  close(): void;
}

export interface BtfMember {
  name: string;
  type: number;
  /** From the struct's start. */
  bitOffset: number;
  /** 0 when it is no bit field. */
  bitSize: number;
}

export interface BtfType {
  id: number;
  kind: string; // 'int', 'ptr', 'array', 'struct', 'union', 'enum', 'typedef', 'const', 'volatile', 'var', 'datasec', …
  name: string;
  /** Bytes; 0 where it has none. */
  size: number;
  /** The type it refers to (typedef, ptr, const, array element). */
  type?: number;
  /** Elements, for arrays. */
  length?: number;
  members?: BtfMember[];
  values?: { name: string; value: number }[];
  signed?: boolean;
}

/** Type id → type; index 0 is void. */
export type Btf = BtfType[];

/** Delivers records of a ring buffer map in batches, from a thread of its own. */
export class RingBuffer {
  constructor(map: BpfMap, onRecords: (records: Uint8Array[]) => void);
  close(): void;
}

/** Runs a verb in another network namespace, on a worker thread that goes back (setns, then exit). */
export function inNamespace(
  path: string,
  operation:
    | { verb: 'attachTcx'; program: BpfProgram; ifname: string; direction: TcDirection; pin: string }
    | { verb: 'attachXdp'; program: BpfProgram; ifname: string; mode: XdpMode; pin: string }
    | { verb: 'ifindex'; ifname: string },
): Promise<number>;

/** Number of possible CPUs. */
export const possibleCpus: number;
/** libbpf's version, e.g. '1.1'. */
export const libbpfVersion: string;
