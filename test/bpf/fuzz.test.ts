import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { FuzzReport, FuzzRequest } from './fuzz-child.ts';
import type { ProgramName, Reason } from './model.ts';

/** FUZZ_SEED runs other packets, FUZZ_PACKETS more or fewer of them (of all programs together). */
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1);
const PACKETS = Number(process.env.FUZZ_PACKETS ?? 1_000_000);

/** What the packets must have met, or the fuzzer does not test what it seems to. */
const FROM_PARSING: Reason[] = [
  'TRUNCATED',
  'MULTICAST',
  'ARP',
  'ETHERTYPE',
  'IP_MALFORMED',
  'IP_OPTIONS',
  'FRAGMENT',
];
const FROM_TUNNEL: Reason[] = [
  'NOT_VXLAN',
  'VXLAN_FLAGS',
  'UNKNOWN_VNI',
  'CONGESTION',
  'TCP',
  'UNTRUSTED_SOURCE',
];
const NAT: Reason[] = [
  'NO_FLOW',
  'STALE_FLOW',
  'REFRESH',
  'TTL',
  'PROTOCOL',
  'FLOW_TOO_BIG',
  'FLOW_UNREACHABLE',
];
const UNDERLAY: Reason[] = [
  'TO_PORT',
  'TO_UPLINK',
  ...NAT,
  ...FROM_PARSING,
  ...FROM_TUNNEL,
  'UNKNOWN_MAC',
  'NOT_LOCAL',
  'TOO_BIG',
];
const GUARD: Reason[] = ['SPOOFED_MAC', 'SPOOFED_IPV4', 'SPOOFED_ARP'];

const PROGRAMS: { program: ProgramName; share: number; reasons: Reason[] }[] = [
  {
    program: 'port',
    share: 0.25,
    reasons: [
      ...([
        'TO_PORT',
        'TO_TUNNEL',
        'TO_UPLINK',
        'TCP_FLAGS',
        'UNKNOWN_DEVICE',
        'UNKNOWN_MAC',
        'SAME_PORT',
        'TOO_BIG',
        'NO_NEXTHOP',
        'HELPER',
      ] as const),
      ...FROM_PARSING,
      ...NAT,
      ...GUARD,
    ],
  },
  { program: 'underlay_tc', share: 0.2, reasons: [...UNDERLAY, 'MERGED'] },
  { program: 'underlay_xdp', share: 0.15, reasons: [...UNDERLAY, 'NO_XDP'] },
  {
    program: 'tunnel',
    share: 0.1,
    reasons: [
      'TO_PORT',
      'TO_UPLINK',
      'TO_TUNNEL',
      'UNKNOWN_DEVICE',
      ...FROM_PARSING,
      ...NAT,
      'TCP_FLAGS',
      'UNKNOWN_MAC',
      'NOT_LOCAL',
      'TOO_BIG',
    ],
  },
  {
    program: 'uplink_tc',
    share: 0.15,
    reasons: ['TO_PORT', 'TO_TUNNEL', ...FROM_PARSING, ...NAT, 'TCP_FLAGS', 'UNKNOWN_MAC', 'HELPER'],
  },
  {
    program: 'uplink_xdp',
    share: 0.15,
    reasons: ['TO_PORT', 'TO_TUNNEL', ...FROM_PARSING, ...NAT, 'TCP', 'UNKNOWN_MAC'],
  },
];

describe('fuzz: mutated packets through the programs and the model', () => {
  for (const { program, share, reasons } of PROGRAMS) {
    const packets = Math.round(PACKETS * share);
    it(`${program}: ${packets} packets, same verdict, reason, bytes and counters`, async function () {
      this.timeout(300_000);
      this.slow(60_000);
      const request: FuzzRequest = { program, firstSeed: FIRST_SEED, packets };
      const report = await inChild<FuzzReport>('fuzz-child.ts', request, 290);
      assert.deepEqual(report.mismatch, undefined, JSON.stringify(report.mismatch, null, 2));
      assert.equal(report.packets, packets);
      if (process.env.FUZZ_VERBOSE) console.log(JSON.stringify(report));
      const missed = reasons.filter((reason) => (report.reasons[reason] ?? 0) < packets / 20_000);
      assert.deepEqual(missed, [], `reasons that the packets hardly met: ${JSON.stringify(report.reasons)}`);
    });
  }
});
