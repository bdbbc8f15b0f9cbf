import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Node } from './node.ts';

const TOOL = fileURLToPath(new URL('../../lab/frames.py', import.meta.url));

/** A device of a node, or of a named namespace of it. */
export interface Place {
  node: Node;
  device: string;
  namespace?: string;
}

function start({ node, device, namespace }: Place, verb: string): ChildProcess {
  const inner = namespace === undefined ? [] : ['nsenter', `--net=/run/netns/${namespace}`];
  const words = ['-t', `${node.pid}`, '-m', '-n', ...inner, '/usr/bin/python3', TOOL, verb, device];
  return spawn('nsenter', words, { stdio: ['pipe', 'pipe', 'inherit'] });
}

async function inject(place: Place, frames: readonly Uint8Array[]): Promise<void> {
  const tool = start(place, 'inject');
  const ended = once(tool, 'exit');
  tool.stdin!.end(frames.map((frame) => Buffer.from(frame).toString('hex')).join('\n'));
  const [code] = await ended;
  if (code !== 0) throw new Error(`frames could not be sent from ${place.device}`);
}

/** Starts to capture everywhere; the function ends it and returns what arrived, as hex. */
async function startCapture(places: readonly Place[]) {
  const captures = await Promise.all(
    places.map(async (place) => {
      const tool = start(place, 'capture');
      const capture = { tool, text: '', ended: once(tool, 'exit') };
      tool.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
        capture.text += chunk;
      });
      while (!capture.text.startsWith('ready\n')) await once(tool.stdout!, 'data');
      return capture;
    }),
  );
  return {
    size: () => captures.reduce((sum, { text }) => sum + text.length, 0),
    async end(): Promise<string[][]> {
      for (const { tool } of captures) tool.kill();
      await Promise.all(captures.map(({ ended }) => ended));
      return captures.map(({ text }) => {
        const rows = text.split('\n').filter((line) => line.endsWith('}'));
        const seen = rows.map((line) => JSON.parse(line) as { hex: string; out: boolean });
        return seen.filter(({ out }) => !out).map(({ hex }) => hex);
      });
    },
  };
}

/** What arrives, as hex, during so many milliseconds. */
export async function watch(ms: number, places: readonly Place[]): Promise<string[][]> {
  const capture = await startCapture(places);
  await delay(ms);
  return await capture.end();
}

/** Sends frames from one place and returns those, as hex, that arrived at others until 200 ms of silence. */
export async function deliver(
  from: Place,
  frames: readonly Uint8Array[],
  to: readonly Place[],
): Promise<string[][]> {
  const capture = await startCapture(to);
  await inject(from, frames);
  for (let before = -1; capture.size() !== before; ) {
    before = capture.size();
    await delay(200);
  }
  return await capture.end();
}
