/** What the command line says of NAT in three real nodes: flows that the fast path learned, conntrack that decided them. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FlowRow } from '../../src/cli/inspect/flow-rows.ts';
import type { NatRow } from '../../src/cli/inspect/nat.ts';
import type { Network } from '../lab/cluster.ts';
import { useCluster } from '../lab/fixture.ts';
import type { Guest } from '../lab/guest.ts';
import { floatingOf, natload, type Steady } from '../lab/nat.ts';
import { ECHO_PORT, NEXT_HOP, SERVER_ADDRESS, startEcho } from '../lab/outside.ts';
import { until } from '../lab/process.ts';

describe('CLI: NAT in the lab', function () {
  this.timeout(90_000);
  const CONNECTIONS = 3;
  let network: Network;
  let far: Guest;
  let floating: string;
  const cluster = useCluster({ ports: 'netns' }, async () => {
    network = await cluster.createNetwork('nat', '192.168.0.0/24', { nat: true });
    far = await cluster.createGuest('far', network, 'sf-2');
    const own = await cluster.createGuest('floating', network, 'sf-1', { float: true });
    floating = await floatingOf(cluster, own);
    await startEcho(cluster.server);
  });
  const run = (...words: string[]) => cluster.cli(cluster.controller, words);
  const flows = async (...words: string[]) =>
    (await cluster.cliJson<{ flows: FlowRow[] }>(cluster.controller, ['flow', 'list', ...words])).flows;

  it('flow list, show and flush, and nat status, under traffic', async () => {
    const traffic = natload<Steady>(far, 'steady', SERVER_ADDRESS, CONNECTIONS, 100, 8);
    await sleep(2000);
    let rows = await flows('--network', 'nat');
    assert.deepEqual(rows.map(({ protocol }) => protocol).sort(), [
      ...Array.from({ length: CONNECTIONS }, () => 'tcp'),
      'udp',
    ]);
    for (const { there, back, conntrack, protocol, network: name } of rows) {
      assert.equal(name, 'nat');
      assert.deepEqual(
        [there.original.source, there.original.destination_port],
        [far.address.ipv4, ECHO_PORT],
      );
      assert.equal(there.rewritten.destination, SERVER_ADDRESS);
      assert.equal(there.to, 'outside');
      assert.ok(back !== null, 'both directions are cached');
      assert.deepEqual(
        [back.original.source, back.rewritten.destination],
        [SERVER_ADDRESS, far.address.ipv4],
      );
      assert.ok(there.packets > 20 && back.packets > 20, `${protocol}: ${there.packets}, ${back.packets}`);
      assert.ok(there.bytes >= 28 * there.packets, `${there.bytes} bytes in ${there.packets} packets`);
      assert.ok(there.current && back.current);
      assert.ok(conntrack !== null && conntrack !== false, 'conntrack knows it');
      assert.ok(conntrack.replied && (protocol === 'udp' || conntrack.state === 'established'));
    }
    const tcp = rows.find(({ protocol }) => protocol === 'tcp')!.there.original;
    const shown = await run('flow', 'show', 'tcp', `${tcp.source}:${tcp.source_port}`, SERVER_ADDRESS);
    assert.match(shown.stdout, /^network {5}: nat \(\d+\)\n[\s\S]*\nconntrack {3}: established \d+ s\n/);

    const [nat] = (await cluster.cliJson<{ networks: NatRow[] }>(cluster.controller, ['nat', 'status']))
      .networks;
    const { where, gateway, next_hop, next_hop_state, floats, flows: count, connections, ports_used } = nat!;
    assert.deepEqual([where, next_hop, count], ['ebpf', NEXT_HOP, CONNECTIONS + 1]);
    assert.equal(gateway, rows[0]!.there.rewritten.source);
    assert.ok(['reachable', 'stale', 'delay', 'probe'].includes(next_hop_state!), String(next_hop_state));
    assert.deepEqual(Object.keys(floats), [floating]);
    assert.ok(connections! >= CONNECTIONS + 1);
    assert.deepEqual(ports_used, { icmp: 0, tcp: CONNECTIONS, udp: 1 });

    const before = Math.max(...rows.map(({ there }) => there.packets));
    assert.match((await run('flow', 'flush', '--network', 'nat')).stdout, /^[1-9][0-9]* entries removed\n$/);
    await sleep(500);
    rows = await flows('--network', 'nat');
    assert.equal(rows.length, CONNECTIONS + 1, 'learned again');
    assert.ok(Math.max(...rows.map(({ there }) => there.packets)) < before, 'counted anew');
    const { tcp: alive, udp } = await traffic;
    assert.equal(alive.broken, 0);
    assert.ok(udp.sent - udp.received <= 1, `${udp.sent - udp.received} datagrams lost`);
    await until('closed connections are forgotten', async () => {
      const left = await flows('--network', 'nat');
      return left.every(({ protocol }) => protocol === 'udp');
    });
  });

  it('status, counters and fdb know the network node', async () => {
    const status = await run('status');
    assert.match(status.stdout, /\nnat {9}: ebpf\n/);
    assert.match(status.stdout, /\| +learn +\| +tcx +\| +phy-[0-9a-f]+-i +\| +nat +\|/);
    assert.match(status.stdout, /\| +uplink +\| +tcx +\| +uplink0 +\|/);
    const counters = await run('counters');
    assert.match(counters.stdout, /\| learn +\| kernel +\| learned +\|/);
    assert.match(counters.stdout, /\| uplink +\| (tunnel|port) +\|/);
    const fdb = await run('fdb', 'show', 'nat');
    assert.deepEqual([fdb.code, fdb.stderr], [0, ''], fdb.stdout);
    assert.match((await run('node', 'show', 'sf-1')).stdout, /\nnat {9}: ebpf\n/);
    assert.doesNotMatch((await run('node', 'show', 'sf-2')).stdout, /\nnat/);
  });

  it('network ping answers from the router', async () => {
    const answered = await run('network', 'ping', 'nat', far.address.ipv4);
    assert.equal(answered.code, 0, answered.stderr);
    assert.match(answered.stdout, /10 received, 0% packet loss/);
    assert.equal((await run('network', 'ping', 'nat', '192.168.0.250')).code, 1);
  });

  it('on the kernel path the same commands say so', async () => {
    await cluster.setMode('kernel');
    const [nat] = (await cluster.cliJson<{ networks: NatRow[] }>(cluster.controller, ['nat', 'status']))
      .networks;
    assert.equal(nat!.where, 'kernel');
    const status = await run('status');
    assert.match(status.stdout, /\nnat {9}: kernel\nnat reason {2}: \S/);
    assert.deepEqual(
      (await flows('--network', 'nat')).filter(({ there }) => there.current),
      [],
    );
  });
});
