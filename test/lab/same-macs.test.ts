import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capture, inject } from './capture.ts';
import { Cluster, type Mode, portOf } from './cluster.ts';
import { pingLoss } from './fixture.ts';
import { GUEST_DEVICE, Guest } from './guest.ts';
import { markOf, matrix } from './matrix.ts';
import { isAlive, signal, until } from './process.ts';
import { nodeScript } from './repository.ts';
import { ownName, sweepDead } from './topology.ts';

const MTU = 8950;
const VNIS = [11, 12] as const;
/** The same two guests in each network. */
const ENDS = [
  { node: 'sf-2', mac: '02:00:00:00:00:02', ipv4: '192.168.0.12' },
  { node: 'sf-3', mac: '02:00:00:00:00:03', ipv4: '192.168.0.13' },
] as const;

/** The real agents, told by a stand-in: the real controller gives every interface of the cluster its own MAC. */
describe('two networks with the same netblock and the same MACs', function () {
  this.timeout(40_000);
  const cluster = new Cluster(ownName('test'), { ports: 'netns' });
  /** By VNI, then node. */
  const guests = new Map<number, Map<string, Guest>>();

  before(async () => {
    await sweepDead();
    await cluster.prepare();
    const plan: Record<string, unknown[]> = { 'sf-2': [], 'sf-3': [] };
    for (const vni of VNIS) {
      const uuid = randomUUID();
      const own = new Map<string, Guest>();
      guests.set(vni, own);
      for (const end of ENDS) {
        const other = ENDS.find((each) => each !== end)!;
        const [instance, port] = [randomUUID(), randomUUID()];
        const address = { mac: end.mac, ipv4: end.ipv4, prefix: 24, mtu: MTU };
        own.set(end.node, new Guest(cluster.node(end.node), instance, portOf(port), address));
        plan[end.node]!.push({
          uuid,
          name: `network-${vni}`,
          vni,
          netblock: '192.168.0.0/24',
          mtu: MTU,
          peers: [cluster.node(other.node).address],
          remoteMacs: [{ mac: other.mac, node: cluster.node(other.node).address }],
          ports: [{ interface: port, instance, mac: end.mac, ipv4: end.ipv4 }],
        });
      }
    }
    writeFileSync(join(cluster.topology.directory, 'plan.json'), JSON.stringify(plan));
    for (const { node } of ENDS) cluster.startDaemon(cluster.node(node));
  });
  after(() => cluster.down());

  async function runMode(mode: Mode): Promise<void> {
    const { controller } = cluster;
    const before = controller.started('stand-in');
    if (before !== undefined) {
      signal(before, 'SIGKILL');
      await until('the stand-in ends', () => !isAlive(before));
    }
    const plan = join(cluster.topology.directory, 'plan.json');
    controller.start('stand-in', [
      ...nodeScript('lab/stand-in-controller-child'),
      cluster.agentsAddress,
      mode,
      plan,
    ]);
    await until(
      `both agents run the ${mode} datapath and have their networks (see ${controller.logOf('stand-in')})`,
      () => {
        const said = readFileSync(controller.logOf('stand-in'), 'utf8').split('\n');
        return ENDS.every(
          ({ node }) =>
            said.includes(`${node} datapath ${mode}`) &&
            said.filter((line) => line.startsWith(`${node} network `) && line.trimEnd().endsWith(' 1'))
              .length >= 2,
        );
      },
      20_000,
    );
  }

  for (const mode of ['ebpf', 'kernel'] as const) {
    it(`${mode}: nothing crosses`, async () => {
      await runMode(mode);
      for (const vni of VNIS) {
        const [from, to] = ENDS.map(({ node }) => guests.get(vni)!.get(node)!) as [Guest, Guest];
        const stranger = VNIS.find((each) => each !== vni)!;
        const strangers = [...guests.get(stranger)!.values()];
        assert.equal(await pingLoss(from, to.address.ipv4, 3), 0);
        const captures = await Promise.all(
          [to, ...strangers].map((guest) => Capture.start(guest.node, GUEST_DEVICE, guest.namespace)),
        );
        const ends = {
          sourceMac: from.address.mac,
          destinationMac: to.address.mac,
          source: from.address.ipv4,
          destination: to.address.ipv4,
        };
        const frames = matrix(`of ${vni}`, ends, MTU).map((each) => each.frame);
        await inject(from.node, GUEST_DEVICE, frames, from.namespace);
        const [mine, ...foreign] = await Promise.all(captures.map((capture) => capture.end(250)));
        const marked = (frames: typeof mine) =>
          frames!.filter((frame) => !frame.out && markOf(frame.bytes)?.startsWith(`of ${vni}`)).length;
        assert.ok(marked(mine) > 50, `only ${marked(mine)} arrived where they should`);
        assert.deepEqual(foreign.map(marked), [0, 0]);
      }
    });
  }
});
