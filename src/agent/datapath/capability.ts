/** What this kernel can do, as far as the fast path can do without it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { xdpFeatures } from '#addon';

/** A function of conntrack: where its BTF is, its structures are described. */
const CONNTRACK = 'nf_conntrack_in';
/** Enumerators are in BTF by name: this one came with TCX. */
const TCX = 'BPF_TCX_EGRESS';

/** What was asked of the running kernel's BTF before: that does not change. */
const asked = new Map<string, boolean>();

function names(file: string, name: string): boolean {
  // BTF's strings lie one behind the other, each with a zero at its end.
  return existsSync(file) && readFileSync(file).includes(`\0${name}\0`);
}

function kernelNames(file: string, name: string): boolean {
  const key = `${file} ${name}`;
  const known = asked.get(key) ?? names(file, name);
  asked.set(key, known);
  return known;
}

/**
 * Why decisions of the kernel's NAT can't be followed here, or undefined when they can.
 * @param directory where the kernel and its modules show their BTF
 */
export function natRefusal(directory = '/sys/kernel/btf'): string | undefined {
  const kernel = join(directory, 'vmlinux');
  if (!existsSync(kernel)) return 'the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)';
  if (!kernelNames(kernel, CONNTRACK) && !names(join(directory, 'nf_conntrack'), CONNTRACK))
    return 'no BTF describes the connection tracking of this kernel: load module nf_conntrack, or use a kernel with CONFIG_NF_CONNTRACK and CONFIG_DEBUG_INFO_BTF_MODULES';
  if (!kernelNames(kernel, TCX)) return 'the kernel has no TCX, which came with Linux 6.6';
  return undefined;
}

/** enum netdev_xdp_act of linux/netdev.h. */
const XDP_NDO_XMIT = 4;

/**
 * Whether a device sends what XDP redirects to it; without the means it loses that silently. It can change: of a veth
 * it depends on GRO, or an XDP program, at the other end.
 */
export function transmitsXdp(ifindex: number): boolean {
  try {
    return (xdpFeatures(ifindex) & XDP_NDO_XMIT) !== 0;
  } catch {
    return false;
  }
}
