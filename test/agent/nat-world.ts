/**
 * A guest, its router with a masquerading namespace, an egress bridge and an outside: kernel objects as the kernel path
 * makes them, by hand, so that what the fast path does in front of them can be tested by itself.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { fistpath } from '#proto';
import type { PlacedNetwork } from '../../src/agent/datapath/fastpath.ts';

export const VNI = 0x2a;
export const ROUTER = '5f1e0b4c-0000-4000-8000-00000000002a';
const [GUEST, OUTSIDE] = ['nat-guest', 'nat-outside'];
const INSIDE_MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x11);
const OUTSIDE_MAC = Uint8Array.of(6, 0, 0, 0, 0, 0x11);
const GUEST_MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x12);

const text = (mac: Uint8Array) => Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');

export function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8' });
}

export function ifindex(name: string): number {
  return (JSON.parse(ip(`-j link show dev ${name}`)) as { ifindex: number }[])[0]!.ifindex;
}

function macOf(name: string): Uint8Array {
  const [{ address }] = JSON.parse(ip(`-j link show dev ${name}`)) as [{ address: string }];
  return Uint8Array.from(address.split(':'), (part) => Number.parseInt(part, 16));
}

/** The uplink and the outside's end of it; again, too, when it was deleted: with the outside's old MAC. */
export function makeUplink(): void {
  ip(`link add uplink0 type veth peer name eth0 netns ${OUTSIDE} address 0a:00:00:00:00:01`);
  ip('link set uplink0 master br-egress up');
  ip(`-n ${OUTSIDE} addr add 10.10.0.1/24 dev eth0`);
  ip(`-n ${OUTSIDE} link set eth0 up`);
}

/** The router's namespace and both its devices; again, too, when it was deleted. */
export function makeRouter(): void {
  ip(`netns add ${ROUTER}`);
  const inside = (command: string) => ip(`-n ${ROUTER} ${command}`);
  ip(`link add veth-2a-o type veth peer name veth-2a-i netns ${ROUTER} address ${text(INSIDE_MAC)}`);
  ip(`link add phy-2a-o type veth peer name phy-2a-i netns ${ROUTER} address ${text(OUTSIDE_MAC)}`);
  ip('link set veth-2a-o master br-vxlan-2a up');
  ip('link set phy-2a-o master br-egress up');
  inside('link set lo up');
  inside('addr add 10.0.0.1/24 dev veth-2a-i');
  inside('addr add 10.10.0.5/24 dev phy-2a-i');
  inside('link set veth-2a-i up');
  inside('link set phy-2a-i up');
  inside('route add default via 10.10.0.1');
  const rules =
    'table ip nat { chain out { type nat hook postrouting priority srcnat; oifname "phy-2a-i" snat to 10.10.0.5; }; }';
  execFileSync('ip', ['netns', 'exec', ROUTER, 'nft', rules]);
  execFileSync('ip', ['netns', 'exec', ROUTER, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
}

export function makeWorld(): void {
  ip('link add under0 type veth peer name under1');
  ip('addr add 10.2.1.11/24 dev under0');
  ip('link set under0 up');
  ip('link set under1 up');
  ip(`link add vxlan-2a type vxlan id ${VNI} dstport 4789 local 10.2.1.11 dev under0`);
  ip('link add br-vxlan-2a type bridge');
  ip('link add br-egress type bridge');
  for (const name of ['br-vxlan-2a', 'br-egress']) ip(`link set ${name} up`);
  ip(`netns add ${GUEST}`);
  ip(`netns add ${OUTSIDE}`);
  ip(`link add port0 type veth peer name eth0 netns ${GUEST} address ${text(GUEST_MAC)}`);
  ip('link set port0 master br-vxlan-2a up');
  ip(`-n ${GUEST} addr add 10.0.0.2/24 dev eth0`);
  ip(`-n ${GUEST} link set eth0 up`);
  ip(`-n ${GUEST} route add default via 10.0.0.1`);
  makeUplink();
  makeRouter();
}

export function removeRouter(): void {
  ip('link del veth-2a-o');
  ip('link del phy-2a-o');
  ip(`netns del ${ROUTER}`);
}

export function removeWorld(): void {
  removeRouter();
  for (const name of ['vxlan-2a', 'under0', 'port0', 'uplink0', 'br-vxlan-2a', 'br-egress'])
    execFileSync('ip', ['link', 'del', name], { stdio: 'ignore' });
  for (const name of [GUEST, OUTSIDE]) ip(`netns del ${name}`);
}

/** @param nat what differs from a network with NAT and no floating address */
export function placed(nat: fistpath.INat = {}): PlacedNetwork {
  const bridgeMac = macOf('br-egress');
  return {
    wanted: {
      uuid: ROUTER,
      name: 'nat',
      vni: VNI,
      netblock: '10.0.0.0/24',
      peers: [],
      routed: ['10.10.0.77'],
      router: {
        mac: INSIDE_MAC,
        address: '10.0.0.1',
        leases: [{ interface: 'guest', mac: GUEST_MAC, ipv4: '10.0.0.2', name: 'guest' }],
        nat: { gateway: '10.10.0.5', pool: '10.10.0.0/24', nextHop: '10.10.0.1', floats: [], ...nat },
      },
    },
    devices: {
      uuid: ROUTER,
      vni: VNI,
      mtu: 1450,
      vxlanIfindex: ifindex('vxlan-2a'),
      ports: [
        port('guest', 'port0', GUEST_MAC, '10.0.0.2', false),
        port(null, 'veth-2a-o', INSIDE_MAC, '10.0.0.1', true),
      ],
      nat: {
        namespace: `/run/netns/${ROUTER}`,
        vethInner: 'veth-2a-i',
        insideMac: INSIDE_MAC,
        physicalInner: 'phy-2a-i',
        outsideMac: OUTSIDE_MAC,
        egressIfindex: ifindex('uplink0'),
        uplinkMtu: 1500,
        bridgeMac,
      },
    },
  };
}

function port(id: string | null, ifname: string, mac: Uint8Array, ipv4: string, router: boolean) {
  return { interface: id, ifname, ifindex: ifindex(ifname), mac, ipv4, router, peer: true, xdp: true };
}

/** Packets that the router's inside device has received: what the fast path did not take. */
export function seenByRouter(): number {
  const [{ stats64 }] = JSON.parse(ip(`-n ${ROUTER} -s -j link show dev veth-2a-i`)) as [
    { stats64: { rx: { packets: number } } },
  ];
  return stats64.rx.packets;
}

const ECHO = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.10.0.1', 7))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(2048)
    s.sendto(data, peer)
`;

/** Answers UDP in the outside, until it is killed. */
export async function startEcho(): Promise<ChildProcess> {
  const child = spawn('ip', ['netns', 'exec', OUTSIDE, 'python3', '-c', ECHO], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

/** Numbered packets at a steady rate; says how many came back. */
const TALK = `
import socket, struct, sys, time
count, interval = int(sys.argv[1]), float(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('10.0.0.2', int(sys.argv[3])))
s.connect(('10.10.0.1', 7))
s.setblocking(False)
seen, start = set(), time.monotonic()
def drain():
    while True:
        try: seen.add(struct.unpack('!I', s.recv(64))[0])
        except BlockingIOError: return
        except ConnectionError: pass
for i in range(count):
    s.send(struct.pack('!I', i))
    drain()
    while i < 3 and i not in seen and time.monotonic() < start + 1: # a connection, hence a flow
        time.sleep(0.001)
        drain()
    time.sleep(max(0, start + (i + 1) * interval - time.monotonic()))
end = time.monotonic() + 2
while len(seen) < count and time.monotonic() < end:
    drain()
    time.sleep(0.01)
print(len(seen))
`;

/** The guest sends `count` packets, `interval` seconds apart; resolves to how many came back. */
export async function talk(count: number, interval: number, sourcePort = 5000): Promise<number> {
  const args = ['netns', 'exec', GUEST, 'python3', '-c', TALK, `${count}`, `${interval}`, `${sourcePort}`];
  const child = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    out += part;
  });
  await once(child, 'close');
  return Number(out);
}
