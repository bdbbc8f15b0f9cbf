import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { DeliveryReport, DeliveryRequest } from './delivery-child.ts';

/** A test run shows bytes and verdict, but not by which device a frame leaves: that is seen here. */
describe('mutated frames through live devices', () => {
  for (const program of ['port', 'underlay_tc', 'underlay_xdp', 'tunnel', 'uplink_tc', 'uplink_xdp'] as const)
    it(`${program}: what the model forwards comes out where it says, and nothing else`, async () => {
      const request: DeliveryRequest = { program, firstSeed: 7_000_001, frames: 4000 };
      const { sent, expected, delivered } = await inChild<DeliveryReport>('delivery-child.ts', request, 60);
      assert.equal(sent, request.frames);
      const firstDifference = expected.findIndex((frame, i) => frame !== delivered[i]);
      const difference = `${delivered.length} of ${expected.length}; ${expected[firstDifference]} or ${delivered[firstDifference]}`;
      assert.equal(firstDifference, -1, difference);
      assert.equal(delivered.length, expected.length, delivered[expected.length]);
      assert.ok(expected.length > request.frames / 20);
    });
});
