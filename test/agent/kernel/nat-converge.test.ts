/** Whatever happened to a router with NAT, to its rules and to the egress bridge: a pass makes it right, the next does nothing. */
import assert from 'node:assert/strict';
import type { fistpath } from '#proto';
import type { Node } from './node.ts';
import { type Site, site, UPLINK } from './outside.ts';
import { GATEWAY, guest, type NatOptions, NETWORK, network, OTHER_NETWORK, SF2 } from './samples.ts';
import { snapshot } from './snapshot.ts';

const FLOAT = '10.10.0.50';
const SECOND_FLOAT = '10.10.0.51';
const ROUTED = '10.10.0.60';
const [alice, bob, carol] = [guest(1), guest(2), guest(3)];
const networkWith = (nat: NatOptions | undefined, routed: string[] = []) =>
  network({ local: [alice, bob], remote: [carol], peer: SF2, router: 'here', routed, ...(nat && { nat }) });
const wanted = networkWith({ floats: { [FLOAT]: alice } }, [ROUTED]);
const changed = networkWith({ floats: { [FLOAT]: bob, [SECOND_FLOAT]: carol } }, []);
const without = networkWith(undefined);

describe('kernel fallback, NAT, convergence', () => {
  let all: Site;
  let sf1: Node;
  let empty: string[];
  let complete: string[];

  before(async () => {
    all = await site();
    sf1 = all.sf1;
    await sf1.run('sysctl -w net.bridge.bridge-nf-call-iptables=0');
    await sf1.applied([]);
    empty = await snapshot(sf1);
    await sf1.applied([wanted]);
    complete = await snapshot(sf1);
  });
  after(async () => {
    await Promise.all([all?.sf1.stop(), all?.sf2.stop(), all?.outside.stop()]);
  });

  async function becomesComplete(why: string): Promise<void> {
    const first = await sf1.applied([wanted]);
    assert.deepEqual(await snapshot(sf1), complete, why);
    assert.ok(first.commands > 0, `${why}: nothing was done`);
    assert.equal((await sf1.applied([wanted])).commands, 0, `${why}: the next pass does something`);
  }

  it('has every object of the network, and the names of its steps', async () => {
    const text = complete.join('\n');
    for (const expected of [
      /"br-egress","fistpath:egress",1500,true/,
      /"uplink0",null,1500,true,"br-egress"/,
      /"phy-2-o","fistpath:[^"]*",1500,true,"br-egress",false,false/,
      /\["06:00:00:00:00:01","phy-2-o",null\]/,
      /"phy-2-i",1500,true,"06:00:00:00:00:01",\["10\.10\.0\.2","10\.10\.0\.50"\]/,
      /default via 10\.10\.0\.1 dev phy-2-i src 10\.10\.0\.2/,
      /10\.10\.0\.60 dev veth-2-i/,
      /10\.10\.0\.60 dev phy-2-i proxy/,
      /nf_conntrack_tcp_be_liberal:1/,
      /conf\/phy-2-i\/send_redirects:0/,
    ])
      assert.match(text, expected);
    await sf1.applied([]);
    const { networks } = await sf1.applied([wanted]);
    const steps = networks[NETWORK]!.steps.map(({ operation }) => operation);
    for (const step of [
      'create egress bridge',
      'create physical veth',
      'enable virtual routing',
      'enable nat',
    ])
      assert.ok(steps.includes(step), `${step} in ${steps.join()}`);
  });

  it('does nothing in a second pass, nor after a restart', async () => {
    assert.equal((await sf1.applied([wanted])).commands, 0);
    assert.equal((await sf1.apply([wanted], { scope: [NETWORK] })).commands, 0);
    await sf1.restart();
    const again = await sf1.applied([wanted]);
    assert.equal(again.commands, 0);
    assert.ok(again.processes <= 11, `${again.processes} processes`);
    assert.deepEqual(await snapshot(sf1), complete);
  });

  it('changes one namespace by one process, and tells the outside by another', async () => {
    const result = await sf1.apply([changed], { scope: [NETWORK] });
    assert.ok(result.processes <= 8, `${result.processes} processes`);
    const steps = result.networks[NETWORK]!.steps.map(({ operation }) => operation);
    assert.deepEqual(steps, ['update nat']);
    await becomesComplete('back again');
  });

  it('leaves no trace of what it removes: the address, NAT, the network', async () => {
    await sf1.applied([networkWith({})]);
    const plain = (await snapshot(sf1)).join('\n');
    assert.doesNotMatch(plain, new RegExp(`${FLOAT}|${ROUTED}`));
    await sf1.run(`@${NETWORK} ping -c 1 -W 1 10.10.0.1`);
    assert.notEqual((await sf1.run(`@${NETWORK} conntrack -C`)).trim(), '0');
    const off = await sf1.applied([without]);
    assert.equal((await sf1.run(`@${NETWORK} conntrack -C`)).trim(), '0');
    assert.ok(off.networks[NETWORK]!.steps.some(({ operation }) => operation === 'delete nat'));
    assert.equal((await sf1.applied([without])).commands, 0);
    const text = (await snapshot(sf1)).join('\n');
    assert.doesNotMatch(text, new RegExp(`${NETWORK} .*table|10\\.10\\.0\\.|br-egress|06:00`));
    await becomesComplete('NAT again');
    await sf1.applied([]);
    assert.deepEqual(await snapshot(sf1), empty);
    await becomesComplete('the network again');
  });

  // A network's making and removal are cut inside batches in other tests.
  const crashes: [string, fistpath.INodeNetwork[], fistpath.INodeNetwork[], number][] = [
    ['another address', [wanted], [changed], 0.5],
    ['NAT off', [changed], [without], 0.5],
    ['NAT on', [without], [wanted], 0.5],
    ['removal', [wanted], [], 1],
    ['making', [], [wanted], 1],
  ];
  for (const [what, from, to, step] of crashes) {
    it(`goes on after a crash behind and inside each process: ${what}`, async () => {
      await sf1.applied(to);
      const expected = await snapshot(sf1);
      for (let changes = 0; ; changes += step) {
        await sf1.applied(from);
        const crashed = await sf1.apply(to, { changes }).then(
          () => false,
          (error: Error) => error.message.includes('crash'),
        );
        await sf1.restart();
        await sf1.applied(to);
        assert.deepEqual(await snapshot(sf1), expected, `crash behind ${changes} processes`);
        assert.equal((await sf1.applied(to)).commands, 0);
        if (!crashed) break;
      }
      await sf1.applied([wanted]);
    });
  }

  it('forgets connections though it crashed between the rules and that, and was told to go back since', async () => {
    const entry = (from: string, to: string) =>
      `@${NETWORK} conntrack -I -p udp -t 600 -s 10.10.0.1 -d ${FLOAT} -r ${to} -q ${from} --sport 5 --dport 6 --reply-port-src 6 --reply-port-dst 5`;
    const table = () => sf1.run(`@${NETWORK} conntrack -L -p udp --dport 6`);
    // A connection of a time when the address was bob's, that nobody has forgotten when it is alice's again.
    let crashed = false;
    for (let changes = 0; changes < 5; changes += 0.5) {
      await sf1.applied([wanted]);
      await sf1.apply([changed], { changes }).catch(() => {
        crashed = true;
      });
      await sf1.tryRun(...entryWords(entry('10.10.0.1', bob.ipv4)));
      await sf1.restart();
      await sf1.applied([wanted]);
      assert.equal(await table(), '', `crash behind ${changes} processes`);
    }
    assert.ok(crashed);
    // One that holds stays.
    await sf1.run(entry('10.10.0.1', alice.ipv4));
    await sf1.applied([networkWith({ floats: { [FLOAT]: alice, [SECOND_FLOAT]: carol } }, [ROUTED])]);
    await sf1.applied([wanted]);
    assert.match(await table(), new RegExp(alice.ipv4));
  });

  it('repairs whatever somebody else deletes or changes', async () => {
    for (const command of [
      'ip link del br-egress',
      'ip link del phy-2-o',
      'ip link set uplink0 nomaster',
      'ip link set uplink0 down',
      'ip link set br-egress down',
      'ip link set br-egress mtu 1400',
      'ip link set phy-2-o nomaster',
      'ip link set phy-2-o down',
      'ip link set phy-2-o type bridge_slave flood on',
      'ip link set phy-2-o type bridge_slave learning on',
      'bridge fdb del 06:00:00:00:00:01 dev phy-2-o master',
      `@${NETWORK} ip link set phy-2-i down`,
      `@${NETWORK} ip link set phy-2-i mtu 1400`,
      `@${NETWORK} ip link set phy-2-i address 06:00:00:00:00:77`,
      `@${NETWORK} ip link del veth-2-i`,
      `@${NETWORK} ip link set veth-2-i down`,
      `@${NETWORK} ip addr flush dev phy-2-i`,
      `@${NETWORK} ip addr del ${FLOAT}/32 dev phy-2-i`,
      `@${NETWORK} ip addr add ${SECOND_FLOAT}/32 dev phy-2-i`,
      `@${NETWORK} ip route del default`,
      `@${NETWORK} ip route del ${ROUTED}`,
      `@${NETWORK} ip neigh del proxy ${ROUTED} dev phy-2-i`,
      `@${NETWORK} ip neigh add proxy ${SECOND_FLOAT} dev phy-2-i`,
      `@${NETWORK} nft delete table ip fistpath`,
      `@${NETWORK} nft flush chain ip fistpath forward`,
      `@${NETWORK} nft flush map ip fistpath floats`,
      `@${NETWORK} nft add element ip fistpath floats { ${SECOND_FLOAT} : ${bob.ipv4} }`,
      `@${NETWORK} nft delete element ip fistpath sent { ${carol.ipv4} }`,
      `@${NETWORK} nft add rule ip fistpath source accept`,
      `@${NETWORK} sysctl -qw net.ipv4.ip_forward=0`,
      `@${NETWORK} sysctl -qw net.ipv4.conf.phy-2-i.rp_filter=1`,
      `@${NETWORK} sysctl -qw net.ipv4.conf.veth-2-i.send_redirects=1`,
      `@${NETWORK} sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0`,
      `ip netns del ${NETWORK}`,
    ]) {
      await sf1.run(command);
      await becomesComplete(command);
    }
  });

  it('makes routes again with a device, though nobody looks inside', async () => {
    for (const device of ['veth-2-o', 'phy-2-o']) {
      await sf1.run(`ip link del ${device}`);
      await sf1.apply([wanted], { scope: [NETWORK] });
      assert.deepEqual(await snapshot(sf1), complete, device);
    }
  });

  it('starts anew when it has forgotten what it did', async () => {
    await sf1.run(`truncate -s 0 /run/state/netns/${NETWORK}`);
    await sf1.restart();
    await becomesComplete('torn memory');
  });

  it('uses an operator’s bridge as it is', async () => {
    await sf1.applied([]);
    await sf1.run('ip link add br0 type bridge stp_state 0');
    await sf1.run('ip link set br0 up');
    await sf1.run('ip link set uplink0 master br0');
    await sf1.run('ip addr add 10.10.0.4/24 dev br0');
    const before = await snapshot(sf1);
    await sf1.configure({ uplink: { ...UPLINK, bridge: 'br0' } });
    const { networks } = await sf1.applied([wanted]);
    const index = JSON.parse(await sf1.run('ip -j link show dev br0')) as { ifindex: number }[];
    assert.equal(networks[NETWORK]!.devices!.nat!.egressIfindex, index[0]!.ifindex);
    assert.match(await all.outside.run(`ping -c 1 -W 1 ${GATEWAY}`), / 0% packet loss/);
    assert.equal((await sf1.applied([wanted])).commands, 0);
    await sf1.run('ip link set br0 down');
    assert.match(await errorOf(wanted), /egress bridge br0 is down/);
    await sf1.run('ip link set br0 up');
    await sf1.applied([]);
    assert.deepEqual(await snapshot(sf1), before);
    await sf1.run('ip link del br0');
    await sf1.configure({ uplink: UPLINK });
    await becomesComplete('our bridge again');
  });

  async function errorOf(...networks: ReturnType<typeof network>[]): Promise<string> {
    return (await sf1.apply(networks)).networks[NETWORK]!.error ?? '';
  }

  it('says why there is no way outside, builds the rest, and leaves other networks alone', async () => {
    const other = network({ uuid: OTHER_NETWORK, vni: 3, local: [guest(5, 3)], peer: SF2, router: 'here' });
    const cases: [string[], Partial<typeof UPLINK> | null, RegExp][] = [
      [[], null, /this node has no uplink: set "uplink" in its configuration/],
      [[], { device: 'eth9' }, /uplink device eth9 does not exist: correct uplink\.device/],
      [
        ['ip addr add 10.10.0.4/24 dev uplink0'],
        {},
        /carries 10\.10\.0\.4\/24.*name the bridge in uplink\.bridge/,
      ],
      [['ip -6 addr add 2001:db8::1/64 dev uplink0 nodad'], {}, /carries 2001:db8::1\/64/],
      [['ip link add br9 type bridge', 'ip link set uplink0 master br9'], {}, /is a port of br9/],
      [['ip link add br-egress type veth peer name x9'], {}, /br-egress is no bridge: name another/],
      [
        ['ip link add br9 type bridge'],
        { device: 'br9' },
        /br9 is a bridge itself: name it in uplink\.bridge/,
      ],
      [[], { device: 'mesh0' }, /uplink device mesh0 is the mesh device, too, and carries 10\.2\.1\.11\/24/],
    ];
    for (const [commands, change, expected] of cases) {
      await sf1.applied([]);
      for (const command of commands) await sf1.run(command);
      await sf1.configure({ uplink: change && { ...UPLINK, ...change } });
      const { networks } = await sf1.apply([wanted, other]);
      assert.match(networks[NETWORK]!.error ?? '', expected);
      assert.equal(networks[OTHER_NETWORK]!.error, undefined);
      assert.equal((await sf1.apply([wanted, other])).commands, 0, `${expected}`);
      // Guests talk to each other and to the router all the same.
      assert.match(await sf1.run(`@${alice.instance} ping -c 1 -W 1 192.168.0.1`), / 0% packet loss/);
      for (const undo of [
        'ip link del br9',
        'ip link del x9',
        'ip addr flush dev uplink0',
        'ip link set uplink0 up',
      ])
        await sf1.tryRun(...undo.split(' '));
      await sf1.configure({ uplink: UPLINK });
    }
    await becomesComplete('with an uplink');
  });

  it('keeps what a network has while the uplink is away, and takes up where it was', async () => {
    await sf1.run('ip link set uplink0 name away');
    assert.match(await errorOf(wanted), /uplink device uplink0 does not exist/);
    assert.match((await snapshot(sf1)).join('\n'), /"phy-2-i",1500,true,"06:00:00:00:00:01"/);
    await sf1.run('ip link set away name uplink0');
    await sf1.applied([wanted]);
    assert.deepEqual(await snapshot(sf1), complete);
  });

  it('follows a pool of another size', async () => {
    const { router } = wanted;
    const wide = { ...wanted, router: { ...router, nat: { ...router!.nat, pool: '10.10.0.0/16' } } };
    // By what is remembered: such a pass does not look inside.
    assert.equal((await sf1.apply([wide], { scope: [NETWORK] })).networks[NETWORK]!.error, undefined);
    const changed = await snapshot(sf1);
    await sf1.applied([]);
    await sf1.applied([wide]);
    assert.deepEqual(changed, await snapshot(sf1));
    await becomesComplete('the first pool again');
  });

  it('follows the uplink’s MTU, and another uplink', async () => {
    await sf1.run('ip link set uplink0 mtu 1400');
    await sf1.applied([wanted]);
    assert.match((await snapshot(sf1)).join('\n'), /"phy-2-i",1400/);
    await sf1.run('ip link set uplink0 mtu 1500');
    await becomesComplete('MTU back again');
    await sf1.run('ip link add uplink1 mtu 1500 type veth peer name far1');
    await sf1.configure({ uplink: { device: 'uplink1', bridge: 'br-other' } });
    await sf1.applied([wanted]);
    const text = (await snapshot(sf1)).join('\n');
    assert.match(text, /"uplink1",null,1500,true,"br-other"/);
    assert.match(text, /"uplink0",null,1500,true,null/);
    assert.doesNotMatch(text, /br-egress/);
    await sf1.configure({ uplink: { device: 'uplink0', bridge: 'br-other' } });
    await sf1.applied([wanted]);
    assert.match((await snapshot(sf1)).join('\n'), /"uplink1",null,1500,true,null/);
    await sf1.run('ip link del uplink1');
    await sf1.configure({ uplink: UPLINK });
    await becomesComplete('the first uplink again');
  });
});

/** Words of a command for a namespace, as Node.run makes them. */
function entryWords(text: string): string[] {
  const [first = '', ...rest] = text.split(' ');
  return ['nsenter', `--net=/run/netns/${first.slice(1)}`, ...rest];
}
