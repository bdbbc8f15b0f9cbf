/**
 * The native handle on libbpf: verbs without policy. Byte arrays are exactly the kernel's layout
 * (host byte order unless the field's BTF type says otherwise); no method keeps a reference to one.
 *
 * A failed call throws a {@link BpfError}, an argument of the wrong type, range or size a TypeError.
 * Handles close themselves when collected, and all of them when the environment (process or worker thread)
 * ends; close() is for doing it now and may be called twice. A handle's other methods answer EBADF after it.
 * Handles are independent of the object that they came from. What is pinned stays.
 *
 * Everything acts in the network namespace of the calling process, apart from {@link inNamespace} and {@link devicesIn}.
 */

/** A failed system call or libbpf call, in the shape of Node's own system errors. */
export interface BpfError extends Error {
  /** Symbolic name: 'ENOENT', 'E2BIG', 'ENOTSUPP' (524), 'LIBBPF_ERRNO__FORMAT' (4001), … */
  code: string;
  /** Positive; libbpf's own are 4000 and above. */
  errno: number;
  /** What was called: 'bpf_obj_get', 'bpf_map_update_elem', … */
  syscall: string;
  /** The complete verifier log, when a program was refused. */
  log?: string;
  /** Entries that updateBatch wrote before it failed. */
  done?: number;
}

export interface OpenOptions {
  /**
   * Directory of pinned maps, on a bpffs; made when missing. load() adopts the object's maps from it by name,
   * and pins those that were not there. A pinned map of another type, key size, value size, capacity or flags
   * is refused: EINVAL, and the message names the map and the difference.
   */
  pinDirectory?: string;
}

/** An ELF object, opened and, after load(), in the kernel. */
export class BpfObject {
  /** Opens an object from its bytes. Nothing reaches the kernel before load(). LIBBPF_ERRNO__FORMAT: no BPF ELF. */
  constructor(elf: Uint8Array, options?: OpenOptions);
  readonly programs: string[];
  /** The declared maps, without those that libbpf makes for global variables. */
  readonly maps: string[];
  /** Sets a `const volatile` variable before load(), by its name. ENOENT: there is none; EBUSY: already loaded. */
  setRodata(variable: string, value: Uint8Array): void;
  /** Sets a map's capacity before load() (EBUSY after it). */
  setMaxEntries(map: string, entries: number): void;
  /** Marks a program as not to be loaded (before load()). */
  skipProgram(program: string): void;
  /** Creates or adopts the maps and loads the programs; once. EACCES or EINVAL with `log`: the verifier's refusal. */
  load(): void;
  /** After load(). ENOENT: the object has none of that name. */
  program(name: string): BpfProgram;
  map(name: string): BpfMap;
  /** The types that the object was compiled with. */
  btf(): Btf;
  close(): void;
}

export interface TestRunOptions {
  /** The packet, Ethernet header first; 14 bytes at least. */
  data: Uint8Array;
  /** Times to run, for the average duration; 1 unless told. */
  repeat?: number;
  /** `struct __sk_buff` or `struct xdp_md` bytes in; see BPF_PROG_RUN in the kernel's documents. */
  context?: Uint8Array;
  /** XDP only: send real frames (BPF_F_TEST_XDP_LIVE_FRAMES); data out and duration are then empty. */
  liveFrames?: boolean;
  /** Frames per batch with liveFrames, up to 256; the kernel's default is 64. */
  batchSize?: number;
}

export interface TestRunResult {
  /** The program's return value: TC_ACT_* (-1: TC_ACT_UNSPEC), XDP_*. */
  retval: number;
  /** The packet afterwards. */
  data: Uint8Array;
  /** The context afterwards; empty when none was given. */
  context: Uint8Array;
  /** Mean nanoseconds per run. */
  duration: number;
}

export type TcDirection = 'ingress' | 'egress';
export type XdpMode = 'native' | 'generic';

export class BpfProgram {
  /** Opens a pinned program. */
  static open(path: string): BpfProgram;
  /** name: at most 15 characters, as the kernel keeps it. type: enum bpf_prog_type. */
  readonly info: {
    id: number;
    name: string;
    type: number;
    instructions: number;
    verifiedInstructions: number;
  };
  /** To a path on a bpffs. EEXIST: the path is taken. */
  pin(path: string): void;
  /** TCX (kernel 6.6): EINVAL where it is missing. */
  attachTcx(ifindex: number, direction: TcDirection): BpfLink;
  /** EBUSY when another program holds the hook, EOPNOTSUPP or ERANGE when the device can't. */
  attachXdp(ifindex: number, mode: XdpMode): BpfLink;
  /**
   * clsact filter, for kernels without TCX; the clsact qdisc is created when missing and never removed.
   * The filter stays until detachTc(). handle and priority (up to 65535) are 1 at least; EEXIST when they are
   * taken, unless replace says that whatever is there shall be replaced, without a gap.
   */
  attachTc(
    ifindex: number,
    direction: TcDirection,
    handle: number,
    priority: number,
    replace?: boolean,
  ): void;
  testRun(options: TestRunOptions): TestRunResult;
  /**
   * The same on a thread of its own: for long and for live-frames runs. When signal aborts, the run ends within
   * a batch of frames, and the promise is rejected with an AbortError, as Node's own functions do.
   */
  testRunAsync(options: TestRunOptions, signal?: AbortSignal): Promise<TestRunResult>;
  close(): void;
}

/** Removes a clsact filter that attachTc made; ENOENT when it is not there. The clsact qdisc stays. */
export function detachTc(ifindex: number, direction: TcDirection, handle: number, priority: number): void;
/** Id of the program of a clsact filter, or 0 when there is none. ENODEV: no such device. */
export function queryTc(ifindex: number, direction: TcDirection, handle: number, priority: number): number;

/** An attachment that holds as long as it is open or pinned. */
export class BpfLink {
  static open(path: string): BpfLink;
  /** ifindex 0: the device is gone. type: enum bpf_link_type (6 XDP, 11 TCX). */
  readonly info: { id: number; type: number; programId: number; ifindex: number };
  /** Replaces the program without a gap. ENOLINK when the device is gone. */
  update(program: BpfProgram): void;
  pin(path: string): void;
  /** Takes the program off the device, whoever else holds the link. */
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
  /** 0: the map has no BTF. The next two are ids in the map's btf(). */
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
  /** Opens a pinned map. Read-only needs no capability when the pin's mode allows it. EINVAL: no map's pin. */
  static open(path: string, options?: { readOnly?: boolean }): BpfMap;
  readonly info: MapInfo;
  /** Possible CPUs for per-CPU maps, else 1. A value is then round_up(valueSize, 8) × cpus bytes, CPU after CPU. */
  readonly cpus: number;
  /** The value, or undefined when there is none. */
  lookup(key: Uint8Array): Uint8Array | undefined;
  /** flags: 0 any, 1 only new (EEXIST), 2 only existing (ENOENT). */
  update(key: Uint8Array, value: Uint8Array, flags?: number): void;
  /** False when there was no such entry. */
  delete(key: Uint8Array): boolean;
  /** Every entry; of an array, every element. A map that changes meanwhile may miss or repeat entries that change. */
  entries(): Batch;
  /** Writes in chunks; on failure the error's `done` says how many entries were written. */
  updateBatch(batch: Batch): void;
  /** Deletes; missing keys are no error. Returns how many were there. */
  deleteBatch(keys: Uint8Array, count: number): number;
  /** The live map's own types, or undefined when it has none. EPERM without CAP_SYS_ADMIN. */
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
  /** 'int', 'ptr', 'array', 'struct', 'union', 'enum', 'enum64', 'typedef', 'const', 'volatile', 'var', 'datasec', … */
  kind: string;
  name: string;
  /** Bytes; 0 where it has none. */
  size: number;
  /** The type it refers to: of a typedef, ptr, const, var; an array's element; a function's result. */
  type?: number;
  /** Elements, for arrays. */
  length?: number;
  /** Of a struct or union; a data section's variables; a function prototype's parameters. */
  members?: BtfMember[];
  /** Of an enum; unsigned unless `signed` (clang before 16 never says signed). */
  values?: { name: string; value: number }[];
  /** Of an int or enum. */
  signed?: boolean;
}

/** Type id → type; index 0 is void. */
export type Btf = BtfType[];

/**
 * Delivers records of a ring buffer map in batches, from a thread of its own. Until close() it lives without
 * being referenced and keeps the process alive. Records of one batch share one ArrayBuffer. What onRecords
 * throws is an uncaught exception. When onRecords is slow the ring fills, and its programs lose records; what is
 * undelivered at close() is lost.
 */
export class RingBuffer {
  constructor(map: BpfMap, onRecords: (records: Uint8Array[]) => void);
  close(): void;
}

/**
 * Runs a verb in another network namespace, on a fresh thread that enters it and ends. Resolves to the device's
 * ifindex there; attachments are pinned, and hold by that alone. ENODEV: no device of that name.
 */
export function inNamespace(
  path: string,
  operation:
    | { verb: 'attachTcx'; program: BpfProgram; ifname: string; direction: TcDirection; pin: string }
    | { verb: 'attachXdp'; program: BpfProgram; ifname: string; mode: XdpMode; pin: string }
    | { verb: 'ifindex'; ifname: string },
): Promise<number>;

/** /proc/net/dev of another network namespace: its devices' statistics, in the text that proc(5) describes. */
export function devicesIn(path: string): Promise<string>;

/**
 * What a device can do for XDP now: bits of enum netdev_xdp_act (linux/netdev.h), such as 4: it takes frames that are
 * redirected to it. ENODEV: no such device; ENOENT: the kernel does not tell (before Linux 6.3).
 */
export function xdpFeatures(ifindex: number): number;

/** Number of possible CPUs. */
export const possibleCpus: number;
/** libbpf's version, e.g. '1.1'. */
export const libbpfVersion: string;
