import { Cluster, type Hook, type Network, routerOf } from '../lab/cluster.ts';
import { generate } from '../lab/generator.ts';
import type { Guest } from '../lab/guest.ts';
import { type Many, natload, routerDevices } from '../lab/nat.ts';
import { OUTSIDE_DEVICE, SERVER_ADDRESS, startEcho, UPLINK_DEVICE } from '../lab/outside.ts';
import { ethernet, ipv4, udp, vxlan } from '../lab/packet.ts';
import { nodeScript } from '../lab/repository.ts';
import { type LabNode, ownName, sweepDead, UNDERLAY_DEVICE } from '../lab/topology.ts';
import { bulk, roundTrip, SECONDS } from './measures.ts';
import type { NatCosts } from './nat-cost.ts';
import { inRounds, type Measure } from './rounds.ts';
import type { Row } from './rows.ts';

/** Of the server's echo, which teaches the flows that the generators' packets belong to. */
const SINK_PORT = 9;
const [NEAR_PORT, FAR_PORT] = [40001, 40000];
const CONNECTIONS = 2000;
const HOOKS: readonly Hook[] = ['tc', 'xdp'];

/** near is on the network node, far on sf-2; both have a UDP connection with the server outside. */
interface Stage {
  cluster: Cluster;
  hook: Hook;
  network: Network;
  near: Guest;
  far: Guest;
  routerMac: string;
  outsideMac: string;
}

/** NAT by the fast path, programs at TC and then at XDP, against VXLAN, bridge, veth and nftables in the namespace. */
export async function measureNat(rounds: number, log: (text: string) => void): Promise<Row[]> {
  await sweepDead();
  const rows: Row[] = [];
  for (const hook of HOOKS) {
    log(`programs of underlay and uplink at ${hook}`);
    const options = { ports: 'netns', underlayHook: hook, uplinkHook: hook } as const;
    const cluster = new Cluster(ownName('bench'), options);
    try {
      await cluster.up();
      const stage = await prepare(cluster, hook);
      rows.push(...(await inRounds('nat', cluster, measuresOf(stage), () => costsOf(stage), rounds, log)));
    } finally {
      await cluster.down();
    }
  }
  return rows;
}

async function prepare(cluster: Cluster, hook: Hook): Promise<Stage> {
  const network = await cluster.createNetwork('bench', '192.168.0.0/24', { nat: true });
  const near = await cluster.createGuest('near', network, 'sf-1');
  const far = await cluster.createGuest('far', network, 'sf-2');
  await startEcho(cluster.server);
  await startEcho(cluster.server, SINK_PORT);
  // The generator's frames are frames of XDP: a veth takes them when it has GRO on.
  await cluster.controller.run(['ethtool', '-K', UNDERLAY_DEVICE, 'gro', 'on']);
  await cluster.controller.run(['ethtool', '-K', UPLINK_DEVICE, 'gro', 'on']);
  // Thousands of closed connections in a row: what looks for a free port must not be what is measured.
  await far.run([
    'sh',
    '-ec',
    'cd /proc/sys/net/ipv4; echo 1024 65000 > ip_local_port_range; echo 1 > tcp_tw_reuse',
  ]);
  await far.run(['ping', '-c1', '-W2', SERVER_ADDRESS]);
  const neighbour = await far.run(['ip', 'neigh', 'show', routerOf(network)]);
  const routerMac = / lladdr (\S+)/.exec(neighbour)![1]!;
  return { cluster, hook, network, near, far, routerMac, outsideMac: `06${routerMac.slice(2)}` };
}

/** Lets both guests exchange enough datagrams with the server that both directions of their connections are learned. */
async function acquaint({ near, far }: Stage): Promise<void> {
  for (const [guest, port] of [
    [near, NEAR_PORT],
    [far, FAR_PORT],
  ] as const) {
    const talk = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", ${port}))
s.settimeout(2)
for _ in range(4):
    s.sendto(b"acquaint", ("${SERVER_ADDRESS}", ${SINK_PORT}))
    s.recv(100)`;
    await guest.run(['/usr/bin/python3', '-c', talk]);
  }
}

async function macOf(node: LabNode, device: string): Promise<string> {
  const [link] = JSON.parse(await node.run(['ip', '-j', 'link', 'show', device])) as [{ address: string }];
  return link.address;
}

function measuresOf(stage: Stage): Measure[] {
  const { cluster, hook, far } = stage;
  const suffix = `, ${hook.toUpperCase()}`;
  const measures: Measure[] = [
    {
      unit: 'packets/s',
      measure: async () => ({ [`small packets, tunnel to outside${suffix}`]: await outwardRate(stage) }),
    },
    {
      unit: 'packets/s',
      measure: async () => ({ [`small packets, outside to tunnel${suffix}`]: await inwardRate(stage) }),
    },
    { unit: 'µs', measure: () => roundTrip(far, cluster.server, 'udp', suffix) },
    { unit: 'µs', measure: () => roundTrip(far, cluster.server, 'tcp', suffix) },
    {
      unit: 'connections/s',
      measure: async () => {
        const made = await natload<Many>(far, 'connect', SERVER_ADDRESS, CONNECTIONS);
        if (made.failed > 0) throw new Error(`${made.failed} of ${CONNECTIONS} connections failed`);
        return { [`new TCP connections${suffix}`]: made.perSecond };
      },
    },
  ];
  // XDP on a veth copies super-frames to pieces, which no NIC does: only TC says something about bulk.
  if (hook === 'xdp') return measures;
  return [
    ...measures,
    { unit: 'Gbit/s', measure: async () => ({ 'TCP bulk to the outside': await bulk(far, cluster.server) }) },
    {
      unit: 'Gbit/s',
      measure: async () => ({ 'TCP bulk from the outside': await bulk(far, cluster.server, ['--reverse']) }),
    },
  ];
}

/** Datagrams per second that leave the uplink, while the wire brings as many tunnel packets of far's as can be made. */
async function outwardRate(stage: Stage): Promise<number> {
  const { cluster, network, far, routerMac } = stage;
  const [sf1, sf2] = [cluster.controller, far.node];
  const { wire, outside } = cluster.topology;
  await acquaint(stage);
  const packet = ipv4(far.address.ipv4, SERVER_ADDRESS, 17, udp(FAR_PORT, SINK_PORT, Buffer.alloc(22)));
  const inner = ethernet(routerMac, far.address.mac, 0x0800, packet);
  const tunnel = ipv4(sf2.address, sf1.address, 17, udp(50000, 4789, vxlan(network.vxid, inner)));
  const [to, from] = [await macOf(sf1, UNDERLAY_DEVICE), await macOf(sf2, UNDERLAY_DEVICE)];
  const frame = ethernet(to, from, 0x0800, tunnel);
  return withSink(outside, OUTSIDE_DEVICE, `udp dport ${SINK_PORT}`, () =>
    generate(wire, sf1.name, { frame, rate: 0, seconds: SECONDS }),
  );
}

/** Datagrams per second that reach the wire as tunnel packets, while the outside sends as many replies as can be made. */
async function inwardRate(stage: Stage): Promise<number> {
  const { cluster, network, outsideMac } = stage;
  const { wire, outside } = cluster.topology;
  await acquaint(stage);
  const gateway = network.floating_gateway!;
  const packet = ipv4(SERVER_ADDRESS, gateway, 17, udp(SINK_PORT, FAR_PORT, Buffer.alloc(22)));
  const frame = ethernet(outsideMac, await macOf(outside, OUTSIDE_DEVICE), 0x0800, packet);
  return withSink(wire, cluster.controller.name, 'udp dport 4789', () =>
    generate(outside, OUTSIDE_DEVICE, { frame, rate: 0, seconds: SECONDS }),
  );
}

/** Packets per second that come into a device while `work` runs; swallowed at once, the cheapest end there is. */
async function withSink(
  node: LabNode,
  device: string,
  match: string,
  work: () => Promise<unknown>,
): Promise<number> {
  const chain = `type filter hook ingress device "${device}" priority -500; ${match} counter drop;`;
  await node.run(['nft', `table netdev bench { chain sink { ${chain} }; }`]);
  try {
    await work();
    const text = await node.run(['nft', 'list', 'table', 'netdev', 'bench']);
    return Number(/packets (\d+)/.exec(text)![1]) / SECONDS;
  } finally {
    await node.run(['nft', 'delete', 'table', 'netdev', 'bench']);
  }
}

async function costsOf(stage: Stage): Promise<Record<string, number>> {
  const { cluster, hook, network, near, far } = stage;
  if (hook === 'tc') return {}; // the same programs, in one cluster with maps that let XDP redirect
  await acquaint(stage);
  const sf1 = cluster.controller;
  const costs: NatCosts = {
    vni: network.vxid,
    underlayDevice: UNDERLAY_DEVICE,
    uplinkDevice: UPLINK_DEVICE,
    here: sf1.address,
    there: far.node.address,
    near: { mac: near.address.mac, ipv4: near.address.ipv4, port: NEAR_PORT, device: near.port },
    far: { mac: far.address.mac, ipv4: far.address.ipv4, port: FAR_PORT },
    routerMac: stage.routerMac,
    outsideMac: stage.outsideMac,
    gateway: network.floating_gateway!,
    server: {
      mac: await macOf(cluster.topology.outside, OUTSIDE_DEVICE),
      ipv4: SERVER_ADDRESS,
      port: SINK_PORT,
    },
  };
  const inner = Object.fromEntries(
    Object.entries(routerDevices(network)).map(([side, name]) => [side, name.replace(/o$/, 'i')]),
  ) as { inside: string; outside: string };
  const script = nodeScript('bench/nat-cost');
  const texts = [
    await sf1.run([...script, JSON.stringify(costs)], { timeout: 60_000 }),
    await sf1.run(
      [...script, JSON.stringify({ ...costs, learnAt: inner })],
      { timeout: 60_000 },
      network.uuid,
    ),
  ];
  return Object.assign({}, ...texts.map((text) => JSON.parse(text) as object)) as Record<string, number>;
}
