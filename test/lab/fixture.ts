import { readFileSync } from 'node:fs';
import { Cluster, type ClusterOptions } from './cluster.ts';
import type { Guest } from './guest.ts';
import { stop, until } from './process.ts';
import { ownName, sweepDead } from './topology.ts';

const LOG_LINES = 5;

/** A cluster for the tests of one `describe`; when one fails, the last lines of the daemons' logs are shown. */
export function useCluster(options: ClusterOptions, prepare?: (cluster: Cluster) => Promise<void>): Cluster {
  const cluster = new Cluster(ownName('test'), options);
  const showLogs = () => {
    for (const node of cluster.nodes) {
      let text: string;
      try {
        text = readFileSync(node.logOf('fistpathd'), 'utf8');
      } catch {
        continue;
      }
      console.error(`fistpathd on ${node.name}:\n${text.trimEnd().split('\n').slice(-LOG_LINES).join('\n')}`);
    }
  };
  before(async function () {
    this.timeout(60_000);
    try {
      await sweepDead();
      await cluster.up();
      await prepare?.(cluster);
    } catch (error) {
      showLogs();
      throw error;
    }
  });
  afterEach(function () {
    if (this.currentTest?.state === 'failed') showLogs();
  });
  after(() => cluster.down());
  return cluster;
}

/** A measured figure, among the test's output. */
export function figure(text: string): void {
  console.log(`        ${text}`);
}

/** Runs a client against an iperf3 server in another guest; returns the client's JSON report. */
export async function iperf3(from: Guest, to: Guest, args: readonly string[]): Promise<IperfReport> {
  const server = to.start('iperf3', ['iperf3', '--server', '--one-off']);
  try {
    await until('iperf3 listens', async () => (await to.run(['ss', '-Hltn', 'sport = :5201'])) !== '');
    const client = ['iperf3', '--client', to.address.ipv4, '--json', ...args];
    return JSON.parse(await from.run(client, { timeout: 60_000 })) as IperfReport;
  } finally {
    await stop(server);
  }
}

export interface IperfReport {
  intervals: { sum: { bytes: number } }[];
  end: {
    sum_sent?: { bytes: number };
    sum_received?: { bytes: number; bits_per_second: number };
    sum?: { packets: number; lost_packets: number };
  };
}

/** Pings and returns how many answers were missing. */
export async function pingLoss(from: Guest, to: string, count: number, interval = 0.01): Promise<number> {
  const command = ['ping', '-q', '-c', String(count), '-i', String(interval), '-W', '1', to];
  const { stdout, stderr } = await from.tryRun(command, { timeout: count * interval * 1000 + 30_000 });
  const match = /(\d+) packets transmitted, (\d+) received/.exec(stdout);
  if (match === null) throw new Error(`ping ${to}: ${stdout}${stderr}`);
  return Number(match[1]) - Number(match[2]);
}

/** Checksum errors that a guest's own stack found in what it received. */
export async function checksumErrors(guest: Guest): Promise<number> {
  const text = await guest.run(['nstat', '-asz', 'TcpInCsumErrors', 'UdpInCsumErrors', 'IcmpInCsumErrors']);
  const numbers = [...text.matchAll(/InCsumErrors\s+(\d+)/g)].map((match) => Number(match[1]));
  if (numbers.length !== 3) throw new Error(`nstat said: ${text}`);
  return numbers.reduce((sum, each) => sum + each, 0);
}
