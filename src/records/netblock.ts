import { Address4 } from 'ip-address';
import { RequestError } from './errors.ts';

/** An IPv4 network; addresses are numbers, 0 to 2^32-1. */
export interface Netblock {
  first: number;
  last: number;
  prefix: number;
}

const SMALLEST_PREFIX = 8;
const LARGEST_PREFIX = 29;
const SMALLEST_POOL = 30;
/** Blocks in which no guest can have an address (RFC 6890, RFC 5771). */
const UNUSABLE: [block: string, what: string][] = [
  ['0.0.0.0/8', '"this network"'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved'],
];

/** "a.b.c.d" as a number. RequestError 'malformed' for anything else, octal-looking parts included. */
export function parseAddress(text: string): number {
  if (!text.includes('/')) {
    try {
      return Number(new Address4(text).bigInt());
    } catch {
      // told below
    }
  }
  throw new RequestError('malformed', `${JSON.stringify(text)} is no IPv4 address`);
}

export function formatAddress(address: number): string {
  return [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255].join('.');
}

/**
 * The netblock of a virtual network, "192.168.0.0/24": /8 to /29, host bits zero, of addresses that guests can use.
 * Throws RequestError 'malformed' that says which rule it breaks.
 */
export function parseNetblock(text: string): Netblock {
  const block = parseUsable(text);
  if (block.prefix > LARGEST_PREFIX) {
    throw malformed(
      text,
      `is too small: /${LARGEST_PREFIX} (6 addresses) is the smallest netblock of a network`,
    );
  }
  return block;
}

/** The pool of floating addresses: the same, down to /30, which has one address beside the next hop. */
export function parsePool(text: string): Netblock {
  const block = parseUsable(text);
  if (block.prefix > SMALLEST_POOL) {
    throw malformed(text, `is too small: /${SMALLEST_POOL} is the smallest pool of floating addresses`);
  }
  return block;
}

function parseUsable(text: string): Netblock {
  const block = parseBlock(text);
  if (block.prefix < SMALLEST_PREFIX) throw malformed(text, `is too big: /${SMALLEST_PREFIX} is the biggest`);
  for (const [other, what] of UNUSABLE) {
    if (overlaps(block, parseBlock(other))) throw malformed(text, `overlaps ${other}, which is ${what}`);
  }
  return block;
}

/** A CIDR of any size with host bits zero; for blocks that come from configuration. */
export function parseBlock(text: string): Netblock {
  let parsed: Address4;
  try {
    parsed = new Address4(text);
  } catch {
    throw malformed(text, 'is no IPv4 CIDR such as 192.168.0.0/24');
  }
  if (!/\/(0|[1-9][0-9]?)$/.test(text)) throw malformed(text, 'needs a prefix length, as in 192.168.0.0/24');
  const first = Number(parsed.startAddress().bigInt());
  const last = Number(parsed.endAddress().bigInt());
  if (first !== Number(parsed.bigInt())) {
    const meant = `${formatAddress(first)}/${parsed.subnetMask}`;
    throw malformed(text, `has host bits set: did you mean ${meant}?`);
  }
  return { first, last, prefix: parsed.subnetMask };
}

export function formatBlock(block: Netblock): string {
  return `${formatAddress(block.first)}/${block.prefix}`;
}

export function overlaps(a: Netblock, b: Netblock): boolean {
  return a.first <= b.last && b.first <= a.last;
}

/** Index 1 of a netblock: the address of its router. */
export function gatewayOf(block: Netblock): number {
  return block.first + 1;
}

function malformed(text: string, why: string): RequestError {
  return new RequestError('malformed', `netblock ${JSON.stringify(text)} ${why}`);
}
