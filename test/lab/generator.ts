import { compileProgram } from './compile.ts';
import type { Guest } from './guest.ts';
import { GUEST_DEVICE } from './guest.ts';
import { nodeScript } from './repository.ts';
import type { LabNode } from './topology.ts';

export interface Load {
  /** Ethernet header first; at least 64 bytes. */
  frame: Uint8Array;
  /** Frames per second; 0: as many as possible. */
  rate: number;
  seconds: number;
}

/**
 * Sends one frame again and again through a device of a node or of a named namespace of it, made inside the kernel.
 * Over a veth the other end must have GRO on, or an XDP program: else it takes no such frames, silently.
 * Returns the number of frames made (unknown, 0, without a rate).
 */
export async function generate(
  node: LabNode,
  device: string,
  load: Load,
  namespace?: string,
): Promise<number> {
  await compileProgram('lab/generator');
  const hex = Buffer.from(load.frame).toString('hex');
  const command = [...nodeScript('lab/generate'), device, hex, String(load.rate), String(load.seconds)];
  return Number(await node.run(command, { timeout: load.seconds * 1000 + 20_000 }, namespace));
}

/** The same out of a veth guest; readies the port's device, which is the other end. */
export async function generateFrom(guest: Guest, load: Load): Promise<number> {
  await guest.node.run(['ethtool', '-K', guest.port, 'gro', 'on']);
  return generate(guest.node, GUEST_DEVICE, load, guest.namespace);
}
