import { Cluster, type Mode, type Network } from '../lab/cluster.ts';
import { compileTool } from '../lab/compile.ts';
import { generateFrom } from '../lab/generator.ts';
import { GUEST_DEVICE, type Guest } from '../lab/guest.ts';
import { udpFrame } from '../lab/packet.ts';
import { type ProcessId, stop, until } from '../lab/process.ts';
import { nodeScript } from '../lab/repository.ts';
import { ownName, sweepDead, UNDERLAY_DEVICE } from '../lab/topology.ts';
import type { Costs } from './program-cost.ts';
import { type Row, row } from './rows.ts';

const SECTION = 'datapath';
const MODES: readonly Mode[] = ['kernel', 'ebpf'];
const SINK_PORT = 9;
const [UDP_PORT, TCP_PORT] = [7001, 7002];
const ROUND_TRIPS = 5000;
const SECONDS = 1;
/** Longest to shortest MTU inside; the first is the network's own. */
const OUTSIDE_TO_INSIDE = { '9000': 8950, '1500': 1500 };

/** sender is on sf-2 with a neighbour beside it, receiver on sf-3. */
interface Stage {
  cluster: Cluster;
  network: Network;
  sender: Guest;
  neighbour: Guest;
  receiver: Guest;
}

/** What is measured in each round and mode; a number per measure. */
const MEASURES: { name: string; unit: string; measure: (stage: Stage) => Promise<number> }[] = [
  {
    name: 'small packets to another node',
    unit: 'packets/s',
    measure: (s) => packetRate(s.sender, s.receiver),
  },
  { name: 'small packets on one node', unit: 'packets/s', measure: (s) => packetRate(s.sender, s.neighbour) },
  { name: 'TCP bulk, underlay 9000', unit: 'Gbit/s', measure: (s) => bulk(s, OUTSIDE_TO_INSIDE['9000']) },
  { name: 'TCP bulk, inside 1500', unit: 'Gbit/s', measure: (s) => bulk(s, OUTSIDE_TO_INSIDE['1500']) },
];

/** The fast path against the kernel fallback, on one cluster of namespace guests: rounds of both modes in turn. */
export async function measureDatapath(rounds: number, log: (text: string) => void): Promise<Row[]> {
  await sweepDead();
  const cluster = new Cluster(ownName('bench'), { ports: 'netns' });
  try {
    await cluster.up();
    return await measure(await prepare(cluster), rounds, log);
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

async function measure(stage: Stage, rounds: number, log: (text: string) => void): Promise<Row[]> {
  const values = new Map<string, number[]>();
  const note = (name: string, mode: string, value: number) => {
    const key = `${name}\n${mode}`;
    values.set(key, [...(values.get(key) ?? []), value]);
    log(`  ${mode}: ${name}: ${value.toPrecision(4)}`);
  };
  for (let round = 0; round < rounds; round++) {
    log(`round ${round + 1} of ${rounds}`);
    // The order turns round, so that neither mode is always the one that comes after the other's heat.
    for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
      await stage.cluster.setMode(mode);
      for (const { name, measure } of MEASURES) note(name, mode, await measure(stage));
      for (const protocol of ['udp', 'tcp'] as const) {
        const { p50, p99 } = await roundTrip(stage, protocol);
        note(`${protocol.toUpperCase()} round trip p50`, mode, p50 / 1000);
        note(`${protocol.toUpperCase()} round trip p99`, mode, p99 / 1000);
      }
    }
    if (round % 2 === 1) await stage.cluster.setMode('ebpf');
    for (const [name, value] of Object.entries(await programCost(stage))) note(name, 'ebpf', value);
  }

  const rows: Row[] = [];
  for (const [key, own] of values) {
    const [name, mode] = key.split('\n') as [string, string];
    const unit =
      MEASURES.find((each) => each.name === name)?.unit ?? (name.includes('round trip') ? 'µs' : 'ns/packet');
    rows.push(row(SECTION, name, mode, unit, own, values.get(`${name}\nkernel`)));
  }
  return rows.toSorted((a, b) => a.measure.localeCompare(b.measure) || b.mode.localeCompare(a.mode));
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

async function bulk({ sender, receiver }: Stage, mtu: number): Promise<number> {
  for (const guest of [sender, receiver]) {
    await guest.run(['ip', 'link', 'set', GUEST_DEVICE, 'mtu', String(Math.min(mtu, guest.address.mtu))]);
  }
  const server = receiver.start('iperf3', ['iperf3', '--server', '--one-off']);
  try {
    await listening(receiver, 'tcp', 5201);
    const client = ['iperf3', '--client', receiver.address.ipv4, '--time', String(SECONDS), '--json'];
    const { end } = JSON.parse(await sender.run(client)) as {
      end: { sum_received: { bits_per_second: number } };
    };
    return end.sum_received.bits_per_second / 1e9;
  } finally {
    await stop(server);
  }
}

async function listening(guest: Guest, protocol: 'tcp' | 'udp', port: number): Promise<void> {
  const list = ['ss', '-Hln', protocol === 'tcp' ? '-t' : '-u', `sport = :${port}`];
  await until(`port ${port} is open`, async () => (await guest.run(list)) !== '');
}

/** Nanoseconds. */
async function roundTrip(
  { sender, receiver }: Stage,
  protocol: 'udp' | 'tcp',
): Promise<{ p50: number; p99: number }> {
  const tool = await compileTool('bench/roundtrip');
  const port = protocol === 'udp' ? UDP_PORT : TCP_PORT;
  const server: ProcessId = receiver.start('roundtrip', [tool, 'server', protocol, String(port)]);
  try {
    await listening(receiver, protocol, port);
    const client = [tool, 'client', protocol, receiver.address.ipv4, String(port), String(ROUND_TRIPS)];
    return JSON.parse(await sender.run(client)) as { p50: number; p99: number };
  } finally {
    await stop(server);
  }
}

async function programCost({ network, sender, neighbour, receiver }: Stage): Promise<Record<string, number>> {
  const node = sender.node;
  const costs: Costs = {
    maps: '/sys/fs/bpf/fistpath/maps-1',
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
