/*
 * The traffic generator, run inside a guest: sends one frame again and again out of one device, made by the
 * kernel itself. Arguments: device, frame in hex, frames per second (0: as many as possible), seconds.
 * Prints how many frames it made.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { BpfObject } from '#addon';
import { compileProgram } from './compile.ts';

/** As in generator.bpf.c. */
const HEADERS = 96;
/** struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex. */
const CONTEXT_BYTES = 24;
/** One live run takes about 20 ms beside its frames: the pause between bursts of a limited rate. */
const BURST_MS = 25;

const [device, hex, rateText, secondsText] = process.argv.slice(2) as [string, string, string, string];
const frame = Buffer.from(hex, 'hex');
const [rate, seconds] = [Number(rateText), Number(secondsText)];

const object = new BpfObject(readFileSync(await compileProgram('lab/generator')));
const words = Math.floor(Math.min(frame.length, HEADERS) / 8);
const headers = Buffer.alloc(HEADERS);
frame.copy(headers, 0, 0, words * 8);
object.setRodata('headers', headers);
object.setRodata('words', Uint8Array.of(words, 0, 0, 0));
object.load();
const program = object.program('generate');
const context = Buffer.alloc(CONTEXT_BYTES);
context.writeUInt32LE(frame.length, 4);
const [link] = JSON.parse(execFileSync('ip', ['-j', 'link', 'show', device], { encoding: 'utf8' })) as [
  { ifindex: number },
];
context.writeUInt32LE(link.ifindex, 12);

const options = { data: frame, context, liveFrames: true, batchSize: 64 };
const start = Date.now();
const end = start + seconds * 1000;
let made = 0;
if (rate === 0) {
  // The kernel says nothing about a run that was ended: who wants to know counts what arrives.
  await program
    .testRunAsync({ ...options, repeat: 1 << 30 }, AbortSignal.timeout(seconds * 1000))
    .catch(() => undefined);
} else {
  while (Date.now() < end) {
    const due = Math.ceil(((Date.now() - start + BURST_MS) / 1000) * rate) - made;
    if (due > 0) {
      await program.testRunAsync({ ...options, repeat: due });
      made += due;
    }
    const ahead = start + (made / rate) * 1000 - BURST_MS - Date.now();
    if (ahead > 0) await delay(ahead);
  }
}
console.log(made);
process.exit(0);
