/**
 * In a namespace of its own: what `underlay` forwards, sent to real VXLAN devices with no program attached.
 * Prints a KernelReport.
 */
import { createVeth, exchange, ip, request } from './child.ts';
import { checksum, toHex } from './frames.ts';
import { decide } from './model.ts';
import { packetOf } from './mutate.ts';
import { MAC, VNI, world } from './world.ts';

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

/**
 * What the fast path leaves to the NIC and to Ethernet's own checksum: the outer destination MAC, the outer IPv4 and
 * UDP checksums. The kernel drops such frames.
 */
function isChecked(f: Uint8Array): boolean {
  const udpChecksum = (f[40]! << 8) | f[41]!;
  return toHex(f.subarray(0, 6)) === MAC.underlay && checksum(f, 14, 20) === 0 && udpChecksum === 0;
}

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
  const { reason, output } = decide('underlay_tc', frame, context, maps);
  if (reason !== 'TO_PORT' || !isChecked(frame)) continue;
  const vni = (frame[46]! << 16) | (frame[47]! << 8) | frame[48]!;
  sent.push(`far ${toHex(frame)}`);
  expected.push(`vx${vni} ${toHex(output)}`);
}
const delivered = exchange(sent, 'vx');
const report: KernelReport = { expected: expected.sort(), delivered: delivered.sort() };
process.stdout.write(JSON.stringify(report));
