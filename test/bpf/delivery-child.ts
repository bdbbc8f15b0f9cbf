/**
 * In a namespace of its own: mutated frames sent into programs that are attached to live devices; what comes out, and
 * where. Prints a DeliveryReport.
 */
import { execFileSync } from 'node:child_process';
import { createVeth, exchange, request } from './child.ts';
import { fromHex, set16, toHex } from './frames.ts';
import type { Maps } from './maps.ts';
import { decide, isXdp, type ProgramName } from './model.ts';
import { packetOf } from './mutate.ts';
import { DEVICES } from './places.ts';
import { Subject } from './subject.ts';
import { world } from './world.ts';

export interface DeliveryRequest {
  program: ProgramName;
  firstSeed: number;
  frames: number;
}

export interface DeliveryReport {
  sent: number;
  /** `DEVICE FRAME` as the model says, and as it came out of the devices' far ends; both sorted. */
  expected: string[];
  delivered: string[];
}

const { program, firstSeed, frames } = request<DeliveryRequest>();

/** All ends are in one namespace here, so no port may be entered past its queue (FDB_PEER). */
const maps: Maps = world();
for (const [key, entry] of maps.fdb) maps.fdb.set(key, { ...entry, peer: false });

for (const ifindex of Object.values(DEVICES)) createVeth(`near${ifindex}`, `far${ifindex}`, ifindex, 9000);
const subject = new Subject(program, maps);
const inputs = { port: [...maps.ports.keys()], tunnel: [...maps.tunnels.keys()] };
const underlayOrUplink = program.startsWith('uplink') ? DEVICES.uplink : DEVICES.unknown;
const devices = program === 'port' || program === 'tunnel' ? inputs[program] : [underlayOrUplink];
const links = devices.map((ifindex) =>
  isXdp(program)
    ? subject.program.attachXdp(ifindex, 'native')
    : subject.program.attachTcx(ifindex, 'ingress'),
);
// What XDP redirects to a veth is lost unless the far end has a queue of its own: that comes with GRO.
for (const ifindex of Object.values(DEVICES)) execFileSync('ethtool', ['-K', `far${ifindex}`, 'gro', 'on']);

/** The outer source port is the kernel's flow hash. */
function withoutHash(frame: Uint8Array): string {
  const copy = frame.slice();
  set16(copy, 34, 0);
  return toHex(copy);
}

const sent: string[] = [];
const expected: string[] = [];
for (let seed = firstSeed; sent.length < frames; seed++) {
  const { frame, context } = packetOf(seed, program, maps);
  if (context.gsoSize > 0 || context.linear !== undefined) continue;
  if (!devices.includes(context.ifindex)) context.ifindex = devices[seed % devices.length]!;
  const { verdict, output, device } = decide(program, frame, context, maps);
  sent.push(`far${context.ifindex} ${toHex(frame)}`);
  if (device === 0) continue;
  expected.push(`far${device} ${verdict === 'TUNNEL' ? withoutHash(output) : toHex(output)}`);
}
const wire = `far${DEVICES.unknown} `;
const delivered = exchange(sent, 'far').map((line) =>
  line.startsWith(wire) ? wire + withoutHash(fromHex(line.slice(wire.length))) : line,
);
for (const link of links) link.close();
subject.close();
const report: DeliveryReport = { sent: sent.length, expected: expected.sort(), delivered: delivered.sort() };
process.stdout.write(JSON.stringify(report));
