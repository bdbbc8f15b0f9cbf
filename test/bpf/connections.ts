/** What the kernel is said to have decided in the test world: the routers' connections. */
import { connection, hairpin, NO_ACCOUNT, neighbours, type Party, type RouterEnds } from './flows.ts';
import type { Flow } from './maps.ts';
import { ADDRESS, MAC, VNI } from './places.ts';

/** Of network 1's router. */
export const GENERATION = 7;

const ROUTERS = {
  first: {
    vni: VNI.first,
    generation: GENERATION,
    gateway: ADDRESS.gateway,
    inside: MAC.router,
    outside: MAC.outside,
    beyond: MAC.beyond,
  },
  second: {
    vni: VNI.second,
    generation: 1,
    gateway: ADDRESS.secondGateway,
    inside: MAC.secondRouter,
    outside: MAC.secondOutside,
    beyond: MAC.beyond,
  },
  third: {
    vni: VNI.largest,
    generation: 2,
    gateway: ADDRESS.largeGateway,
    inside: MAC.largeRouter,
    outside: MAC.largeOutside,
    beyond: MAC.beyond,
  },
} satisfies Record<string, RouterEnds>;

const PARTIES = {
  guestA: { vni: VNI.first, mac: MAC.guestA, address: ADDRESS.guestA, account: 0 },
  guestB: { vni: VNI.first, mac: MAC.guestB, address: ADDRESS.guestB, account: 1 },
  remote: { vni: VNI.first, mac: MAC.remote, address: ADDRESS.remote, account: 2 },
  /** Has no account. */
  routed: { vni: VNI.first, mac: MAC.guestB, address: ADDRESS.routed, account: NO_ACCOUNT },
  twin: { vni: VNI.second, mac: MAC.guestA, address: ADDRESS.guestA, account: 3 },
  twinB: { vni: VNI.second, mac: MAC.guestB, address: ADDRESS.guestB, account: NO_ACCOUNT },
  large: { vni: VNI.largest, mac: MAC.large, address: ADDRESS.large, account: NO_ACCOUNT },
  largeRemote: { vni: VNI.largest, mac: MAC.remoteLarge, address: ADDRESS.remote, account: NO_ACCOUNT },
} satisfies Record<string, Party>;

const [TCP, UDP, ICMP] = [6, 17, 1];

/** What the kernel is said to have decided: connections by name, each with the flows of both directions. */
export function connections(): Record<string, Flow[]> {
  const { guestA, guestB, remote, routed, twin, twinB, large, largeRemote } = PARTIES;
  const [first, second, third] = [ROUTERS.first, ROUTERS.second, ROUTERS.third];
  const server = { address: ADDRESS.server, port: 53 };
  const web = { address: ADDRESS.server, port: 443 };
  const by = (router: RouterEnds, party: Party, port: number, out: number, protocol = UDP) =>
    connection(router, party, port, { address: router.gateway, port: out }, server, protocol);
  const floats = (address: number, party: Party, port: number, protocol = TCP) =>
    connection(first, party, port, { address, port }, web, protocol);
  const with_ = (flows: Flow[], change: Partial<Flow>): Flow[] =>
    flows.map((flow) => ({ ...flow, ...change }));
  return {
    udp: by(first, guestB, 5000, 40000),
    tcp: by(first, guestB, 5000, 40000, TCP),
    echo: by(first, guestB, 77, 1025, ICMP),
    // The same five numbers as in network 1, and another port outside.
    twinUdp: by(second, twinB, 5000, 40000),
    twinTcp: by(second, twin, 5000, 40001, TCP),
    remoteUdp: by(first, remote, 5000, 40002),
    remoteTcp: by(first, remote, 5000, 40002, TCP),
    remoteEcho: by(first, remote, 77, 77, ICMP),
    floatingTcp: floats(ADDRESS.floating, guestA, 22),
    floatingUdp: floats(ADDRESS.floating, guestA, 123, UDP),
    floatingEcho: connection(first, guestA, 9, { address: ADDRESS.floating, port: 9 }, server, ICMP),
    // Of a server that asks: the types are the other way round.
    floatingAsked: connection(first, guestA, 10, { address: ADDRESS.floating, port: 10 }, server, ICMP, true),
    remoteFloatingUdp: floats(ADDRESS.remoteFloating, remote, 123, UDP),
    routedUdp: connection(first, routed, 5001, { address: ADDRESS.routed, port: 5001 }, server, UDP),
    // guestB → guestA by its floating address, and the guest on another node → guestA.
    inside: neighbours(first, guestB, 6000, { address: first.gateway, port: 40010 }, guestA, {
      address: ADDRESS.floating,
      port: 80,
    }),
    insideRemote: neighbours(first, remote, 6000, { address: ADDRESS.remoteFloating, port: 6000 }, guestA, {
      address: ADDRESS.floating,
      port: 80,
    }),
    // Networks 1 and 2: a guest of this node, and one on another.
    between: hairpin(first, guestB, 7000, { address: first.gateway, port: 40020 }, second, twin, {
      address: ADDRESS.twinFloating,
      port: 80,
    }),
    betweenRemote: hairpin(first, remote, 7000, { address: first.gateway, port: 40021 }, second, twin, {
      address: ADDRESS.twinFloating,
      port: 80,
    }),
    // An instance that calls its own floating address: back to the very port, or node, that it came from.
    self: neighbours(first, guestA, 6100, { address: ADDRESS.floating, port: 6100 }, guestA, {
      address: ADDRESS.floating,
      port: 90,
    }),
    selfRemote: neighbours(
      first,
      remote,
      6100,
      { address: ADDRESS.remoteFloating, port: 6100 },
      remote,
      { address: ADDRESS.remoteFloating, port: 90 },
      UDP,
    ),
    insideUdp: neighbours(
      first,
      remote,
      6101,
      { address: ADDRESS.remoteFloating, port: 6101 },
      guestA,
      { address: ADDRESS.floating, port: 91 },
      UDP,
    ),
    // From one node by this one to another: out of a tunnel and into one, of another network.
    betweenNodes: hairpin(
      first,
      remote,
      7100,
      { address: ADDRESS.remoteFloating, port: 7100 },
      second,
      twinB,
      { address: ADDRESS.twinFloating, port: 92 },
      UDP,
    ),
    largeUdp: by(third, large, 5000, 40000),
    largeRemoteUdp: by(third, largeRemote, 5000, 40001),
    due: with_(by(first, guestB, 5100, 40100), { due: true }),
    dueRemote: with_(by(first, remote, 5100, 40102), { due: true }),
    dueLarge: with_(by(third, largeRemote, 5100, 40100), { due: true }),
    dueTwin: with_(by(second, twin, 5100, 40100), { due: true }),
    dueBetween: with_(
      hairpin(first, guestB, 7002, { address: first.gateway, port: 40023 }, second, twin, {
        address: ADDRESS.twinFloating,
        port: 83,
      }),
      { due: true },
    ),
    expired: with_(by(first, guestB, 5101, 40101), { expired: true }),
    oldGeneration: with_(by(first, guestB, 5102, 40103), { generation: GENERATION - 1 }),
    newerGeneration: with_(by(first, guestB, 5103, 40104), { generation: GENERATION + 1 }),
    // Of a network whose router is not on this node any more.
    noRouter: by({ ...first, vni: VNI.foreign }, { ...remote, vni: VNI.foreign }, 5104, 40105),
    otherRouter: with_(by(first, guestB, 5112, 40113), { vni: VNI.second }),
    // The second half of this one's way is missing.
    halfHairpin: hairpin(first, guestB, 7001, { address: first.gateway, port: 40022 }, second, twin, {
      address: ADDRESS.twinFloating,
      port: 81,
    }).slice(0, 1),
    unknownMac: with_(by(first, guestB, 5105, 40106), { destinationMac: MAC.stranger }),
    unresolved: with_(by(first, guestB, 5106, 40107), { destinationMac: MAC.unresolved }),
    narrow: with_(by(first, guestB, 5107, 40108), { destinationMac: MAC.narrow }),
    bare: with_(by(first, guestB, 5108, 40109), { destinationMac: MAC.bare }),
    // Hairpin that leads to no gateway, to a router's inside, and to the node.
    nowhere: with_(by(first, guestB, 5109, 40110), { outside: false, hairpin: true }),
    toInside: with_(by(first, guestB, 5110, 40111), {
      outside: false,
      hairpin: true,
      destinationMac: MAC.router,
    }),
    toNode: with_(by(first, guestB, 5111, 40112), {
      outside: false,
      hairpin: true,
      destinationMac: MAC.bridge,
    }),
  };
}
