/** IPv4 arithmetic on host-order numbers. */
import { isIPv4 } from 'node:net';

export interface Block {
  /** Its first address. */
  base: number;
  /** Length of the mask. */
  prefix: number;
}

/** @param address checked to be IPv4 */
export function addressNumber(address: string): number {
  return address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

function sizeOf(prefix: number): number {
  return 2 ** (32 - prefix);
}

/** The block of a CIDR text, whose host bits may be set; undefined when it is none. */
export function parseBlock(text: string): Block | undefined {
  const [address = '', length = '', ...rest] = text.split('/');
  const prefix = Number(length);
  if (!isIPv4(address) || !/^\d{1,2}$/.test(length) || prefix > 32 || rest.length > 0) return undefined;
  const number = addressNumber(address);
  return { base: number - (number % sizeOf(prefix)), prefix };
}

/** `192.168.0.0/24` */
export function blockText({ base, prefix }: Block): string {
  const bytes = [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256);
  return `${bytes.join('.')}/${prefix}`;
}

export function contains({ base, prefix }: Block, address: string): boolean {
  const number = addressNumber(address);
  return number >= base && number < base + sizeOf(prefix);
}

/** Whether a host of the block may have the address: neither the block's first nor its last (RFC 3021 aside). */
export function isHost(block: Block, address: string): boolean {
  const number = addressNumber(address);
  if (block.prefix > 30) return contains(block, address);
  return number > block.base && number < block.base + sizeOf(block.prefix) - 1;
}

export function overlap(a: Block, b: Block): boolean {
  return a.base < b.base + sizeOf(b.prefix) && b.base < a.base + sizeOf(a.prefix);
}
