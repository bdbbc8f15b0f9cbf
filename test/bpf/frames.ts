/**
 * Builders of the frames that the tests of the programs send: Ethernet II (IEEE 802.3), ARP (RFC 826), IPv4 (RFC 791),
 * IPv6 (RFC 8200), UDP, TCP, ICMP and VXLAN (RFC 7348). Lengths and the IPv4 header checksum are right unless told;
 * transport checksums are 0, but for those of udpPacket(), tcpPacket() and echoPacket(), for NAT. MACs are 12 hexadecimal digits,
 * IPv4 addresses numbers in host order.
 */

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, qinq: 0x88a8, ipv6: 0x86dd } as const;

/** '10.0.0.1' → 0x0a000001. */
export function ipv4Address(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function set16(f: Uint8Array, at: number, value: number): void {
  f[at] = value >> 8;
  f[at + 1] = value;
}

export function set32(f: Uint8Array, at: number, value: number): void {
  set16(f, at, value >>> 16);
  set16(f, at + 2, value & 0xffff);
}

export function setMac(f: Uint8Array, at: number, mac: string): void {
  for (let i = 0; i < 6; i++) f[at + i] = Number.parseInt(mac.slice(i * 2, i * 2 + 2), 16);
}

/** Internet checksum (RFC 1071) of an even number of bytes. */
export function checksum(f: Uint8Array, from: number, length: number): number {
  let sum = 0;
  for (let at = from; at < from + length; at += 2) sum += (f[at]! << 8) | f[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function ethernet(destination: string, source: string, type: number, payload: Uint8Array): Uint8Array {
  const f = new Uint8Array(14 + payload.length);
  setMac(f, 0, destination);
  setMac(f, 6, source);
  set16(f, 12, type);
  f.set(payload, 14);
  return f;
}

export interface Ipv4Fields {
  source: number;
  destination: number;
  protocol: number;
  tos?: number;
  id?: number;
  /** Flags and fragment offset, as in the header. */
  fragment?: number;
  ttl?: number;
  /** A multiple of 4 bytes. */
  options?: Uint8Array;
}

export function ipv4(fields: Ipv4Fields, payload: Uint8Array): Uint8Array {
  const options = fields.options ?? new Uint8Array(0);
  const headerLength = 20 + options.length;
  const p = new Uint8Array(headerLength + payload.length);
  p[0] = 0x40 | (headerLength / 4);
  p[1] = fields.tos ?? 0;
  set16(p, 2, p.length);
  set16(p, 4, fields.id ?? 0);
  set16(p, 6, fields.fragment ?? 0);
  p[8] = fields.ttl ?? 64;
  p[9] = fields.protocol;
  set32(p, 12, fields.source);
  set32(p, 16, fields.destination);
  p.set(options, 20);
  set16(p, 10, checksum(p, 0, headerLength));
  p.set(payload, headerLength);
  return p;
}

export interface Ipv6Fields {
  nextHeader: number;
  trafficClass?: number;
  flow?: number;
  hopLimit?: number;
}

/** fd00::1 → fd00::2; no program looks at IPv6 addresses. */
export function ipv6(fields: Ipv6Fields, payload: Uint8Array): Uint8Array {
  const p = new Uint8Array(40 + payload.length);
  set32(p, 0, (6 << 28) | ((fields.trafficClass ?? 0) << 20) | (fields.flow ?? 0));
  set16(p, 4, payload.length);
  p[6] = fields.nextHeader;
  p[7] = fields.hopLimit ?? 64;
  p[8] = p[24] = 0xfd;
  p[23] = 1;
  p[39] = 2;
  p.set(payload, 40);
  return p;
}

export function udp(source: number, destination: number, payload: Uint8Array): Uint8Array {
  const p = new Uint8Array(8 + payload.length);
  set16(p, 0, source);
  set16(p, 2, destination);
  set16(p, 4, p.length);
  p.set(payload, 8);
  return p;
}

export function tcp(source: number, destination: number, payload: Uint8Array, flags = 0x10): Uint8Array {
  const p = new Uint8Array(20 + payload.length);
  set16(p, 0, source);
  set16(p, 2, destination);
  p[12] = 5 << 4;
  p[13] = flags;
  set16(p, 14, 0xffff);
  p.set(payload, 20);
  return p;
}

/** ICMP or ICMPv6 echo request. */
export function echo(type: 8 | 128, payload: Uint8Array): Uint8Array {
  const p = new Uint8Array(8 + payload.length);
  p[0] = type;
  p.set(payload, 8);
  return p;
}

export interface Ends {
  source: number;
  destination: number;
}

/** Checksum of a TCP segment or UDP datagram with its IPv4 pseudo header (RFC 768, 9293), of any length. */
function transportChecksum(ends: Ends, protocol: number, body: Uint8Array): number {
  const padded = new Uint8Array(12 + body.length + (body.length & 1));
  set32(padded, 0, ends.source);
  set32(padded, 4, ends.destination);
  padded[9] = protocol;
  set16(padded, 10, body.length);
  padded.set(body, 12);
  return checksum(padded, 0, padded.length);
}

/** With its checksum: 0 becomes 0xffff, and 0 says that there is none (RFC 768). */
export function udpPacket(
  ends: Ends,
  source: number,
  destination: number,
  payload: Uint8Array,
  unsummed = false,
): Uint8Array {
  const p = udp(source, destination, payload);
  if (!unsummed) set16(p, 6, transportChecksum(ends, 17, p) || 0xffff);
  return p;
}

/** With its checksum. */
export function tcpPacket(
  ends: Ends,
  source: number,
  destination: number,
  payload: Uint8Array,
  flags = 0x10,
): Uint8Array {
  const p = tcp(source, destination, payload, flags);
  set16(p, 16, transportChecksum(ends, 6, p));
  return p;
}

/** An ICMP echo request (type 8) or reply (0), with its checksum. */
export function echoPacket(type: number, identifier: number, payload: Uint8Array): Uint8Array {
  const p = new Uint8Array(8 + payload.length);
  p[0] = type;
  set16(p, 4, identifier);
  p.set(payload, 8);
  const padded = concat(p, new Uint8Array(p.length & 1));
  set16(p, 2, checksum(padded, 0, padded.length));
  return p;
}

export interface ArpFields {
  /** 1 request, 2 reply. */
  operation: number;
  senderMac: string;
  senderAddress: number;
  targetMac: string;
  targetAddress: number;
}

export function arp(fields: ArpFields): Uint8Array {
  const p = new Uint8Array(28);
  set16(p, 0, 1);
  set16(p, 2, ETHERTYPE.ipv4);
  p[4] = 6;
  p[5] = 4;
  set16(p, 6, fields.operation);
  setMac(p, 8, fields.senderMac);
  set32(p, 14, fields.senderAddress);
  setMac(p, 18, fields.targetMac);
  set32(p, 24, fields.targetAddress);
  return p;
}

export interface TunnelFields {
  destinationMac: string;
  sourceMac: string;
  source: number;
  destination: number;
  port: number;
  sourcePort: number;
  vni: number;
  tos: number;
  id: number;
}

/** The frame behind the 50 bytes of outer Ethernet, IPv4, UDP (checksum 0: RFC 7348, 5) and VXLAN header. */
export function encapsulate(frame: Uint8Array, fields: TunnelFields): Uint8Array {
  const vxlan = new Uint8Array(8);
  vxlan[0] = 0x08;
  set32(vxlan, 4, fields.vni * 256);
  const datagram = udp(fields.sourcePort, fields.port, concat(vxlan, frame));
  const { source, destination, tos, id } = fields;
  const packet = ipv4({ source, destination, protocol: 17, tos, id }, datagram);
  return ethernet(fields.destinationMac, fields.sourceMac, ETHERTYPE.ipv4, packet);
}

export const toHex = (f: Uint8Array): string => Buffer.from(f.buffer, f.byteOffset, f.length).toString('hex');
export const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
