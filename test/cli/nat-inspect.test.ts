/** `flow`, `nat status` and the maps of NAT: real pinned maps, and real conntrack entries in a router's namespace. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BpfMap, BpfObject, inNamespace, possibleCpus } from '#addon';
import {
  Abi,
  Account,
  AccountKey,
  Flow,
  FlowFlag,
  FlowKey,
  Gateway,
  GatewayKey,
  Router,
  RouterFlag,
  Side,
  type Tuple,
} from '../../src/agent/datapath/abi.ts';
import { bytes, ipv4Number, U32 } from '../../src/agent/datapath/tables.ts';
import type { FlowRow } from '../../src/cli/inspect/flow-rows.ts';
import { fistpath, type Result } from './harness.ts';

/** A uuid that no other run has: namespaces are named by it. */
const NETWORK = `41f41085-b6d1-4c47-83ea-${String(process.pid).padStart(12, '0')}`;
const INSIDE_MAC = '02:00:00:5e:10:42';

const sh = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' });
const inRouter = (words: string) => sh('nsenter', `--net=/run/netns/${NETWORK}`, ...words.split(' '));
const mac = (text: string) => new Uint8Array(text.split(':').map((byte) => Number.parseInt(byte, 16)));
const tuple = (source: string, from: number, destination: string, to: number): Tuple => ({
  source: ipv4Number(source),
  source_port: from,
  destination: ipv4Number(destination),
  destination_port: to,
});

describe('CLI: flows and NAT', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-cli-nat-'));
  const bpf = join(directory, 'bpf', 'node');
  let object: BpfObject;

  const run = (args: string[], by: string[] = []) =>
    fistpath([...args, '--bpf-directory', bpf, '--state-directory', directory], { by });
  const json = (result: Result) => {
    assert.deepEqual([result.code, result.stderr], [0, ''], result.stderr);
    return JSON.parse(result.stdout) as Record<string, unknown>;
  };
  const put = (map: string, key: Uint8Array, value: Uint8Array) => {
    const handle = BpfMap.open(join(bpf, `maps-${Abi.VERSION}`, map));
    handle.update(key, value);
    handle.close();
  };
  const flow = (vni: number, protocol: number, from: Tuple, to: Tuple, more: Partial<Flow> = {}) => {
    const now = process.hrtime.bigint();
    const value: Flow = {
      ...{ learned_ns: now - 2_000_000_000n, passed_ns: 0n, packets: 0n, bytes: 0n, tuple: to, vni: 2 },
      ...{ generation: 7, account: 1, flags: 0, dst_mac: mac(INSIDE_MAC), src_mac: mac(INSIDE_MAC) },
      ...more,
    };
    put('flows', bytes(FlowKey, { vni, tuple: from, protocol }), bytes(Flow, value));
  };
  const OUTSIDE = FlowFlag.FLOW_OUTSIDE;
  const fill = () => {
    const count = (packets: bigint) => ({ packets, bytes: 100n * packets });
    flow(
      2,
      6,
      tuple('192.168.0.100', 40000, '198.51.100.1', 80),
      tuple('10.10.0.2', 1024, '198.51.100.1', 80),
      {
        ...{ ...count(30n), flags: OUTSIDE, passed_ns: process.hrtime.bigint() - 1_000_000_000n },
      },
    );
    flow(
      0,
      6,
      tuple('198.51.100.1', 80, '10.10.0.2', 1024),
      tuple('198.51.100.1', 80, '192.168.0.100', 40000),
      {
        ...count(20n),
      },
    );
    flow(
      2,
      17,
      tuple('192.168.0.101', 53, '198.51.100.7', 5000),
      tuple('10.10.0.9', 53, '198.51.100.7', 5000),
      {
        ...{ ...count(3n), flags: OUTSIDE },
      },
    );
    flow(
      0,
      17,
      tuple('198.51.100.7', 5000, '10.10.0.9', 53),
      tuple('198.51.100.7', 5000, '192.168.0.101', 53),
      {
        ...count(4n),
      },
    );
    flow(2, 1, tuple('192.168.0.100', 77, '198.51.100.1', 8), tuple('10.10.0.2', 99, '198.51.100.1', 8), {
      ...{ ...count(1n), flags: OUTSIDE, generation: 6 },
    });
    flow(9, 6, tuple('172.16.0.5', 5, '198.51.100.1', 80), tuple('10.10.0.3', 5, '198.51.100.1', 80), {
      ...{ vni: 9, flags: OUTSIDE },
    });
  };

  before(() => {
    mkdirSync(join(directory, 'bpf'));
    sh('mount', '-t', 'bpf', 'bpf', join(directory, 'bpf'));
    const maps = join(bpf, `maps-${Abi.VERSION}`);
    mkdirSync(maps, { recursive: true });
    mkdirSync(join(bpf, 'links'));
    object = new BpfObject(readFileSync(new URL('../../bpf/out/port.bpf.o', import.meta.url)), {
      pinDirectory: maps,
    });
    for (const map of ['fdb', 'ports', 'port_counters', 'usage', 'flows']) object.setMaxEntries(map, 64);
    object.load();
    const router = { generation: 7, egress_ifindex: 1, mtu: 1500, flags: RouterFlag.ROUTER_XDP };
    put('routers', bytes(U32, 2), bytes(Router, router));
    put(
      'gateways',
      bytes(GatewayKey, { mac: mac(INSIDE_MAC) }),
      bytes(Gateway, { vni: 2, side: Side.OUTSIDE }),
    );
    const address = ipv4Number('192.168.0.100');
    put('accounts', bytes(AccountKey, { vni: 2, address }), bytes(Account, { slot: 1 }));
    const usage = Array.from({ length: possibleCpus }, () => [1n, 10n, 2n, 20n]).flat();
    put('usage', bytes(U32, 1), new Uint8Array(new BigUint64Array(usage).buffer));

    const nat = { gateway: '10.10.0.2', next_hop: '10.10.0.1' };
    const networks = {
      2: {
        uuid: NETWORK,
        name: 'demonet',
        nat: { ...nat, floats: { '10.10.0.9': '192.168.0.101' }, routed: ['10.10.0.20'] },
      },
      5: { uuid: 'plain', name: 'plain', nat: null },
      9: { uuid: `${NETWORK}-gone`, name: 'other', nat: { ...nat, floats: {}, routed: [] } },
    };
    writeFileSync(
      join(directory, 'names.json'),
      JSON.stringify({ node: 'sf-1', networks, nodes: {}, ports: {} }),
    );

    sh('ip', 'netns', 'add', NETWORK);
    inRouter('ip link add phy-2-i type veth peer name phy-2-o');
    for (const device of ['phy-2-i', 'phy-2-o']) inRouter(`ip link set ${device} up`);
    inRouter('ip addr add 10.10.0.2/24 dev phy-2-i');
    inRouter('ip neigh add 10.10.0.1 lladdr 02:00:00:00:00:09 dev phy-2-i nud permanent');
    inRouter(
      'conntrack -I -p tcp -s 192.168.0.100 -d 198.51.100.1 --sport 40000 --dport 80 --state ESTABLISHED -t 300 -u ASSURED,SEEN_REPLY --reply-src 198.51.100.1 --reply-dst 10.10.0.2 --reply-port-src 80 --reply-port-dst 1024',
    );
    inRouter(
      'conntrack -I -p udp -s 198.51.100.7 -d 10.10.0.9 --sport 5000 --dport 53 -t 100 -u SEEN_REPLY --reply-src 192.168.0.101 --reply-dst 198.51.100.7 --reply-port-src 53 --reply-port-dst 5000',
    );
    inRouter(
      'conntrack -I -p udp -s 192.168.0.100 -d 198.51.100.9 --sport 9 --dport 53 -t 100 --reply-src 198.51.100.9 --reply-dst 10.10.0.2 --reply-port-src 53 --reply-port-dst 9',
    );
  });
  beforeEach(fill);
  after(() => {
    object?.close();
    sh('ip', 'netns', 'delete', NETWORK);
    sh('umount', join(directory, 'bpf'));
    rmSync(directory, { recursive: true });
  });

  it('flow list: both directions in one row, with what conntrack says', async () => {
    const { flows, total } = json(await run(['flow', 'list', '--network', 'demonet', '--json'])) as {
      flows: FlowRow[];
      total: number;
    };
    assert.equal(total, 3);
    const [tcp, udp, icmp] = flows as [FlowRow, FlowRow, FlowRow];
    const { there, back, ...rest } = tcp;
    const { timeout, ...known } = rest.conntrack as Exclude<FlowRow['conntrack'], boolean | null>;
    assert.ok(timeout > 200 && timeout <= 300, `${timeout} s`);
    assert.deepEqual(known, { state: 'established', assured: true, replied: true });
    assert.deepEqual(
      { ...rest, conntrack: null },
      { network: 'demonet', vni: 2, protocol: 'tcp', conntrack: null },
    );
    const { age, refreshed, ...way } = there;
    assert.ok(age >= 2 && age < 60 && refreshed! >= 1 && refreshed! < age, `${age} ${refreshed}`);
    assert.deepEqual(way, {
      original: {
        source: '192.168.0.100',
        source_port: 40000,
        destination: '198.51.100.1',
        destination_port: 80,
      },
      rewritten: {
        source: '10.10.0.2',
        source_port: 1024,
        destination: '198.51.100.1',
        destination_port: 80,
      },
      to: 'outside',
      packets: 30,
      bytes: 3000,
      generation: 7,
      current: true,
    });
    assert.deepEqual([back!.packets, back!.bytes, back!.to, back!.refreshed], [20, 2000, 'inside', null]);
    assert.equal(udp.there.original.source, '198.51.100.7', 'conntrack saw this direction first');
    assert.equal(udp.back!.rewritten.source, '10.10.0.9');
    assert.deepEqual([icmp.conntrack, icmp.back, icmp.there.current], [false, null, false]);
  });

  it('flow list: for people, filtered and limited', async () => {
    const [table, one, address, none] = await Promise.all([
      run(['flow', 'list', '--network', 'demonet']),
      run(['flow', 'list', '--network', 'demonet', '--limit', '1', '--simple']),
      run(['flow', 'list', '--address', '10.10.0.9', '--simple']),
      run(['flow', 'list', '--address', '10.99.0.9', '--simple']),
    ]);
    assert.deepEqual([table.code, table.stderr], [0, '']);
    assert.match(table.stdout, /192.168.0.100:40000 > 198.51.100.1:80 +\| +10.10.0.2:1024 > 198.51.100.1:80/);
    assert.match(table.stdout, /7 \(current\) +\| +established \d+ s/);
    assert.match(table.stdout, /192.168.0.100:77 > 198.51.100.1 +\|.*6 \(old\) +\| +unknown to it/);
    assert.equal(one.stdout.trim().split('\n').length, 2);
    assert.match(one.stdout, /^network,protocol,original,/);
    assert.match(one.stderr, /note: the busiest 1 of 3 flows; --limit 0 shows all/);
    assert.match(
      address.stdout,
      /\ndemonet,udp,198.51.100.7:5000 > 10.10.0.9:53,198.51.100.7:5000 > 192.168.0.101:53,4,3,/,
    );
    assert.equal(none.stdout.trim().split('\n').length, 1);
  });

  it('flow list: a network whose conntrack cannot be asked is shown all the same', async () => {
    const { code, stdout, stderr } = await run(['flow', 'list', '--network', 'other', '--json']);
    assert.equal(code, 0);
    assert.match(stderr, /^fistpath: note: conntrack of network other can't be asked: .*\n$/);
    const { flows } = JSON.parse(stdout) as { flows: FlowRow[] };
    assert.deepEqual([flows.length, flows[0]!.conntrack, flows[0]!.there.current], [1, null, false]);
  });

  it('flow show: one connection by either direction, or why it is not there', async () => {
    const [there, translated, kernel, nowhere, wrong] = await Promise.all([
      run(['flow', 'show', 'tcp', '192.168.0.100:40000', '198.51.100.1:80']),
      run(['flow', 'show', 'tcp', '198.51.100.1', '10.10.0.2:1024', '--json']),
      run(['flow', 'show', 'udp', '192.168.0.100:9', '198.51.100.9:53']),
      run(['flow', 'show', 'tcp', '192.168.0.100:40001', '198.51.100.1:80']),
      run(['flow', 'show', 'tcp', '192.168.0.300', '198.51.100.1:80']),
    ]);
    assert.match(
      there.stdout,
      /^network {5}: demonet \(2\)\nprotocol {4}: tcp\nconntrack {3}: established \d+ s\n/,
    );
    assert.match(
      there.stdout,
      /\nback {8}: 198.51.100.1:80 > 10.10.0.2:1024\nrewritten {3}: 198.51.100.1:80 > 192.168.0.100:40000\n/,
    );
    assert.equal((json(translated).flows as FlowRow[]).length, 1);
    assert.equal(kernel.code, 3);
    assert.match(
      kernel.stderr,
      /no flow udp .*; conntrack of network demonet has it \(unreplied, \d+ s\): the kernel carries it/,
    );
    assert.equal(nowhere.code, 3);
    assert.match(nowhere.stderr, /conntrack of no network here has it either/);
    assert.deepEqual([wrong.code, wrong.stdout], [2, '']);
  });

  it('flow flush: what was chosen, then everything; conntrack keeps its own', async () => {
    const total = async () => json(await run(['flow', 'list', '--json', '--network', 'demonet'])).total;
    assert.equal((await run(['flow', 'flush', '--network', 'other'])).stdout, '1 entries removed\n');
    assert.equal(await total(), 3);
    assert.deepEqual(json(await run(['flow', 'flush', '--address', '10.10.0.9', '--json'])), { removed: 2 });
    assert.equal(await total(), 2);
    assert.deepEqual(json(await run(['flow', 'flush', '--json'])), { removed: 3 });
    assert.equal(await total(), 0);
    assert.match(inRouter('conntrack -L'), /ESTABLISHED/);
  });

  it('nat status: gateway, next hop, floats, flows, connections, ports', async () => {
    const [one, all, none] = await Promise.all([
      run(['nat', 'status', '--network', 'demonet', '--json']),
      run(['nat', 'status']),
      run(['nat', 'status', '--network', 'plain']),
    ]);
    assert.deepEqual(json(one).networks, [
      {
        ...{ network: 'demonet', uuid: NETWORK, vni: 2, gateway: '10.10.0.2', next_hop: '10.10.0.1' },
        ...{ floats: { '10.10.0.9': '192.168.0.101' }, routed: ['10.10.0.20'], where: 'ebpf', generation: 7 },
        ...{ next_hop_state: 'permanent', flows: 3, connections: 3, ports_used: { icmp: 0, tcp: 1, udp: 1 } },
      },
    ]);
    assert.match(
      all.stdout,
      /\| +demonet +\| +ebpf +\| +10.10.0.2 +\| +10.10.0.1 \(answers\) +\| +10.10.0.9 = 192.168.0.101 +\|/,
    );
    assert.match(all.stdout, /1 of 65536/);
    assert.match(all.stdout, /\| +other +\| +kernel +\|/);
    assert.match(all.stderr, /note: network other: conntrack can't be asked/);
    assert.match(none.stderr, /network plain has no NAT on this node/);
  });

  it('nat status: a next hop that does not answer', async () => {
    inRouter('ip neigh replace 10.10.0.1 dev phy-2-i nud failed');
    try {
      assert.match(
        (await run(['nat', 'status', '--network', 'demonet'])).stdout,
        /10.10.0.1 \(does not answer\)/,
      );
    } finally {
      inRouter('ip neigh replace 10.10.0.1 lladdr 02:00:00:00:00:09 dev phy-2-i nud permanent');
    }
  });

  it('the maps of NAT are decoded, named and filtered', async () => {
    const [flows, routers, gateways, accounts, usage, found, flags] = await Promise.all([
      run(['map', 'dump', 'flows', '--network', 'demonet', '--json']),
      run(['map', 'lookup', 'routers', 'demonet', '--json']),
      run(['map', 'dump', 'gateways', '--json']),
      run(['map', 'dump', 'accounts', '--json']),
      run(['map', 'dump', 'usage', '--vni', '2', '--json']),
      run([
        ...['map', 'lookup', 'flows', 'vni=0', 'tuple.source=198.51.100.1', 'tuple.destination=10.10.0.2'],
        ...['tuple.source_port=80', 'tuple.destination_port=1024', 'protocol=6', '--json'],
      ]),
      run(['map', 'dump', 'flows']),
    ]);
    assert.equal((json(flows).entries as unknown[]).length, 5, 'both directions, by whose router decided');
    assert.deepEqual(json(routers), {
      key: { vni: 2 },
      value: { generation: 7, egress_ifindex: 1, mtu: 1500, flags: 1 },
      names: { vni: 'demonet', egress_ifindex: 'lo', flags: 'xdp' },
    });
    assert.deepEqual(json(gateways).entries, [
      { key: { mac: INSIDE_MAC }, value: { vni: 2, side: 1 }, names: { vni: 'demonet', side: 'outside' } },
    ]);
    assert.deepEqual(json(accounts).entries, [
      {
        key: { vni: 2, address: '192.168.0.100' },
        value: { slot: 1 },
        names: { vni: 'demonet', slot: '192.168.0.100' },
      },
    ]);
    const traffic = (n: number) => ({ packets: n * possibleCpus, bytes: 10 * n * possibleCpus });
    assert.deepEqual(json(usage).entries, [
      {
        key: { slot: 1 },
        value: { sent: traffic(1), received: traffic(2) },
        names: { slot: '192.168.0.100' },
      },
    ]);
    const { value, names } = json(found) as { value: Record<string, unknown>; names: unknown };
    assert.deepEqual(value.rewritten, {
      ...{ source: '198.51.100.1', destination: '192.168.0.100', source_port: 80, destination_port: 40000 },
    });
    assert.deepEqual([value.packets, value.router], [20, 2]);
    assert.deepEqual(names, { protocol: 'tcp', router: 'demonet', account: '192.168.0.100' });
    assert.match(flags.stdout, /1 \(outside\)/);
  });

  it('status says where NAT is done, and what is missing', async () => {
    const status = async () =>
      json(await run(['status', '--json'])) as Record<string, string | object[] | null>;
    const kernel = await status();
    assert.equal(kernel.nat, 'kernel');
    assert.match(kernel.nat_reason as string, /learn and uplink are not both attached|no bpf_skb_ct_lookup/);
    const program = object.program('port');
    for (const [pin, ifname] of [
      ['learn-phy-2-i', 'phy-2-i'],
      ['uplink-tc-1', 'phy-2-o'],
    ] as const) {
      const verb = { verb: 'attachTcx', program, ifname, direction: 'egress' } as const;
      await inNamespace(`/run/netns/${NETWORK}`, { ...verb, pin: join(bpf, 'links', pin) });
    }
    try {
      const on = await status();
      assert.deepEqual([on.nat, on.nat_reason], ['ebpf', null]);
      const [learn] = on.attachments as { hook: string; device: string; network: string }[];
      assert.deepEqual([learn!.hook, learn!.device, learn!.network], ['learn', 'phy-2-i', 'demonet']);
      assert.match((await run(['status'])).stdout, /\nnat {9}: ebpf\n/);
    } finally {
      for (const pin of ['learn-phy-2-i', 'uplink-tc-1']) rmSync(join(bpf, 'links', pin));
    }
  });
});
