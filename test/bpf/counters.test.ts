import assert from 'node:assert/strict';
import { possibleCpus } from '#addon';
import { inChild } from './child.ts';
import type { CountersReport, CountersRequest } from './counters-child.ts';
import { arp, ETHERTYPE, encapsulate, ethernet, fromHex, ipv4, toHex, udp } from './frames.ts';
import { type Context, type ProgramName, type Reason, type Verdict, verdictOf } from './model.ts';
import { ADDRESS, DEVICES, FROM_PEER, MAC, SLOTS, VNI } from './places.ts';
import { isReason } from './subject.ts';

/** enum reason and enum program of abi.h: what an event carries. */
const NUMBER = { SPOOFED_MAC: 37, SPOOFED_IPV4: 38, SPOOFED_ARP: 39, UNTRUSTED_SOURCE: 40 } as const;
type Drop = keyof typeof NUMBER;

const from = (ifindex: number): Context => ({ ifindex, gsoSize: 0, gsoSegments: 0 });
const packet = (source: number): Uint8Array =>
  ipv4({ source, destination: ADDRESS.guestB, protocol: 17 }, udp(1, 2, new Uint8Array(9)));
const guestArp = (senderMac: string, senderAddress: number): Uint8Array =>
  ethernet(
    'ffffffffffff',
    MAC.guestA,
    ETHERTYPE.arp,
    arp({ operation: 1, senderMac, senderAddress, targetMac: '000000000000', targetAddress: ADDRESS.guestB }),
  );

interface DropCase {
  name: string;
  program: ProgramName;
  reason: Drop;
  frame: Uint8Array;
  context: Context;
  event: {
    vni: number;
    ifindex: number;
    source: number;
    destination: number;
    from: string;
    to: string;
    type: number;
  };
}

const guest = { vni: VNI.first, ifindex: DEVICES.guestA, to: MAC.guestB };
const forged = encapsulate(ethernet(MAC.guestA, MAC.guestB, ETHERTYPE.ipv4, packet(ADDRESS.guestB)), {
  ...FROM_PEER,
  source: ADDRESS.otherTenant,
});
const forgedEvent = {
  vni: VNI.first,
  source: ADDRESS.otherTenant,
  destination: ADDRESS.underlay,
  from: MAC.nextHop,
  to: MAC.underlay,
  type: ETHERTYPE.ipv4,
};

const DROPS: DropCase[] = [
  {
    name: "another's MAC",
    program: 'port',
    reason: 'SPOOFED_MAC',
    frame: ethernet(MAC.guestB, MAC.stranger, ETHERTYPE.ipv4, packet(ADDRESS.guestA)),
    context: from(DEVICES.guestA),
    event: {
      ...guest,
      source: ADDRESS.guestA,
      destination: ADDRESS.guestB,
      from: MAC.stranger,
      type: ETHERTYPE.ipv4,
    },
  },
  {
    name: "another's IPv4",
    program: 'port',
    reason: 'SPOOFED_IPV4',
    frame: ethernet(MAC.guestB, MAC.guestA, ETHERTYPE.ipv4, packet(ADDRESS.other)),
    context: from(DEVICES.guestA),
    event: {
      ...guest,
      source: ADDRESS.other,
      destination: ADDRESS.guestB,
      from: MAC.guestA,
      type: ETHERTYPE.ipv4,
    },
  },
  {
    name: "another's address as ARP sender",
    program: 'port',
    reason: 'SPOOFED_ARP',
    frame: guestArp(MAC.guestA, ADDRESS.guestB),
    context: from(DEVICES.guestA),
    event: {
      ...guest,
      to: 'ffffffffffff',
      source: ADDRESS.guestB,
      destination: ADDRESS.guestB,
      from: MAC.guestA,
      type: ETHERTYPE.arp,
    },
  },
  {
    name: "another's MAC as ARP sender",
    program: 'port',
    reason: 'SPOOFED_ARP',
    frame: guestArp(MAC.guestB, ADDRESS.guestA),
    context: from(DEVICES.guestA),
    event: {
      ...guest,
      to: 'ffffffffffff',
      source: ADDRESS.guestA,
      destination: ADDRESS.guestB,
      from: MAC.guestA,
      type: ETHERTYPE.arp,
    },
  },
  {
    name: 'a member of another VNI, TC',
    program: 'underlay_tc',
    reason: 'UNTRUSTED_SOURCE',
    frame: forged,
    context: from(DEVICES.unknown),
    event: { ...forgedEvent, ifindex: DEVICES.unknown },
  },
  {
    name: 'a member of another VNI, XDP',
    program: 'underlay_xdp',
    reason: 'UNTRUSTED_SOURCE',
    frame: forged,
    context: from(DEVICES.unknown),
    // A test run of XDP without a context comes from the loopback device.
    event: { ...forgedEvent, ifindex: 1 },
  },
];

/** struct event of abi.h. */
function decodeEvent(hex: string): {
  time: bigint;
  program: number;
  reason: number;
  event: DropCase['event'];
} {
  const bytes = fromHex(hex);
  assert.equal(bytes.length, 40);
  const view = new DataView(bytes.buffer);
  return {
    time: view.getBigUint64(0, true),
    event: {
      vni: view.getUint32(8, true),
      ifindex: view.getUint32(12, true),
      source: view.getUint32(16),
      destination: view.getUint32(20),
      from: hex.slice(48, 60),
      to: hex.slice(60, 72),
      type: view.getUint16(36),
    },
    program: bytes[38]!,
    reason: bytes[39]!,
  };
}

function sum(all: [number, number][]): [number, number] {
  return [all.reduce((n, one) => n + one[0], 0), all.reduce((n, one) => n + one[1], 0)];
}

const PROGRAMS = ['port', 'underlay_tc', 'underlay_xdp', 'tunnel', 'uplink_tc', 'uplink_xdp'] as const;
const BURST = 2000;
const FULL = 500;
const first = { program: DROPS[0]!.program, frame: toHex(DROPS[0]!.frame), context: DROPS[0]!.context };

/** All in one child process, each with programs and maps of its own. */
const REQUESTS: CountersRequest[] = [
  ...PROGRAMS.map((program) => ({ program, random: 5000, consumer: false })),
  ...DROPS.map(({ program, frame, context }) => ({ program, frame: toHex(frame), context, consumer: true })),
  { ...first, times: BURST, consumer: true },
  { ...first, times: FULL, consumer: false, ringSize: 4096, openGate: NUMBER[DROPS[0]!.reason] },
];

describe('counters of the programs', () => {
  let sums: CountersReport[];
  let drops: CountersReport[];
  let burst: CountersReport;
  let full: CountersReport;

  before(async () => {
    const reports = await inChild<CountersReport[]>('counters-child.ts', REQUESTS, 100);
    sums = reports.slice(0, PROGRAMS.length);
    drops = reports.slice(PROGRAMS.length, -2);
    [burst, full] = reports.slice(-2) as [CountersReport, CountersReport];
  });

  for (const [i, program] of PROGRAMS.entries())
    it(`${program}: the reasons add up to what went in`, () => {
      const { packets, bytes, totals } = sums[i]!;
      const reasons = totals.filter(([key]) => isReason(key));
      assert.ok(
        reasons.every(([key]) => !key.startsWith('program')),
        `another program's counters: ${JSON.stringify(reasons)}`,
      );
      assert.deepEqual(sum(reasons.map(([, one]) => one)), [packets, bytes]);

      const get = (key: string): [number, number] => new Map(totals).get(key) ?? [0, 0];
      const bySlot = (suffix: string): [number, number] => {
        return sum(Array.from({ length: SLOTS }, (_, slot) => get(`slot ${slot} ${suffix}`)));
      };
      const toRouter = reasons.filter(([key]) => verdictOf(key as Reason) === 'ROUTER').map(([, one]) => one);
      // From outside, what no flow is known of goes on to the kernel, and to no port.
      const delivered = program.startsWith('uplink') ? 0 : sum(toRouter)[0];
      assert.deepEqual(bySlot('received')[0], get('TO_PORT')[0] + delivered);
      if (program !== 'port') return;
      const verdict = (which: Verdict): [number, number] => bySlot(`sent ${which}`);
      const dropped = (Object.keys(NUMBER) as Reason[]).reduce((n, reason) => n + get(reason)[0], 0);
      assert.deepEqual(verdict('PORT'), get('TO_PORT'));
      assert.deepEqual(verdict('TUNNEL'), get('TO_TUNNEL'));
      assert.equal(verdict('DROP')[0], dropped);
      assert.deepEqual(verdict('UPLINK'), get('TO_UPLINK'));
      assert.deepEqual(verdict('ROUTER'), sum(toRouter));
      const all = (['PORT', 'TUNNEL', 'UPLINK', 'ROUTER', 'KERNEL', 'DROP'] as const).map(verdict);
      const known = sum(all)[0];
      assert.equal(known, packets - get('UNKNOWN_DEVICE')[0]);
    });

  for (const [i, { name, program, reason, frame, event }] of DROPS.entries())
    it(`${reason}, ${name}: counted and reported`, () => {
      const report = drops[i]!;
      assert.deepEqual(report.retvals, [program === 'underlay_xdp' ? 1 : 2]);
      assert.deepEqual(new Map(report.totals).get(reason), [1, frame.length]);
      assert.equal(report.events.length, 1);
      const decoded = decodeEvent(report.events[0]!);
      assert.deepEqual(decoded.event, event);
      assert.equal(decoded.program, program === 'port' ? 0 : 1);
      assert.equal(decoded.reason, NUMBER[reason]);
      const age = process.hrtime.bigint() - decoded.time;
      assert.ok(age > 0n && age < 120_000_000_000n, `happened ${age} ns ago`);
    });

  it('of a burst, one event per interval and CPU is reported; the rest is counted as suppressed', () => {
    assert.equal(burst.events.length + burst.suppressed, BURST);
    assert.equal(burst.lost, 0);
    // 100 ms per CPU; the CPUs could take turns.
    const most = possibleCpus * (Math.ceil(burst.seconds / 0.1) + 1);
    assert.ok(burst.events.length >= 1 && burst.events.length <= most, `${burst.events.length} events`);
  });

  it('a full ring buffer loses events, counts them, and holds no packet up', () => {
    assert.deepEqual(full.retvals, [2]);
    assert.deepEqual(new Map(full.totals).get(DROPS[0]!.reason), [FULL, FULL * DROPS[0]!.frame.length]);
    // A record takes its 40 bytes and a header of 8; one byte of the ring always stays free.
    assert.equal(FULL - full.lost, Math.floor(4095 / 48));
    assert.equal(full.suppressed, 0);
    assert.ok(full.seconds < 10, `${FULL} packets took ${full.seconds} s`);
  });
});
