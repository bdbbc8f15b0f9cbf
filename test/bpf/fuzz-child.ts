/** In a namespace of its own: many mutated packets through one program and the model. Prints a Report. */
import { createDevices, request } from './child.ts';
import { Comparison, type Mismatch } from './compare.ts';
import type { ProgramName } from './model.ts';
import { packetOf } from './mutate.ts';
import { Subject } from './subject.ts';
import { world } from './world.ts';

export interface FuzzRequest {
  program: ProgramName;
  /** Packets have the seeds firstSeed, firstSeed + 1, … */
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
while (done < packets && mismatch === undefined) {
  const size = Math.min(CHUNK, packets - done);
  const chunk = Array.from({ length: size }, (_, i) => packetOf(firstSeed + done + i, program, maps));
  const found = comparison.checkChunk(chunk);
  if (found !== undefined) {
    const shrunk = comparison.check(comparison.shrink(chunk[found.index]!));
    mismatch = { ...(shrunk ?? found.mismatch), seed: firstSeed + done + found.index };
  }
  done += size;
}
subject.close();
const seconds = (performance.now() - started) / 1000;
const report: FuzzReport = { packets: done, seconds, reasons: comparison.reasons, mismatch };
process.stdout.write(JSON.stringify(report));
