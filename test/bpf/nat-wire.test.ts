import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { NatWireReport, NatWireRequest } from './nat-wire-child.ts';

const BULK = 100 * 1024 * 1024;
/** A super-frame has 64 KB at most, so this is the least that the bulk takes. */
const FRAMES = BULK / 65_536;

for (const hook of ['tc', 'xdp'] as const)
  describe(`NAT on real devices, ${hook.toUpperCase()}`, () => {
    let report: NatWireReport;
    before(async () => {
      report = await inChild('nat-wire-child.ts', { hook } satisfies NatWireRequest, 110);
    });

    it('every ping comes back', () => {
      for (const [name, received] of Object.entries(report.pings)) assert.equal(received, 30, name);
    });

    it('TCP arrives unchanged, and UDP segments of one send call as single datagrams', () => {
      for (const [name, delivered] of Object.entries(report.delivered))
        assert.deepEqual(delivered, { tcp: BULK, udp: 40 }, name);
    });

    it('no receiver sees a wrong checksum', () => {
      for (const [namespace, errors] of Object.entries(report.checksumErrors))
        assert.equal(errors, 0, namespace);
    });

    it('only the first packets, and the last ones, enter a router', () => {
      for (const [name, frames] of Object.entries(report.throughRouters))
        assert.ok(frames > 0 && frames < FRAMES / 10, `${name}: ${frames} frames`);
    });

    it('each program took its part', () => {
      const { counters } = report;
      const took = (program: string, reason: string): void =>
        assert.ok(
          (counters[program]![reason] ?? 0) > 50,
          `${program} ${reason}: ${JSON.stringify(counters)}`,
        );
      for (const reason of ['TO_UPLINK', 'TO_PORT', 'TO_TUNNEL']) took('port', reason);
      for (const reason of ['TO_UPLINK', 'TO_PORT']) took('tunnel', reason);
      took(`underlay_${hook}`, 'TO_UPLINK');
      for (const reason of ['TO_PORT', 'TO_TUNNEL']) took(`uplink_${hook}`, reason);
      assert.ok(counters.learn!.LEARNED! >= 20, JSON.stringify(counters.learn));
    });
  });
