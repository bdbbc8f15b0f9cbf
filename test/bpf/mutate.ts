/**
 * Frames for fuzzing: a valid one that knows its layers, then a few edits that each aim at one thing a program
 * decides on. Everything comes from one seed, so that a failure can be run again.
 */

import { EDITS, TUNNEL_EDITS, typeAt } from './edits.ts';
import { packetOfTuple } from './flows.ts';
import {
  arp,
  checksum,
  ETHERTYPE,
  echo,
  encapsulate,
  ethernet,
  ipv4,
  ipv6,
  set16,
  tcp,
  udp,
} from './frames.ts';
import { type Flow, type Maps, memberKey } from './maps.ts';
import { type Context, isXdp, type ProgramName } from './model.ts';
import { ADDRESS, DEVICES, MAC, VNI } from './places.ts';
import { ADDRESSES, FILL, MACS, VNIS } from './pools.ts';
import { Random } from './random.ts';

export interface Packet {
  frame: Uint8Array;
  context: Context;
}

/** Longer frames are refused by a test run of a TC program, and fill the first buffer of one of XDP. */
const MAX_FRAME = 3400;
const MAX_XDP_FRAME = 9050;

const PORT_DEVICES = [
  DEVICES.guestA,
  DEVICES.guestB,
  DEVICES.guestB,
  DEVICES.router,
  DEVICES.bare,
  DEVICES.twin,
  DEVICES.large,
];
const TUNNEL_DEVICES = [DEVICES.vxlan1, DEVICES.vxlan2, DEVICES.vxlanLarge, DEVICES.unknown, DEVICES.guestA];

function payload(random: Random, program: ProgramName): Uint8Array {
  const kind = random.below(32);
  let length = random.below(100);
  if (kind === 0) length = 1400 + random.below(120);
  else if (kind === 1) length = random.below(isXdp(program) ? 9000 : 3200);
  const from = random.below(64);
  return FILL.subarray(from, from + length);
}

interface Ends {
  source: string;
  destination: string;
  sourceAddress: number;
}

/** TCP, now and then with another header length than its 20 bytes. */
function someTcp(random: Random, ports: [number, number], data: Uint8Array): Uint8Array {
  const segment = tcp(...ports, data);
  if (random.chance(15)) segment[12] = random.below(16) << 4;
  return segment;
}

/** What a guest sends: mostly IPv4, then IPv6, ARP and other types. */
function guestFrame(random: Random, ends: Ends, program: ProgramName): Uint8Array {
  const data = payload(random, program);
  const ports: [number, number] = [1024 + random.below(60000), random.pick([53, 80, 4789, 5201])];
  const tos = random.chance(30) ? random.below(256) : 0;
  const kind = random.below(100);
  if (kind < 8) {
    const packet = arp({
      operation: 1 + random.below(2),
      senderMac: ends.source,
      senderAddress: random.chance(20) ? 0 : ends.sourceAddress,
      targetMac: random.pick(MACS),
      targetAddress: random.pick(ADDRESSES),
    });
    return ethernet(
      random.chance(50) ? 'ffffffffffff' : ends.destination,
      ends.source,
      ETHERTYPE.arp,
      packet,
    );
  }
  if (kind < 11)
    return ethernet(ends.destination, ends.source, random.pick([0x88cc, 0x8847, 100, 0x8863]), data);
  if (kind < 30) {
    const [nextHeader, body] = random.pick([
      [17, udp(...ports, data)] as const,
      [6, someTcp(random, ports, data)] as const,
      [58, echo(128, data)] as const,
      [random.pick([0, 43, 44, 50, 51, 59, 60, 132]), data] as const,
    ]);
    const packet = ipv6({ nextHeader, trafficClass: tos, flow: random.below(1 << 20) }, body);
    return ethernet(ends.destination, ends.source, ETHERTYPE.ipv6, packet);
  }
  const [protocol, body] = random.pick([
    [17, udp(...ports, data)] as const,
    [17, udp(...ports, data)] as const,
    [6, someTcp(random, ports, data)] as const,
    [1, echo(8, data)] as const,
    [random.pick([2, 47, 50, 132, 255]), data] as const,
  ]);
  const destination = random.pick(ADDRESSES);
  const packet = ipv4(
    { source: ends.sourceAddress, destination, protocol, tos, id: random.below(65536) },
    body,
  );
  return ethernet(ends.destination, ends.source, ETHERTYPE.ipv4, packet);
}

/** A MAC that the VNI's FDB knows (locally, for what comes from the tunnel), and now and then any other. */
function destinationMac(random: Random, vni: number, maps: Maps, onlyLocal: boolean): string {
  if (random.chance(15)) return random.pick(MACS);
  const known = [...maps.fdb].filter(
    ([key, to]) => key.startsWith(`${vni}/`) && (!onlyLocal || to.ifindex !== 0),
  );
  return known.length === 0 ? random.pick(MACS) : random.pick(known)[0].slice(`${vni}/`.length);
}

const flowsOf = (maps: Maps, vni: number): Flow[] =>
  [...maps.flows.values()].filter(({ key }) => vni !== 0 && key.vni === vni);

const ROUTER_MACS: Record<number, string> = {
  [VNI.first]: MAC.router,
  [VNI.second]: MAC.secondRouter,
  [VNI.largest]: MAC.largeRouter,
  [VNI.foreign]: MAC.router,
};
const OUTSIDE_MACS: Record<number, string> = {
  [VNI.first]: MAC.outside,
  [VNI.second]: MAC.secondOutside,
  [VNI.largest]: MAC.largeOutside,
};

/** A frame for a router's flow, from a network (0: from outside), or nearly so. */
function flowFrame(
  random: Random,
  vni: number,
  source: string,
  program: ProgramName,
  flows: Flow[],
): Uint8Array {
  const flow = random.pick(flows);
  const tuple = { ...flow.key.tuple };
  if (random.chance(5)) tuple.sourcePort = (tuple.sourcePort + random.below(3) - 1) & 0xffff;
  if (random.chance(3)) tuple.source = random.pick(ADDRESSES);
  if (random.chance(3)) tuple.destination = random.pick(ADDRESSES);
  const packet = packetOfTuple(flow.key.protocol, tuple, {
    payload: payload(random, program),
    ttl: random.chance(80) ? 64 : random.pick([0, 1, 2, 3, 255]),
    tos: random.chance(20) ? random.below(256) : 0,
    id: random.below(65536),
    flags: random.chance(85) ? 0x10 : random.below(256),
    unsummed: random.chance(20),
  });
  const router = vni === 0 ? OUTSIDE_MACS[flow.vni] : ROUTER_MACS[vni];
  return ethernet(
    router === undefined || random.chance(5) ? random.pick(MACS) : router,
    source,
    ETHERTYPE.ipv4,
    packet,
  );
}

/** A frame from the outside: to a flow mostly. */
function outsideFrame(random: Random, program: ProgramName, maps: Maps): Uint8Array {
  const flows = [...maps.flows.values()].filter((flow) => flow.key.vni === 0);
  if (random.chance(80)) return flowFrame(random, 0, MAC.beyond, program, flows);
  const destination = random.chance(70) ? MAC.outside : random.pick(MACS);
  return guestFrame(
    random,
    { source: MAC.beyond, destination, sourceAddress: random.pick(ADDRESSES) },
    program,
  );
}

function validPacket(random: Random, program: ProgramName, maps: Maps): Packet & { layers: number[] } {
  const context: Context = { ifindex: DEVICES.unknown, gsoSize: 0, gsoSegments: 0 };
  if (program.startsWith('uplink')) {
    context.ifindex = DEVICES.uplink;
    return { frame: outsideFrame(random, program, maps), context, layers: [0] };
  }
  if (program === 'port') {
    context.ifindex = random.pick(PORT_DEVICES);
    const sender = maps.ports.get(context.ifindex);
    const destination = destinationMac(random, sender?.vni ?? 1, maps, false);
    const sourceAddress = sender === undefined || sender.router ? random.pick(ADDRESSES) : sender.ipv4;
    const source = sender?.mac ?? MAC.guestA;
    const flows = flowsOf(maps, sender?.vni ?? 0).filter(
      ({ key: { tuple } }) =>
        tuple.source === sender?.ipv4 || maps.routed.has(memberKey(sender?.vni ?? 0, tuple.source)),
    );
    const frame =
      flows.length > 0 && random.chance(50)
        ? flowFrame(random, sender!.vni, source, program, flows)
        : guestFrame(random, { source, destination, sourceAddress }, program);
    return { frame, context, layers: [0] };
  }
  const vni =
    program === 'tunnel' || random.chance(90)
      ? random.pick([VNI.first, VNI.second, VNI.largest])
      : random.pick(VNIS);
  const destination = destinationMac(random, vni, maps, true);
  const ends = { source: random.pick(MACS), destination, sourceAddress: random.pick(ADDRESSES) };
  const flows = flowsOf(maps, vni);
  const inner =
    flows.length > 0 && random.chance(50)
      ? flowFrame(random, vni, ends.source, program, flows)
      : guestFrame(random, ends, program);
  if (program === 'tunnel') {
    const device =
      { [VNI.first]: DEVICES.vxlan1, [VNI.second]: DEVICES.vxlan2 }[vni as 1 | 2] ?? DEVICES.vxlanLarge;
    context.ifindex = random.chance(90) ? device : random.pick(TUNNEL_DEVICES);
    return { frame: inner, context, layers: [0] };
  }
  const frame = encapsulate(inner, {
    destinationMac: random.chance(90) ? MAC.underlay : random.pick(MACS),
    sourceMac: MAC.nextHop,
    source: random.chance(80) ? ADDRESS.peer : random.pick(ADDRESSES),
    destination: maps.underlayAddress,
    port: maps.vxlanPort,
    sourcePort: 49152 + random.below(16384),
    vni,
    tos: random.chance(20) ? random.below(256) : 0,
    id: random.below(65536),
  });
  return { frame, context, layers: [0, 50] };
}

/** Payload bytes of GSO segments: with usual headers below, at and above the MTUs of the test world; edges. */
const SEGMENT_SIZES = [1, 500, 1400, 1448, 1460, 1472, 1480, 8900, 65535];

/** The packet that a seed stands for. */
export function packetOf(seed: number, program: ProgramName, maps: Maps): Packet {
  const random = new Random(seed);
  const xdp = isXdp(program);
  const longest = xdp ? MAX_XDP_FRAME : MAX_FRAME;
  const { frame, context, layers } = validPacket(random, program, maps);
  let f: Uint8Array = frame.slice(0, longest);
  for (let edits = random.pick([0, 1, 1, 1, 1, 2, 2, 3]); edits > 0; edits--) {
    const edit = random.pick(layers.length > 1 && random.chance(25) ? TUNNEL_EDITS : EDITS);
    const layer = random.pick(layers);
    if (f.length >= layer + 14) f = edit(random, f, layer);
  }
  // Mostly right, so that the other edits are what decides.
  if (layers.length > 1 && f.length >= 34 && random.chance(90)) {
    set16(f, 24, 0);
    set16(f, 24, checksum(f, 14, 20));
  }
  const inner = layers.at(-1)!;
  if (f.length >= inner + 34 && typeAt(f, inner) === ETHERTYPE.ipv4 && random.chance(70)) {
    set16(f, inner + 24, 0);
    set16(f, inner + 24, checksum(f, inner + 14, 20));
  }
  f = random.chance(1) ? random.bytes(14 + random.below(200)) : f.slice(0, longest);
  if (!xdp && random.chance(10)) {
    context.gsoSize = random.chance(80) ? random.pick(SEGMENT_SIZES) : 1 + random.below(2000);
    context.gsoSegments = random.below(46);
  }
  if (xdp && (f.length > MAX_FRAME || random.chance(10)))
    context.linear = 14 + random.below(Math.min(f.length, random.pick([120, MAX_FRAME])) - 13);
  if (program === 'port' && random.chance(3)) context.ifindex = random.pick(Object.values(DEVICES));
  return { frame: f, context };
}
