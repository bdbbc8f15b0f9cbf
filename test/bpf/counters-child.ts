/** In a namespace of its own: what the programs count and report. Prints a CountersReport. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RingBuffer } from '#addon';
import { createDevices, request } from './child.ts';
import { fromHex, toHex } from './frames.ts';
import type { Context, ProgramName } from './model.ts';
import { packetOf } from './mutate.ts';
import { refusedByTestRun, Subject, type Totals } from './subject.ts';
import { world } from './world.ts';

export interface CountersRequest {
  program: ProgramName;
  /** So many random packets… */
  random?: number;
  /** …or one frame, in hexadecimal, so many times. */
  frame?: string;
  context?: Context;
  times?: number;
  /** Whether somebody reads the ring buffer. */
  consumer: boolean;
  /** Bytes of the ring buffer. */
  ringSize?: number;
  /** Opens the event gate of this reason (its number) before every packet, as if its interval had passed. */
  openGate?: number;
}

export interface CountersReport {
  /** Sums of what went in. */
  packets: number;
  bytes: number;
  retvals: number[];
  totals: [string, [number, number]][];
  /** Events as delivered, in hexadecimal. */
  events: string[];
  /** Of all reasons and CPUs. */
  suppressed: number;
  lost: number;
  seconds: number;
}

const asked = request<CountersRequest>();
createDevices();
const maps = world();
const subject = new Subject(asked.program, maps, { ringSize: asked.ringSize });
const events: string[] = [];
const consumer = asked.consumer
  ? new RingBuffer(subject.object.map('events'), (records) => events.push(...records.map(toHex)))
  : undefined;
const gates = subject.object.map('event_gates');

function* packets(): Generator<{ frame: Uint8Array; context: Context }> {
  for (let seed = 1; seed <= (asked.random ?? 0); seed++) {
    const packet = packetOf(seed, asked.program, maps);
    // Uncounted segments are the program's own estimate: fuzz.test.ts checks that.
    if (packet.context.gsoSize > 0) packet.context.gsoSegments ||= 1;
    if (!refusedByTestRun(asked.program, packet.frame)) yield packet;
  }
  if (asked.frame === undefined || asked.context === undefined) return;
  const frame = fromHex(asked.frame);
  for (let i = 0; i < (asked.times ?? 1); i++) yield { frame, context: asked.context };
}

/** struct event_gate of every CPU: next_ns, suppressed, lost; 8 bytes each. */
const GATE = 24;

function openGate(reason: number): void {
  const key = new Uint8Array(new Uint32Array([reason]).buffer);
  const value = gates.lookup(key)!;
  const view = new DataView(value.buffer, value.byteOffset);
  for (let cpu = 0; cpu < gates.cpus; cpu++) view.setBigUint64(cpu * GATE, 0n, true);
  gates.update(key, value);
}

const report: CountersReport = {
  packets: 0,
  bytes: 0,
  retvals: [],
  totals: [],
  events,
  suppressed: 0,
  lost: 0,
  seconds: 0,
};
const retvals = new Set<number>();
const started = performance.now();
for (const { frame, context } of packets()) {
  if (asked.openGate !== undefined) openGate(asked.openGate);
  retvals.add(subject.run(frame, context).retval);
  report.packets += context.gsoSegments || 1;
  report.bytes += frame.length;
}
report.seconds = (performance.now() - started) / 1000;
report.retvals = [...retvals];
const totals: Totals = subject.totals();
report.totals = [...totals];
const all = gates.entries();
const view = new DataView(all.values.buffer, all.values.byteOffset);
for (let at = 0; at < all.values.length; at += GATE) {
  report.suppressed += Number(view.getBigUint64(at + 8, true));
  report.lost += Number(view.getBigUint64(at + 16, true));
}
if (asked.consumer) await sleep(200);
consumer?.close();
subject.close();
process.stdout.write(JSON.stringify(report));
