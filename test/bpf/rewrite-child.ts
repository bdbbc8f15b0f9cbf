/**
 * In a namespace of its own: random packets through random flows, each compared with the packet that is built anew with
 * checksums over all of its bytes; and time passing. Prints a RewriteReport.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createDevices, request } from './child.ts';
import { connections } from './connections.ts';
import { packetOfTuple, translatedFrameOf } from './flows.ts';
import { ETHERTYPE, ethernet, set16, toHex } from './frames.ts';
import { type Flow, flowKey, type Tuple } from './maps.ts';
import { isXdp, type ProgramName } from './model.ts';
import { DEVICES, MAC, VNI } from './places.ts';
import { Random } from './random.ts';
import { isReason, Subject } from './subject.ts';
import { world } from './world.ts';

export interface RewriteRequest {
  program: ProgramName;
  packets: number;
}

export interface RewriteReport {
  /** Packets by protocol, and special cases of UDP. */
  seen: Record<string, number>;
  mismatch?: { frame: string; got: string; expected: string };
  /** Milliseconds between packets left to the kernel for their turn, and how many went by the flow. */
  turns: { gaps: number[]; late: number; passed: number; after: string[] };
}

const REFRESH_MS = 100;
const EXPIRY_MS = 900;

const { program, packets } = request<RewriteRequest>();
createDevices();
const [TCP, UDP, ICMP] = [6, 17, 1];
const outside = program.startsWith('uplink');
const context = { ifindex: outside ? DEVICES.uplink : DEVICES.vxlan1, gsoSize: 0, gsoSegments: 0 };
const vni = outside ? 0 : VNI.first;
const router = outside ? MAC.outside : MAC.router;

function randomTuple(random: Random, protocol: number): Tuple {
  return {
    source: 1 + random.below(0xffff_fffe),
    destination: random.next(),
    sourcePort: random.below(0x10000),
    destinationPort: protocol === ICMP ? random.pick([0, 8]) : random.below(0x10000),
  };
}

/** Bytes with which the UDP checksum behind the router comes out as 0, which is then written as 0xffff. */
function towardsZero(payload: Uint8Array, to: Tuple): Uint8Array {
  const zeroed = payload.slice();
  set16(zeroed, 0, 0);
  const packet = packetOfTuple(UDP, to, { payload: zeroed });
  // The sum of everything but this word is the complement of that checksum: the word fills it up to 0xffff.
  set16(zeroed, 0, (packet[26]! << 8) | packet[27]!);
  return zeroed;
}

function rewrites(): Pick<RewriteReport, 'seen' | 'mismatch'> {
  const maps = world();
  const template = connections().udp![outside ? 1 : 0]!;
  maps.flows.clear();
  const subject = new Subject(program, maps);
  const random = new Random(11);
  const seen: Record<string, number> = {};
  const count = (what: string): void => {
    seen[what] = (seen[what] ?? 0) + 1;
  };
  for (let i = 0; i < packets; i++) {
    const protocol = random.pick(isXdp(program) ? [UDP, ICMP] : [UDP, TCP, ICMP]);
    const [from, to] = [randomTuple(random, protocol), randomTuple(random, protocol)];
    // NAT keeps an echo's type, and mostly one of the ends.
    if (protocol === ICMP) to.destinationPort = from.destinationPort;
    if (random.chance(50)) to.destination = from.destination;
    if (random.chance(50)) to.sourcePort = from.sourcePort;
    let payload = random.bytes(2 + random.below(60));
    const toZero = protocol === UDP && random.chance(10);
    if (toZero) payload = towardsZero(payload, to);
    const unsummed = protocol === UDP && !toZero && random.chance(10);
    const options = { payload, unsummed, ttl: 2 + random.below(254), tos: random.below(256), id: i & 0xffff };
    const flow: Flow = { ...template, key: { vni, protocol, tuple: from }, tuple: to };
    maps.flows = new Map([[flowKey(flow.key), flow]]);
    subject.writeFlows(maps);
    const frame = ethernet(router, MAC.remote, ETHERTYPE.ipv4, packetOfTuple(protocol, from, options));
    const expected = translatedFrameOf(flow, options);
    const { data } = subject.run(frame, context);
    if (Buffer.compare(data, expected) !== 0) {
      subject.close();
      return { seen, mismatch: { frame: toHex(frame), got: toHex(data), expected: toHex(expected) } };
    }
    count({ [TCP]: 'TCP', [UDP]: 'UDP', [ICMP]: 'ICMP' }[protocol]!);
    const field = protocol === UDP ? (expected[40]! << 8) | expected[41]! : 1;
    if (unsummed && field === 0) count('UDP without a checksum');
    if (field === 0xffff) count('UDP checksum 0xffff');
    subject.forgetFlow(flow);
  }
  subject.close();
  return { seen };
}

/** One flow, a packet every millisecond or so: when is it the kernel's turn, and when is the flow too old? */
async function turns(): Promise<RewriteReport['turns']> {
  const maps = world();
  const [flow] = connections().remoteUdp!.slice(outside ? 1 : 0);
  const ns = 1_000_000n;
  const subject = new Subject(program, maps, {
    refreshNs: BigInt(REFRESH_MS) * ns,
    expiryNs: BigInt(EXPIRY_MS) * ns,
  });
  const frame = ethernet(router, MAC.remote, ETHERTYPE.ipv4, packetOfTuple(UDP, flow!.key.tuple));
  const gaps: number[] = [];
  const after: string[] = [];
  let [late, passed] = [0, 0];
  // Measured around each call, so that a pause of this process makes no difference.
  const first = performance.now();
  subject.writeFlows(maps);
  const learned = performance.now();
  let turn = { begun: first, done: learned };
  let counted = subject.reasons();
  while (performance.now() - learned < EXPIRY_MS + 300) {
    await sleep(1);
    const begun = performance.now();
    subject.run(frame, context);
    const done = performance.now();
    const counts = subject.reasons();
    const reason = [...counts].find(([key, n]) => isReason(key) && n !== counted.get(key))?.[0] ?? 'none';
    counted = counts;
    // The programs' clock ticks every few milliseconds.
    if (begun - learned > EXPIRY_MS + 20) after.push(reason);
    if (done - first > EXPIRY_MS - 20) continue;
    if (reason === 'REFRESH') {
      gaps.push(done - turn.begun);
      turn = { begun, done };
    } else {
      passed++;
      if (begun - turn.done > REFRESH_MS + 20) late++;
    }
  }
  subject.close();
  return { gaps, late, passed, after: [...new Set(after)] };
}

const report: RewriteReport = { ...rewrites(), turns: await turns() };
process.stdout.write(JSON.stringify(report));
