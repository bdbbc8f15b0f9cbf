/** Whatever happened to a node, one pass makes it what it should be, and the next does nothing. */
import assert from 'node:assert/strict';
import type { Node } from './node.ts';
import { twoNodes } from './node.ts';
import { deviceOf, guest, NETWORK, network, OTHER_NETWORK, SF2 } from './samples.ts';
import { snapshot } from './snapshot.ts';

// A batch is cut in its middle, too; for one kind of port, since that part is the same for both.
const CRASH_STEP = { netns: 0.5, tap: 1 };
const local = [guest(1), guest(2)];
const remote = [guest(3)];
const wanted = network({ local, remote, peer: SF2, router: 'here' });
const port = deviceOf(local[0]!);
const instance = local[0]!.instance;

for (const portKind of ['netns', 'tap'] as const) {
  describe(`kernel fallback, convergence, ${portKind} ports`, () => {
    let sf1: Node;
    let sf2: Node;
    let empty: string[];
    let complete: string[];

    before(async () => {
      [sf1, sf2] = await twoNodes({ portKind });
      await sf1.applied([]);
      await sf1.run('sysctl -w net.bridge.bridge-nf-call-iptables=0'); // stays off when the last network goes
      empty = await snapshot(sf1);
      await sf1.run('sysctl -w net.bridge.bridge-nf-call-iptables=1');
      await sf1.applied([wanted]);
      complete = await snapshot(sf1);
    });
    after(async () => {
      await Promise.all([sf1?.stop(), sf2?.stop()]);
    });

    async function becomesComplete(why: string): Promise<void> {
      const first = await sf1.applied([wanted]);
      assert.deepEqual(await snapshot(sf1), complete, why);
      assert.ok(first.commands > 0, `${why}: nothing was done`);
      assert.equal((await sf1.applied([wanted])).commands, 0, `${why}: the next pass does something`);
    }

    it('has every object of the network', () => {
      const text = complete.join('\n');
      for (const name of ['vxlan-2', 'br-vxlan-2', 'veth-2-o', 'phy-2-o', port])
        assert.match(text, new RegExp(`"${name}"`));
      assert.match(text, /\["02:00:00:00:01:03","vxlan-2","10.2.1.12"\]/);
      assert.match(text, /\["00:00:00:00:00:00","vxlan-2","10.2.1.12"\]/);
      assert.match(text, /\["02:00:00:00:01:03","vxlan-2",null\]/);
      assert.match(text, new RegExp(`\\["02:00:00:00:01:01","${port}",null\\]`));
      assert.match(
        text,
        new RegExp(`"${NETWORK}","veth-2-i",8950,true,"02:00:00:00:00:01",\\["192.168.0.1"\\]`),
      );
      assert.match(text, new RegExp(`"${NETWORK}","phy-2-i",8950,false`));
      assert.match(text, new RegExp(`${NETWORK} /proc/sys/net/ipv4/ip_forward:1`));
      assert.match(text, /^0$/m); // br_netfilter
      assert.doesNotMatch(text, /(vxlan-2|br-vxlan-2|veth-2-o|phy-2-o|p-[0-9a-f]*)\/disable_ipv6 0/);
    });

    it('does nothing in a second pass, nor after a restart', async () => {
      assert.equal((await sf1.applied([wanted])).commands, 0);
      assert.equal((await sf1.apply([wanted], { scope: [NETWORK] })).commands, 0);
      await sf1.restart();
      const again = await sf1.applied([wanted]);
      assert.equal(again.commands, 0);
      assert.ok(again.processes <= 10, `${again.processes} processes`);
      assert.deepEqual(await snapshot(sf1), complete);
    });

    it('removes everything of a network that leaves', async () => {
      const result = await sf1.applied([]);
      assert.deepEqual(await snapshot(sf1), empty);
      const steps = result.networks[NETWORK]!.steps.map(({ operation }) => operation);
      for (const what of ['vxlan interface', 'vxlan bridge', 'router veth', 'netns'])
        assert.ok(steps.includes(`delete ${what}`));
      assert.equal((await sf1.applied([])).commands, 0);
      await becomesComplete('after removal');
    });

    it('goes on after a crash behind and inside each process of the making and of the removal', async () => {
      for (const target of [[wanted], []]) {
        for (let changes = 0; ; changes += CRASH_STEP[portKind]) {
          await sf1.applied(target.length > 0 ? [] : [wanted]);
          const crashed = await sf1.apply(target, { changes }).then(
            () => false,
            (error: Error) => error.message.includes('crash'),
          );
          await sf1.restart();
          await sf1.applied(target);
          const expected = target.length > 0 ? complete : empty;
          assert.deepEqual(await snapshot(sf1), expected, `crash behind ${changes} changes`);
          assert.equal((await sf1.applied(target)).commands, 0);
          if (!crashed) {
            assert.ok(changes > 1, `only ${changes} changes`);
            break;
          }
        }
      }
      await sf1.applied([wanted]);
    });

    const foreign = [
      'ip link del vxlan-2',
      'ip link del br-vxlan-2',
      'ip link del veth-2-o',
      'ip link del phy-2-o',
      `ip link del ${port}`,
      `ip netns del ${NETWORK}`,
      ...(portKind === 'netns' ? [`ip netns del ${instance}`, `@${instance} ip link del eth0`] : []),
      `@${NETWORK} ip link set veth-2-i down`,
      `@${NETWORK} ip addr flush dev veth-2-i`,
      `@${NETWORK} ip link set veth-2-i address 02:00:00:00:00:77`,
      'nft delete table ip fistpath',
      'nft delete table bridge fistpath',
      'nft flush chain bridge fistpath sender',
      'nft flush set ip fistpath mesh',
      'nft flush set bridge fistpath macs',
      'nft add element ip fistpath mesh { 10.2.1.99 . 0x2 }',
      `nft add element bridge fistpath addresses { "${port}" . 1.2.3.4 }`,
      'nft add rule bridge fistpath sender accept',
      'bridge fdb del 02:00:00:00:01:03 dev vxlan-2 dst 10.2.1.12 self',
      'bridge fdb replace 02:00:00:00:01:03 dev vxlan-2 dst 10.2.1.99 self static',
      'bridge fdb del 00:00:00:00:00:00 dev vxlan-2 dst 10.2.1.12 self',
      'bridge fdb append 00:00:00:00:00:00 dev vxlan-2 dst 10.2.1.11 self static',
      'bridge fdb add 02:00:00:00:01:55 dev vxlan-2 dst 10.2.1.99 self static',
      'bridge fdb del 02:00:00:00:01:03 dev vxlan-2 master',
      `bridge fdb del 02:00:00:00:01:01 dev ${port} master`,
      `bridge fdb replace 02:00:00:00:01:01 dev vxlan-2 master static`,
      `bridge fdb add 02:00:00:00:01:55 dev ${port} master static`,
      `bridge link set dev ${port} learning on`,
      'ip link set vxlan-2 down',
      'ip link set br-vxlan-2 down',
      `ip link set ${port} down`,
      `ip link set ${port} nomaster`,
      `ip link set ${port} mtu 1500`,
      'ip link set vxlan-2 mtu 1500',
      'ip link set br-vxlan-2 mtu 1500',
      'ip link set vxlan-2 type vxlan ttl 3',
      'ip link set br-vxlan-2 type bridge mcast_snooping 1',
      'ip link set br-vxlan-2 type bridge stp_state 1',
      'ip link set vxlan-2 group 1718186100',
      'sysctl -w net.bridge.bridge-nf-call-iptables=1',
      'sysctl -w net.ipv6.conf.vxlan-2.disable_ipv6=0',
    ];
    it('repairs whatever somebody else deletes or changes', async () => {
      // What does not touch ports is tried for one kind.
      for (const command of foreign.filter((each) => portKind === 'netns' || each.includes(port))) {
        await sf1.run(command);
        await becomesComplete(command);
      }
    });

    it('replaces devices with other settings', async () => {
      const wrong = [
        'type vxlan id 2 local 10.2.1.11 dev mesh0 dstport 8472 nolearning ttl 64',
        'type vxlan id 3 local 10.2.1.11 dev mesh0 dstport 4789 nolearning ttl 64',
        'type vxlan id 2 local 10.2.1.99 dev mesh0 dstport 4789 nolearning ttl 64',
        'type vxlan id 2 local 10.2.1.11 dev mesh0 dstport 4789 learning ttl 64',
        'type bridge',
      ];
      for (const settings of wrong) {
        await sf1.run('ip link del vxlan-2');
        await sf1.run(`ip link add vxlan-2 ${settings}`);
        await sf1.run(`ip link set vxlan-2 alias fistpath:${NETWORK}`);
        await becomesComplete(settings);
      }
      await sf1.run(`ip link del ${port}`);
      await sf1.run(`ip tuntap add dev ${port} mode tap`);
      await sf1.run(`ip link set ${port} alias fistpath:${NETWORK}:${local[0]!.interface}`);
      await becomesComplete('a tap without virtio-net header');
    });

    it('follows changes of the network', async () => {
      const moved = network({
        local: [local[0]!],
        remote: [...remote, local[1]!],
        peer: SF2,
        router: 'here',
        mtu: 1450,
      });
      await sf1.applied([moved]);
      const text = (await snapshot(sf1)).join('\n');
      assert.match(text, /"vxlan-2","[^"]*",1450/);
      assert.match(text, /"veth-2-i",1450/);
      if (portKind === 'netns') assert.match(text, /"eth0",1450/);
      assert.match(text, new RegExp(`\\["${local[1]!.mac}","vxlan-2","10.2.1.12"\\]`));
      assert.doesNotMatch(text, new RegExp(`${deviceOf(local[1]!)}|${local[1]!.instance}`));
      await becomesComplete('back again');

      const otherMac = { ...local[0]!, mac: '02:00:00:00:01:88', ipv4: '192.168.0.188' };
      await sf1.applied([network({ local: [otherMac, local[1]!], remote, peer: SF2, router: 'here' })]);
      const after = (await snapshot(sf1)).join('\n');
      assert.doesNotMatch(after, /02:00:00:00:01:01|192\.168\.0\.101/);
      await becomesComplete('MAC and address back again');
    });

    it('hands a vxid over to another network', async () => {
      const heir = network({ uuid: OTHER_NETWORK, local: [guest(5)], peer: SF2 });
      await sf1.applied([heir]);
      const text = (await snapshot(sf1)).join('\n');
      assert.doesNotMatch(text, new RegExp(NETWORK));
      assert.match(text, new RegExp(`"vxlan-2","fistpath:${OTHER_NETWORK}"`));
      await becomesComplete('handed back');
    });

    it('leaves the objects of others alone, and says what is in the way', async () => {
      const second = network({
        uuid: OTHER_NETWORK,
        vni: 3,
        local: [guest(5, 3)],
        peer: SF2,
        router: 'here',
      });
      await sf1.run('ip link add vxlan-3 type bridge');
      await sf1.run('ip link add br-other type bridge');
      await sf1.run('ip netns add other');
      await sf1.run('nft add table bridge other');
      const result = await sf1.apply([wanted, second]);
      assert.match(
        result.networks[OTHER_NETWORK]!.error ?? '',
        /device vxlan-3 exists and is not fistpath's/,
      );
      assert.equal(result.networks[NETWORK]!.error, undefined);
      assert.equal(result.commands, 0);
      await sf1.run('ip link del vxlan-3');

      await sf1.run(`ip netns add ${OTHER_NETWORK}`);
      const blocked = await sf1.apply([wanted, second]);
      assert.match(blocked.networks[OTHER_NETWORK]!.error ?? '', /namespace .* was not made by fistpath/);
      await sf1.run(`ip netns del ${OTHER_NETWORK}`);

      await sf1.applied([wanted, second]);
      await sf1.applied([]);
      const left = (await snapshot(sf1)).join('\n');
      assert.match(left, /"br-other"/);
      assert.match(left, /"other","lo"/);
      assert.match(left, /table bridge other/);
      await sf1.run('ip link del br-other');
      await sf1.run('ip netns del other');
      await sf1.run('nft delete table bridge other');
      await becomesComplete('others gone');
    });

    it('touches nothing outside the scope of a pass', async () => {
      await sf1.run('bridge fdb del 02:00:00:00:01:03 dev vxlan-2 master');
      const before = await snapshot(sf1);
      const second = network({ uuid: OTHER_NETWORK, vni: 3, local: [guest(5, 3)], peer: SF2 });
      await sf1.apply([wanted, second], { scope: [OTHER_NETWORK] });
      const removed = await sf1.apply([wanted], { scope: [OTHER_NETWORK] });
      assert.ok(removed.networks[OTHER_NETWORK]!.steps.length > 0);
      assert.deepEqual(await snapshot(sf1), before);
      await becomesComplete('scope');
    });
  });
}
