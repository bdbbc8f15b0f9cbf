/** In a namespace of its own: given frames through one program and the model, each compared by itself. Prints FrameResult[]. */
import { createDevices, request } from './child.ts';
import { Comparison } from './compare.ts';
import { fromHex, toHex } from './frames.ts';
import { type Context, decide, type ProgramName, type Reason } from './model.ts';
import { Subject } from './subject.ts';
import { world } from './world.ts';

export interface FramesRequest {
  program: ProgramName;
  /** Frames in hexadecimal. */
  packets: { frame: string; context: Context }[];
}

export interface FrameResult {
  /** The model's. */
  reason?: Reason;
  retval: number;
  frame: string;
  mismatch?: string;
  /** Code of the error with which the kernel refused the test run itself. */
  refused?: string;
}

const { program, packets } = request<FramesRequest>();
createDevices();
const maps = world();
const subject = new Subject(program, maps);
const comparison = new Comparison(subject, program, maps);

function result(frame: Uint8Array, context: Context): FrameResult {
  try {
    subject.run(frame, context);
  } catch (error) {
    return { retval: -1, frame: '', refused: (error as NodeJS.ErrnoException).code };
  }
  const { reason } = decide(program, frame, context, maps);
  const mismatch = comparison.check({ frame, context })?.what;
  const { retval, data } = subject.run(frame, context);
  return { reason, retval, frame: toHex(data), mismatch };
}

const results = packets.map(({ frame, context }) => result(fromHex(frame), context));
subject.close();
process.stdout.write(JSON.stringify(results));
