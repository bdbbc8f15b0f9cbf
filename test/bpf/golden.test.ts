import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import type { GoldenCase, GoldenResult } from './golden-child.ts';

const FIRST_SOURCE_PORT = 49152;
const base: GoldenCase = { vni: 1, family: 4, protocol: 'udp', length: 100, tos: 0, id: 1, flow: 1 };

const run = (cases: GoldenCase[]): Promise<GoldenResult[]> => inChild('golden-child.ts', cases, 60);

async function expectEqual(cases: GoldenCase[]): Promise<GoldenResult[]> {
  const results = await run(cases);
  assert.equal(results.length, cases.length);
  for (const [i, { got, expected, sourcePort }] of results.entries()) {
    const name = JSON.stringify(cases[i]);
    assert.equal(got, expected, name);
    assert.ok(sourcePort >= FIRST_SOURCE_PORT && sourcePort <= 65535, `${name}: source port ${sourcePort}`);
  }
  return results;
}

describe('encapsulation against scapy, on live devices', () => {
  it('IPv4 and IPv6, the smallest and the largest VNI, 46 to 8950 bytes', async () => {
    const cases: GoldenCase[] = [];
    for (const vni of [1, 0xffffff])
      // 46: what an Ethernet frame of 60 bytes carries.
      for (const family of [4, 6] as const)
        for (const protocol of ['udp', 'tcp', 'icmp'] as const)
          for (const length of [46, 1500, 8950]) cases.push({ ...base, vni, family, protocol, length });
    await expectEqual(cases);
  });

  it('ECN is copied, DSCP is not (RFC 6040, normal mode)', async () => {
    const cases: GoldenCase[] = [];
    for (const family of [4, 6] as const)
      for (const tos of [0, 1, 2, 3, 0xb8, 0xba, 0xfc, 0xff]) cases.push({ ...base, family, tos });
    const results = await expectEqual(cases);
    // Told apart from scapy's own idea: bytes 14 and 15 are version, header length and TOS of the outer header.
    for (const [i, { got }] of results.entries()) assert.equal(got.slice(28, 32), `450${cases[i]!.tos & 3}`);
  });

  it('the outer IPv4 id follows the inner one, whatever the checksum becomes', async () => {
    const ids = [
      0,
      1,
      255,
      256,
      0x7fff,
      0x8000,
      0xfffe,
      0xffff,
      ...Array.from({ length: 200 }, (_, i) => (i * 40503) & 0xffff),
    ];
    await expectEqual(ids.map((id) => ({ ...base, id })));
  });

  it('the source port is the same for a flow and differs between flows', async () => {
    const flows = Array.from({ length: 100 }, (_, i) => i);
    const cases = [0, 1].flatMap((round) =>
      flows.map((flow): GoldenCase => ({ ...base, flow, id: flow + round })),
    );
    const ports = (await expectEqual(cases)).map((result) => result.sourcePort);
    assert.deepEqual(ports.slice(0, 100), ports.slice(100));
    assert.ok(new Set(ports).size > 90, `100 flows on ${new Set(ports).size} source ports`);
  });
});
