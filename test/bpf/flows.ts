/**
 * The flows that a router's connections leave behind, as learn should have recorded them, and packets that match them:
 * for the test world.
 */
import { type Ends, ETHERTYPE, echoPacket, ethernet, ipv4, tcpPacket, udpPacket } from './frames.ts';
import type { Flow, FlowKey, Tuple } from './maps.ts';

/** Out of usage's range. */
export const NO_ACCOUNT = 0xffff_ffff;
const ICMP = 1;

/** An interface of a network with NAT. */
export interface Party {
  vni: number;
  mac: string;
  address: number;
  account: number;
}

/** A network's router. */
export interface RouterEnds {
  vni: number;
  generation: number;
  gateway: number;
  inside: string;
  outside: string;
  /** The next hop outside. */
  beyond: string;
}

export interface End {
  address: number;
  port: number;
}

/** Tuple of a packet between two ends; of an echo, the second port is the type and the first the identifier. */
function tuple(protocol: number, source: End, destination: End, type: number): Tuple {
  const echo = protocol === ICMP;
  return {
    source: source.address,
    destination: destination.address,
    sourcePort: source.port,
    destinationPort: echo ? type : destination.port,
  };
}

function flow(key: FlowKey, router: RouterEnds, rest: Partial<Flow>): Flow {
  return {
    key,
    tuple: key.tuple,
    vni: router.vni,
    generation: router.generation,
    account: NO_ACCOUNT,
    outside: false,
    hairpin: false,
    destinationMac: router.beyond,
    sourceMac: router.outside,
    packets: 0,
    bytes: 0,
    ...rest,
  };
}

/**
 * A guest at `port` that the outside sees as `seen`, and a server out there: the way out and the way back.
 * `asked`: it is the server that sends echo requests.
 */
export function connection(
  router: RouterEnds,
  guest: Party,
  port: number,
  seen: End,
  server: End,
  protocol: number,
  asked = false,
): Flow[] {
  const own = { address: guest.address, port };
  // Both directions of an echo carry the same identifier on the same side.
  const [outType, backType] = asked ? [0, 8] : [8, 0];
  const far = (end: End): End => (protocol === ICMP ? { address: server.address, port: end.port } : server);
  const { account } = guest;
  return [
    flow({ vni: guest.vni, protocol, tuple: tuple(protocol, own, server, outType) }, router, {
      tuple: tuple(protocol, seen, server, outType),
      account,
      outside: true,
    }),
    flow({ vni: 0, protocol, tuple: tuple(protocol, far(seen), seen, backType) }, router, {
      tuple: tuple(protocol, far(own), own, backType),
      account,
      destinationMac: guest.mac,
      sourceMac: router.inside,
    }),
  ];
}

const TCP = 6;

/** A guest that reaches another of its network by that one's floating address: never leaves the network. */
export function neighbours(
  router: RouterEnds,
  guest: Party,
  port: number,
  seen: End,
  other: Party,
  floating: End,
  protocol = TCP,
): Flow[] {
  const [own, target] = [
    { address: guest.address, port },
    { address: other.address, port: floating.port },
  ];
  const within = (from: Tuple, to: Tuple, receiver: Party): Flow =>
    flow({ vni: router.vni, protocol, tuple: from }, router, {
      tuple: to,
      destinationMac: receiver.mac,
      sourceMac: router.inside,
    });
  return [
    within(tuple(protocol, own, floating, 0), tuple(protocol, seen, target, 0), other),
    within(tuple(protocol, target, seen, 0), tuple(protocol, floating, own, 0), guest),
  ];
}

/** A guest that reaches one of another network by its floating address: through both routers, there and back. */
export function hairpin(
  router: RouterEnds,
  guest: Party,
  port: number,
  seen: End,
  otherRouter: RouterEnds,
  other: Party,
  floating: End,
  protocol = TCP,
): Flow[] {
  const out = connection(router, guest, port, seen, floating, protocol);
  const target = { address: other.address, port: floating.port };
  const back = connection(otherRouter, other, target.port, floating, seen, protocol);
  const towards = (one: Flow, to: RouterEnds): Flow => ({
    ...one,
    outside: false,
    hairpin: true,
    destinationMac: to.outside,
  });
  return [towards(out[0]!, otherRouter), back[1]!, towards(back[0]!, router), out[1]!];
}

export interface PacketOptions {
  payload?: Uint8Array;
  ttl?: number;
  tos?: number;
  id?: number;
  /** TCP. */
  flags?: number;
  /** UDP without a checksum. */
  unsummed?: boolean;
}

/** A packet with right checksums, and no Ethernet header, that a tuple stands for. */
export function packetOfTuple(protocol: number, of: Tuple, options: PacketOptions = {}): Uint8Array {
  const ends: Ends = { source: of.source, destination: of.destination };
  const payload = options.payload ?? new Uint8Array(18);
  const body =
    protocol === ICMP
      ? echoPacket(of.destinationPort, of.sourcePort, payload)
      : protocol === TCP
        ? tcpPacket(ends, of.sourcePort, of.destinationPort, payload, options.flags)
        : udpPacket(ends, of.sourcePort, of.destinationPort, payload, options.unsummed);
  return ipv4({ ...ends, protocol, ttl: options.ttl, tos: options.tos, id: options.id }, body);
}

/** The frame of a flow's packet as it comes to the router. */
export function frameOf(one: Flow, source: string, router: string, options: PacketOptions = {}): Uint8Array {
  return ethernet(router, source, ETHERTYPE.ipv4, packetOfTuple(one.key.protocol, one.key.tuple, options));
}

/** The frame as the router lets it go, `hops` routers later: with checksums computed afresh. */
export function translatedFrameOf(one: Flow, options: PacketOptions = {}, hops = 1): Uint8Array {
  const ttl = (options.ttl ?? 64) - hops;
  const packet = packetOfTuple(one.key.protocol, one.tuple, { ...options, ttl });
  return ethernet(one.destinationMac, one.sourceMac, ETHERTYPE.ipv4, packet);
}
