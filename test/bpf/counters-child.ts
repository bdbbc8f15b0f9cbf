/** In a namespace of its own: what the programs count and report. Prints CountersReport[], one for each request. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type BpfMap, RingBuffer } from '#addon';
import { createDevices, request } from './child.ts';
import { fromHex, toHex } from './frames.ts';
import type { Context, ProgramName } from './model.ts';
import { type Packet, packetOf } from './mutate.ts';
import { refusedByTestRun, Subject } from './subject.ts';
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

/** struct event_gate of every CPU: next_ns, suppressed, lost; 8 bytes each. */
const GATE = 24;

function openGate(gates: BpfMap, reason: number): void {
  const key = new Uint8Array(new Uint32Array([reason]).buffer);
  const value = gates.lookup(key)!;
  const view = new DataView(value.buffer, value.byteOffset);
  for (let cpu = 0; cpu < gates.cpus; cpu++) view.setBigUint64(cpu * GATE, 0n, true);
  gates.update(key, value);
}

/** Sums over all reasons and CPUs. */
function readGates(gates: BpfMap): { suppressed: number; lost: number } {
  const { values } = gates.entries();
  const view = new DataView(values.buffer, values.byteOffset);
  let [suppressed, lost] = [0, 0];
  for (let at = 0; at < values.length; at += GATE) {
    suppressed += Number(view.getBigUint64(at + 8, true));
    lost += Number(view.getBigUint64(at + 16, true));
  }
  return { suppressed, lost };
}

const maps = world();

function* packets(asked: CountersRequest): Generator<Packet> {
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

async function observe(asked: CountersRequest): Promise<CountersReport> {
  const subject = new Subject(asked.program, maps, { ringSize: asked.ringSize });
  const gates = subject.object.map('event_gates');
  const events: string[] = [];
  const collect = (records: Uint8Array[]): void => {
    events.push(...records.map(toHex));
  };
  const consumer = asked.consumer ? new RingBuffer(subject.object.map('events'), collect) : undefined;

  const retvals = new Set<number>();
  let [runs, wirePackets, bytes] = [0, 0, 0];
  const started = performance.now();
  for (const { frame, context } of packets(asked)) {
    if (asked.openGate !== undefined) openGate(gates, asked.openGate);
    retvals.add(subject.run(frame, context).retval);
    runs++;
    wirePackets += context.gsoSegments || 1;
    bytes += frame.length;
  }
  const seconds = (performance.now() - started) / 1000;
  const { suppressed, lost } = readGates(gates);
  // Where every packet was a drop, so many events are on their way.
  const coming = asked.consumer ? runs - suppressed - lost : 0;
  for (let tries = 0; tries < 500 && events.length < coming; tries++) await sleep(10);

  const totals = [...subject.totals()];
  consumer?.close();
  subject.close();
  return { packets: wirePackets, bytes, retvals: [...retvals], totals, events, suppressed, lost, seconds };
}

const reports: CountersReport[] = [];
createDevices();
for (const asked of request<CountersRequest[]>()) reports.push(await observe(asked));
process.stdout.write(JSON.stringify(reports));
