/**
 * In a namespace of its own: a node with its programs attached and two guests, and a plain kernel VXLAN peer that knows
 * nothing of us. Sends real traffic and prints a WireReport.
 *
 *   guest ─ p-guest ─┐                    ┌─ peer: vxlan device, 192.168.1.9
 *                    ├ node ─ u0 ── veth ─┤
 *   other ─ p-other ─┘                    └─ 10.2.1.12
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { request } from './child.ts';
import { ipv4Address } from './frames.ts';
import { fdbKey, memberKey, withoutNat } from './maps.ts';
import { isReason, Subject } from './subject.ts';

export interface WireRequest {
  hook: 'tc' | 'xdp';
}

export interface WireReport {
  /** Per ping: packets that came back, of 3. */
  pings: Record<string, number>;
  /** Bytes that arrived of 100 MB by TCP, and datagrams of 40 that one send call made (deliver.py). */
  delivered: Record<string, { tcp: number; udp: number }>;
  /** Per namespace: TcpInCsumErrors + UdpInCsumErrors + IcmpInCsumErrors. */
  checksumErrors: Record<string, number>;
  /** While the guest sent to the peer: packets that `port` counted as tunnelled, and frames that left the node. */
  superFrames: { counted: number; left: number };
  /** Reason → packets, of each program. */
  counters: Record<'port' | 'underlay' | 'tunnel', Record<string, number>>;
}

const VNI = 2;
const MTU = 8950;
const MACS = { guest: '020000000001', other: '020000000003', peer: '020000000009' };
const [nodeMac, peerMac] = ['02aa00000001', '02aa00000002'];
const colons = (mac: string): string => mac.match(/../g)!.join(':');
const { hook } = request<WireRequest>();

const sh = (script: string): string =>
  execFileSync('bash', ['-ec', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const within = (namespace: string, script: string): string => sh(`ip netns exec ${namespace} ${script}`);

const guest = (name: string, address: number): string => `
  ip netns add ${name}
  ip link add p-${name} mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${name}
  ip link set p-${name} addrgenmode none master br0 up
  ip -n ${name} link set eth0 addrgenmode none address ${colons(MACS[name as keyof typeof MACS])} up
  ip -n ${name} link set lo up
  ip -n ${name} address add 192.168.1.${address}/24 dev eth0
  ip -n ${name} address add fd00::${address}/64 dev eth0 nodad
  ${hook === 'xdp' ? `ip netns exec ${name} ethtool -K eth0 gro on # or the veth loses every frame from XDP` : ''}`;
sh(`
  mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; }
  ip link set lo up
  ip netns add peer
  ip link add u0 mtu 9000 type veth peer name u0 mtu 9000 netns peer
  ip link set u0 address ${colons(nodeMac)} up
  ip -n peer link set u0 address ${colons(peerMac)} up
  ip address add 10.2.1.11/24 dev u0
  ip -n peer address add 10.2.1.12/24 dev u0
  ip link add vx type vxlan id ${VNI} dev u0 local 10.2.1.11 dstport 4789 nolearning
  ip -n peer link add vx address ${colons(MACS.peer)} type vxlan id ${VNI} dev u0 local 10.2.1.12 dstport 4789
  bridge fdb append 00:00:00:00:00:00 dev vx dst 10.2.1.12
  bridge -n peer fdb append 00:00:00:00:00:00 dev vx dst 10.2.1.11
  ip link add br0 type bridge mcast_snooping 0
  echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables
  ip link set vx addrgenmode none mtu ${MTU} master br0 up
  ip link set br0 addrgenmode none mtu ${MTU} up
  ip -n peer link set vx mtu ${MTU} up
  ip -n peer address add 192.168.1.9/24 dev vx
  ip -n peer address add fd00::9/64 dev vx nodad
  ${guest('guest', 1)}
  ${guest('other', 3)}
  # A veth used as a wire does not finish checksums, and a frame that XDP takes loses the note that they are missing.
  ${hook === 'xdp' ? 'ip netns exec peer ethtool -K u0 tx off' : ''}`);

const ifindex = (name: string): number => Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
sh('mount -t sysfs sysfs /sys');
const local = (name: string, slot: number) =>
  ({ ifindex: ifindex(name), remote: 0, slot, mtu: MTU, peer: true, xdp: true }) as const;
const address = (text: string): number => ipv4Address(text);
const remote = { ifindex: 0, remote: address('10.2.1.12'), slot: 0, mtu: MTU, peer: false, xdp: false };
const sender = (slot: number, ipv4: string, mac: string) => ({
  vni: VNI,
  slot,
  ipv4: address(ipv4),
  mtu: MTU,
  router: false,
  mac,
});
const maps = withoutNat({
  vxlanPort: 4789,
  underlayAddress: address('10.2.1.11'),
  underlayMac: nodeMac,
  ports: new Map([
    [ifindex('p-guest'), sender(1, '192.168.1.1', MACS.guest)],
    [ifindex('p-other'), sender(2, '192.168.1.3', MACS.other)],
  ]),
  fdb: new Map([
    [fdbKey(VNI, MACS.guest), local('p-guest', 1)],
    [fdbKey(VNI, MACS.other), local('p-other', 2)],
    [fdbKey(VNI, MACS.peer), remote],
  ]),
  networks: new Map([[VNI, { vxlanIfindex: ifindex('vx'), mtu: MTU }]]),
  tunnels: new Map([[ifindex('vx'), VNI]]),
  members: new Set([memberKey(VNI, address('10.2.1.12'))]),
  nexthops: new Map([
    [address('10.2.1.12'), { ifindex: ifindex('u0'), mtu: 9000, destination: peerMac, source: nodeMac }],
  ]),
});
const port = new Subject('port', maps);
const underlay = new Subject(hook === 'xdp' ? 'underlay_xdp' : 'underlay_tc', maps);
const tunnel = new Subject('tunnel', maps);
const links = [
  port.program.attachTcx(ifindex('p-guest'), 'ingress'),
  port.program.attachTcx(ifindex('p-other'), 'ingress'),
  tunnel.program.attachTcx(ifindex('vx'), 'ingress'),
  hook === 'xdp'
    ? underlay.program.attachXdp(ifindex('u0'), 'native')
    : underlay.program.attachTcx(ifindex('u0'), 'ingress'),
];

function ping(namespace: string, target: string, options = ''): number {
  try {
    const output = within(namespace, `ping -i 0.02 -W 1 -q -c 3 ${options} ${target}`);
    return Number(/, (\d+) received/.exec(output)?.[1]);
  } catch {
    return 0;
  }
}

const deliverer = fileURLToPath(new URL('deliver.py', import.meta.url));
function deliver(from: string, target: string, to: string): { tcp: number; udp: number } {
  const [tcp, udp] = sh(`timeout 30 /usr/bin/python3 ${deliverer} ${from} ${to} ${target}`).split(' ');
  return { tcp: Number(tcp), udp: Number(udp) };
}

const checksumErrors = (namespace: string): number =>
  within(namespace, "nstat -asz '*InCsumErrors'")
    .split('\n')
    .reduce((sum, line) => sum + (Number(line.split(/\s+/)[1]) || 0), 0);

const sent = (): number => Number(readFileSync('/sys/class/net/u0/statistics/tx_packets', 'utf8'));
const tunnelled = (): number => port.totals().get('TO_TUNNEL')?.[0] ?? 0;

function reasons(subject: Subject): Record<string, number> {
  const all = [...subject.totals()].filter(([key]) => isReason(key));
  return Object.fromEntries(all.map(([key, [packets]]) => [key, packets]));
}

// A bridge forwards a moment after its ports come up.
for (let tries = 0; tries < 20 && ping('guest', '192.168.1.9', '-c 1') === 0; tries++) await sleep(100);
const pings = {
  'guest to peer': ping('guest', '192.168.1.9'),
  'peer to guest': ping('peer', '192.168.1.1'),
  'guest to guest': ping('guest', '192.168.1.3'),
  'guest to peer, IPv6': ping('guest', 'fd00::9'),
  'peer to guest, IPv6': ping('peer', 'fd00::1'),
  'guest to peer, 8950 bytes': ping('guest', '192.168.1.9', '-M do -s 8922'),
  'peer to guest, 8950 bytes': ping('peer', '192.168.1.1', '-M do -s 8922'),
  'guest to peer, in fragments': ping('guest', '192.168.1.9', '-s 20000'),
};
const [countedBefore, leftBefore] = [tunnelled(), sent()];
const toPeer = deliver('guest', '192.168.1.9', 'peer');
const superFrames = { counted: tunnelled() - countedBefore, left: sent() - leftBefore };
const delivered = {
  'guest to peer': toPeer,
  'peer to guest': deliver('peer', '192.168.1.1', 'guest'),
  'guest to guest': deliver('guest', '192.168.1.3', 'other'),
};
const report: WireReport = {
  pings,
  delivered,
  checksumErrors: Object.fromEntries(['guest', 'other', 'peer'].map((n) => [n, checksumErrors(n)])),
  superFrames,
  counters: { port: reasons(port), underlay: reasons(underlay), tunnel: reasons(tunnel) },
};
for (const link of links) link.close();
for (const subject of [port, underlay, tunnel]) subject.close();
process.stdout.write(JSON.stringify(report));
