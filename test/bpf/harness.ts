/**
 * Table tests of one program: a frame in, the one reason that must be counted, what must have become of the bytes.
 * The expectations are written by hand, row by row; the model and the fuzzer are an independent second opinion.
 *
 * As a script (in a namespace of its own, see child.ts) it runs the frames that the tests in this folder ask for.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { createDevices, inChild, request } from './child.ts';
import { minus } from './compare.ts';
import { fromHex, toHex } from './frames.ts';
import type { Maps } from './maps.ts';
import { type ProgramName, type Reason, returnValue, verdictOf } from './model.ts';
import { DEVICES } from './places.ts';
import { isReason, Subject } from './subject.ts';
import { world } from './world.ts';

export interface Row {
  name: string;
  frame: Uint8Array;
  reason: Reason;
  /** The device it comes in by. */
  ifindex?: number;
  gsoSize?: number;
  gsoSegments?: number;
  /** What the tunnel takes off or puts on, and whatever else the row wants to say about the bytes afterwards. */
  out?: (out: Uint8Array, frame: Uint8Array) => void;
  /** port_counters and usage that rise, as `slot N sent VERDICT`, `slot N received`, `usage N sent`; [packets, bytes]. */
  ports?: Record<string, [number, number]>;
  /** The same of flows: `flow NAME`, and `due NAME` by −1 when a packet was left to the kernel. */
  flows?: Record<string, [number, number]>;
}

export interface Outcome {
  retval: number;
  frame: string;
  counted: [string, [number, number]][];
}

/** Changes to the test world before the program is loaded. */
export type Change = 'small underlay' | 'no networks';

interface Request {
  program: ProgramName;
  change?: Change;
  frames: { frame: string; ifindex: number; gsoSize: number; gsoSegments: number }[];
}

export interface Answer {
  outcomes: Outcome[];
  instructions: number;
  verifiedInstructions: number;
}

/** Runs the rows in one child; the program's ifindex is the row's or the given one. */
export function run(program: ProgramName, ifindex: number, rows: Row[], change?: Change): Promise<Answer> {
  const frames = rows.map((row) => ({
    frame: toHex(row.frame),
    ifindex: row.ifindex ?? ifindex,
    gsoSize: row.gsoSize ?? 0,
    gsoSegments: row.gsoSegments ?? 0,
  }));
  return inChild('harness.ts', { program, change, frames } satisfies Request, 60);
}

function check(program: ProgramName, row: Row, outcome: Outcome): void {
  const reasons = outcome.counted.filter(([key]) => isReason(key));
  const packets = row.gsoSegments || 1;
  assert.deepEqual(reasons, [[row.reason, [packets, row.frame.length]]], 'one reason, counted once');
  const verdict = verdictOf(row.reason);
  assert.equal(outcome.retval, returnValue(program, verdict), verdict);
  if (row.out) row.out(fromHex(outcome.frame), row.frame);
  else assert.equal(outcome.frame, toHex(row.frame), 'untouched');
  if (row.ports) {
    const ports = outcome.counted.filter(([key]) => /^(slot|usage)/.test(key));
    assert.deepEqual(Object.fromEntries(ports), row.ports);
  }
  if (row.flows) {
    const flows = outcome.counted.filter(([key]) => /^(flow|due)/.test(key));
    assert.deepEqual(Object.fromEntries(flows), row.flows);
  }
}

/** Defines a test per row. */
export function table(program: ProgramName, ifindex: number, rows: Row[], change?: Change): void {
  let answer: Answer;
  before(async () => {
    answer = await run(program, ifindex, rows, change);
  });
  for (const [i, row] of rows.entries())
    it(`${row.reason}: ${row.name}`, () => {
      check(program, row, answer.outcomes[i]!);
    });
}

function changed(maps: Maps, change: Change | undefined): Maps {
  if (change === 'small underlay') for (const nexthop of maps.nexthops.values()) nexthop.mtu = 1500;
  if (change === 'no networks') maps.networks.clear();
  return maps;
}

function answer({ program, change, frames }: Request): Answer {
  createDevices();
  const subject = new Subject(program, changed(world(), change));
  let before = subject.totals();
  const outcomes = frames.map(({ frame, ...context }): Outcome => {
    const { retval, data } = subject.run(fromHex(frame), context);
    const after = subject.totals();
    const counted = [...minus(after, before)];
    before = after;
    return { retval, frame: toHex(data), counted };
  });
  const { instructions, verifiedInstructions } = subject.program.info;
  subject.close();
  return { outcomes, instructions, verifiedInstructions };
}

/** What the verifier walked through at the time of writing, with room for compilers and kernels to differ. */
export function staysVerifiable(
  program: ProgramName,
  most: { instructions: number; verified: number },
): void {
  it(`loads with at most ${most.instructions} instructions, verified in ${most.verified} steps`, async () => {
    const { instructions, verifiedInstructions } = await run(program, DEVICES.unknown, []);
    assert.ok(instructions > 0 && instructions <= most.instructions, `${instructions} instructions`);
    assert.ok(verifiedInstructions <= most.verified, `${verifiedInstructions} steps`);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.stdout.write(JSON.stringify(answer(request<Request>())));
