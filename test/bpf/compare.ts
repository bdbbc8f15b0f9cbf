/**
 * Runs frames through a program and through the model. Return value and bytes are compared for every frame, the
 * counters as sums over a chunk of frames; a chunk that differs is run again frame by frame to find the culprit.
 */
import { set16, toHex } from './frames.ts';
import { type Flow, flowKey, type Maps } from './maps.ts';
import { type Context, type Decision, decide, type ProgramName, returnValue } from './model.ts';
import type { Packet } from './mutate.ts';
import {
  dueKey,
  flowCountKey,
  reasonKey,
  receivedKey,
  refusedByTestRun,
  type Subject,
  sentKey,
  type Totals,
  usageKey,
} from './subject.ts';

export interface Mismatch {
  program: ProgramName;
  what: string;
  packet: { frame: string } & Context;
  expected: string;
  seed?: number;
}

/** RFC 7348, 5: the dynamic range. */
const FIRST_SOURCE_PORT = 49152;

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

function countInto(totals: Totals, key: string, packets: number, bytes: number): void {
  const old = totals.get(key);
  if (old === undefined) totals.set(key, [packets, bytes]);
  else {
    old[0] += packets;
    old[1] += bytes;
  }
}

/** Adds what the decision counts. */
export function count(totals: Totals, decision: Decision): void {
  countInto(totals, reasonKey(decision.reason), decision.packets, decision.bytes);
  for (const { slot, direction, packets, bytes } of decision.ports)
    countInto(
      totals,
      direction === 'sent' ? sentKey(slot, decision.verdict) : receivedKey(slot),
      packets,
      bytes,
    );
  for (const { slot, direction, packets, bytes } of decision.usage)
    countInto(totals, usageKey(slot, direction), packets, bytes);
  for (const flow of decision.flows)
    countInto(totals, flowCountKey(flowKey(flow.key)), decision.packets, decision.flowBytes);
  for (const flow of decision.refreshed) countInto(totals, dueKey(flowKey(flow.key)), -1, 0);
}

/** What is counted otherwise than expected, in words; '' when nothing is. */
export function difference(expected: Totals, actual: Totals): string {
  const lines: string[] = [];
  for (const key of new Set([...expected.keys(), ...actual.keys()])) {
    const [want, wantBytes] = expected.get(key) ?? [0, 0];
    const [got, gotBytes] = actual.get(key) ?? [0, 0];
    if (want !== got || wantBytes !== gotBytes)
      lines.push(`${key}: ${got} packets, ${gotBytes} bytes counted, ${want} and ${wantBytes} expected`);
  }
  return lines.join('; ');
}

/** What was counted between two looks. */
export function minus(now: Totals, before: Totals): Totals {
  const rise: Totals = new Map();
  for (const key of new Set([...now.keys(), ...before.keys()])) {
    const [packets, bytes] = now.get(key) ?? [0, 0];
    const [p, b] = before.get(key) ?? [0, 0];
    if (packets !== p || bytes !== b) rise.set(key, [packets - p, bytes - b]);
  }
  return rise;
}

export class Comparison {
  readonly #subject: Subject;
  readonly #program: ProgramName;
  readonly #maps: Maps;
  /** The flows as they were at first. */
  readonly #flows: Flow[];
  /** Packets by reason, as the model decided. */
  readonly reasons: Record<string, number> = {};

  constructor(subject: Subject, program: ProgramName, maps: Maps) {
    this.#subject = subject;
    this.#program = program;
    this.#maps = maps;
    this.#flows = [...maps.flows.values()].map((flow) => ({ ...flow }));
  }

  /** Sets the flows, of the model and in the kernel, to what they were at first. */
  #renew(): void {
    for (const flow of this.#flows) this.#maps.flows.set(flowKey(flow.key), { ...flow });
    this.#subject.writeFlows(this.#maps);
  }

  /** What is wrong about return value or bytes, or undefined. */
  #visible(packet: Packet, decision: Decision): string | undefined {
    const { retval, data } = this.#subject.run(packet.frame, packet.context);
    const expected = returnValue(this.#program, decision.verdict);
    if (retval !== expected) return `returned ${retval}, ${expected} expected`;
    let got = data;
    if (decision.hashed && data.length === decision.output.length) {
      const sourcePort = (data[34]! << 8) | data[35]!;
      if (sourcePort < FIRST_SOURCE_PORT) return `outer source port ${sourcePort} is out of range`;
      got = data.slice();
      set16(got, 34, 0);
    }
    if (!sameBytes(got, decision.output))
      return `frame came out as ${toHex(data)}, not as ${toHex(decision.output)}`;
    return undefined;
  }

  /** The first way in which one packet's fate is not what the model says, or undefined. */
  check(packet: Packet): Mismatch | undefined {
    this.#renew();
    const before = this.#subject.totals();
    const decision = decide(this.#program, packet.frame, packet.context, this.#maps);
    let what = this.#visible(packet, decision);
    const expected: Totals = new Map();
    count(expected, decision);
    const counters = difference(expected, minus(this.#subject.totals(), before));
    if (counters !== '') what = what === undefined ? counters : `${what}; ${counters}`;
    return what === undefined ? undefined : this.#mismatch(packet, decision, what);
  }

  #mismatch(packet: Packet, decision: Decision, what: string): Mismatch {
    const { frame, context } = packet;
    return {
      program: this.#program,
      what,
      packet: { frame: toHex(frame), ...context },
      expected: decision.reason,
    };
  }

  /** Compares many packets; the index of the first that differs, or undefined. */
  checkChunk(packets: Packet[]): { index: number; mismatch: Mismatch } | undefined {
    this.#renew();
    const before = this.#subject.totals();
    const expected: Totals = new Map();
    for (const [index, packet] of packets.entries()) {
      const decision = decide(this.#program, packet.frame, packet.context, this.#maps);
      const what = this.#visible(packet, decision);
      if (what !== undefined)
        return { index, mismatch: this.check(packet) ?? this.#mismatch(packet, decision, what) };
      count(expected, decision);
      this.reasons[decision.reason] = (this.reasons[decision.reason] ?? 0) + 1;
    }
    const counters = difference(expected, minus(this.#subject.totals(), before));
    if (counters === '') return undefined;
    for (const [index, packet] of packets.entries()) {
      const mismatch = this.check(packet);
      if (mismatch !== undefined) return { index, mismatch };
    }
    throw new Error(`${this.#program}: counters of a chunk differ, but of no packet alone: ${counters}`);
  }

  /** The same mismatch with fewer bytes and fewer non-zero ones, as far as simple steps go. */
  shrink(packet: Packet): Packet {
    let best = packet;
    const tryOne = (frame: Uint8Array, context = best.context): void => {
      const candidate = { frame, context };
      if (refusedByTestRun(this.#program, frame)) return;
      if (this.check(candidate) !== undefined) best = candidate;
    };
    tryOne(best.frame, { ...best.context, gsoSize: 0, gsoSegments: 0 });
    for (let cut = best.frame.length; cut >= 1; cut >>= 1)
      while (best.frame.length - cut >= 14) {
        const before = best.frame.length;
        tryOne(best.frame.slice(0, before - cut));
        if (best.frame.length === before) break;
      }
    for (let at = 0; at < best.frame.length; at++) {
      if (best.frame[at] === 0) continue;
      const frame = best.frame.slice();
      frame[at] = 0;
      tryOne(frame);
    }
    return best;
  }
}
