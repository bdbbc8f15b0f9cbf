/** What this machine's kernel offers, found without loading anything. */
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { release } from 'node:os';

const KERNEL_TYPES = '/sys/kernel/btf/vmlinux';

export interface Features {
  kernel: string;
  /** Types of the kernel: programs can be relocated, maps decoded. */
  btf: boolean;
  /** Attachment at TC by links that survive the daemon (kernel 6.6); clsact filters otherwise. */
  tcx: boolean;
  /** bpf_skb_ct_lookup, which a NAT cache needs; its absence costs nothing else. */
  conntrack: boolean;
  bpffs: boolean;
}

/** Names in the kernel's own types: 5 MB of strings, searched as bytes. */
function typesHold(file: string, names: string[]): boolean[] {
  let bytes: Buffer;
  try {
    // A plain read: sysfs files know their size.
    const descriptor = openSync(file, 'r');
    bytes = Buffer.alloc(statSync(file).size);
    for (let at = 0, got = 1; got > 0 && at < bytes.length; at += got)
      got = readSync(descriptor, bytes, at, bytes.length - at, null);
    closeSync(descriptor);
  } catch {
    return names.map(() => false);
  }
  return names.map((name) => bytes.includes(`\0${name}\0`));
}

export function readFeatures(): Features {
  const [tcx = false, conntrack = false] = typesHold(KERNEL_TYPES, ['BPF_TCX_INGRESS', 'bpf_skb_ct_lookup']);
  const [inModule = false] = typesHold('/sys/kernel/btf/nf_conntrack', ['bpf_skb_ct_lookup']);
  return {
    kernel: release(),
    btf: existsSync(KERNEL_TYPES),
    tcx,
    conntrack: conntrack || inModule,
    bpffs: / bpf /.test(readFileSync('/proc/self/mounts', 'utf8')),
  };
}
