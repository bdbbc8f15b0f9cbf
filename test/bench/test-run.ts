/*
 * Nanoseconds per packet of a program, by test run on a node of the bench's cluster: the built program is loaded once
 * more around the node's own pinned maps, so that it decides about real ports and entries.
 *
 * Every value is the median of single runs: a repeated run would get its own output as input. What the empty programs
 * cost (reading the clock twice, a call) is in all the others, too.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfMap, BpfObject, type BpfProgram } from '#addon';
import { compileProgram } from '../lab/compile.ts';
import { ipv4Bytes } from '../lab/packet.ts';
import { repository } from '../lab/repository.ts';
import { median } from './rows.ts';

/** Where an agent pins its maps. */
export const PINNED_MAPS = '/sys/fs/bpf/fistpath/maps-2';
const RUNS = 20_000;
/** struct __sk_buff: offsets, and size. */
const SKB = { ingressIfindex: 36, ifindex: 40, size: 192 };
export const [NEXT, REDIRECT] = [-1, 7];
export const [XDP_PASS, XDP_REDIRECT] = [2, 4];

export interface Case {
  measure: string;
  program: BpfProgram;
  /** ifindex that a TC program finds the frame at; undefined: XDP. */
  device?: number;
  /** ifindex that it came in by, when that is another one. */
  ingress?: number;
  frame: Buffer;
  expect: number;
}

/** A device in this process's network namespace. */
export function linkOf(device: string): { ifindex: number; address: string } {
  const text = execFileSync('ip', ['-j', 'link', 'show', device], { encoding: 'utf8' });
  return (JSON.parse(text) as [{ ifindex: number; address: string }])[0];
}

/** Loads an object of bpf/ around the pinned maps. `underlayAddress`: of this node. No flow is ever too old for it. */
export function load(name: string, underlayAddress: string): BpfObject {
  const object = new BpfObject(readFileSync(join(repository, 'bpf', 'out', `${name}.bpf.o`)), {
    pinDirectory: PINNED_MAPS,
  });
  const long = Buffer.alloc(8);
  long.writeBigUInt64LE(1n << 62n);
  object.setRodata('vxlan_port', Uint8Array.from([4789 >> 8, 4789 & 0xff]));
  object.setRodata('underlay_address', ipv4Bytes(underlayAddress));
  object.setRodata('flow_refresh_ns', long);
  object.setRodata('flow_expiry_ns', long);
  for (const each of object.maps) {
    const map = BpfMap.open(join(PINNED_MAPS, each), { readOnly: true });
    object.setMaxEntries(each, map.info.maxEntries);
    map.close();
  }
  object.load();
  return object;
}

/** What a test run costs without a program's own work. `frame` may be any. */
export async function emptyCases(frame: Buffer, device: number): Promise<Case[]> {
  const empty = new BpfObject(readFileSync(await compileProgram('bench/empty')));
  empty.load();
  return [
    { measure: 'empty TC program', program: empty.program('empty_tc'), device, frame, expect: 0 },
    { measure: 'empty XDP program', program: empty.program('empty_xdp'), frame, expect: XDP_PASS },
  ];
}

/** Nanoseconds by measure. Throws when a program decides otherwise than expected. */
export function measureCases(cases: readonly Case[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const { measure, program, device, ingress, frame, expect } of cases) {
    const context = device === undefined ? undefined : Buffer.alloc(SKB.size);
    context?.writeUInt32LE(device!, SKB.ifindex);
    context?.writeUInt32LE(ingress ?? 0, SKB.ingressIfindex);
    const options = context === undefined ? { data: frame } : { data: frame, context };
    const durations: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const { retval, duration } = program.testRun(options);
      if (retval !== expect) throw new Error(`${measure}: the program answered ${retval}, not ${expect}`);
      durations.push(duration);
    }
    result[measure] = median(durations);
  }
  return result;
}
