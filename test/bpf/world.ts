/**
 * The networks that the tests of the programs live in: two tenants with the same MACs and addresses (VNI 1 and 2),
 * the largest VNI, a network without members, and addresses that are members of one VNI only.
 */
import { connections, GENERATION } from './connections.ts';
import { ipv4Address } from './frames.ts';
import { type FdbEntry, fdbKey, flowKey, type Maps, memberKey, type Nexthop, type Port } from './maps.ts';
import { ADDRESS, DEVICES, MAC, VNI } from './places.ts';

function port(vni: number, slot: number, mac: string, ipv4: number, mtu = 1500): Port {
  return { vni, slot, ipv4, mtu, router: false, mac };
}

function local(
  ifindex: number,
  slot: number,
  flags: { peer?: boolean; xdp?: boolean; router?: boolean },
  mtu = 1500,
): FdbEntry {
  return { ifindex, remote: 0, slot, mtu, peer: false, xdp: false, ...flags };
}

function remote(address: number, mtu = 1500): FdbEntry {
  return { ifindex: 0, remote: address, slot: 0, mtu, peer: false, xdp: false };
}

const nexthop = (mtu: number): Nexthop => ({
  ifindex: DEVICES.unknown,
  mtu,
  destination: MAC.nextHop,
  source: MAC.underlay,
});

export function world(): Maps {
  const { first, second, largest } = VNI;
  return {
    vxlanPort: 4789,
    underlayAddress: ADDRESS.underlay,
    underlayMac: MAC.underlay,
    ports: new Map([
      [DEVICES.guestA, port(first, 1, MAC.guestA, ADDRESS.guestA)],
      [DEVICES.guestB, port(first, 2, MAC.guestB, ADDRESS.guestB)],
      [DEVICES.router, { ...port(first, 3, MAC.router, ipv4Address('10.0.0.1')), router: true }],
      [DEVICES.secondRouter, { ...port(second, 7, MAC.secondRouter, ipv4Address('10.0.0.1')), router: true }],
      [DEVICES.bare, port(first, 4, MAC.bare, 0)],
      [DEVICES.twin, port(second, 5, MAC.guestA, ADDRESS.guestA)],
      [DEVICES.large, port(largest, 6, MAC.large, ADDRESS.large, 8950)],
    ]),
    fdb: new Map([
      [fdbKey(first, MAC.guestA), local(DEVICES.guestA, 1, { peer: true, xdp: true })],
      [fdbKey(first, MAC.guestB), local(DEVICES.guestB, 2, { xdp: true })],
      [fdbKey(first, MAC.router), local(DEVICES.router, 3, { peer: true, router: true })],
      [fdbKey(first, MAC.bare), local(DEVICES.bare, 4, {})],
      [fdbKey(first, MAC.remote), remote(ADDRESS.peer)],
      [fdbKey(first, MAC.moved), local(DEVICES.guestB, 2, { xdp: true })],
      [fdbKey(first, MAC.unresolved), remote(ADDRESS.half)],
      [fdbKey(first, MAC.narrow), remote(ADDRESS.narrow)],
      [fdbKey(second, MAC.guestA), local(DEVICES.twin, 5, { xdp: true })],
      [fdbKey(second, MAC.guestB), remote(ADDRESS.peer)],
      [fdbKey(second, MAC.moved), remote(ADDRESS.peer)],
      [
        fdbKey(second, MAC.secondRouter),
        local(DEVICES.secondRouter, 7, { peer: true, xdp: true, router: true }),
      ],
      [
        fdbKey(largest, MAC.largeRouter),
        local(DEVICES.largeRouter, 8, { peer: true, xdp: true, router: true }, 8950),
      ],
      // Of a network whose router is no longer known.
      [fdbKey(VNI.foreign, MAC.router), local(DEVICES.router, 9, { peer: true, xdp: true, router: true })],
      [fdbKey(largest, MAC.large), local(DEVICES.large, 6, { peer: true, xdp: true }, 8950)],
      [fdbKey(largest, MAC.remoteLarge), remote(ADDRESS.peer, 8950)],
      [fdbKey(largest, MAC.guestA), remote(ADDRESS.peer, 8950)],
    ]),
    networks: new Map([
      [first, { vxlanIfindex: DEVICES.vxlan1, mtu: 1500 }],
      [second, { vxlanIfindex: DEVICES.vxlan2, mtu: 1500 }],
      [largest, { vxlanIfindex: DEVICES.vxlanLarge, mtu: 8950 }],
      [VNI.lonely, { vxlanIfindex: 0, mtu: 1500 }],
    ]),
    tunnels: new Map([
      [DEVICES.vxlan1, first],
      [DEVICES.vxlan2, second],
      [DEVICES.vxlanLarge, largest],
    ]),
    members: new Set([
      memberKey(first, ADDRESS.peer),
      memberKey(first, ADDRESS.half),
      memberKey(second, ADDRESS.peer),
      memberKey(second, ADDRESS.otherTenant),
      memberKey(largest, ADDRESS.peer),
      memberKey(VNI.foreign, ADDRESS.peer),
    ]),
    routed: new Set([memberKey(first, ADDRESS.routed)]),
    routers: new Map([
      [first, { generation: GENERATION, egress: DEVICES.uplink, mtu: 1500, xdp: true, underlayXdp: true }],
      [second, { generation: 1, egress: DEVICES.bridge, mtu: 1400, xdp: false, underlayXdp: true }],
      [largest, { generation: 2, egress: DEVICES.uplink, mtu: 1500, xdp: true, underlayXdp: false }],
    ]),
    gateways: new Map([
      [MAC.router, { vni: first, side: 'inside' }],
      [MAC.outside, { vni: first, side: 'outside' }],
      [MAC.secondRouter, { vni: second, side: 'inside' }],
      [MAC.secondOutside, { vni: second, side: 'outside' }],
      [MAC.largeRouter, { vni: largest, side: 'inside' }],
      [MAC.largeOutside, { vni: largest, side: 'outside' }],
      [MAC.bridge, { vni: 0, side: 'node' }],
    ]),
    accounts: new Map([
      [memberKey(first, ADDRESS.guestA), 0],
      [memberKey(first, ADDRESS.guestB), 1],
      [memberKey(first, ADDRESS.remote), 2],
      [memberKey(second, ADDRESS.guestA), 3],
    ]),
    flows: new Map(Object.values(connections()).flatMap((flows) => flows.map((f) => [flowKey(f.key), f]))),
    nexthops: new Map([
      [ADDRESS.peer, nexthop(9000)],
      [ADDRESS.narrow, nexthop(170)],
    ]),
  };
}
