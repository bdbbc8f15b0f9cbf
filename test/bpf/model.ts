/**
 * What the programs of bpf/ should decide, written from their specification (abi.h, RFC 791, 768, 826, 7348,
 * 6040, 8200) and not from their code: the oracle of the fuzz, truncation and counter tests. Where the specification
 * leaves open which of several reasons to name, the programs' order of checks is followed.
 *
 * Plain and slow on purpose, to be read beside the programs from top to bottom; NAT is in nat-model.ts. Offsets are
 * bytes from the start of the frame; addresses are numbers in host order, MACs 12 hexadecimal digits.
 */
import { checksum, encapsulate } from './frames.ts';
import {
  ETH_ARP,
  ETH_IPV4,
  ETHERNET,
  hasHeaders,
  type Ip,
  isTooBig,
  macAt,
  PROTO_TCP,
  PROTO_UDP,
  readIpv4,
  readUnicastIp,
  TUNNEL_HEADERS,
  u8,
  u16,
  u32,
  wirePackets,
} from './headers.ts';
import { type FdbEntry, type Flow, fdbKey, type Maps, memberKey, type Port, USAGE_SLOTS } from './maps.ts';
import { type Passage, translate } from './nat-model.ts';

export type ProgramName = 'port' | 'underlay_tc' | 'underlay_xdp' | 'tunnel' | 'uplink_tc' | 'uplink_xdp';

export const isXdp = (program: ProgramName): boolean => program.endsWith('_xdp');

/** The names of abi.h's enum reason, without the prefix; the numbers are read from the object's BTF. */
export type Reason =
  | 'TO_PORT'
  | 'TO_TUNNEL'
  | 'TO_UPLINK'
  | RouterReason
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
  | 'LEARNED'
  | 'NO_CONNECTION'
  | 'NO_REPLY'
  | 'CLOSING'
  | 'ALG'
  | 'SPOOFED_MAC'
  | 'SPOOFED_IPV4'
  | 'SPOOFED_ARP'
  | 'UNTRUSTED_SOURCE'
  | 'REWRITE_FAILED';

const ROUTER_REASONS = [
  'NO_FLOW',
  'STALE_FLOW',
  'REFRESH',
  'TCP_FLAGS',
  'TTL',
  'PROTOCOL',
  'FLOW_TOO_BIG',
  'FLOW_UNREACHABLE',
] as const;
type RouterReason = (typeof ROUTER_REASONS)[number];

export type Verdict = 'PORT' | 'TUNNEL' | 'UPLINK' | 'ROUTER' | 'KERNEL' | 'DROP';

export interface Context {
  ifindex: number;
  /** 0: not a GSO frame. */
  gsoSize: number;
  /** 0: not counted by the sender (a tap). */
  gsoSegments: number;
  /** XDP: bytes in the first buffer, when that is not the whole frame. */
  linear?: number;
}

/** Something that a packet adds to port_counters or to usage. */
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
  /** The device that it is redirected to; 0: none. */
  device: number;
  usage: PortCount[];
  /** What passed by a flow is counted there, too. */
  flows: Flow[];
  /** Layer 3 bytes of the guest's frame. */
  flowBytes: number;
  /** Flows that are not due any more. */
  refreshed: Flow[];
}

/** Each reason belongs to one verdict. */
export function verdictOf(reason: Reason): Verdict {
  if ((ROUTER_REASONS as readonly Reason[]).includes(reason)) return 'ROUTER';
  switch (reason) {
    case 'TO_PORT':
      return 'PORT';
    case 'TO_TUNNEL':
      return 'TUNNEL';
    case 'TO_UPLINK':
      return 'UPLINK';
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

/** Is the sender who it says it is? A reason to end here, or undefined to go on. */
function guard(f: Uint8Array, port: Port, maps: Maps): Reason | undefined {
  if (macAt(f, 6) !== port.mac) return 'SPOOFED_MAC';
  if (!hasHeaders(f, 0, f.length)) return 'TRUNCATED';
  const type = u16(f, 12);
  const mayUse = (address: number): boolean =>
    port.router || address === 0 || address === port.ipv4 || maps.routed.has(memberKey(port.vni, address));
  if (type === ETH_ARP) {
    const senderAddress = u32(f, 28);
    return macAt(f, 22) === port.mac && mayUse(senderAddress) ? 'ARP' : 'SPOOFED_ARP';
  }
  if (type === ETH_IPV4 && !mayUse(u32(f, 26))) return 'SPOOFED_IPV4';
  return undefined;
}

interface Outcome {
  reason: Reason;
  output?: Uint8Array;
  sender?: Port;
  receiver?: FdbEntry;
  /** What is no port leaves by this device. */
  device?: number;
  /** The guest's, once it was read. */
  ip?: Ip;
  /** What NAT said, if it was asked. */
  passage?: Passage;
}

function decidePort(f: Uint8Array, context: Context, maps: Maps): Outcome {
  const sender = maps.ports.get(context.ifindex);
  if (sender === undefined) return { reason: 'UNKNOWN_DEVICE' };
  const guarded = guard(f, sender, maps);
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
  if (to.ifindex !== 0 && to.router) {
    const arrival = {
      frame: f,
      ethernet: 0,
      readable: f.length,
      ip,
      vni: sender.vni,
      router: sender.vni,
      xdp: false,
      context,
    };
    const passage = translate(arrival, maps);
    return { ...throughRouter(passage, to, f), sender, ip };
  }
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
  return { reason: 'TO_TUNNEL', device: nexthop.ifindex, sender, ip, output };
}

/** What no flow is known of is delivered to the router itself. */
function throughRouter(passage: Passage, router: FdbEntry, delivered: Uint8Array): Outcome {
  const { reason, output, receiver } = passage;
  if (verdictOf(reason) === 'ROUTER') return { reason, receiver: router, output: delivered, passage };
  return { reason, receiver, output, passage };
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
  const takes = !xdp || (to.xdp && (readable === f.length || to.peer));
  if (to.router) {
    const passage = translate({ frame: f, ethernet, readable, ip, vni, router: vni, xdp, context }, maps);
    if (verdictOf(passage.reason) === 'ROUTER' && !takes) return end('NO_XDP');
    return { ...throughRouter(passage, to, f.subarray(ethernet)), ip };
  }
  if (!takes) return end('NO_XDP');
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
  if (to.router) {
    const arrival = { frame: f, ethernet: 0, readable: f.length, ip, vni, router: vni, xdp: false, context };
    return { ...throughRouter(translate(arrival, maps), to, f), ip };
  }
  return { reason: 'TO_PORT', receiver: to, ip };
}

function decideUplink(f: Uint8Array, xdp: boolean, context: Context, maps: Maps): Outcome {
  const readable = Math.min(context.linear ?? f.length, f.length);
  const gateway = maps.gateways.get(macAt(f, 0));
  if (gateway === undefined || gateway.side !== 'outside') return { reason: 'UNKNOWN_MAC' };
  if (!hasHeaders(f, 0, readable)) return { reason: 'TRUNCATED' };
  const { ip, reason } = readUnicastIp(f, 0);
  if (ip === undefined || reason !== undefined) return { reason: reason!, ip };
  const arrival = { frame: f, ethernet: 0, readable, ip, vni: 0, router: gateway.vni, xdp, context };
  // XDP has lost the partial checksum of what a local stack sent: TCP is for TC.
  if (xdp && ip.protocol === PROTO_TCP) return { reason: 'TCP', ip };
  const passage = translate(arrival, maps);
  // TC comes next, and its turn it is.
  if (xdp) delete passage.refreshed;
  return { reason: passage.reason, receiver: passage.receiver, output: passage.output, ip, passage };
}

/**
 * The fate of one frame of at least 14 bytes (a test run takes no shorter one).
 * The outer UDP source port of an encapsulated frame is left 0: it is the kernel's flow hash.
 */
export function decide(program: ProgramName, frame: Uint8Array, context: Context, maps: Maps): Decision {
  let outcome: Outcome;
  if (program === 'port') outcome = decidePort(frame, context, maps);
  else if (program === 'tunnel') outcome = decideTunnel(frame, context, maps);
  else if (program.startsWith('uplink')) outcome = decideUplink(frame, isXdp(program), context, maps);
  else outcome = decideUnderlay(frame, isXdp(program), context, maps);

  const { reason, sender, receiver, passage } = outcome;
  const packets = wirePackets(frame, context, outcome.ip);
  const bytes = frame.length;
  const ports: PortCount[] = [];
  if (sender !== undefined) ports.push({ slot: sender.slot, direction: 'sent', packets, bytes });
  if (receiver !== undefined) ports.push({ slot: receiver.slot, direction: 'received', packets, bytes });
  const refreshed = (passage?.refreshed ?? []).filter((flow) => flow.due);
  for (const flow of refreshed) flow.due = false;
  const flows = passage?.flows ?? [];
  // What the IPv4 header says: padding behind the packet does not count.
  const ipv4 = ETHERNET + (program.startsWith('underlay') ? TUNNEL_HEADERS + ETHERNET : 0);
  const flowBytes = flows.length > 0 ? u16(frame, ipv4 + 2) : 0;
  for (const flow of flows) {
    flow.packets += packets;
    flow.bytes += flowBytes;
  }
  const usage = flows
    .filter((flow) => flow.account < USAGE_SLOTS)
    .map(
      (flow): PortCount => ({
        slot: flow.account,
        direction: flow.outside || flow.hairpin ? 'sent' : 'received',
        packets,
        bytes: flowBytes,
      }),
    );
  return {
    reason,
    verdict: verdictOf(reason),
    output: outcome.output ?? frame,
    hashed: reason === 'TO_TUNNEL',
    packets,
    bytes,
    ports,
    device: receiver?.ifindex ?? outcome.device ?? passage?.device ?? 0,
    usage,
    flows,
    flowBytes,
    refreshed,
  };
}

/** What a program returns for a verdict: TCX_* and TC_ACT_* of linux/pkt_cls.h, XDP_* of linux/bpf.h. */
export function returnValue(program: ProgramName, verdict: Verdict): number {
  const xdp = isXdp(program);
  // What goes to the router has been delivered, unless the kernel is on its way there anyway.
  const passed = verdict === 'KERNEL' || (verdict === 'ROUTER' && program.startsWith('uplink'));
  if (passed) return xdp ? 2 : -1;
  if (verdict === 'DROP') return xdp ? 1 : 2;
  return xdp ? 4 : 7;
}
