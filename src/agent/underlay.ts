import { run } from './process.ts';

export interface Underlay {
  ifindex: number;
  /** Layer 3 bytes. */
  mtu: number;
}

interface Address {
  ifindex: number;
  mtu: number;
  addr_info: { family: string; local: string }[];
}

/** The mesh NIC as it is now. An Error when it is missing or does not carry the node's address. */
export async function readUnderlay(underlay: { device: string; address: string }): Promise<Underlay> {
  const { device, address } = underlay;
  const { stdout, stderr, code } = await run('ip', ['-json', 'address', 'show', 'dev', device], {
    mayFail: true,
  });
  if (code !== 0) throw new Error(`underlay device ${device} can't be read: ${stderr.trim()}`);
  const link = (JSON.parse(stdout) as Address[])[0];
  if (!link?.addr_info.some((each) => each.family === 'inet' && each.local === address)) {
    throw new Error(
      `underlay device ${device} does not carry ${address}: correct underlay in the daemon's configuration`,
    );
  }
  return { ifindex: link.ifindex, mtu: link.mtu };
}
