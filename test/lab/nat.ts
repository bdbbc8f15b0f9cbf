import { readFileSync } from 'node:fs';
import { Capture } from './capture.ts';
import type { Cluster, Instance, Network } from './cluster.ts';
import { compileTool } from './compile.ts';
import { checksumErrors, iperf3 } from './fixture.ts';
import { Guest } from './guest.ts';
import { ECHO_PORT, OUTSIDE_DEVICE, SERVER_ADDRESS } from './outside.ts';
import { isAlive, type ProcessId, stop, until } from './process.ts';
import { repository } from './repository.ts';
import type { LabNode } from './topology.ts';

const FTP = ['/usr/bin/python3', `${repository}/test/lab/ftp.py`];
const CONNECTIONS = 1000;
const BULK = '20M';
/** Of traffic that nobody ends. */
const MOST_SECONDS = 100;

/** Devices of a network's router on the network node: where its namespace is joined to the inside and to the outside. */
export function routerDevices(network: Network): { inside: string; outside: string } {
  const x = network.vxid.toString(16);
  return { inside: `veth-${x}-o`, outside: `phy-${x}-o` };
}

/** Runs natload.c against a server that startEcho started; returns what it printed. */
export async function natload<T>(
  from: Guest,
  command: 'steady' | 'cross' | 'connect' | 'spread' | 'receive',
  to: string,
  ...numbers: number[]
): Promise<T> {
  const line = [await compileTool('lab/natload'), command, to, String(ECHO_PORT), ...numbers.map(String)];
  return JSON.parse(await from.run(line, { timeout: 120_000 })) as T;
}

export interface Steady {
  tcp: { answered: number; broken: number; longestMs: number };
  udp: { sent: number; received: number; doubled: number; reordered: number };
}

/** Connections and datagrams that go on until they are ended, for as long as whatever happens meanwhile takes. */
export class Traffic {
  readonly #process: ProcessId;
  readonly #log: string;

  private constructor(process: ProcessId, log: string) {
    this.#process = process;
    this.#log = log;
  }

  static async start(from: Guest, to: string, connections: number, rate: number): Promise<Traffic> {
    const label = `steady-${from.namespace}-${to}`;
    const numbers = [ECHO_PORT, connections, rate, MOST_SECONDS].map(String);
    const process = from.start(label, [await compileTool('lab/natload'), 'steady', to, ...numbers]);
    return new Traffic(process, from.node.logOf(label));
  }

  /** Throws when it ended by itself. */
  async end(): Promise<Steady> {
    if (!isAlive(this.#process))
      throw new Error(`the traffic ended early: ${readFileSync(this.#log, 'utf8')}`);
    await stop(this.#process);
    return JSON.parse(readFileSync(this.#log, 'utf8')) as Steady;
  }
}

export interface Many {
  made: number;
  failed: number;
  perSecond: number;
}

/** Packets that a device has received and sent; a super-frame counts once. */
export async function packetsOn(node: LabNode, device: string): Promise<number> {
  const text = await node.run(['ip', '-j', '-s', 'link', 'show', device]);
  const [link] = JSON.parse(text) as [{ stats64: { rx: { packets: number }; tx: { packets: number } } }];
  return link.stats64.rx.packets + link.stats64.tx.packets;
}

/** Of the packets that `work` exchanges with the server outside: how many there are, and which went through the router's namespace. */
export async function throughNamespace(
  cluster: Cluster,
  network: Network,
  work: () => Promise<unknown>,
): Promise<{ total: number; namespace: number }> {
  const { outside } = routerDevices(network);
  const count = () =>
    Promise.all([
      packetsOn(cluster.topology.outside, cluster.server.port),
      packetsOn(cluster.controller, outside),
    ]);
  const before = await count();
  await work();
  const after = await count();
  return { total: after[0] - before[0], namespace: after[1] - before[1] };
}

/** The addresses that the outside sees IPv4 packets to the server come from while `work` runs. */
export async function sourcesSeen(cluster: Cluster, work: () => Promise<unknown>): Promise<string[]> {
  const capture = await Capture.start(cluster.topology.outside, OUTSIDE_DEVICE, undefined, 64);
  await work();
  const server = Buffer.from(SERVER_ADDRESS.split('.').map(Number));
  const sources = (await capture.end())
    .filter(({ bytes }) => bytes.readUInt16BE(12) === 0x0800 && bytes.subarray(30, 34).equals(server))
    .map(({ bytes }) => [...bytes.subarray(26, 30)].join('.'));
  return [...new Set(sources)].toSorted();
}

/** The same guest under another address, for what connects to it from outside. */
export function under(guest: Guest, address: string): Guest {
  return new Guest(guest.node, guest.namespace, guest.port, { ...guest.address, ipv4: address });
}

/** The floating address of an instance's first interface. */
export async function floatingOf(cluster: Cluster, guest: Guest): Promise<string> {
  const instance = await cluster.rest.call<Instance>('GET', `/instances/${guest.namespace}`);
  const { floating } = instance.interfaces[0]!;
  if (floating === null) throw new Error(`instance ${instance.name} has no floating address`);
  return floating;
}

/** The uuid of the interface of a guest's instance. */
export async function interfaceOf(cluster: Cluster, guest: Guest): Promise<string> {
  const instance = await cluster.rest.call<Instance>('GET', `/instances/${guest.namespace}`);
  return instance.interfaces[0]!.uuid;
}

/** How many of `count` pings were answered, with the answers' TTLs, and what a router said about the others. */
async function ping(from: Guest, count: number, args: readonly string[], to: string): Promise<unknown> {
  const command = ['ping', '-c', String(count), '-i', '0.02', '-W', '2', ...args, to];
  const { stdout, stderr } = await from.tryRun(command);
  const answers = [...stdout.matchAll(/ttl=(\d+)/g)].map((match) => match[1]);
  const refused = /^From (\S+) .*(Frag needed.*)$/m.exec(stdout + stderr);
  return {
    answers: answers.length,
    ttls: [...new Set(answers)].join(),
    refused: refused === null ? null : `${refused[1]}: ${refused[2]}`,
  };
}

async function hops(from: Guest, method: string, to: string): Promise<string[]> {
  const text = await from.run(['traceroute', '-n', '-q', '1', '-w', '2', '-N', '4', method, to]);
  return [...text.matchAll(/^ *\d+ +(\S+)/gm)].map((match) => match[1]!);
}

/** Everything that a guest can tell about its way to the server outside, numbers that vary with time left out. */
export async function observeOutwards(cluster: Cluster, guest: Guest): Promise<unknown> {
  const { server } = cluster;
  await guest.run(['ip', 'route', 'flush', 'cache']);
  const to = SERVER_ADDRESS;
  const tooBig = await ping(guest, 1, ['-M', 'do', '-s', '1473'], to);
  const steady = await natload<Steady>(guest, 'steady', to, 5, 2000, 1);
  const up = await iperf3(guest, server, ['--bytes', BULK]);
  const down = await iperf3(guest, server, ['--bytes', BULK, '--reverse']);
  return {
    ping: await ping(guest, 10, [], to),
    full: await ping(guest, 3, ['-M', 'do', '-s', '1472'], to),
    tooBig,
    fragments: await ping(guest, 3, ['-s', '4000', '-M', 'dont'], to),
    traceUdp: await hops(guest, '-U', to),
    traceIcmp: await hops(guest, '-I', to),
    udpLost: steady.udp.sent - steady.udp.received,
    udpDoubled: steady.udp.doubled,
    tcpBroken: steady.tcp.broken,
    failed: (await natload<Many>(guest, 'connect', to, CONNECTIONS)).failed,
    up: up.end.sum_sent!.bytes >= 20_000_000,
    down: down.end.sum_sent!.bytes >= 20_000_000,
    ftp: (await guest.run([...FTP, 'fetch', to])).trim(),
    checksumErrors: (await checksumErrors(guest)) + (await checksumErrors(server)),
  };
}

/** The same for the way from the server outside to a guest's floating address. */
export async function observeInwards(cluster: Cluster, guest: Guest, floating: string): Promise<unknown> {
  const { server } = cluster;
  await server.run(['ip', 'route', 'flush', 'cache']);
  const steady = await natload<Steady>(server, 'steady', floating, 5, 2000, 1);
  const up = await iperf3(server, under(guest, floating), ['--bytes', BULK]);
  const down = await iperf3(server, under(guest, floating), ['--bytes', BULK, '--reverse']);
  return {
    ping: await ping(server, 10, [], floating),
    fragments: await ping(server, 3, ['-s', '4000', '-M', 'dont'], floating),
    traceUdp: await hops(server, '-U', floating),
    traceIcmp: await hops(server, '-I', floating),
    udpLost: steady.udp.sent - steady.udp.received,
    tcpBroken: steady.tcp.broken,
    failed: (await natload<Many>(server, 'connect', floating, CONNECTIONS / 5)).failed,
    up: up.end.sum_sent!.bytes >= 20_000_000,
    down: down.end.sum_sent!.bytes >= 20_000_000,
    checksumErrors: (await checksumErrors(guest)) + (await checksumErrors(server)),
  };
}

/** Runs `work` while the server outside serves FTP. */
export async function withFtp<T>(cluster: Cluster, work: () => Promise<T>): Promise<T> {
  const { server } = cluster;
  const process = server.start('ftp', [...FTP, 'serve', SERVER_ADDRESS]);
  try {
    await until(
      'the FTP server listens',
      async () => (await server.run(['ss', '-Hltn', 'sport = :21'])) !== '',
    );
    return await work();
  } finally {
    await stop(process);
  }
}
