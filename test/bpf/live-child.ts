/**
 * In a namespace of its own: given frames sent through a veth pair into a program that is really attached, for what a
 * test run refuses or cannot express (short frames, VLAN tags that the kernel has taken off). Prints a LiveReport.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createDevices, createVeth, exchange, request } from './child.ts';
import { minus } from './compare.ts';
import { isXdp, type ProgramName } from './model.ts';
import { isReason, Subject, type Totals } from './subject.ts';
import { world } from './world.ts';

export interface LiveRequest {
  program: ProgramName;
  /** Of the device that receives the frames. */
  ifindex: number;
  /** In hexadecimal. */
  frames: string[];
}

export interface LiveReport {
  totals: [string, [number, number]][];
}

const { program, ifindex, frames } = request<LiveRequest>();
createDevices(ifindex);
createVeth('live', 'far', ifindex, 9000);
const subject = new Subject(program, world());
const link = isXdp(program)
  ? subject.program.attachXdp(ifindex, 'native')
  : subject.program.attachTcx(ifindex, 'ingress');

const packets = (totals: Totals): number =>
  [...totals].reduce((sum, [key, [n]]) => (isReason(key) ? sum + n : sum), 0);

const before = subject.totals();
exchange(frames.map((frame) => `far ${frame}`));
// The receiving side runs in a softirq of its own; it is nearly always done by now.
for (let tries = 0; tries < 100 && packets(subject.totals()) < frames.length; tries++) await sleep(10);
const report: LiveReport = { totals: [...minus(subject.totals(), before)] };
link.close();
subject.close();
process.stdout.write(JSON.stringify(report));
