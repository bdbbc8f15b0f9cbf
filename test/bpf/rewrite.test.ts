import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { RewriteReport, RewriteRequest } from './rewrite-child.ts';

const PACKETS = 60_000;

describe('what NAT writes, over random flows and packets, and when', () => {
  for (const program of ['tunnel', 'uplink_tc', 'uplink_xdp'] as const)
    describe(program, () => {
      let report: RewriteReport;
      before(async () => {
        const request: RewriteRequest = { program, packets: PACKETS };
        report = await inChild<RewriteReport>('rewrite-child.ts', request, 100);
      });

      it(`the edited checksum is the one computed afresh, ${PACKETS} times`, () => {
        assert.equal(report.mismatch, undefined, JSON.stringify(report.mismatch));
        const { seen } = report;
        const protocols = program === 'uplink_xdp' ? ['UDP', 'ICMP'] : ['UDP', 'TCP', 'ICMP'];
        for (const what of [...protocols, 'UDP without a checksum', 'UDP checksum 0xffff'])
          assert.ok(seen[what]! > PACKETS / 100, `${what}: ${JSON.stringify(seen)}`);
      });

      // In XDP the turn is left to TC, so it lasts.
      if (program === 'uplink_xdp')
        it('a turn stays until TC takes it', () => {
          assert.ok(report.turns.gaps.length > 10 && report.turns.late === 0, JSON.stringify(report.turns));
        });
      else
        it("one packet per interval is the kernel's", () => {
          const { gaps, late, passed } = report.turns;
          assert.ok(gaps.length >= 3, JSON.stringify(report.turns));
          for (const gap of gaps) assert.ok(gap > 90, `again after ${gap} ms`);
          assert.equal(late, 0, 'packets that went by the flow when it was due');
          assert.ok(passed > gaps.length, `${passed} passed`);
        });

      it('a flow that is not learned again ends', () => {
        assert.deepEqual(report.turns.after, ['STALE_FLOW']);
      });
    });
});
