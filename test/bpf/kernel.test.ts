import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { KernelReport, KernelRequest } from './kernel-child.ts';

/** The model itself is checked here, against the one who is always right. */
describe('the model against the kernel', () => {
  it('what the fast path takes out of the tunnel, VXLAN devices deliver too, byte for byte', async () => {
    const request: KernelRequest = { firstSeed: 1, frames: 5000 };
    const { expected, delivered } = await inChild<KernelReport>('kernel-child.ts', request, 60);
    assert.equal(expected.length, request.frames);
    const missing = expected.find((frame, i) => frame !== delivered[i]);
    assert.equal(missing, undefined, `first difference, of ${delivered.length} delivered`);
    assert.equal(delivered.length, expected.length);
  });
});
