import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { BpfMap } from '#addon';
import type { fistpath } from '#proto';
import { Agent } from '../../src/agent/agent.ts';
import { Program, Reason } from '../../src/agent/datapath/abi.ts';
import { Pins } from '../../src/agent/datapath/pins.ts';
import { parseDevices, readUsage } from '../../src/agent/services/usage.ts';
import { parseConfig } from '../../src/config.ts';
import { compileTool } from '../lab/compile.ts';
import { StandInController } from './stand-in-controller.ts';

const PINS = '/sys/fs/bpf/fistpath-usage';
const NETWORK = '00000000-0000-4000-8000-00000000e001';
const PINGS = 20;
/** Ethernet, IPv4 and ICMP headers around the payload. */
const [PAYLOAD, FRAME] = [100, 14 + 20 + 8 + 100];

const guests = [1, 2].map((n) => ({
  interface: `e00${n}0000-0000-4000-8000-000000000001`,
  instance: `00000000-0000-4000-8000-00000000f00${n}`,
  mac: Uint8Array.of(2, 0, 0, 0, 0, n),
  ipv4: `10.0.0.1${n}`,
  order: 0,
}));
const [alice, bob] = guests as [(typeof guests)[0], (typeof guests)[0]];
const FAR = { mac: Uint8Array.of(2, 0, 0, 0, 0, 3), ipv4: '10.0.0.13' };
const port = ({ interface: id }: typeof alice) => `p-${id.replaceAll('-', '').slice(0, 12)}`;
const macText = (mac: Uint8Array) => Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');

function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function ping(namespace: string, address: string): void {
  const words = `-q -c ${PINGS} -i 0.01 -W 1 -s ${PAYLOAD} ${address}`.split(' ');
  const text = execFileSync('nsenter', [`--net=/run/netns/${namespace}`, 'ping', ...words], {
    encoding: 'utf8',
  });
  assert.match(text, new RegExp(`${PINGS} received`));
}

const network = (): fistpath.INodeNetwork => ({
  ...{ uuid: NETWORK, name: 'counted', vni: 0x21, netblock: '10.0.0.0/24', mtu: 1400 },
  peers: ['10.2.1.12'],
  remoteMacs: [{ mac: FAR.mac, node: '10.2.1.12' }],
  ports: guests,
});

/** Packets that a program redirected to ports of this node. */
function delivered(program: number): number {
  const counters = BpfMap.open(new Pins(PINS).map('counters'));
  const { values } = counters.entries();
  const { cpus } = counters;
  counters.close();
  const view = new DataView(values.buffer, values.byteOffset);
  const at = (program * Reason.MAX + Reason.TO_PORT) * cpus * 16;
  let packets = 0;
  for (let cpu = 0; cpu < cpus; cpu++) packets += Number(view.getBigUint64(at + cpu * 16, true));
  return packets;
}

describe('traffic of interfaces', () => {
  it('is read from what the kernel prints', () => {
    const text =
      'Inter-|   Receive    |  Transmit\n face |bytes    packets errs\n' +
      '  eth0: 100 2 0 0 0 0 0 0 18446744073709 40 0 0 0 0 0 0\n p-a:b:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n';
    assert.deepEqual(Object.fromEntries(parseDevices(text)), {
      eth0: { received: { bytes: 100, packets: 2 }, sent: { bytes: 18446744073709, packets: 40 } },
      'p-a:b': { received: { bytes: 7, packets: 1 }, sent: { bytes: 8, packets: 1 } },
    });
  });

  for (const portKind of ['netns', 'tap'] as const) {
    for (const hook of ['tc', 'xdp'] as const) {
      describe(`${portKind} ports, ${hook} on the underlay`, () => {
        const directory = mkdtempSync(join(tmpdir(), 'fistpath-usage-'));
        const controller = new StandInController();
        const children: ChildProcess[] = [];
        let agent: Agent;
        let running: Promise<void>;

        /** Of the last look: packets and bytes sent, then received, by interface. */
        let last: Record<string, number[]> = {};
        /** The same since then. */
        async function counted(): Promise<Record<string, number[]>> {
          const errors: string[] = [];
          const config = { portKind, bpfDirectory: PINS };
          const usage = await readUsage([network()], config, (error) => errors.push(error.message));
          assert.deepEqual(errors, []);
          const now = Object.fromEntries(
            usage.interfaces!.map(({ interface: id, sent, received }) => [
              id!,
              [sent, received].flatMap((way) => [Number(way!.packets), Number(way!.bytes)]),
            ]),
          );
          const since = Object.entries(now).map(([id, numbers]) => [
            id,
            numbers.map((number, i) => number - (last[id]?.[i] ?? 0)),
          ]);
          last = now;
          return Object.fromEntries(since);
        }

        async function tapGuest(guest: typeof alice): Promise<void> {
          const program = await compileTool('lab/tapguest');
          ip(`netns add ${guest.instance}`);
          children.push(
            spawn(program, [port(guest), `/run/netns/${guest.instance}`, 'eth0'], { stdio: 'ignore' }),
          );
          for (let tries = 0; ; tries++) {
            try {
              ip(`-n ${guest.instance} link show eth0`);
              break;
            } catch (error) {
              if (tries > 200) throw error;
              await new Promise((resolve) => setTimeout(resolve, 20));
            }
          }
          const off = 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6';
          execFileSync('nsenter', [`--net=/run/netns/${guest.instance}`, 'sh', '-ec', off]);
          ip(`-n ${guest.instance} link set eth0 address ${macText(guest.mac)} mtu 1400 up`);
          ip(`-n ${guest.instance} addr add ${guest.ipv4}/24 dev eth0`);
        }

        before(async () => {
          assert.ok(
            process.env.FISTPATH_TEST_NAMESPACE,
            'run it with `npm test -- test/agent/usage.test.ts`',
          );
          ip('netns add far');
          writeFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', '1');
          ip('link add und0 type veth peer name und1 netns far');
          ip('addr add 10.2.1.11/24 dev und0');
          ip('link set und0 up');
          ip('-n far addr add 10.2.1.12/24 dev und1');
          ip('-n far link set und1 up');
          // A veth hands on unfinished checksums, which XDP can't carry.
          execFileSync('nsenter', ['--net=/run/netns/far', 'ethtool', '-K', 'und1', 'tx', 'off']);
          ip('-n far link add v type vxlan id 33 local 10.2.1.12 dev und1 dstport 4789 nolearning');
          ip(`-n far link set v address ${macText(FAR.mac)} mtu 1400 up`);
          ip(`-n far addr add ${FAR.ipv4}/24 dev v`);
          await controller.start();
          controller.networks = [network()];
          controller.settings = { datapath: 'kernel', nodeNames: {} };
          const config = {
            ...{ node: 'sf-1', roles: ['agent'], state_directory: directory, bpf_directory: PINS },
            underlay: { device: 'und0', address: '10.2.1.11' },
            controllers: [`127.0.0.1:${controller.port}`],
            ...{ port_kind: portKind, underlay_hook: hook, usage_seconds: 1 },
          };
          const log = pino({ level: 'silent' });
          agent = new Agent({ config: parseConfig(JSON.stringify(config), 'test'), log, release: 'test' });
          running = agent.run();
          await controller.settled();
          if (portKind === 'tap') for (const guest of guests) await tapGuest(guest);
          // No ARP among the numbers.
          const all = [...guests, FAR];
          for (const from of all) {
            const [place, device] =
              'instance' in from ? [from.instance as string, 'eth0'] : (['far', 'v'] as const);
            for (const to of all.filter((each) => each !== from))
              ip(
                `-n ${place} neigh replace ${to.ipv4} lladdr ${macText(to.mac)} nud permanent dev ${device}`,
              );
          }
          for (const { mac } of guests)
            execFileSync('bridge', ['-n', 'far', 'fdb', 'add', macText(mac), 'dev', 'v', 'dst', '10.2.1.11']);
        });

        after(async () => {
          await controller.tell({ removed: NETWORK });
          await controller.tell({ settings: { datapath: 'kernel' } });
          await agent.close();
          await running;
          controller.stop();
          for (const child of children) child.kill('SIGKILL');
          ip('link del und0');
          ip('netns del far');
          for (const { instance } of portKind === 'tap' ? guests : []) ip(`netns del ${instance}`);
          rmSync(PINS, { recursive: true, force: true });
          rmSync(directory, { recursive: true, force: true });
        });

        for (const mode of ['kernel', 'ebpf'] as const) {
          it(`counts each packet once in mode ${mode}`, async () => {
            await controller.tell({ settings: { datapath: mode, nodeNames: {} } });
            const fast = mode === 'ebpf';
            const from = fast ? [Program.PORT, Program.UNDERLAY].map(delivered) : [];
            await counted();
            const one = [PINGS, PINGS * FRAME];
            ping(alice.instance, bob.ipv4);
            assert.deepEqual(await counted(), {
              [alice.interface]: [...one, ...one],
              [bob.interface]: [...one, ...one],
            });
            ping(alice.instance, FAR.ipv4);
            // A tap counts the virtio-net header of what XDP gave it, too.
            const header = fast && portKind === 'tap' && hook === 'xdp' ? 10 : 0;
            assert.deepEqual(await counted(), {
              [alice.interface]: [...one, PINGS, PINGS * (FRAME + header)],
              [bob.interface]: [0, 0, 0, 0],
            });
            if (!fast) return;
            const by = [Program.PORT, Program.UNDERLAY].map((program, i) => delivered(program) - from[i]!);
            assert.deepEqual(by, [2 * PINGS, PINGS], 'the fast path carried them');
          });
        }

        if (portKind === 'netns' && hook === 'tc')
          it('is told to the controller when it changed, and only then', async () => {
            const said = () => controller.heard.filter(({ usage }) => usage).length;
            await new Promise((resolve) => setTimeout(resolve, 2100));
            const heard = controller.heard.length;
            const before = said();
            await new Promise((resolve) => setTimeout(resolve, 1500));
            assert.equal(said(), before, 'nothing was sent');
            ping(alice.instance, bob.ipv4);
            const usage = await controller.hears('usage', (message) => message.usage, heard);
            assert.deepEqual(
              usage.interfaces?.map(({ interface: id, network: uuid }) => [id, uuid]),
              guests.map(({ interface: id }) => [id, NETWORK]),
            );
            assert.ok(Number(usage.interfaces?.[0]?.sent?.packets) >= 5 * PINGS);
            assert.deepEqual(usage.outside, []);
          });
      });
    }
  }
});
