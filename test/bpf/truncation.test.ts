import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import { count, difference } from './compare.ts';
import { connections } from './connections.ts';
import { frameOf } from './flows.ts';
import { arp, ETHERTYPE, echo, encapsulate, ethernet, ipv4, ipv6, tcp, toHex, udp } from './frames.ts';
import type { FrameResult, FramesRequest } from './frames-child.ts';
import type { LiveReport, LiveRequest } from './live-child.ts';
import { type Context, decide, isXdp, type ProgramName, returnValue } from './model.ts';
import { ADDRESS, DEVICES, FROM_PEER, MAC } from './places.ts';
import { refusedByTestRun, type Totals } from './subject.ts';
import { world } from './world.ts';

/** No device delivers less than a whole Ethernet header. */
const SHORTEST = 14;

const data = Uint8Array.from({ length: 32 }, (_, i) => i);
const ends = { source: ADDRESS.guestB, destination: ADDRESS.guestA };

function toGuestA(type: number, packet: Uint8Array): Uint8Array {
  return ethernet(MAC.guestA, MAC.guestB, type, packet);
}

/** Each is forwarded when whole, except for what goes to the kernel for another reason: ARP, and TCP from the wire. */
const INNER: Record<string, Uint8Array> = {
  'UDP in IPv4': toGuestA(ETHERTYPE.ipv4, ipv4({ ...ends, protocol: 17 }, udp(5000, 53, data))),
  'ICMP in IPv4': toGuestA(ETHERTYPE.ipv4, ipv4({ ...ends, protocol: 1 }, echo(8, data))),
  'TCP in IPv4': toGuestA(ETHERTYPE.ipv4, ipv4({ ...ends, protocol: 6 }, tcp(5000, 80, data))),
  'UDP in IPv6': toGuestA(ETHERTYPE.ipv6, ipv6({ nextHeader: 17 }, udp(5000, 53, data))),
  'ICMPv6 in IPv6': toGuestA(ETHERTYPE.ipv6, ipv6({ nextHeader: 58 }, echo(128, data))),
  ARP: toGuestA(
    ETHERTYPE.arp,
    arp({
      operation: 2,
      senderMac: MAC.guestB,
      senderAddress: ADDRESS.guestB,
      targetMac: MAC.guestA,
      targetAddress: ADDRESS.guestA,
    }),
  ),
};

const tunnelled = (inner: Uint8Array): Uint8Array => encapsulate(inner, FROM_PEER);

const FLOWS = connections();

/** Packets of flows, which NAT forwards when they are whole. */
function natFrames(
  names: string[],
  direction: 0 | 1,
  source: string,
  router: string,
): Record<string, Uint8Array> {
  return Object.fromEntries(
    names.map((name) => [
      `NAT, ${name}`,
      frameOf(FLOWS[name]![direction]!, source, router, { payload: data }),
    ]),
  );
}
const all = (wrap: (inner: Uint8Array) => Uint8Array, inner: Record<string, Uint8Array>) =>
  Object.entries(inner).map(([name, frame]) => ({ name, whole: wrap(frame) }));
const plain = (inner: Uint8Array): Uint8Array => inner;
const fromRemote = natFrames(['remoteUdp', 'remoteEcho', 'remoteFloatingUdp'], 0, MAC.remote, MAC.router);
const fromOutside = natFrames(['udp', 'echo', 'remoteUdp'], 1, MAC.beyond, MAC.outside);

const PROGRAMS: { program: ProgramName; ifindex: number; frames: { name: string; whole: Uint8Array }[] }[] = [
  {
    program: 'underlay_tc',
    ifindex: DEVICES.unknown,
    frames: all(tunnelled, { ...INNER, ...fromRemote }),
  },
  {
    program: 'underlay_xdp',
    ifindex: DEVICES.unknown,
    frames: all(tunnelled, { ...INNER, ...fromRemote }),
  },
  {
    program: 'port',
    ifindex: DEVICES.guestB,
    frames: all(plain, {
      ...INNER,
      ...natFrames(['udp', 'tcp', 'echo', 'between'], 0, MAC.guestB, MAC.router),
    }),
  },
  {
    program: 'tunnel',
    ifindex: DEVICES.vxlan1,
    frames: all(plain, { ...INNER, ...natFrames(['remoteTcp', 'insideRemote'], 0, MAC.remote, MAC.router) }),
  },
  {
    program: 'uplink_tc',
    ifindex: DEVICES.uplink,
    frames: all(plain, {
      ...INNER,
      ...fromOutside,
      ...natFrames(['tcp', 'remoteTcp'], 1, MAC.beyond, MAC.outside),
    }),
  },
  { program: 'uplink_xdp', ifindex: DEVICES.uplink, frames: all(plain, { ...INNER, ...fromOutside }) },
];

const forwards = (program: ProgramName, name: string): boolean => {
  if (name.startsWith('NAT')) return true;
  // To no router's outside.
  if (program.startsWith('uplink')) return false;
  return name !== 'ARP' && !(name === 'TCP in IPv4' && program.startsWith('underlay'));
};

describe('truncation at every byte offset', () => {
  for (const { program, ifindex, frames: whole } of PROGRAMS) {
    const [pass, drop, redirect] = (['KERNEL', 'DROP', 'PORT'] as const).map((v) => returnValue(program, v));

    it(`${program}: ${whole.map(({ name }) => name).join(', ')}`, async () => {
      // Every prefix of each frame, down to nothing.
      const context: Context = { ifindex, gsoSize: 0, gsoSegments: 0 };
      const all = whole.flatMap(({ name, whole: frame }) =>
        Array.from({ length: frame.length + 1 }, (_, length) => ({ name, length, frame })),
      );
      const packets = all.map(({ frame, length }) => ({ frame: toHex(frame.subarray(0, length)), context }));
      const request: FramesRequest = { program, packets };
      const results = await inChild<FrameResult[]>('frames-child.ts', request, 60);
      assert.equal(results.length, all.length);
      for (const [i, { name, length, frame }] of all.entries()) {
        const result = results[i]!;
        const where = `${name}, ${length} of ${frame.length} bytes`;
        if (refusedByTestRun(program, frame.subarray(0, length))) {
          assert.equal(result.refused, 'EINVAL', where);
          continue;
        }
        assert.equal(result.refused, undefined, where);
        assert.equal(result.mismatch, undefined, where);
        if (length === frame.length) {
          assert.equal(result.retval, forwards(program, name) ? redirect : pass, where);
          continue;
        }
        assert.notEqual(result.retval, drop, `${where}: dropped, though the sender is honest`);
        assert.notEqual(result.retval, redirect, `${where}: forwarded, though it lacks its end`);
        assert.equal(result.frame, packets[i]!.frame, `${where}: went to the kernel changed`);
      }
    });
  }

  it('NAT in XDP: the first of several buffers ends at every byte offset', async () => {
    for (const { program, frames: whole } of PROGRAMS.filter((one) => isXdp(one.program))) {
      const packets = whole.flatMap(({ whole: frame }) =>
        Array.from({ length: frame.length - SHORTEST }, (_, i) => ({
          frame: toHex(frame),
          context: { ifindex: 0, gsoSize: 0, gsoSegments: 0, linear: SHORTEST + i },
        })),
      );
      const results = await inChild<FrameResult[]>('frames-child.ts', { program, packets }, 60);
      const wrong = results.find(({ mismatch, refused }) => mismatch !== undefined || refused !== undefined);
      assert.equal(wrong, undefined, JSON.stringify(wrong));
    }
  });

  it('underlay_xdp: the first of several buffers ends at every byte offset', async () => {
    const all = Object.entries(INNER).flatMap(([name, inner]) => {
      const frame = tunnelled(inner);
      return Array.from({ length: frame.length - SHORTEST }, (_, i) => ({
        name,
        frame,
        linear: SHORTEST + i,
      }));
    });
    const packets = all.map(({ frame, linear }) => ({
      frame: toHex(frame),
      context: { ifindex: 0, gsoSize: 0, gsoSegments: 0, linear },
    }));
    const results = await inChild<FrameResult[]>('frames-child.ts', { program: 'underlay_xdp', packets }, 60);
    for (const [i, { name, frame, linear }] of all.entries()) {
      const result = results[i]!;
      const where = `${name}, ${linear} of ${frame.length} bytes`;
      assert.equal(result.refused, undefined, where);
      assert.equal(result.mismatch, undefined, where);
      // Two Ethernet headers, 36 bytes between them, and the inner layer 3 header.
      const layer3 = 64 + (name.endsWith('IPv6') ? 40 : 20);
      const taken = forwards('underlay_xdp', name) && linear >= layer3;
      assert.equal(result.retval, returnValue('underlay_xdp', taken ? 'PORT' : 'KERNEL'), where);
    }
  });

  // What test runs refuse arrives on real devices.
  for (const { program, ifindex, frames: whole } of PROGRAMS) {
    it(`${program}: the shortest ones, on a live device`, async () => {
      const frames: Uint8Array[] = [];
      for (const { whole: frame } of whole)
        for (let length = SHORTEST; length < 60; length++) frames.push(frame.subarray(0, length));
      const expected: Totals = new Map();
      for (const f of frames)
        count(expected, decide(program, f, { ifindex, gsoSize: 0, gsoSegments: 0 }, world()));
      const request: LiveRequest = { program, ifindex, frames: frames.map(toHex) };
      const { totals } = await inChild<LiveReport>('live-child.ts', request, 60);
      assert.equal(difference(expected, new Map(totals)), '');
    });
  }
});
