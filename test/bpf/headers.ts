/** Reads frames for the model: plain and slow. Offsets are bytes from the start of the frame. */
import type { Context, Reason } from './model.ts';

export const ETHERNET = 14;
/** IPv4 20, UDP 8, VXLAN 8: what lies between the outer and the inner Ethernet header. */
export const TUNNEL_HEADERS = 36;
export const [ETH_IPV4, ETH_ARP, ETH_IPV6] = [0x0800, 0x0806, 0x86dd];
export const [PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_ICMPV6] = [1, 6, 17, 58];

export const u8 = (f: Uint8Array, at: number): number => f[at]!;
export const u16 = (f: Uint8Array, at: number): number => (f[at]! << 8) | f[at + 1]!;
export const u32 = (f: Uint8Array, at: number): number => u16(f, at) * 0x1_0000 + u16(f, at + 2);
export const macAt = (f: Uint8Array, at: number): string =>
  Buffer.from(f.buffer, f.byteOffset + at, 6).toString('hex');

/** To a group, or from what is no station's address: a bridge drops the latter. */
function isMulticast(f: Uint8Array, ethernet: number): boolean {
  const source = macAt(f, ethernet + 6);
  return ((u8(f, ethernet) | u8(f, ethernet + 6)) & 1) === 1 || source === '000000000000';
}

/** The fixed part of an IPv4 or IPv6 header. */
export interface Ip {
  protocol: number;
  /** Offset of the transport header, where there are no options. */
  transport: number;
  ecn: number;
  /** IPv4 identification; 0 for IPv6. */
  id: number;
}

/** What was read of a frame, and why it may not be forwarded. */
export interface Read {
  ip?: Ip;
  reason?: Reason;
}

/** The IPv4 header (RFC 791) at `at`, in a frame that ends at `end`. */
export function readIpv4(f: Uint8Array, at: number, end: number): Read {
  const ip = { protocol: u8(f, at + 9), transport: at + 20, ecn: u8(f, at + 1) & 3, id: u16(f, at + 4) };
  const headerLength = (u8(f, at) & 15) * 4;
  const totalLength = u16(f, at + 2);
  const moreFragments = (u16(f, at + 6) & 0x2000) !== 0;
  const fragmentOffset = u16(f, at + 6) & 0x1fff;
  if (u8(f, at) >> 4 !== 4 || headerLength < 20 || totalLength < headerLength)
    return { ip, reason: 'IP_MALFORMED' };
  if (totalLength > end - at) return { ip, reason: 'TRUNCATED' };
  if (headerLength > 20) return { ip, reason: 'IP_OPTIONS' };
  if (moreFragments || fragmentOffset !== 0) return { ip, reason: 'FRAGMENT' };
  return { ip };
}

/** The IPv6 header (RFC 8200, 3) at `at`. Extension headers are the kernel's. */
function readIpv6(f: Uint8Array, at: number, end: number): Read {
  const protocol = u8(f, at + 6);
  const ip = { protocol, transport: at + 40, ecn: (u8(f, at + 1) >> 4) & 3, id: 0 };
  if (u8(f, at) >> 4 !== 6) return { ip, reason: 'IP_MALFORMED' };
  if (u16(f, at + 4) > end - at - 40) return { ip, reason: 'TRUNCATED' };
  if (protocol !== PROTO_TCP && protocol !== PROTO_UDP && protocol !== PROTO_ICMPV6)
    return { ip, reason: 'IP_OPTIONS' };
  return { ip };
}

const LAYER3_HEADER: Record<number, number> = { [ETH_IPV4]: 20, [ETH_ARP]: 28, [ETH_IPV6]: 40 };

/** Are the Ethernet header at `ethernet` and the layer 3 header behind it among the first `readable` bytes? */
export function hasHeaders(f: Uint8Array, ethernet: number, readable: number): boolean {
  if (readable < ethernet + ETHERNET) return false;
  return readable >= ethernet + ETHERNET + (LAYER3_HEADER[u16(f, ethernet + 12)] ?? 0);
}

/** What lies behind the Ethernet header at `ethernet`: may it be forwarded at all? After hasHeaders(). */
export function readUnicastIp(f: Uint8Array, ethernet: number): Read {
  if (isMulticast(f, ethernet)) return { reason: 'MULTICAST' };
  switch (u16(f, ethernet + 12)) {
    case ETH_ARP:
      return { reason: 'ARP' };
    case ETH_IPV4:
      return readIpv4(f, ethernet + ETHERNET, f.length);
    case ETH_IPV6:
      return readIpv6(f, ethernet + ETHERNET, f.length);
    default:
      return { reason: 'ETHERTYPE' };
  }
}

/**
 * Layer 3 and 4 header bytes of each segment of a GSO frame; 0 where they can't be known: neither TCP nor UDP,
 * or no TCP header there.
 */
function segmentHeaders(f: Uint8Array, layer3: number, ip: Ip): number {
  if (ip.protocol === PROTO_UDP) return ip.transport - layer3 + 8;
  if (ip.protocol !== PROTO_TCP || f.length < ip.transport + 20) return 0;
  const tcp = (u8(f, ip.transport + 12) >> 4) * 4;
  return tcp === 0 ? 0 : ip.transport - layer3 + tcp;
}

/** A frame by its length, a GSO frame by its segments: longer than the MTU allows? */
export function isTooBig(f: Uint8Array, ethernet: number, ip: Ip, context: Context, mtu: number): boolean {
  if (context.gsoSize === 0) return f.length - ethernet - ETHERNET > mtu;
  const headers = segmentHeaders(f, ethernet + ETHERNET, ip);
  return headers === 0 || headers + context.gsoSize > mtu;
}

/** Packets on the wire: a GSO frame's segments as its sender counted them, or else as many as its payload fills. */
export function wirePackets(f: Uint8Array, context: Context, ip: Ip | undefined): number {
  if (context.gsoSize === 0) return 1;
  if (context.gsoSegments > 0) return context.gsoSegments;
  const headers = ETHERNET + (ip === undefined ? 0 : segmentHeaders(f, ETHERNET, ip));
  return Math.max(1, Math.ceil((f.length - headers) / context.gsoSize));
}
