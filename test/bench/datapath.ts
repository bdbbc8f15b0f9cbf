import { Cluster, type Network } from '../lab/cluster.ts';
import { generateFrom } from '../lab/generator.ts';
import { GUEST_DEVICE, type Guest } from '../lab/guest.ts';
import { udpFrame } from '../lab/packet.ts';
import { nodeScript } from '../lab/repository.ts';
import { ownName, sweepDead, UNDERLAY_DEVICE } from '../lab/topology.ts';
import { bulk, roundTrip, SECONDS } from './measures.ts';
import type { Costs } from './program-cost.ts';
import { inRounds, type Measure } from './rounds.ts';
import type { Row } from './rows.ts';

const SINK_PORT = 9;
/** Longest to shortest MTU inside; the first is the network's own. */
const OUTSIDE_TO_INSIDE = { 'underlay 9000': 8950, 'inside 1500': 1500 };

/** sender is on sf-2 with a neighbour beside it, receiver on sf-3. */
interface Stage {
  cluster: Cluster;
  network: Network;
  sender: Guest;
  neighbour: Guest;
  receiver: Guest;
}

/** The fast path against the kernel fallback, on one cluster of namespace guests: rounds of both modes in turn. */
export async function measureDatapath(rounds: number, log: (text: string) => void): Promise<Row[]> {
  await sweepDead();
  const cluster = new Cluster(ownName('bench'), { ports: 'netns' });
  try {
    await cluster.up();
    const stage = await prepare(cluster);
    return await inRounds('datapath', cluster, measuresOf(stage), () => programCost(stage), rounds, log);
  } finally {
    await cluster.down();
  }
}

async function prepare(cluster: Cluster): Promise<Stage> {
  const network = await cluster.createNetwork('bench', '192.168.0.0/24');
  const sender = await cluster.createGuest('sender', network, 'sf-2');
  const neighbour = await cluster.createGuest('neighbour', network, 'sf-2');
  const receiver = await cluster.createGuest('receiver', network, 'sf-3');
  for (const guest of [neighbour, receiver]) {
    await guest.run([
      'nft',
      `table ip bench { chain sink { type filter hook prerouting priority raw; udp dport ${SINK_PORT} counter drop; }; }`,
    ]);
    await sender.run(['ping', '-c1', '-W2', guest.address.ipv4]);
  }
  return { cluster, network, sender, neighbour, receiver };
}

function measuresOf({ sender, neighbour, receiver }: Stage): Measure[] {
  const rate = (name: string, to: Guest): Measure => ({
    unit: 'packets/s',
    measure: async () => ({ [name]: await packetRate(sender, to) }),
  });
  const bulks = Object.entries(OUTSIDE_TO_INSIDE).map(([name, mtu]) => ({
    unit: 'Gbit/s',
    measure: async () => {
      for (const guest of [sender, receiver]) {
        const inside = String(Math.min(mtu, guest.address.mtu));
        await guest.run(['ip', 'link', 'set', GUEST_DEVICE, 'mtu', inside]);
      }
      return { [`TCP bulk, ${name}`]: await bulk(sender, receiver) };
    },
  }));
  const trips = (['udp', 'tcp'] as const).map((protocol) => ({
    unit: 'µs',
    measure: () => roundTrip(sender, receiver, protocol),
  }));
  return [
    rate('small packets to another node', receiver),
    rate('small packets on one node', neighbour),
    ...bulks,
    ...trips,
  ];
}

/** Frames of 64 bytes that arrive at a guest, per second, while the sender's kernel makes as many as it can. */
async function packetRate(from: Guest, to: Guest): Promise<number> {
  const [a, b] = [from.address, to.address];
  const ends = { sourceMac: a.mac, destinationMac: b.mac, source: a.ipv4, destination: b.ipv4 };
  const frame = udpFrame(ends, SINK_PORT, Buffer.alloc(22));
  const before = await sunk(to);
  await generateFrom(from, { frame, rate: 0, seconds: SECONDS });
  return ((await sunk(to)) - before) / SECONDS;
}

async function sunk(guest: Guest): Promise<number> {
  const text = await guest.run(['nft', 'list', 'table', 'ip', 'bench']);
  return Number(/packets (\d+)/.exec(text)![1]);
}

async function programCost({ network, sender, neighbour, receiver }: Stage): Promise<Record<string, number>> {
  const node = sender.node;
  const costs: Costs = {
    vni: network.vxid,
    underlayDevice: UNDERLAY_DEVICE,
    here: { address: node.address, port: sender.port, ...sender.address },
    neighbour: neighbour.address,
    remote: { address: receiver.node.address, mac: receiver.address.mac, ipv4: receiver.address.ipv4 },
  };
  const command = [...nodeScript('bench/program-cost'), JSON.stringify(costs)];
  const text = await node.run(command, { timeout: 60_000 });
  return JSON.parse(text) as Record<string, number>;
}
