import assert from 'node:assert/strict';
import { connections } from './connections.ts';
import { frameOf, type PacketOptions, packetOfTuple, translatedFrameOf } from './flows.ts';
import { set16, toHex } from './frames.ts';
import type { Row } from './harness.ts';
import type { Flow } from './maps.ts';
import type { Reason } from './model.ts';
import { ADDRESS, MAC } from './places.ts';

/**
 * What comes out is compared with packets built anew, whose checksums are computed over all of their bytes: not with
 * the model, which edits them.
 */
export const C = connections();
export const out = (name: string): Flow => C[name]![0]!;
export const back = (name: string): Flow => C[name]![1]!;

export const same =
  (expected: Uint8Array): Row['out'] =>
  (got) =>
    assert.equal(toHex(got), toHex(expected));

/** Behind the outer headers, towards another node, of this VNI. */
export const tunnelled =
  (expected: Uint8Array, vni: number): Row['out'] =>
  (got) => {
    assert.equal(toHex(got.subarray(0, 12)), MAC.nextHop + MAC.underlay);
    assert.equal(toHex(got.subarray(46, 50)), `${vni.toString(16).padStart(6, '0')}00`);
    assert.equal(toHex(got.subarray(50)), toHex(expected));
  };

/** A packet of the flow, from the guest or from outside, and the one that must come out. */
export function passes(
  name: string,
  flow: Flow,
  reason: Reason,
  source: string,
  router: string,
  rest: Partial<Row> & { options?: PacketOptions; hops?: number; last?: Flow } = {},
): Row {
  const { options, hops, last, ...row } = rest;
  const result = translatedFrameOf(last ?? flow, options, hops);
  const where = reason === 'TO_TUNNEL' ? tunnelled(result, (last ?? flow).vni) : same(result);
  return { name, frame: frameOf(flow, source, router, options), reason, out: where, ...row };
}

/** To the router of network 1, from guestB. */
export const fromB = (flow: Flow, options?: PacketOptions): Uint8Array =>
  frameOf(flow, MAC.guestB, MAC.router, options);

export const UDP_FRAME = fromB(out('udp'));
export const length = UDP_FRAME.length;
/** What flows and interfaces count. */
export const layer3 = length - 14;

export function edited(frame: Uint8Array, at: number, ...bytes: number[]): Uint8Array {
  const f = frame.slice();
  f.set(bytes, at);
  return f;
}

/** With the IPv4 checksum put right after an edit of its header. */
export function summed(frame: Uint8Array): Uint8Array {
  const f = frame.slice();
  set16(f, 24, 0);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += (f[at]! << 8) | f[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  set16(f, 24, ~sum & 0xffff);
  return f;
}

/** Payload with which the flow's checksum becomes `value` before or, with `after`, behind the router. */
export function payloadFor(flow: Flow, value: number, after: boolean): Uint8Array {
  const payload = new Uint8Array(18);
  for (let filler = 0; filler < 0x10000; filler++) {
    set16(payload, 0, filler);
    const tuple = after ? flow.tuple : flow.key.tuple;
    const packet = packetOfTuple(17, tuple, { payload });
    if (((packet[26]! << 8) | packet[27]!) === value) return payload.slice();
  }
  throw new Error('no such payload');
}

/** To the router's own veth, as it came. */
export const toRouter = (name: string, frame: Uint8Array, reason: Reason, rest: Partial<Row> = {}): Row => ({
  name,
  frame,
  reason,
  flows: {},
  ports: { 'slot 2 sent ROUTER': [1, frame.length], 'slot 3 received': [1, frame.length] },
  ...rest,
});

export const guestB = { address: ADDRESS.guestB, server: ADDRESS.server };
export const ends = { source: guestB.address, destination: guestB.server };
