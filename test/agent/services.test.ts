import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { fistpath } from '#proto';
import { Agent } from '../../src/agent/agent.ts';
import { readOutsideUsage } from '../../src/agent/datapath/usage.ts';
import { isWorking, processState } from '../../src/agent/services/dnsmasq-process.ts';
import { parseConfig } from '../../src/config.ts';
import { StandInController } from './stand-in-controller.ts';

const { DONE, ERROR } = fistpath.ObjectStatus.Progress;
const PINS = '/sys/fs/bpf/fistpath-services';
const NETWORK = '00000000-0000-4000-8000-00000000a101';
const INSTANCE = '00000000-0000-4000-8000-00000000b101';
const INTERFACE = 'c1010000-0000-4000-8000-000000000001';
const MAC = Uint8Array.of(2, 0, 0, 0, 0, 9);
const OUTSIDE = '198.51.100.1';
const PINGS = 20;

const ip = (command: string): string =>
  execFileSync('ip', command.split(' '), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function inside(namespace: string, command: string): string {
  return execFileSync('nsenter', [`--net=/run/netns/${namespace}`, ...command.split(' ')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function network(router: Partial<fistpath.IRouter> = {}): fistpath.INodeNetwork {
  return {
    ...{ uuid: NETWORK, name: 'served', vni: 0x21, netblock: '10.0.0.0/24', mtu: 1400 },
    ports: [{ interface: INTERFACE, instance: INSTANCE, mac: MAC, ipv4: '10.0.0.9', order: 0 }],
    router: {
      ...{ mac: Uint8Array.of(2, 0, 0, 0, 1, 1), address: '10.0.0.1', dhcp: true, dns: true },
      nat: { gateway: '10.10.0.5', pool: '10.10.0.0/24', nextHop: '10.10.0.1', floats: [] },
      leases: [{ interface: INTERFACE, mac: MAC, ipv4: '10.0.0.9', name: 'web' }],
      domain: 'banana.internal',
      ...router,
    },
  };
}

describe('the agent of a network node', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-services-'));
  const script = join(directory, 'udhcpc');
  const controller = new StandInController();
  const logged: string[] = [];
  let agent: Agent;
  let running: Promise<void>;

  function start(): void {
    const config = {
      ...{ node: 'sf-1', roles: ['agent'], network_node: true, port_kind: 'netns' },
      ...{ state_directory: directory, bpf_directory: PINS, usage_seconds: 1 },
      underlay: { device: 'und0', address: '10.2.1.11' },
      uplink: { device: 'uplink0' },
      dns_servers: [OUTSIDE],
      controllers: [`127.0.0.1:${controller.port}`],
    };
    const log = pino({ level: 'warn' }, { write: (line) => logged.push(JSON.parse(line).msg) });
    agent = new Agent({ config: parseConfig(JSON.stringify(config), 'test'), log, release: 'test' });
    running = agent.run();
  }
  async function stop(): Promise<void> {
    await agent.close();
    await running;
  }
  const pid = () => Number(readFileSync(join(directory, 'dnsmasq', NETWORK, 'pid'), 'utf8'));
  const statusOf = (uuid: string, messages: fistpath.AgentMessage[]) =>
    messages.find(({ status }) => status?.objectUuid === uuid)?.status;
  const finished = (messages: fistpath.AgentMessage[]) =>
    messages.flatMap(({ event }) => (event?.phase === 'finish' ? [event.operation ?? ''] : []));

  before(async () => {
    assert.ok(process.env.FISTPATH_TEST_NAMESPACE, 'run it with `npm test -- test/agent/services.test.ts`');
    chmodSync(directory, 0o755);
    const variables = 'ip|router|dns|domain|mtu|hostname';
    writeFileSync(
      script,
      `#!/bin/sh\n[ "$1" = bound ] || exit 0; env | grep -E '^(${variables})=' | sort\n`,
      {
        mode: 0o755,
      },
    );
    ip('link add und0 type veth peer name und1');
    ip('addr add 10.2.1.11/24 dev und0');
    ip('link set und0 up');
    ip('link set und1 up');
    ip('netns add outside');
    ip('link add uplink0 type veth peer name net0 netns outside');
    ip('link set uplink0 up');
    ip('-n outside link set lo up');
    ip('-n outside addr add 10.10.0.1/24 dev net0');
    ip(`-n outside addr add ${OUTSIDE}/24 dev lo`);
    ip('-n outside link set net0 up');
    await controller.start();
    controller.networks = [network()];
    start();
    await controller.settled();
  });

  after(async () => {
    await controller.tell({ settings: { datapath: 'kernel' } });
    await stop();
    controller.stop();
    ip('link del und0');
    ip('netns del outside');
    rmSync(PINS, { recursive: true, force: true });
    rmSync(directory, { recursive: true, force: true });
  });

  it('serves a network: DHCP, and what inspection needs to know of its NAT', () => {
    assert.equal(statusOf(NETWORK, controller.heard)?.error, '');
    assert.ok(finished(controller.heard).includes('update dhcp'), finished(controller.heard).join());
    const given = inside(INSTANCE, `udhcpc -i eth0 -f -q -n -t 5 -T 1 -s ${script}`);
    assert.deepEqual(given.trim().split('\n'), [
      ...[
        'dns=10.0.0.1',
        'domain=banana.internal',
        'hostname=web',
        'ip=10.0.0.9',
        'mtu=1400',
        'router=10.0.0.1',
      ],
    ]);
    ip(`-n ${INSTANCE} route add default via 10.0.0.1`);
    const names = JSON.parse(readFileSync(join(directory, 'names.json'), 'utf8'));
    assert.deepEqual(names.networks[0x21], {
      ...{ uuid: NETWORK, name: 'served' },
      nat: { gateway: '10.10.0.5', next_hop: '10.10.0.1', floats: {}, routed: [] },
    });
  });

  it('resolves hosted names, and asks the name server outside for the rest', async () => {
    const words = [
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--pid-file=',
      '--no-resolv',
      '--no-hosts',
    ];
    const listen = [`--listen-address=${OUTSIDE}`, '--bind-interfaces', '--address=/example.org/203.0.113.7'];
    const server = spawn('nsenter', ['--net=/run/netns/outside', 'dnsmasq', ...words, ...listen]);
    try {
      await new Promise((resolve) => setTimeout(resolve, 200));
      for (const [name, address] of [
        ['www.example.org', '203.0.113.7'],
        ['web.banana.internal', '10.0.0.9'],
      ] as const)
        assert.match(
          inside(INSTANCE, `busybox nslookup -type=a ${name} 10.0.0.1`),
          new RegExp(`: ${address}\n`),
        );
    } finally {
      server.kill('SIGKILL');
    }
  });

  it('pings from the router, and says why it can not', async () => {
    const [near, far, nobody] = await Promise.all([
      controller.ping(NETWORK, '10.0.0.9'),
      controller.ping(NETWORK, OUTSIDE),
      controller.ping(NETWORK, '10.0.0.200'),
    ]);
    for (const { stdout } of [near, far]) assert.match(stdout ?? '', /10 packets transmitted, 10 received/);
    assert.match(nobody.stdout ?? '', / 0 received/);
    for (const [uuid, address, reason] of [
      [NETWORK, '-f', /"-f" is not an IPv4 address/],
      [NETWORK, '10.0.0.9; id', /is not an IPv4 address/],
      [INSTANCE, '10.0.0.9', /the router of network .*b101 is not on this node/],
    ] as const) {
      const { stdout, stderr } = await controller.ping(uuid, address);
      assert.equal(stdout, '');
      assert.match(stderr ?? '', reason);
    }
    const many = await Promise.all(Array.from({ length: 6 }, () => controller.ping(NETWORK, '10.0.0.9')));
    assert.deepEqual(many.filter(({ stderr }) => /4 pings run already/.test(stderr ?? '')).length, 2);
  });

  it('says a network again for each revision that changed it: somebody may wait', async () => {
    const heard = await controller.tell({ network: network() });
    const status = statusOf(NETWORK, heard);
    assert.deepEqual([status?.progress, Number(status?.revision)], [DONE, controller.revision]);
    assert.deepEqual(finished(heard), []);
    assert.equal(statusOf(INTERFACE, heard), undefined, 'its ports are as they were said to be');
  });

  it("makes an error of DHCP the network's, and forwards all the same", async () => {
    const names = ['x\nport=1', 'web'];
    const [bad, good] = await (async () => {
      const results: fistpath.AgentMessage[][] = [];
      for (const name of names) {
        const leases = [{ interface: INTERFACE, mac: MAC, ipv4: '10.0.0.9', name }];
        results.push(await controller.tell({ network: network({ leases }) }));
        assert.match(inside(INSTANCE, `ping -q -c 2 -i 0.05 -W 1 ${OUTSIDE}`), / 2 received/);
      }
      return results as [fistpath.AgentMessage[], fistpath.AgentMessage[]];
    })();
    const status = statusOf(NETWORK, bad);
    assert.equal(status?.progress, ERROR);
    assert.match(status?.error ?? '', /name "x\\nport=1" of 10.0.0.9 is no host name/);
    assert.equal(statusOf(NETWORK, good)?.progress, DONE);
  });

  it('replaces a dnsmasq that was killed, by itself', async () => {
    const before = pid();
    const from = controller.heard.length;
    process.kill(before, 'SIGKILL');
    await controller.hears(
      'replacement',
      ({ event }) => event?.operation === 'update dhcp' && event.phase === 'finish',
      from,
    );
    assert.ok(
      logged.some((message) => message.startsWith('dnsmasq ended')),
      'it did not wait for a full pass',
    );
    assert.notEqual(pid(), before);
    assert.ok(isWorking(processState(pid())));
  });

  it('counts the same traffic with the outside on both paths', async () => {
    const numbers: number[][] = [];
    for (const datapath of ['kernel', 'ebpf'] as const) {
      await controller.tell({ settings: { datapath, nodeNames: {} } });
      // A connection's first packets are the kernel's; what follows is the fast path's, if it is on.
      const totals: number[][] = [];
      for (let round = 0; round < 2; round++) {
        inside(INSTANCE, `ping -q -c ${PINGS} -i 0.02 -W 1 -s 100 ${OUTSIDE}`);
        await new Promise((resolve) => setTimeout(resolve, 1300));
        const usage = controller.heard.findLast((message) => message.usage)?.usage;
        const outside = usage?.outside?.find((each) => each.interface === INTERFACE);
        assert.equal(outside?.network, NETWORK);
        assert.equal(usage?.flowTable?.capacity, datapath === 'ebpf' ? 262_144 : undefined);
        totals.push(
          [outside?.sent, outside?.received].flatMap((way) => [Number(way?.packets), Number(way?.bytes)]),
        );
      }
      numbers.push(totals[1]!.map((number, i) => number - totals[0]![i]!));
    }
    const cached = readOutsideUsage(PINS).get(0x21)?.get('10.0.0.9');
    assert.ok((cached?.sent.packets ?? 0) > PINGS / 2, 'the fast path carried the second half');
    const expected = [PINGS, PINGS * 128, PINGS, PINGS * 128];
    assert.deepEqual(numbers, [expected, expected]);
  });

  it('finds its dnsmasq again after a restart', async () => {
    const before = pid();
    await stop();
    const from = controller.heard.length;
    start();
    await controller.settled(from);
    assert.equal(pid(), before);
    assert.ok(!finished(controller.heard.slice(from)).includes('update dhcp'));
  });

  it('serves what does not need the uplink while that is away', async () => {
    ip('link set uplink0 name away');
    const leases = [{ interface: INTERFACE, mac: MAC, ipv4: '10.0.0.9', name: 'renamed' }];
    const heard = await controller.tell({ network: network({ leases }) });
    assert.match(statusOf(NETWORK, heard)?.error ?? '', /uplink device uplink0 does not exist/);
    assert.match(readFileSync(join(directory, 'dnsmasq', NETWORK, 'hosts'), 'utf8'), /,renamed\./);
    assert.match(inside(INSTANCE, 'ping -q -c 2 -i 0.05 -W 1 10.0.0.1'), / 2 received/);
    ip('link set away name uplink0');
    const again = await controller.tell({ network: network() });
    assert.equal(statusOf(NETWORK, again)?.progress, DONE);
    assert.match(inside(INSTANCE, `ping -q -c 2 -i 0.05 -W 1 ${OUTSIDE}`), / 2 received/);
  });

  it('takes it away with the network', async () => {
    const before = pid();
    const heard = await controller.tell({ removed: NETWORK });
    assert.ok(finished(heard).includes('remove dhcp'), finished(heard).join());
    // One that has ended may wait for its parent still.
    assert.equal(processState(before)?.state ?? 'Z', 'Z');
    assert.equal(existsSync(join(directory, 'dnsmasq', NETWORK)), false);
    assert.throws(() => ip('link show br-egress'), /does not exist/);
  });
});
