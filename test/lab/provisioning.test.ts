import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Instance, Network } from './cluster.ts';
import { figure, useCluster } from './fixture.ts';
import { until } from './process.ts';
import type { LabNode } from './topology.ts';

const NETWORKS = 100;
const INSTANCES = 10;
const AT_ONCE = 16;
/** Reading the node and its next hops, three batches, and what changes of the neighbour table set off meanwhile. */
const PER_PASS = 45;
const PER_ROUTER = 4;

interface Applied {
  msg: string;
  networks: number;
  commands: number;
  writes: number;
  ms: number;
}

/** Passes of a node's agent, from its log; `from`: bytes of the log to leave out. */
function passes(node: LabNode, from = 0): Applied[] {
  const lines = readFileSync(node.logOf('fistpathd')).subarray(from).toString('utf8').split('\n');
  const rows = lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Applied);
  return rows.filter((row) => row.msg === 'applied');
}

/** Runs `work` for each item, some at once. */
async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}

describe(`provisioning of ${NETWORKS} networks with ${INSTANCES} instances each`, function () {
  this.timeout(120_000);
  const traceOf = (node: LabNode) => join(node.directory, 'execve.trace');
  const cluster = useCluster({
    ports: 'tap',
    config: { log_level: 'debug' },
    // --seccomp-bpf stops a process at the traced call only.
    under: (node) => [
      'strace',
      '--follow-forks',
      '--seccomp-bpf',
      '--trace=execve',
      '--output',
      traceOf(node),
    ],
  });

  /** Programs that a daemon started, counted by strace; its own start and failed searches of the PATH left out. */
  const started = (node: LabNode) =>
    readFileSync(traceOf(node), 'utf8')
      .split('\n')
      .filter((line) => / execve\(.*= 0$/.test(line)).length - 1;

  it('takes few processes, and a second reconcile writes nothing', async () => {
    const rest = cluster.rest;
    const before = cluster.nodes.map(started);
    const start = performance.now();
    const networks: Network[] = [];
    await forEach([...Array(NETWORKS).keys()], async (i) => {
      const asked = { name: `net-${i}`, netblock: '192.168.0.0/24', provide_dhcp: false, provide_nat: false };
      networks.push(await rest.call<Network>('POST', '/networks', asked));
    });
    const wanted = networks.flatMap(({ uuid }) => Array.from({ length: INSTANCES }, (_, i) => ({ uuid, i })));
    await forEach(wanted, async ({ uuid, i }) => {
      await rest.call('POST', '/instances', {
        name: `instance-${i}`,
        cpus: 1,
        memory: 1024,
        network: [{ network_uuid: uuid }],
        disk: [{ size: 8, base: 'cirros' }],
        placed_on: cluster.nodes[i % 3]!.name,
      });
    });
    const asked = performance.now();
    await until(
      'everything is created',
      async () => {
        const all = await rest.call<Network[]>('GET', '/networks');
        const instances = await rest.call<Instance[]>('GET', '/instances');
        const failed = [...all, ...instances].find((each) => each.state === 'error');
        if (failed !== undefined) throw new Error(`${failed.name}: ${failed.error_message}`);
        const created = [...all, ...instances].filter((each) => each.state === 'created').length;
        return created === NETWORKS * (1 + INSTANCES);
      },
      90_000,
      250,
    );
    const seconds = (from: number, to: number) => ((to - from) / 1000).toFixed(1);
    const done = performance.now();
    const forked = cluster.nodes.map((node, i) => started(node) - before[i]!);
    const applied = cluster.nodes.map((node) => passes(node).length);
    figure(`asked in ${seconds(start, asked)} s, all created after ${seconds(start, done)} s`);
    figure(
      `processes started (strace): ${forked.join(', ')} in ${applied.join(', ')} passes on sf-1, sf-2, sf-3`,
    );
    for (const [i, node] of cluster.nodes.entries()) {
      // A constant per pass, whatever the pass is about; on the network node a few for each new router namespace.
      const limit = PER_PASS * applied[i]! + (node === cluster.controller ? PER_ROUTER * NETWORKS : 0);
      assert.ok(forked[i]! <= limit, `${node.name} started ${forked[i]} processes, more than ${limit}`);
    }

    // A foreign device makes every agent look at everything once more.
    const logged = cluster.nodes.map((node) => statSync(node.logOf('fistpathd')).size);
    for (const node of cluster.nodes) await node.run(['ip', 'link', 'add', 'foreign', 'type', 'bridge']);
    for (const [i, node] of cluster.nodes.entries()) {
      await until(`${node.name} has looked again`, () => passes(node, logged[i]!).length > 0, 20_000, 100);
      const second = passes(node, logged[i]!).at(-1)!;
      figure(
        `${node.name}, second reconcile: ${second.commands} commands, ${second.writes} writes, ${second.ms} ms`,
      );
      assert.equal(second.networks, NETWORKS);
      assert.equal(second.commands, 0);
      assert.equal(second.writes, 0);
    }
  });
});
