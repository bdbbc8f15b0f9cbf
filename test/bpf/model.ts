/**
 * What the programs of bpf/ should decide, written from their specification (abi.h, RFC 791, 768, 826, 7348,
 * 6040, 8200) and not from their code: the oracle of the fuzz, truncation and counter tests. Where the specification
 * leaves open which of several reasons to name, the programs' order of checks is followed.
 *
 * Plain and slow on purpose, and one file, to be read beside the programs from top to bottom. Offsets are bytes from the start of the frame; addresses are numbers in host
 * order, MACs 12 hexadecimal digits.
 */
import { checksum, encapsulate } from './frames.ts';

export type ProgramName = 'port' | 'underlay_tc' | 'underlay_xdp' | 'tunnel';

/** The names of abi.h's enum reason, without the prefix; the numbers are read from the object's BTF. */
export type Reason =
  | 'TO_PORT'
  | 'TO_TUNNEL'
  | 'UNKNOWN_DEVICE'
  | 'TRUNCATED'
  | 'MULTICAST'
  | 'ARP'
  | 'ETHERTYPE'
  | 'IP_MALFORMED'
  | 'IP_OPTIONS'
  | 'FRAGMENT'
  | 'UNKNOWN_MAC'
  | 'NOT_LOCAL'
  | 'SAME_PORT'
  | 'TOO_BIG'
  | 'NO_NEXTHOP'
  | 'NOT_VXLAN'
  | 'VXLAN_FLAGS'
  | 'UNKNOWN_VNI'
  | 'CONGESTION'
  | 'MERGED'
  | 'TCP'
  | 'NO_XDP'
  | 'HELPER'
  | 'SPOOFED_MAC'
  | 'SPOOFED_IPV4'
  | 'SPOOFED_ARP'
  | 'UNTRUSTED_SOURCE'
  | 'REWRITE_FAILED';

export type Verdict = 'PORT' | 'TUNNEL' | 'UPLINK' | 'ROUTER' | 'KERNEL' | 'DROP';

export interface Port {
  vni: number;
  slot: number;
  ipv4: number;
  mtu: number;
  router: boolean;
  mac: string;
}

export interface FdbEntry {
  /** Local port; 0: on another node. */
  ifindex: number;
  remote: number;
  slot: number;
  mtu: number;
  peer: boolean;
  xdp: boolean;
}

export interface Nexthop {
  ifindex: number;
  mtu: number;
  destination: string;
  source: string;
}

export interface Maps {
  vxlanPort: number;
  underlayAddress: number;
  /** Of the device that tunnel packets come in by. */
  underlayMac: string;
  ports: Map<number, Port>;
  /** By `fdbKey()`. */
  fdb: Map<string, FdbEntry>;
  networks: Map<number, { vxlanIfindex: number; mtu: number }>;
  tunnels: Map<number, number>;
  /** By `memberKey()`. */
  members: Set<string>;
  nexthops: Map<number, Nexthop>;
}

export interface Context {
  ifindex: number;
  /** 0: not a GSO frame. */
  gsoSize: number;
  /** 0: not counted by the sender (a tap). */
  gsoSegments: number;
  /** XDP: bytes in the first buffer, when that is not the whole frame. */
  linear?: number;
}

/** Something that a packet adds to port_counters. */
export interface PortCount {
  slot: number;
  direction: 'sent' | 'received';
  packets: number;
  bytes: number;
}

export interface Decision {
  reason: Reason;
  verdict: Verdict;
  /** The frame afterwards; the very input where nothing may change. */
  output: Uint8Array;
  /** Whether bytes 34 and 35, the outer UDP source port, are the kernel's flow hash. */
  hashed: boolean;
  packets: number;
  bytes: number;
  ports: PortCount[];
}

export const fdbKey = (vni: number, mac: string): string => `${vni}/${mac}`;
export const memberKey = (vni: number, address: number): string => `${vni}/${address}`;

const ETHERNET = 14;
/** IPv4 20, UDP 8, VXLAN 8: what lies between the outer and the inner Ethernet header. */
const TUNNEL_HEADERS = 36;
const [ETH_IPV4, ETH_ARP, ETH_IPV6] = [0x0800, 0x0806, 0x86dd];
export const [PROTO_TCP, PROTO_UDP, PROTO_ICMPV6] = [6, 17, 58];

const u8 = (f: Uint8Array, at: number): number => f[at]!;
const u16 = (f: Uint8Array, at: number): number => (f[at]! << 8) | f[at + 1]!;
const u32 = (f: Uint8Array, at: number): number => u16(f, at) * 0x1_0000 + u16(f, at + 2);
const macAt = (f: Uint8Array, at: number): string =>
  Buffer.from(f.buffer, f.byteOffset + at, 6).toString('hex');
/** To a group, or from what is no station's address: a bridge drops the latter. */
function isMulticast(f: Uint8Array, ethernet: number): boolean {
  const source = macAt(f, ethernet + 6);
  return ((u8(f, ethernet) | u8(f, ethernet + 6)) & 1) === 1 || source === '000000000000';
}

/** Each reason belongs to one verdict. */
export function verdictOf(reason: Reason): Verdict {
  switch (reason) {
    case 'TO_PORT':
      return 'PORT';
    case 'TO_TUNNEL':
      return 'TUNNEL';
    case 'SPOOFED_MAC':
    case 'SPOOFED_IPV4':
    case 'SPOOFED_ARP':
    case 'UNTRUSTED_SOURCE':
    case 'REWRITE_FAILED':
      return 'DROP';
    default:
      return 'KERNEL';
  }
}

/** The fixed part of an IPv4 or IPv6 header. */
interface Ip {
  protocol: number;
  /** Offset of the transport header, where there are no options. */
  transport: number;
  ecn: number;
  /** IPv4 identification; 0 for IPv6. */
  id: number;
}

/** What was read of a frame, and why it may not be forwarded. */
interface Read {
  ip?: Ip;
  reason?: Reason;
}

/** The IPv4 header (RFC 791) at `at`, in a frame that ends at `end`. */
function readIpv4(f: Uint8Array, at: number, end: number): Read {
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
function hasHeaders(f: Uint8Array, ethernet: number, readable: number): boolean {
  if (readable < ethernet + ETHERNET) return false;
  return readable >= ethernet + ETHERNET + (LAYER3_HEADER[u16(f, ethernet + 12)] ?? 0);
}

/** What lies behind the Ethernet header at `ethernet`: may it be forwarded at all? After hasHeaders(). */
function readUnicastIp(f: Uint8Array, ethernet: number): Read {
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

/** Is the sender who it says it is? A reason to end here, or undefined to go on. */
function guard(f: Uint8Array, port: Port): Reason | undefined {
  if (macAt(f, 6) !== port.mac) return 'SPOOFED_MAC';
  if (!hasHeaders(f, 0, f.length)) return 'TRUNCATED';
  const type = u16(f, 12);
  if (type === ETH_ARP) {
    const senderAddress = u32(f, 28);
    if (macAt(f, 22) !== port.mac) return 'SPOOFED_ARP';
    if (!port.router && senderAddress !== port.ipv4 && senderAddress !== 0) return 'SPOOFED_ARP';
    return 'ARP';
  }
  if (type === ETH_IPV4 && !port.router) {
    const source = u32(f, 26);
    if (source !== port.ipv4 && source !== 0) return 'SPOOFED_IPV4';
  }
  return undefined;
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
function isTooBig(f: Uint8Array, ethernet: number, ip: Ip, context: Context, mtu: number): boolean {
  if (context.gsoSize === 0) return f.length - ethernet - ETHERNET > mtu;
  const headers = segmentHeaders(f, ethernet + ETHERNET, ip);
  return headers === 0 || headers + context.gsoSize > mtu;
}

interface Outcome {
  reason: Reason;
  output?: Uint8Array;
  sender?: Port;
  receiver?: FdbEntry;
  /** The guest's, once it was read. */
  ip?: Ip;
}

function decidePort(f: Uint8Array, context: Context, maps: Maps): Outcome {
  const sender = maps.ports.get(context.ifindex);
  if (sender === undefined) return { reason: 'UNKNOWN_DEVICE' };
  const guarded = guard(f, sender);
  if (guarded !== undefined) return { reason: guarded, sender };
  const { ip, reason } = readUnicastIp(f, 0);
  if (ip === undefined || reason !== undefined) return { reason: reason!, sender, ip };
  const end = (reason: Reason): Outcome => ({ reason, sender, ip });
  // Nobody's address, but not a lie: what has none yet speaks so, to everybody (DHCP). To one station it is odd.
  if (u16(f, 12) === ETH_IPV4 && u32(f, 26) === 0) return end('IP_MALFORMED');

  const to = maps.fdb.get(fdbKey(sender.vni, macAt(f, 0)));
  if (to === undefined) return end('UNKNOWN_MAC');
  if (to.ifindex === context.ifindex) return end('SAME_PORT');
  if (isTooBig(f, 0, ip, context, to.mtu)) return end('TOO_BIG');
  if (to.ifindex !== 0) return { reason: 'TO_PORT', sender, receiver: to, ip };

  const nexthop = maps.nexthops.get(to.remote);
  if (nexthop === undefined) return end('NO_NEXTHOP');
  if (isTooBig(f, 0, ip, context, nexthop.mtu - TUNNEL_HEADERS - ETHERNET)) return end('TOO_BIG');
  // A test run can set gso_size but no gso_type, and bpf_skb_adjust_room refuses such a frame.
  if (context.gsoSize > 0) return end('HELPER');
  const output = encapsulate(f, {
    destinationMac: nexthop.destination,
    sourceMac: nexthop.source,
    source: maps.underlayAddress,
    destination: to.remote,
    port: maps.vxlanPort,
    sourcePort: 0,
    vni: sender.vni,
    tos: ip.ecn,
    id: ip.id,
  });
  return { reason: 'TO_TUNNEL', sender, ip, output };
}

/** The outer headers: the tunnel packet's VNI, source and ECN field, or why it is none for us. */
function readTunnel(
  f: Uint8Array,
  readable: number,
  xdp: boolean,
  maps: Maps,
): { vni: number; source: number; ecn: number } | Reason {
  if (u16(f, 12) !== ETH_IPV4) return 'NOT_VXLAN';
  // XDP does not know its device's MAC: there the NIC's own filter has to do.
  if (!xdp && macAt(f, 0) !== maps.underlayMac) return 'NOT_VXLAN';
  if (!hasHeaders(f, 0, readable)) return 'TRUNCATED';
  if (u8(f, 23) !== PROTO_UDP || u32(f, 30) !== maps.underlayAddress) return 'NOT_VXLAN';
  const outer = readIpv4(f, ETHERNET, f.length);
  if (outer.reason !== undefined) return outer.reason;
  if (readable < 42) return 'TRUNCATED';
  if (u16(f, 36) !== maps.vxlanPort) return 'NOT_VXLAN';
  // Frame, packet and datagram end at the same byte: the kernel would cut off what lies behind.
  if (u16(f, 16) !== f.length - 14 || u16(f, 38) !== f.length - 34) return 'IP_MALFORMED';
  if (checksum(f, ETHERNET, 20) !== 0) return 'IP_MALFORMED';
  if (readable < 50) return 'TRUNCATED';
  // RFC 7348, 5: the I flag alone, everything reserved zero.
  if (u32(f, 42) !== 0x0800_0000 || u8(f, 49) !== 0) return 'VXLAN_FLAGS';
  return { vni: u32(f, 46) >>> 8, source: u32(f, 26), ecn: outer.ip!.ecn };
}

function decideUnderlay(f: Uint8Array, xdp: boolean, context: Context, maps: Maps): Outcome {
  const readable = Math.min(context.linear ?? f.length, f.length);
  const tunnel = readTunnel(f, readable, xdp, maps);
  if (typeof tunnel === 'string') return { reason: tunnel };
  const { vni } = tunnel;
  if (!maps.members.has(memberKey(vni, tunnel.source)))
    return { reason: maps.networks.has(vni) ? 'UNTRUSTED_SOURCE' : 'UNKNOWN_VNI' };
  if (tunnel.ecn === 3) return { reason: 'CONGESTION' };
  if (context.gsoSize > 0) return { reason: 'MERGED' };

  const ethernet = ETHERNET + TUNNEL_HEADERS;
  if (!hasHeaders(f, ethernet, readable)) return { reason: 'TRUNCATED' };
  const { ip, reason } = readUnicastIp(f, ethernet);
  if (ip === undefined || reason !== undefined) return { reason: reason!, ip };
  const end = (reason: Reason): Outcome => ({ reason, ip });
  // RFC 6040, 4.2: ECT(1) outside and ECT(0) inside come out as ECT(1).
  if (tunnel.ecn === 1 && ip.ecn === 2) return end('CONGESTION');
  if (ip.protocol === PROTO_TCP) return end('TCP');
  const to = maps.fdb.get(fdbKey(vni, macAt(f, ethernet)));
  if (to === undefined) return end('UNKNOWN_MAC');
  if (to.ifindex === 0) return end('NOT_LOCAL');
  if (isTooBig(f, ethernet, ip, context, to.mtu)) return end('TOO_BIG');
  // Frames of several buffers: a veth takes them, a tap does not.
  if (xdp && !(to.xdp && (readable === f.length || to.peer))) return end('NO_XDP');
  return { reason: 'TO_PORT', receiver: to, ip, output: f.subarray(ethernet) };
}

function decideTunnel(f: Uint8Array, context: Context, maps: Maps): Outcome {
  const vni = maps.tunnels.get(context.ifindex);
  if (vni === undefined) return { reason: 'UNKNOWN_DEVICE' };
  if (!hasHeaders(f, 0, f.length)) return { reason: 'TRUNCATED' };
  const { ip, reason } = readUnicastIp(f, 0);
  if (ip === undefined || reason !== undefined) return { reason: reason!, ip };
  const end = (reason: Reason): Outcome => ({ reason, ip });
  const to = maps.fdb.get(fdbKey(vni, macAt(f, 0)));
  if (to === undefined) return end('UNKNOWN_MAC');
  if (to.ifindex === 0) return end('NOT_LOCAL');
  if (isTooBig(f, 0, ip, context, to.mtu)) return end('TOO_BIG');
  return { reason: 'TO_PORT', receiver: to, ip };
}

/** Packets on the wire: a GSO frame's segments as its sender counted them, or else as many as its payload fills. */
function wirePackets(f: Uint8Array, context: Context, ip: Ip | undefined): number {
  if (context.gsoSize === 0) return 1;
  if (context.gsoSegments > 0) return context.gsoSegments;
  const headers = ETHERNET + (ip === undefined ? 0 : segmentHeaders(f, ETHERNET, ip));
  return Math.max(1, Math.ceil((f.length - headers) / context.gsoSize));
}

/**
 * The fate of one frame of at least 14 bytes (a test run takes no shorter one).
 * The outer UDP source port of an encapsulated frame is left 0: it is the kernel's flow hash.
 */
export function decide(program: ProgramName, frame: Uint8Array, context: Context, maps: Maps): Decision {
  let outcome: Outcome;
  if (program === 'port') outcome = decidePort(frame, context, maps);
  else if (program === 'tunnel') outcome = decideTunnel(frame, context, maps);
  else outcome = decideUnderlay(frame, program === 'underlay_xdp', context, maps);

  const { reason, sender, receiver } = outcome;
  const packets = wirePackets(frame, context, outcome.ip);
  const bytes = frame.length;
  const ports: PortCount[] = [];
  if (sender !== undefined) ports.push({ slot: sender.slot, direction: 'sent', packets, bytes });
  if (receiver !== undefined) ports.push({ slot: receiver.slot, direction: 'received', packets, bytes });
  return {
    reason,
    verdict: verdictOf(reason),
    output: outcome.output ?? frame,
    hashed: reason === 'TO_TUNNEL',
    packets,
    bytes,
    ports,
  };
}

/** What a program returns for a verdict: TC_ACT_* of linux/pkt_cls.h, XDP_* of linux/bpf.h. */
export function returnValue(program: ProgramName, verdict: Verdict): number {
  const xdp = program === 'underlay_xdp';
  if (verdict === 'KERNEL') return xdp ? 2 : 0;
  if (verdict === 'DROP') return xdp ? 1 : 2;
  return xdp ? 4 : 7;
}
