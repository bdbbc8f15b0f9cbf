/**
 * NAT as the fast path should do it, written from design.md ("NAT: cache what netfilter decided"), RFC 791 (TTL), 1624
 * (checksums), 768 (UDP's zero) and 792 (echo), and not from the programs. Used by model.ts.
 */
import { checksum, encapsulate, set16, set32, setMac } from './frames.ts';
import {
  ETH_IPV4,
  ETHERNET,
  type Ip,
  isTooBig,
  PROTO_ICMP,
  PROTO_TCP,
  PROTO_UDP,
  TUNNEL_HEADERS,
  u8,
  u16,
  u32,
} from './headers.ts';
import { type FdbEntry, type Flow, type FlowKey, fdbKey, flowKey, type Maps, type Tuple } from './maps.ts';
import type { Context, Reason } from './model.ts';

/** A frame on its way through a router. */
export interface Arrival {
  frame: Uint8Array;
  /** Where its Ethernet header begins. */
  ethernet: number;
  /** Bytes of the whole frame that a program can read and write. */
  readable: number;
  ip: Ip;
  /** The network that it comes from; 0: from outside. */
  vni: number;
  /** The network whose router it is addressed to. */
  router: number;
  xdp: boolean;
  context: Context;
}

export interface Passage {
  reason: Reason;
  output?: Uint8Array;
  receiver?: FdbEntry;
  /** What goes to no port leaves by this device. */
  device?: number;
  /** What was found and used: one flow, or two of a hairpin between networks. */
  flows: Flow[];
  /** They let a packet go to the kernel, and are not due any more. */
  refreshed?: Flow[];
}

const [TCP_FIN, TCP_SYN, TCP_RST, TCP_ACK] = [1, 2, 4, 16];
const [ECHO_REPLY, ECHO_REQUEST] = [0, 8];

/** What identifies the connection, or why there is none that the fast path follows. */
function readTuple(arrival: Arrival): FlowKey | Reason {
  const { frame: f, ethernet, readable, ip, vni } = arrival;
  const l4 = ip.transport;
  if (u16(f, ethernet + 12) !== ETH_IPV4) return 'PROTOCOL';
  const tuple: Tuple = {
    source: u32(f, ethernet + 26),
    destination: u32(f, ethernet + 30),
    sourcePort: 0,
    destinationPort: 0,
  };
  // Bytes of the IPv4 packet behind its header: what the frame has beyond is padding.
  const length = u16(f, ethernet + 16) - 20;
  const has = (bytes: number): boolean => l4 + bytes <= readable && bytes <= length;
  switch (ip.protocol) {
    case PROTO_TCP: {
      const header = has(20) ? (u8(f, l4 + 12) >> 4) * 4 : 0;
      if (header < 20 || header > length) return 'PROTOCOL';
      const flags = u8(f, l4 + 13);
      if ((flags & (TCP_FIN | TCP_SYN | TCP_RST)) !== 0 || (flags & TCP_ACK) === 0) return 'TCP_FLAGS';
      break;
    }
    case PROTO_UDP:
      if (!has(8) || u16(f, l4 + 4) < 8 || u16(f, l4 + 4) > length) return 'PROTOCOL';
      break;
    case PROTO_ICMP: {
      if (!has(8) || u8(f, l4 + 1) !== 0) return 'PROTOCOL';
      const type = u8(f, l4);
      if (type !== ECHO_REQUEST && type !== ECHO_REPLY) return 'PROTOCOL';
      tuple.sourcePort = u16(f, l4 + 4);
      tuple.destinationPort = type;
      return { vni, protocol: ip.protocol, tuple };
    }
    default:
      return 'PROTOCOL';
  }
  tuple.sourcePort = u16(f, l4);
  tuple.destinationPort = u16(f, l4 + 2);
  return { vni, protocol: ip.protocol, tuple };
}

/** The flow of this key, if it is of this network's router, and the kernel stands by it. */
function findFlow(key: FlowKey, vni: number, maps: Maps): Flow | Reason {
  const flow = maps.flows.get(flowKey(key));
  if (flow === undefined || flow.vni !== vni) return 'NO_FLOW';
  const router = maps.routers.get(flow.vni);
  if (router === undefined || router.generation !== flow.generation || flow.expired) return 'STALE_FLOW';
  return flow;
}

/** RFC 1624, equation 3: the checksum after 16-bit words became others. */
function updated(sum: number, words: [number, number][]): number {
  // 0xffff and 0 are the same number: what does not change at all is left alone.
  if (words.every(([old, now]) => old === now)) return sum;
  let total = ~sum & 0xffff;
  for (const [old, now] of words) total += (~old & 0xffff) + now;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

const halves = (address: number): [number, number] => [address >>> 16, address & 0xffff];

function pairs(old: number, now: number): [number, number][] {
  const [a, b] = [halves(old), halves(now)];
  return [
    [a[0], b[0]],
    [a[1], b[1]],
  ];
}

/** The frame (Ethernet header first) as the router lets it go, `hops` routers later. */
function rewrite(frame: Uint8Array, protocol: number, from: Tuple, flow: Flow, hops: number): Uint8Array {
  const f = frame.slice();
  const to = flow.tuple;
  setMac(f, 0, flow.destinationMac);
  setMac(f, 6, flow.sourceMac);
  f[22] = f[22]! - hops;
  set32(f, 26, to.source);
  set32(f, 30, to.destination);
  set16(f, 24, 0);
  set16(f, 24, checksum(f, 14, 20));
  const addresses = [...pairs(from.source, to.source), ...pairs(from.destination, to.destination)];
  const l4 = 34;
  if (protocol === PROTO_ICMP) {
    set16(f, l4 + 4, to.sourcePort);
    set16(f, l4 + 2, updated(u16(f, l4 + 2), [[from.sourcePort, to.sourcePort]]));
    return f;
  }
  set16(f, l4, to.sourcePort);
  set16(f, l4 + 2, to.destinationPort);
  const at = protocol === PROTO_TCP ? l4 + 16 : l4 + 6;
  const old = u16(f, at);
  if (protocol === PROTO_UDP && old === 0) return f;
  const now = updated(old, [
    ...addresses,
    [from.sourcePort, to.sourcePort],
    [from.destinationPort, to.destinationPort],
  ]);
  set16(f, at, protocol === PROTO_UDP && now === 0 ? 0xffff : now);
  return f;
}

/** Where the flow's packet goes: fits it, and can it be sent there? */
function destination(
  arrival: Arrival,
  flows: Flow[],
  maps: Maps,
): { reason: Reason; receiver?: FdbEntry; tunnel?: FdbEntry } {
  const { frame, ethernet, ip, context, xdp } = arrival;
  const last = flows.at(-1)!;
  const oneBuffer = arrival.readable === frame.length;
  const tooBig = (mtu: number): boolean => isTooBig(frame, ethernet, ip, context, mtu);
  if (last.outside) {
    const router = maps.routers.get(last.vni)!;
    if (tooBig(router.mtu)) return { reason: 'FLOW_TOO_BIG' };
    if (xdp && !(router.xdp && oneBuffer)) return { reason: 'FLOW_UNREACHABLE' };
    return { reason: 'TO_UPLINK' };
  }
  // Between two routers it crosses the floating network.
  if (flows.length > 1 && tooBig(maps.routers.get(flows[0]!.vni)!.mtu)) return { reason: 'FLOW_TOO_BIG' };
  const to = maps.fdb.get(fdbKey(last.vni, last.destinationMac));
  if (to === undefined) return { reason: 'FLOW_UNREACHABLE' };
  if (tooBig(to.mtu)) return { reason: 'FLOW_TOO_BIG' };
  if (to.ifindex !== 0) {
    if (xdp && !(to.xdp && (oneBuffer || to.peer))) return { reason: 'FLOW_UNREACHABLE' };
    return { reason: 'TO_PORT', receiver: to };
  }
  const nexthop = maps.nexthops.get(to.remote);
  if (nexthop === undefined) return { reason: 'FLOW_UNREACHABLE' };
  if (tooBig(nexthop.mtu - TUNNEL_HEADERS - ETHERNET)) return { reason: 'FLOW_TOO_BIG' };
  if (xdp && !(maps.routers.get(last.vni)!.underlayXdp && oneBuffer)) return { reason: 'FLOW_UNREACHABLE' };
  return { reason: 'TO_TUNNEL', tunnel: to };
}

/** What the router's cache makes of a frame that was sent to the router. */
export function translate(arrival: Arrival, maps: Maps): Passage {
  const end = (reason: Reason): Passage => ({ reason, flows: [] });
  const key = readTuple(arrival);
  if (typeof key === 'string') return end(key);
  const { frame, ethernet, ip } = arrival;
  const inner = frame.subarray(ethernet);
  if (checksum(inner, ETHERNET, 20) !== 0) return end('IP_MALFORMED');

  const first = findFlow(key, arrival.router, maps);
  if (typeof first === 'string') return end(first);
  const flows = [first];
  if (first.hairpin) {
    const gateway = maps.gateways.get(first.destinationMac);
    if (gateway === undefined || gateway.side !== 'outside') return end('FLOW_UNREACHABLE');
    const second = findFlow({ vni: 0, protocol: key.protocol, tuple: first.tuple }, gateway.vni, maps);
    if (typeof second === 'string') return end(second);
    if (second.hairpin || second.outside) return end('FLOW_UNREACHABLE');
    flows.push(second);
  }
  if (u8(inner, 22) <= flows.length) return end('TTL');
  const last = flows.at(-1)!;
  const { reason, receiver, tunnel } = destination(arrival, flows, maps);
  if (reason.startsWith('FLOW_')) return end(reason);
  if (flows.some((flow) => flow.due)) return { reason: 'REFRESH', flows: [], refreshed: flows };

  const out = rewrite(inner, ip.protocol, key.tuple, last, flows.length);
  if (tunnel === undefined)
    return { reason, output: out, receiver, device: maps.routers.get(last.vni)?.egress, flows };
  // A test run can set gso_size but no gso_type, and bpf_skb_adjust_room refuses such a frame.
  if (arrival.context.gsoSize > 0) return end('HELPER');
  const nexthop = maps.nexthops.get(tunnel.remote)!;
  const output = encapsulate(out, {
    destinationMac: nexthop.destination,
    sourceMac: nexthop.source,
    source: maps.underlayAddress,
    destination: tunnel.remote,
    port: maps.vxlanPort,
    sourcePort: 0,
    vni: last.vni,
    tos: ip.ecn,
    id: ip.id,
  });
  return { reason, output, device: nexthop.ifindex, flows };
}
