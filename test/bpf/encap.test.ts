import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { WireReport, WireRequest } from './encap-child.ts';

const BULK = 100 * 1024 * 1024;
/** What a guest's address resolution and fragments may take through the kernel; unicast traffic may not. */
const KERNELS = ['ARP', 'MULTICAST', 'FRAGMENT'];

for (const hook of ['tc', 'xdp'] as const)
  describe(`a plain kernel VXLAN peer, underlay in ${hook.toUpperCase()}`, () => {
    let report: WireReport;
    before(async () => {
      report = await inChild('encap-child.ts', { hook } satisfies WireRequest, 90);
    });

    it('every ping comes back, both ways, IPv4 and IPv6, up to the MTU and above it', () => {
      for (const [name, received] of Object.entries(report.pings)) assert.equal(received, 3, name);
    });

    it('TCP arrives unchanged, and UDP segments of one send call as single datagrams', () => {
      for (const [name, delivered] of Object.entries(report.delivered))
        assert.deepEqual(delivered, { tcp: BULK, udp: 40 }, name);
    });

    it('no receiver sees a wrong checksum', () => {
      assert.deepEqual(report.checksumErrors, { guest: 0, other: 0, peer: 0 });
    });

    it('super-frames leave as one frame and count as their segments', () => {
      const { counted, left } = report.superFrames;
      assert.ok(counted >= BULK / 8950, `${counted} packets counted`);
      // On average at least three segments a frame; without segmentation offload it would be one.
      assert.ok(left > 0 && counted / left >= 3, `${counted} packets in ${left} frames`);
    });

    it('unicast takes the fast path only', () => {
      const { port, underlay, tunnel } = report.counters;
      for (const [reason, packets] of Object.entries({ ...port, ...tunnel }))
        assert.ok(reason.startsWith('TO_') || KERNELS.includes(reason), `${reason}: ${packets}`);
      assert.ok(port.TO_TUNNEL! > 0 && port.TO_PORT! > 0 && underlay.TO_PORT! > 0);
      // What is TCP or merged comes back through the VXLAN device, packet for packet.
      assert.equal(tunnel.TO_PORT, (underlay.TCP ?? 0) + (underlay.MERGED ?? 0));
    });
  });
