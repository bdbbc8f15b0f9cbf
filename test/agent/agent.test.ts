import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { BpfLink, BpfMap } from '#addon';
import { fistpath } from '#proto';
import { Agent } from '../../src/agent/agent.ts';
import { Program, Reason } from '../../src/agent/datapath/abi.ts';
import { Pins } from '../../src/agent/datapath/pins.ts';
import { parseConfig } from '../../src/config.ts';
import { StandInController } from './stand-in-controller.ts';

const { DONE, ERROR } = fistpath.ObjectStatus.Progress;
const PINS = '/sys/fs/bpf/fistpath-agent';
const GOOD = '00000000-0000-4000-8000-00000000a001';
const OTHER = '00000000-0000-4000-8000-00000000a002';
const INSTANCE = '00000000-0000-4000-8000-00000000b001';
const INTERFACE = 'c0010000-0000-4000-8000-000000000001';
const PORT = 'p-c00100000000';
const [GUEST, FAR, LOST] = [9, 12, 13].map((last) => Uint8Array.of(2, 0, 0, 0, 0, last)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];

const ip = (command: string): string =>
  execFileSync('ip', command.split(' '), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const links = (): string[] => readdirSync(join(PINS, 'links')).sort((a, b) => a.localeCompare(b));

function entries(map: string): Map<string, string> {
  const pinned = BpfMap.open(new Pins(PINS).map(map));
  const { keySize, valueSize } = pinned.info;
  const { count, keys, values } = pinned.entries();
  pinned.close();
  const hex = (bytes: Uint8Array, at: number, size: number) =>
    Buffer.from(bytes.slice(at * size, (at + 1) * size)).toString('hex');
  return new Map(Array.from({ length: count }, (_, i) => [hex(keys, i, keySize), hex(values, i, valueSize)]));
}

/** Packets of the port program by reason, over all CPUs. */
function sentBy(reason: number): number {
  const counters = BpfMap.open(new Pins(PINS).map('counters'));
  const index = Program.PORT * Reason.MAX + reason;
  const { values } = counters.entries();
  const cpus = counters.cpus;
  counters.close();
  const view = new DataView(values.buffer, values.byteOffset);
  let packets = 0;
  for (let cpu = 0; cpu < cpus; cpu++) packets += Number(view.getBigUint64((index * cpus + cpu) * 16, true));
  return packets;
}

async function eventually(what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not in 10 s: ${what}`);
}

function network(fields: Partial<fistpath.INodeNetwork> = {}): fistpath.INodeNetwork {
  return {
    ...{ uuid: GOOD, name: 'good', vni: 0x21, netblock: '10.0.0.0/24', mtu: 1400 },
    peers: ['10.2.1.12', '10.2.1.13'],
    remoteMacs: [
      { mac: FAR, node: '10.2.1.12' },
      { mac: LOST, node: '10.2.1.13' },
    ],
    ports: [{ interface: INTERFACE, instance: INSTANCE, mac: GUEST, ipv4: '10.0.0.9', order: 0 }],
    ...fields,
  };
}

const NODE_12 = '0a02010c';
const other = (mtu: number): fistpath.INodeNetwork =>
  network({ uuid: OTHER, name: 'other', vni: 0x22, mtu, remoteMacs: [], ports: [] });

describe('the agent, with a stand-in controller and real devices', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-agent-'));
  const controller = new StandInController();
  const logged: Record<string, unknown>[] = [];
  let agent: Agent;
  let running: Promise<void>;

  function start(fields: Record<string, unknown> = {}): void {
    const config = {
      ...{ node: 'sf-1', roles: ['agent'], state_directory: directory, bpf_directory: PINS },
      underlay: { device: 'und0', address: '10.2.1.11' },
      controllers: [`127.0.0.1:${controller.port}`],
      ...{ port_kind: 'netns', ...fields },
    };
    const log = pino({ level: 'debug' }, { write: (line) => logged.push(JSON.parse(line)) });
    agent = new Agent({ config: parseConfig(JSON.stringify(config), 'test'), log, release: 'test' });
    running = agent.run();
  }
  async function stop(): Promise<void> {
    await agent.close();
    await running;
  }
  const applied = () => logged.filter(({ msg }) => msg === 'applied');
  const statusOf = (uuid: string, messages: fistpath.AgentMessage[]) =>
    messages.find(({ status }) => status?.objectUuid === uuid)?.status;

  before(async () => {
    assert.ok(process.env.FISTPATH_TEST_NAMESPACE, 'run it with `npm test -- test/agent/agent.test.ts`');
    ip('netns add far');
    ip('link add und0 type veth peer name und1 netns far');
    ip('addr add 10.2.1.11/24 dev und0');
    ip('link set und0 up');
    ip('-n far addr add 10.2.1.12/24 dev und1');
    ip('-n far link set und1 up');
    await controller.start();
    controller.networks = [network(), other(1600)];
    controller.settings = { datapath: 'ebpf', nodeNames: { '10.2.1.12': 'sf-2' } };
    start();
  });

  after(async () => {
    await controller.tell({ removed: GOOD });
    await controller.tell({ removed: OTHER });
    await controller.tell({ settings: { datapath: 'kernel' } });
    await stop();
    controller.stop();
    ip('link del und0');
    ip('netns del far');
    rmSync(PINS, { recursive: true, force: true });
    rmSync(directory, { recursive: true, force: true });
  });

  it('applies the snapshot; one bad network does not stop the other', async () => {
    await controller.settled();
    const { heard, revision } = controller;
    assert.deepEqual(
      { ...heard[0]!.hello },
      { ...heard[0]!.hello, node: 'sf-1', address: '10.2.1.11', underlayMtu: 1500, portKind: 'netns' },
    );
    const good = statusOf(GOOD, heard)!;
    assert.deepEqual([good.progress, Number(good.revision)], [DONE, revision]);
    assert.equal(statusOf(INTERFACE, heard)!.progress, DONE);
    const bad = statusOf(OTHER, heard)!;
    assert.equal(bad.progress, ERROR);
    assert.match(bad.error ?? '', /MTU 1600 does not fit the underlay, whose MTU 1500 leaves 1450/);
    assert.deepEqual({ ...heard.find(({ datapath }) => datapath)!.datapath }.mode, 'ebpf');
    assert.equal(links().length, 3, 'port, tunnel, underlay');
    assert.equal(entries('fdb').size, 3);
    const names = JSON.parse(readFileSync(join(directory, 'names.json'), 'utf8'));
    assert.deepEqual(names, {
      node: 'sf-1',
      networks: {
        33: { uuid: GOOD, name: 'good', nat: null },
        34: { uuid: OTHER, name: 'other', nat: null },
      },
      nodes: { '10.2.1.12': 'sf-2' },
      ports: { [PORT]: { interface: INTERFACE, instance: INSTANCE, network: GOOD } },
    });
  });

  it('follows a single network that changes, and one that leaves', async () => {
    const created = await controller.tell({ network: other(1400) });
    assert.equal(statusOf(OTHER, created)!.progress, DONE);
    const steps = created.flatMap(({ event }) => (event?.phase === 'finish' ? [event.operation] : []));
    assert.ok(steps.includes('create vxlan interface'), steps.join());
    assert.equal(entries('networks').size, 2);

    const removed = await controller.tell({ removed: OTHER });
    assert.equal(statusOf(OTHER, removed)!.progress, DONE);
    assert.equal(entries('networks').size, 1);
    assert.throws(() => ip('link show vxlan-22'), /does not exist/);
    assert.ok(ip('link show vxlan-21').includes('UP'));
  });

  it('leaves a network to the kernel alone while its kernel part has an error', async () => {
    const failed = await controller.tell({ network: network({ mtu: 1600 }) });
    assert.equal(statusOf(GOOD, failed)!.progress, ERROR);
    assert.deepEqual([entries('fdb').size, entries('members').size, links().length], [0, 0, 1]);
    assert.ok(ip('link show vxlan-21').includes('UP'), 'the kernel keeps what it has');
    const repaired = await controller.tell({ network: network() });
    assert.equal(statusOf(GOOD, repaired)!.progress, DONE);
    assert.deepEqual([entries('fdb').size, entries('members').size, links().length], [3, 2, 3]);
  });

  it('switches between ebpf and kernel as it is told', async () => {
    const { nodeNames } = controller.settings;
    const toKernel = await controller.tell({ settings: { datapath: 'kernel', nodeNames } });
    assert.ok(toKernel.some(({ datapath }) => datapath?.mode === 'kernel'));
    assert.deepEqual(links(), []);
    assert.equal(entries('ports').size, 0);
    const back = await controller.tell({ settings: { datapath: 'ebpf', nodeNames } });
    assert.ok(back.some(({ datapath }) => datapath?.mode === 'ebpf' && datapath.underlayHook === 'tc'));
    assert.equal(links().length, 3);
  });

  it('keeps next hops as the kernel has them, and leaves an unresolved peer to it', async () => {
    const mac = () => entries('nexthops').get(NODE_12)?.slice(12, 24);
    const farMac = () => JSON.parse(ip('-n far -j link show und1'))[0].address.replaceAll(':', '');
    await eventually('resolved', () => mac() === farMac());

    for (const [address, last] of [
      ['10.0.0.12', FAR[5]],
      ['10.0.0.13', LOST[5]],
    ] as const) {
      ip(`-n ${INSTANCE} neigh replace ${address} lladdr 02:00:00:00:00:${last!.toString(16)} dev eth0`);
    }
    const ping = (address: string) =>
      assert.throws(() => ip(`netns exec ${INSTANCE} ping -q -c 2 -i 0.1 -W 0.1 ${address}`));
    const before = [sentBy(Reason.TO_TUNNEL), sentBy(Reason.NO_NEXTHOP)];
    ping('10.0.0.12');
    ping('10.0.0.13');
    assert.deepEqual(
      [sentBy(Reason.TO_TUNNEL), sentBy(Reason.NO_NEXTHOP)].map((n, i) => n - before[i]!),
      [2, 2],
    );

    ip('-n far link set und1 address 02:00:00:00:00:77');
    ip('-n far neigh flush all');
    ip('netns exec far ping -q -c 1 -W 1 10.2.1.11'); // its ARP request tells the new MAC
    await eventually('new MAC', () => mac() === '020000000077');

    ip('route add 10.2.1.12/32 dev und0 mtu 1300');
    const mtu = () =>
      Number.parseInt(
        Buffer.from(entries('nexthops').get(NODE_12)!.slice(8, 12), 'hex').swap16().toString('hex'),
        16,
      );
    await eventually("the route's MTU", () => mtu() === 1300);
    ip('route replace unreachable 10.2.1.12/32');
    await eventually('no way there', () => mac() === undefined);
    ip('route del unreachable 10.2.1.12/32');
    await eventually('there again', () => mac() !== undefined && mtu() === 1500);
  });

  it('is back on the fast path soon after what took it away is over', async () => {
    const from = controller.heard.length;
    ip('addr del 10.2.1.11/24 dev und0');
    await controller.tell({ network: network() });
    const reason = await controller.hears(
      'kernel',
      ({ datapath }) => datapath?.mode === 'kernel' && datapath.reason,
      from,
    );
    assert.match(reason, /und0 does not carry 10.2.1.11/);
    assert.deepEqual(links(), []);
    const failedAt = performance.now();
    ip('addr add 10.2.1.11/24 dev und0');
    await controller.hears('ebpf', ({ datapath }) => datapath?.mode === 'ebpf', from);
    assert.ok(performance.now() - failedAt < 8000, 'not only at the next reconciliation');
    assert.equal(links().length, 3);
  });

  it('changes nothing when the controller is gone, and comes back to it', async () => {
    const state = () => [ip('-o link show'), links(), ...['fdb', 'members', 'ports'].map(entries)];
    const before = state();
    controller.stop();
    await eventually('noticed', () => logged.at(-1)?.msg === 'controller lost');
    assert.deepEqual(state(), before);
    const [from, passes] = [controller.heard.length, applied().length];
    await controller.start();
    await controller.settled(from);
    assert.equal(controller.connections, 2);
    assert.deepEqual(state(), before);
    await eventually('a full pass', () => applied().length > passes);
    assert.deepEqual([applied().at(-1)!.commands, applied().at(-1)!.writes], [0, 0]);
  });

  it('takes no orders from another cluster, whose empty snapshot would take everything down', async () => {
    const [before, networks] = [links(), controller.networks];
    controller.stop();
    Object.assign(controller, { cluster: 'another', networks: [] });
    const from = controller.heard.length;
    await controller.start();
    const message = await controller.hears(
      'refusal',
      ({ event }) => event?.operation === 'join cluster' && event.message,
      from,
    );
    assert.match(message, /belongs to cluster one, the controller to cluster another: restore/);
    await new Promise((resolve) => setTimeout(resolve, 500)); // a pass takes a tenth of that
    assert.deepEqual(links(), before);
    controller.stop();
    Object.assign(controller, { cluster: 'one', networks });
    const later = controller.heard.length;
    await controller.start();
    await controller.settled(later);
    assert.deepEqual(links(), before);
  });

  it('adopts everything after a restart: nothing is executed, nothing written', async () => {
    const ids = () =>
      links().map((name) => {
        const link = BpfLink.open(join(PINS, 'links', name));
        const { id } = link.info;
        link.close();
        return id;
      });
    const before = ids();
    await stop();
    const [from, passes] = [controller.heard.length, applied().length];
    start();
    await controller.settled(from);
    await eventually('a full pass', () => applied().length > passes);
    assert.deepEqual([applied()[passes]!.commands, applied()[passes]!.writes], [0, 0]);
    assert.deepEqual(ids(), before, 'the links were never off');
  });

  it('says why it is on the kernel path when the programs can not be loaded, and works', async () => {
    await stop();
    const from = controller.heard.length;
    start({ bpf_directory: join(directory, 'bpf') });
    await controller.settled(from);
    const status = controller.heard.slice(from).find(({ datapath }) => datapath)!.datapath!;
    assert.equal(status.mode, 'kernel');
    assert.match(status.reason ?? '', /is on no bpffs: choose a bpf_directory below a mounted bpffs/);
    assert.equal(statusOf(GOOD, controller.heard.slice(from))!.progress, DONE);
    await stop();
    const again = controller.heard.length;
    start();
    await controller.settled(again);
  });
});
