import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import { ipv4, ipv4Address } from './frames.ts';
import type { GoldenCase, GoldenRequest, GoldenResult } from './golden-child.ts';

const FIRST_SOURCE_PORT = 49152;
const base: GoldenCase = { vni: 1, family: 4, protocol: 'udp', length: 100, tos: 0, id: 1, flow: 1 };

/** With large bytes, so that the checksum has carries to fold. */
const [UNDERLAY, REMOTE] = ['192.168.254.250', '192.168.253.251'];
const FLOWS = 100;

function sizes(): GoldenCase[] {
  const cases: GoldenCase[] = [];
  // 46: what an Ethernet frame of 60 bytes carries.
  for (const vni of [1, 0xffffff])
    for (const family of [4, 6] as const)
      for (const protocol of ['udp', 'tcp', 'icmp'] as const)
        for (const length of [46, 1500, 8950]) cases.push({ ...base, vni, family, protocol, length });
  return cases;
}

function trafficClasses(): GoldenCase[] {
  const all = [0, 1, 2, 3, 0xb8, 0xba, 0xfc, 0xff];
  return ([4, 6] as const).flatMap((family) => all.map((tos) => ({ ...base, family, tos })));
}

function ids(): GoldenCase[] {
  // Those whose checksum comes out near 0, in either byte order: the carries fold twice, and 0xffff is not 0.
  const [source, destination] = [ipv4Address(UNDERLAY), ipv4Address(REMOTE)];
  const rest = new Uint8Array(base.length + 30);
  const isNearZero = (value: number): boolean => (value + 8) % 0x10000 < 16;
  const nearZero = Array.from({ length: 0x10000 }, (_, id) => id).filter((id) => {
    const view = new DataView(ipv4({ source, destination, protocol: 17, id }, rest).buffer);
    return isNearZero(view.getUint16(10)) || isNearZero(view.getUint16(10, true));
  });
  assert.ok(nearZero.length >= 24, `${nearZero.length} ids`);
  const spread = Array.from({ length: 200 }, (_, i) => (i * 40503) & 0xffff);
  const edges = [0, 1, 255, 256, 0x7fff, 0x8000, 0xfffe, 0xffff];
  return [...edges, ...nearZero, ...spread].map((id) => ({ ...base, id }));
}

/** Every flow twice, with other ids. */
function flows(): GoldenCase[] {
  const once = Array.from({ length: FLOWS }, (_, flow) => ({ ...base, flow }));
  return [...once, ...once.map((one) => ({ ...one, id: 2 }))];
}

describe('encapsulation against scapy, on live devices', () => {
  const groups = { sizes: sizes(), trafficClasses: trafficClasses(), ids: ids(), flows: flows() };
  let results: GoldenResult[];

  before(async () => {
    const cases = Object.values(groups).flat();
    const request: GoldenRequest = { cases, underlay: UNDERLAY, remote: REMOTE };
    results = await inChild<GoldenResult[]>('golden-child.ts', request, 100);
  });

  function expectEqual(group: keyof typeof groups): GoldenResult[] {
    const cases = groups[group];
    const from = Object.values(groups).flat().indexOf(cases[0]!);
    const ours = results.slice(from, from + cases.length);
    assert.equal(ours.length, cases.length);
    for (const [i, { got, expected, sourcePort }] of ours.entries()) {
      const name = JSON.stringify(cases[i]);
      assert.equal(got, expected, name);
      assert.ok(sourcePort >= FIRST_SOURCE_PORT && sourcePort <= 65535, `${name}: source port ${sourcePort}`);
    }
    return ours;
  }

  it('IPv4 and IPv6, the smallest and the largest VNI, 46 to 8950 bytes', () => {
    expectEqual('sizes');
  });

  it('ECN is copied, DSCP is not (RFC 6040, normal mode)', () => {
    // Told apart from scapy's own idea: bytes 14 and 15 are version, header length and TOS of the outer header.
    for (const [i, { got }] of expectEqual('trafficClasses').entries())
      assert.equal(got.slice(28, 32), `450${groups.trafficClasses[i]!.tos & 3}`);
  });

  it('the outer IPv4 id follows the inner one, whatever the checksum becomes', () => {
    expectEqual('ids');
  });

  it('the source port is the same for a flow and differs between flows', () => {
    const ports = expectEqual('flows').map((result) => result.sourcePort);
    assert.deepEqual(ports.slice(0, FLOWS), ports.slice(FLOWS));
    assert.ok(new Set(ports).size > FLOWS * 0.9, `${FLOWS} flows on ${new Set(ports).size} source ports`);
  });
});
