/**
 * In a namespace of its own: routers.ts's two networks with all programs attached, and network 1's fourth guest behind a
 * plain kernel VXLAN peer. Sends real traffic through NAT and prints a NatWireReport.
 *
 *   routers.ts … br1 ─ vx1 ─ w0 ── veth ── peer: vxlan device, 10.0.0.20 (floating 10.10.0.51)
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inNamespace } from '#addon';
import { request } from './child.ts';
import { ipv4Address } from './frames.ts';
import { type FdbEntry, fdbKey, type Maps, memberKey } from './maps.ts';
import type { ProgramName } from './model.ts';
import { BRIDGE_MAC, colons, createRouters, GUESTS, ROUTERS, sh, within } from './routers.ts';
import { Subject } from './subject.ts';

export interface NatWireRequest {
  hook: 'tc' | 'xdp';
}

export interface NatWireReport {
  /** Bytes that arrived of 100 MB by TCP, and datagrams of 40 that one send call made (deliver.py). */
  delivered: Record<string, { tcp: number; udp: number }>;
  /** Frames that came into a router's namespace meanwhile. */
  throughRouters: Record<string, number>;
  /** Per namespace: TcpInCsumErrors + UdpInCsumErrors + IcmpInCsumErrors. */
  checksumErrors: Record<string, number>;
  /** Per ping: packets that came back, of 30. */
  pings: Record<string, number>;
  /** Reason → packets, of each program. */
  counters: Record<string, Record<string, number>>;
}

const MTU = 1500;
const REMOTE = { mac: '020000000020', address: '10.0.0.20', floating: '10.10.0.51' };
const [nodeMac, peerMac] = ['02aa00000001', '02aa00000002'];
const { hook } = request<NatWireRequest>();
const xdp = hook === 'xdp';

createRouters({ '10.10.0.51': REMOTE.address });
sh(`
  ip netns add peer
  ip -n peer link set lo up
  ip link add w0 mtu 9000 type veth peer name w0 mtu 9000 netns peer
  ip link set w0 address ${colons(nodeMac)} up
  ip -n peer link set w0 address ${colons(peerMac)} up
  ip address add 10.2.1.11/24 dev w0
  ip -n peer address add 10.2.1.12/24 dev w0
  ip link add vx1 mtu ${MTU} type vxlan id 1 dev w0 local 10.2.1.11 dstport 4789 nolearning
  ip link set vx1 addrgenmode none master br1 up
  bridge fdb append 00:00:00:00:00:00 dev vx1 dst 10.2.1.12
  ip -n peer link add vx mtu ${MTU} address ${colons(REMOTE.mac)} type vxlan id 1 dev w0 local 10.2.1.12 dstport 4789
  bridge -n peer fdb append 00:00:00:00:00:00 dev vx dst 10.2.1.11
  ip -n peer link set vx up
  ip -n peer address add ${REMOTE.address}/24 dev vx
  ip -n peer route add default via 10.0.0.1`);
if (xdp)
  // A veth hands XDP checksums that are not finished, and takes frames from XDP only with GRO on at its far end.
  sh(`
    # Towards the wire ours are finished too, so that a wrong one shows at the receiver.
    ethtool -K w0 tx off
    ethtool -K u0 tx off
    ip netns exec peer ethtool -K w0 tx off gro on
    ip netns exec outside ethtool -K eth0 tx off gro on
    for guest in ${Object.keys(GUESTS).join(' ')}; do ip netns exec $guest ethtool -K eth0 gro on; done
    for n in 1 2; do ip netns exec router$n ethtool -K veth-$n-i gro on; done`);

const ifindex = (name: string): number => Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
const address = ipv4Address;
const local = (name: string, slot: number, router = false): FdbEntry => ({
  ifindex: ifindex(name),
  remote: 0,
  slot,
  mtu: MTU,
  peer: true,
  xdp,
  router,
});
const maps: Maps = {
  vxlanPort: 4789,
  underlayAddress: address('10.2.1.11'),
  underlayMac: nodeMac,
  ports: new Map(),
  fdb: new Map([
    [
      fdbKey(1, REMOTE.mac),
      { ifindex: 0, remote: address('10.2.1.12'), slot: 0, mtu: MTU, peer: false, xdp: false },
    ],
  ]),
  networks: new Map([[1, { vxlanIfindex: ifindex('vx1'), mtu: MTU }]]),
  tunnels: new Map([[ifindex('vx1'), 1]]),
  members: new Set([memberKey(1, address('10.2.1.12'))]),
  routed: new Set(),
  routers: new Map(),
  gateways: new Map([[BRIDGE_MAC, { vni: 0, side: 'node' }]]),
  accounts: new Map(),
  flows: new Map(),
  nexthops: new Map([
    [address('10.2.1.12'), { ifindex: ifindex('w0'), mtu: 9000, destination: peerMac, source: nodeMac }],
  ]),
};
let slot = 1;
for (const [name, { network, mac, address: ipv4 }] of Object.entries(GUESTS)) {
  maps.ports.set(ifindex(`p-${name}`), {
    vni: network,
    slot,
    ipv4: address(ipv4),
    mtu: MTU,
    router: false,
    mac,
  });
  maps.fdb.set(fdbKey(network, mac), local(`p-${name}`, slot++));
}
for (const { vni, inside, outside } of ROUTERS) {
  maps.ports.set(ifindex(`veth-${vni}-o`), { vni, slot, ipv4: 0, mtu: MTU, router: true, mac: inside });
  maps.fdb.set(fdbKey(vni, inside), local(`veth-${vni}-o`, slot++, true));
  maps.routers.set(vni, { generation: 1, egress: ifindex('u0'), mtu: MTU, xdp, underlayXdp: xdp });
  maps.gateways.set(inside, { vni, side: 'inside' });
  maps.gateways.set(outside, { vni, side: 'outside' });
}

const pinDirectory = '/sys/fs/bpf/maps';
const names: ProgramName[] = ['port', 'tunnel', 'underlay_tc', 'uplink_tc'];
if (xdp) names.push('underlay_xdp', 'uplink_xdp');
const subjects = Object.fromEntries(names.map((name) => [name, new Subject(name, maps, { pinDirectory })]));
const learn = new Subject('learn', maps, { pinDirectory });
for (const { vni } of ROUTERS)
  for (const ifname of [`veth-${vni}-i`, `phy-${vni}-i`])
    await inNamespace(`/run/netns/router${vni}`, {
      verb: 'attachTcx',
      program: learn.program,
      ifname,
      direction: 'egress',
      pin: `/sys/fs/bpf/${ifname}`,
    });
const links = [
  ...[...maps.ports.keys()].map((port) => subjects.port!.program.attachTcx(port, 'ingress')),
  subjects.tunnel!.program.attachTcx(ifindex('vx1'), 'ingress'),
  subjects.underlay_tc!.program.attachTcx(ifindex('w0'), 'ingress'),
  subjects.uplink_tc!.program.attachTcx(ifindex('u0'), 'ingress'),
];
if (xdp) {
  links.push(subjects.underlay_xdp!.program.attachXdp(ifindex('w0'), 'native'));
  links.push(subjects.uplink_xdp!.program.attachXdp(ifindex('u0'), 'native'));
}

const SERVER = '198.51.100.1';
const pings: Record<string, number> = {};
function ping(name: string, namespace: string, target: string, size = 56): void {
  const output = within(namespace, `ping -i 0.01 -W 1 -q -c 30 -s ${size} ${target} || true`);
  pings[name] = Number(/, (\d+) received/.exec(output)?.[1]);
}
/** What routers receive, by either end. */
function received(): number {
  return ROUTERS.reduce((sum, { vni }) => {
    const count = (device: string): number =>
      Number(
        within(
          `router${vni}`,
          `ip -s -j link show dev ${device} | grep -o '"rx":{[^}]*' | grep -o '"packets":[0-9]*' | cut -d: -f2`,
        ),
      );
    return sum + count(`veth-${vni}-i`) + count(`phy-${vni}-i`);
  }, 0);
}
const deliverer = fileURLToPath(new URL('deliver.py', import.meta.url));
const delivered: NatWireReport['delivered'] = {};
const throughRouters: Record<string, number> = {};
function deliver(name: string, from: string, to: string, listen: string, target = listen): void {
  const before = received();
  const output = sh(`timeout 40 /usr/bin/python3 ${deliverer} ${from} ${to} ${listen} ${target}`);
  const [tcp, udp] = output.split(' ');
  delivered[name] = { tcp: Number(tcp), udp: Number(udp) };
  throughRouters[name] = received() - before;
}

ping('gateway to outside', 'guest2', SERVER);
ping('another node to outside, 1500 bytes', 'peer', SERVER, 1472);
ping('outside to a floating address', 'outside', '10.10.0.50');
ping('outside to a floating address on another node', 'outside', REMOTE.floating, 1472);
ping('to a floating address of network 2', 'guest2', '10.10.0.60');
deliver('gateway to outside', 'guest2', 'outside', SERVER);
deliver('another node to outside', 'peer', 'outside', SERVER);
deliver('outside to a floating address', 'outside', 'guest1', '10.0.0.10', '10.10.0.50');
deliver('outside to a floating address on another node', 'outside', 'peer', REMOTE.address, REMOTE.floating);
deliver("to a neighbour's floating address", 'guest2', 'guest1', '10.0.0.10', '10.10.0.50');
deliver('to a floating address of network 2', 'guest2', 'twin', '10.0.0.10', '10.10.0.60');
deliver('another node to a floating address of network 2', 'peer', 'twin', '10.0.0.10', '10.10.0.60');

const checksumErrors = (namespace: string): number =>
  within(namespace, "nstat -asz '*InCsumErrors'")
    .split('\n')
    .reduce((sum, line) => sum + (Number(line.split(/\s+/)[1]) || 0), 0);
const report: NatWireReport = {
  delivered,
  throughRouters,
  pings,
  checksumErrors: Object.fromEntries(
    [...Object.keys(GUESTS), 'peer', 'outside', 'router1', 'router2'].map((n) => [n, checksumErrors(n)]),
  ),
  counters: Object.fromEntries(
    [...Object.entries(subjects), ['learn', learn] as const].map(([name, subject]) => [
      name,
      Object.fromEntries([...subject.reasons()].filter(([key]) => !key.startsWith('program'))),
    ]),
  ),
};
for (const link of links) link.close();
process.stdout.write(JSON.stringify(report));
