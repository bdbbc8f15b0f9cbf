import assert from 'node:assert/strict';
import type { Mode, PortKind } from './cluster.ts';
import { checksumErrors, iperf3, pingLoss, useCluster } from './fixture.ts';
import type { Guest } from './guest.ts';
import { joinPlainly } from './plain.ts';
import { until } from './process.ts';
import { nodeScript } from './repository.ts';

const PLAIN = { name: 'plain', address: '10.2.1.14' };
const MODES: Mode[] = ['ebpf', 'kernel'];
const KINDS: PortKind[] = ['netns', 'tap'];

for (const ports of KINDS) {
  describe(`a plain kernel VXLAN peer and a ${ports} guest`, function () {
    this.timeout(30_000);
    let guest: Guest | undefined;
    let peer: Guest | undefined;
    const cluster = useCluster({ ports, bystanders: [PLAIN] }, async () => {
      const plain = cluster.node(PLAIN.name);
      plain.start('stand-in-agent', [
        ...nodeScript('lab/stand-in-agent-child'),
        cluster.agentsAddress,
        plain.name,
        plain.address,
      ]);
      const rest = cluster.rest;
      await until('the plain node is known', async () => {
        const nodes = await rest.call<{ name: string }[]>('GET', '/nodes');
        return nodes.some((node) => node.name === plain.name);
      });
      const network = await cluster.createNetwork('mixed', '192.168.0.0/24');
      guest = await cluster.createGuest('guest', network, 'sf-2');
      const instance = await cluster.createInstance('peer', network, plain.name);
      const own = instance.interfaces[0]!;
      peer = await joinPlainly(plain, {
        vni: network.vxid,
        peers: [cluster.node('sf-1').address, cluster.node('sf-2').address],
        guest: { mac: own.macaddr, ipv4: own.ipv4!, prefix: 24, mtu: network.mtu },
      });
    });

    for (const mode of MODES) {
      it(`${mode}: exchange ping, TCP and UDP in both directions`, async () => {
        await cluster.setMode(mode);
        for (const [from, to] of [
          [guest!, peer!],
          [peer!, guest!],
        ] as const) {
          assert.equal(await pingLoss(from, to.address.ipv4, 20), 0);
          const tcp = await iperf3(from, to, ['--bytes', '20M']);
          assert.ok(tcp.end.sum_sent!.bytes >= 20_000_000);
          const udp = await iperf3(from, to, [
            '--udp',
            '--bytes',
            '1M',
            '--bitrate',
            '10M',
            '--length',
            '1200',
          ]);
          assert.ok(
            udp.end.sum!.lost_packets < udp.end.sum!.packets / 20,
            `${udp.end.sum!.lost_packets} lost`,
          );
        }
        for (const each of [guest!, peer!]) assert.equal(await checksumErrors(each), 0);
      });
    }
  });
}
