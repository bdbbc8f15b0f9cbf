import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { connections } from './connections.ts';
import { fromHex } from './frames.ts';
import { run } from './harness.ts';
import type { Flow, Tuple } from './maps.ts';
import type { ProgramName } from './model.ts';
import { DEVICES, MAC } from './places.ts';

const C = connections();
const colons = (mac: string): string => mac.match(/../g)!.join(':');
const dotted = (address: number): string =>
  [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
const ends = (tuple: Tuple) => ({
  ...tuple,
  source: dotted(tuple.source),
  destination: dotted(tuple.destination),
});

/** Where the flow's packets come from, by the program that gets them. */
const WAYS: { program: ProgramName; ifindex: number; from: [string, string]; flows: [string, number][] }[] = [
  {
    program: 'tunnel',
    ifindex: DEVICES.vxlan1,
    from: [MAC.remote, MAC.router],
    flows: [
      'udp',
      'tcp',
      'echo',
      'remoteUdp',
      'remoteTcp',
      'floatingTcp',
      'routedUdp',
      'inside',
      'between',
    ].map((name) => [name, 0]),
  },
  {
    program: 'uplink_tc',
    ifindex: DEVICES.uplink,
    from: [MAC.beyond, MAC.outside],
    flows: ['udp', 'tcp', 'echo', 'floatingTcp', 'floatingUdp', 'floatingAsked', 'routedUdp'].map((name) => [
      name,
      1,
    ]),
  },
];

describe('NAT against scapy', () => {
  for (const { program, ifindex, from, flows } of WAYS)
    it(`${program}: ${flows.map(([name]) => name).join(', ')}`, async () => {
      const cases = flows.flatMap(([name, direction], i) =>
        [0, 1, 31, 1400].map((length) => {
          const all = C[name]!;
          const first: Flow = all[direction]!;
          // Between two networks the second router has the last word.
          const last = first.hairpin ? all[1]! : first;
          return {
            protocol: { 1: 'icmp', 6: 'tcp', 17: 'udp' }[first.key.protocol],
            length,
            id: 1 + i * 1000 + length,
            tos: i * 8,
            ttl: 64 - i,
            hops: first.hairpin ? 2 : 1,
            from: ends(first.key.tuple),
            to: ends(last.tuple),
            fromMacs: from.map(colons),
            toMacs: [last.sourceMac, last.destinationMac].map(colons),
          };
        }),
      );
      const script = fileURLToPath(new URL('nat-golden.py', import.meta.url));
      const output = execFileSync('/usr/bin/python3', [script], { input: JSON.stringify(cases) });
      const answers = JSON.parse(output.toString()) as { frame: string; expected: string }[];
      const rows = answers.map(({ frame }) => ({
        name: '',
        frame: fromHex(frame),
        reason: 'TO_PORT' as const,
      }));
      const { outcomes } = await run(program, ifindex, rows);
      assert.equal(outcomes.length, flows.length * 4);
      for (const [i, { frame }] of outcomes.entries())
        assert.equal(frame, answers[i]!.expected, JSON.stringify(cases[i]));
    });
});
