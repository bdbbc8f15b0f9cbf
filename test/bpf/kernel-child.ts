/**
 * In a namespace of its own: what `underlay` forwards, sent to real VXLAN devices with no program attached.
 * Prints a KernelReport.
 */
import { createVeth, exchange, ip, request } from './child.ts';
import { toHex } from './frames.ts';
import { decide } from './model.ts';
import { packetOf } from './mutate.ts';
import { MAC, VNI } from './places.ts';
import { world } from './world.ts';

export interface KernelRequest {
  firstSeed: number;
  /** Frames that the model forwards. */
  frames: number;
}

export interface KernelReport {
  /** `DEVICE FRAME` as the model says, and as the kernel's VXLAN devices delivered; both sorted. */
  expected: string[];
  delivered: string[];
}

/** A checksum in the outer UDP header is for the receiver to verify or not (RFC 7348, 5). The kernel does. */
const hasUdpChecksum = (f: Uint8Array): boolean => ((f[40]! << 8) | f[41]!) !== 0;

const { firstSeed, frames } = request<KernelRequest>();
const maps = world();
createVeth('wire', 'far', 100, 9000);
const colons = MAC.underlay.match(/../g)!.join(':');
ip([`link set wire address ${colons}`, 'addr add 10.2.1.11/24 dev wire']);
for (const vni of [VNI.first, VNI.second, VNI.largest]) {
  const tunnel = `type vxlan id ${vni} dstport 4789 local 10.2.1.11 dev wire nolearning`;
  ip([
    `link add vx${vni} mtu 8950 ${tunnel}`,
    `link set vx${vni} addrgenmode none`,
    `link set vx${vni} promisc on up`,
  ]);
}

const sent: string[] = [];
const expected: string[] = [];
for (let seed = firstSeed; sent.length < frames; seed++) {
  const { frame, context } = packetOf(seed, 'underlay_tc', maps);
  const { reason, output, flows } = decide('underlay_tc', frame, context, maps);
  // What a flow translates is not what comes out of a VXLAN device.
  if (reason !== 'TO_PORT' || flows.length > 0 || hasUdpChecksum(frame)) continue;
  const vni = (frame[46]! << 16) | (frame[47]! << 8) | frame[48]!;
  sent.push(`far ${toHex(frame)}`);
  expected.push(`vx${vni} ${toHex(output)}`);
}
const delivered = exchange(sent, 'vx');
const report: KernelReport = { expected: expected.sort(), delivered: delivered.sort() };
process.stdout.write(JSON.stringify(report));
