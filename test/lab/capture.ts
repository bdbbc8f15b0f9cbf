import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ProcessId, run, stop, until } from './process.ts';
import { repository } from './repository.ts';
import type { LabNode } from './topology.ts';

const TOOL = ['/usr/bin/python3', join(repository, 'test', 'lab', 'frames.py')];

export interface CapturedFrame {
  /** Ethernet header first; cut where the capture was told to. */
  bytes: Buffer;
  /** Of the whole frame. */
  length: number;
  /** Sent by the namespace's own stack, rather than received. */
  out: boolean;
  /** Segment size of a super-frame; 0: an ordinary frame. */
  gso: number;
  /** The transport checksum is not finished. */
  partial: boolean;
  /** When the kernel saw it, as Date.now() counts. */
  time: number;
}

let captures = 0;

/** A running capture on one device. */
export class Capture {
  readonly #process: ProcessId;
  readonly #log: string;

  private constructor(process: ProcessId, log: string) {
    this.#process = process;
    this.#log = log;
  }

  /** Starts capturing on a device of a node, or of a named namespace of it; returns once it listens. `limit`: bytes kept. */
  static async start(node: LabNode, device: string, namespace?: string, limit = 65536): Promise<Capture> {
    captures += 1;
    const label = `capture-${captures}`;
    const options = namespace === undefined ? {} : { namespace };
    const process = node.start(label, [...TOOL, 'capture', device, String(limit)], options);
    const log = node.logOf(label);
    await until(`capture on ${device} listens (see ${log})`, () =>
      readFileSync(log, 'utf8').startsWith('ready\n'),
    );
    return new Capture(process, log);
  }

  /** Every frame so far. */
  frames(): CapturedFrame[] {
    const lines = readFileSync(this.#log, 'utf8').split('\n').slice(1, -1);
    return lines.map((line) => {
      const row = JSON.parse(line) as Omit<CapturedFrame, 'bytes'> & { hex: string };
      return { ...row, bytes: Buffer.from(row.hex, 'hex') };
    });
  }

  /**
   * Waits until nothing new came for `quiet` ms, or until a frame of that time or a later one was noted (as Date.now()
   * counts), ends the capture and returns its frames.
   */
  async end(quiet = 150, time = Number.POSITIVE_INFINITY): Promise<CapturedFrame[]> {
    let size = -1;
    for (;;) {
      const text = readFileSync(this.#log, 'utf8');
      if (text.length === size) break;
      size = text.length;
      const last = text.slice(text.lastIndexOf('\n', text.length - 2), text.lastIndexOf('\n'));
      if (Number(/"time": ([\d.]+)\}$/.exec(last)?.[1] ?? 0) >= time) break;
      await delay(quiet);
    }
    await stop(this.#process);
    return this.frames();
  }
}

/** Sends frames as they are through a device of a node, or of a named namespace of it. */
export async function inject(
  node: LabNode,
  device: string,
  frames: Uint8Array[],
  namespace?: string,
): Promise<void> {
  const input = frames.map((frame) => Buffer.from(frame).toString('hex')).join('\n');
  await run(node.enter([...TOOL, 'inject', device], namespace), { input });
}
