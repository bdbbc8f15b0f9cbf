/** In a namespace of its own: many mutated packets through one program and the model. Prints a Report. */
import { createDevices, request } from './child.ts';
import { Comparison, type Mismatch } from './compare.ts';
import type { ProgramName } from './model.ts';
import { type Packet, packetOf } from './mutate.ts';
import { refusedByTestRun, Subject } from './subject.ts';
import { world } from './world.ts';

export interface FuzzRequest {
  program: ProgramName;
  /** Packets have the seeds firstSeed, firstSeed + 1, …; those that a test run refuses are left out and not counted. */
  firstSeed: number;
  packets: number;
}

export interface FuzzReport {
  packets: number;
  seconds: number;
  /** Packets by the reason that the model gave. */
  reasons: Record<string, number>;
  mismatch?: Mismatch;
}

const CHUNK = 1024;

const { program, firstSeed, packets } = request<FuzzRequest>();
createDevices();
const maps = world();
const subject = new Subject(program, maps);
const comparison = new Comparison(subject, program, maps);
const started = performance.now();
let done = 0;
let mismatch: Mismatch | undefined;
let seed = firstSeed;
while (done < packets && mismatch === undefined) {
  const chunk: (Packet & { seed: number })[] = [];
  for (; chunk.length < Math.min(CHUNK, packets - done); seed++) {
    const packet = packetOf(seed, program, maps);
    if (!refusedByTestRun(program, packet.frame)) chunk.push({ ...packet, seed });
  }
  const found = comparison.checkChunk(chunk);
  if (found !== undefined) {
    const culprit = chunk[found.index]!;
    mismatch = { ...(comparison.check(comparison.shrink(culprit)) ?? found.mismatch), seed: culprit.seed };
  }
  done += chunk.length;
}
subject.close();
const seconds = (performance.now() - started) / 1000;
const report: FuzzReport = { packets: done, seconds, reasons: comparison.reasons, mismatch };
process.stdout.write(JSON.stringify(report));
