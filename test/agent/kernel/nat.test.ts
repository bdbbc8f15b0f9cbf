/** A network node, its routers and an outside: real packets through netfilter. */
import assert from 'node:assert/strict';
import { readOutsideTraffic } from '../../../src/agent/kernel/traffic.ts';
import { udpFrame } from '../../lab/packet.ts';
import { deliver, watch } from './frames.ts';
import { SERVER, type Site, site, UPLINK, withRoute } from './outside.ts';
import {
  deviceOf,
  GATEWAY,
  type Guest,
  guest,
  type NatOptions,
  NETWORK,
  NEXT_HOP,
  network,
  OTHER_NETWORK,
  SF1,
  SF2,
} from './samples.ts';
import { ask, at, type Background, FTP, ftpFetch, PORT, startPython, talk } from './talk.ts';

const OTHER_GATEWAY = '10.10.0.3';
const FLOAT = '10.10.0.50';
const SECOND_FLOAT = '10.10.0.51';
const ROUTED = '10.10.0.60';
/** One for each session: the port that data comes from rests for a minute. */
const FTP_SERVERS = ['198.51.100.21', '198.51.100.22', '198.51.100.23'];

const hexOf = (ipv4: string) => Buffer.from(ipv4.split('.').map(Number)).toString('hex');

const trafficOf = ({ sf1 }: Site) =>
  readOutsideTraffic(NETWORK, (command, args) => sf1.tryRun(command, ...args));

async function countOf(all: Site, way: 'sent' | 'received'): Promise<number> {
  return [...(await trafficOf(all)).values()].reduce((sum, each) => sum + each[way].packets, 0);
}

describe('kernel fallback, NAT', () => {
  const [alice, bob, carol] = [guest(1), guest(2), guest(3)] as const;
  // The same addresses and MACs in another network with NAT.
  const twin: Guest = { ...guest(1, 3), mac: alice.mac, ipv4: alice.ipv4 };
  const background: Background[] = [];
  let all: Site;

  const first = (nat: NatOptions | undefined, routed: string[] = []) =>
    network({
      ...{ local: [alice, bob], remote: [carol], peer: SF2, router: 'here', routed },
      ...(nat && { nat }),
    });
  const second = (nat: NatOptions) =>
    network({
      ...{ uuid: OTHER_NETWORK, vni: 3, local: [twin], peer: null, router: 'here' },
      nat: { gateway: OTHER_GATEWAY, ...nat },
    });
  const apply = (nat: NatOptions | undefined, routed: string[] = [], other: NatOptions = {}) =>
    all.sf1.applied([first(nat, routed), second(other)]);
  const outside = () => ({ node: all.outside });
  const inBackground = async (started: Promise<Background>) => background.push(await started);

  before(async () => {
    all = await site();
    const { sf1, sf2 } = all;
    await apply({});
    await sf2.applied([
      network({ local: [carol], remote: [alice, bob], peer: SF1, router: 'there', routed: [ROUTED] }),
    ]);
    for (const [node, each] of [
      [sf1, alice],
      [sf1, bob],
      [sf1, twin],
      [sf2, carol],
    ] as const) {
      await withRoute(node, each);
      await inBackground(talk(at(node, each), 'echo', `${PORT}`, each.ipv4, ROUTED));
    }
    await inBackground(talk(outside(), 'echo', `${PORT}`, NEXT_HOP, SERVER));
    for (const address of FTP_SERVERS) await inBackground(startPython(outside(), FTP, 'serve', address));
  });
  afterEach(async () => {
    await apply({});
  });
  after(async () => {
    for (const each of background) await each.stop();
    await Promise.all([all?.sf1.stop(), all?.sf2.stop(), all?.outside.stop()]);
  });

  it('lets guests of both nodes reach the outside as their network’s gateway, the same netblock twice', async () => {
    for (const kind of ['udp', 'tcp'] as const) {
      assert.equal(await ask(at(all.sf1, alice), SERVER, kind), GATEWAY);
      assert.equal(await ask(at(all.sf2, carol), SERVER, kind), GATEWAY);
      assert.equal(await ask(at(all.sf1, twin), SERVER, kind), OTHER_GATEWAY);
    }
    for (const [node, { instance }] of [
      [all.sf1, alice],
      [all.sf2, carol],
      [all.sf1, twin],
    ] as const)
      assert.match(await node.run(`@${instance} ping -c 2 -i 0.1 -W 1 ${SERVER}`), / 0% packet loss/);
  });

  it('tells a guest the smaller MTU of the outside', async () => {
    const { stdout } = await all.sf2.tryRun(
      ...`nsenter --net=/run/netns/${carol.instance} ping -c 1 -W 1 -M do -s 1473 ${SERVER}`.split(' '),
    );
    assert.match(stdout, /From 192\.168\.0\.1 .*Frag needed and DF set \(mtu = 1500\)/);
    assert.match(
      await all.sf2.run(`@${carol.instance} ping -c 1 -W 1 -M do -s 1472 ${SERVER}`),
      / 0% packet loss/,
    );
  });

  it('reaches an instance by its floating address, and lets it leave as it', async () => {
    await apply({ floats: { [FLOAT]: carol, [SECOND_FLOAT]: alice } });
    for (const kind of ['udp', 'tcp'] as const) {
      assert.equal(await ask(outside(), FLOAT, kind), NEXT_HOP);
      assert.equal(await ask(at(all.sf2, carol), SERVER, kind), FLOAT);
      assert.equal(await ask(at(all.sf1, alice), SERVER, kind), SECOND_FLOAT);
      assert.equal(await ask(at(all.sf1, bob), SERVER, kind), GATEWAY);
    }
    assert.match(await all.outside.run(`ping -c 2 -i 0.1 -W 1 ${FLOAT}`), / 0% packet loss/);
    // The router asks the instance, too, and does not answer for it.
    const before = await countOf(all, 'received');
    assert.match(await all.sf1.run(`@${NETWORK} ping -c 1 -W 1 ${FLOAT}`), / 0% packet loss/);
    await all.sf2.run(`@${carol.instance} ip link set eth0 down`);
    const dead = await all.sf1.tryRun(
      ...`nsenter --net=/run/netns/${NETWORK} ping -c 1 -W 1 ${FLOAT}`.split(' '),
    );
    assert.match(dead.stdout, /100% packet loss/);
    await all.sf2.run(`@${carol.instance} ip link set eth0 up`);
    await withRoute(all.sf2, carol);
    assert.equal(await countOf(all, 'received'), before, 'the router itself is not the outside');
  });

  it('answers for a floating address that moved, long before the outside’s ARP entry is doubted', async () => {
    await apply({ floats: { [FLOAT]: alice } });
    assert.equal(await ask(outside(), FLOAT, 'udp'), NEXT_HOP);
    // To another instance of the same network, then to another router: the outside has the old one's MAC.
    await apply({ floats: { [FLOAT]: bob } });
    assert.equal(await ask(outside(), FLOAT, 'udp'), NEXT_HOP);
    await apply({}, [], { floats: { [FLOAT]: twin } });
    const started = Date.now();
    while ((await ask(outside(), FLOAT, 'udp')) === 'none') assert.ok(Date.now() - started < 3000);
    assert.equal(await ask(at(all.sf1, twin), SERVER, 'udp'), FLOAT);
    assert.match(await all.outside.run(`ip neigh show ${FLOAT}`), /06:00:00:00:03:01/);
  });

  it('turns back what guests send to floating addresses of their own and of other networks', async () => {
    await apply({ floats: { [FLOAT]: alice } }, [], { floats: { [SECOND_FLOAT]: twin } });
    for (const kind of ['udp', 'tcp'] as const) {
      assert.equal(await ask(at(all.sf1, bob), FLOAT, kind), GATEWAY);
      assert.equal(await ask(at(all.sf2, carol), FLOAT, kind), GATEWAY);
      assert.equal(await ask(at(all.sf1, alice), FLOAT, kind), FLOAT, 'itself');
      assert.equal(await ask(at(all.sf1, alice), SECOND_FLOAT, kind), FLOAT);
      assert.equal(await ask(at(all.sf1, twin), FLOAT, kind), SECOND_FLOAT);
      assert.equal(await ask(at(all.sf1, bob), SECOND_FLOAT, kind), GATEWAY);
    }
  });

  it('lets instances have routed addresses as their own', async () => {
    const { sf1, sf2 } = all;
    await sf2.run(`@${carol.instance} ip addr add ${ROUTED}/32 dev lo`);
    await sf1.run(`@${alice.instance} ip addr add ${ROUTED}/32 dev lo`);
    try {
      assert.equal(await ask(outside(), ROUTED, 'udp'), 'none');
      assert.equal(await ask(at(sf1, alice), SERVER, 'udp', ROUTED), 'none', 'not routed yet');
      await apply({}, [ROUTED]);
      // Two have it here; whoever answers the router first. One is enough.
      await sf1.run(`@${alice.instance} ip addr del ${ROUTED}/32 dev lo`);
      await sf1.run(`@${NETWORK} ip neigh flush dev veth-2-i`);
      const started = Date.now();
      for (const kind of ['udp', 'tcp'] as const) {
        assert.equal(await ask(outside(), ROUTED, kind), NEXT_HOP);
        assert.equal(await ask(at(sf2, carol), SERVER, kind, ROUTED), ROUTED);
        assert.equal(await ask(at(sf1, bob), ROUTED, kind), bob.ipv4, 'from inside, as itself');
      }
      assert.ok(Date.now() - started < 3000, 'ARP for a routed address is answered at once');
      assert.match(
        await sf1.run('nft list set bridge fistpath addresses'),
        new RegExp(`"${deviceOf(alice)}" . ${ROUTED}`),
      );
      const answers = await all.outside.run(`arping -c 1 -w 2 -I out0 ${ROUTED}`);
      assert.match(answers, /reply from 10\.10\.0\.60 \[06:00:00:00:00:01\]/);
      await apply({});
      assert.equal(await ask(outside(), ROUTED, 'udp'), 'none');
      assert.equal(await ask(at(sf2, carol), SERVER, 'udp', ROUTED), 'none');
    } finally {
      await sf2.run(`@${carol.instance} ip addr del ${ROUTED}/32 dev lo`);
    }
  });

  it('lets nothing in that was not asked for', async () => {
    await apply({ floats: { [FLOAT]: alice } });
    const text = await all.outside.run('ip -j link show dev out0');
    const outer = {
      sourceMac: (JSON.parse(text) as { address: string }[])[0]!.address,
      destinationMac: '06:00:00:00:00:01',
    };
    const payload = Buffer.from('unsolicited');
    const frame = (source: string, destination: string, port = PORT) =>
      udpFrame({ ...outer, source, destination }, port, payload);
    const forbidden = [
      frame(NEXT_HOP, bob.ipv4),
      frame(SERVER, bob.ipv4),
      frame(NEXT_HOP, alice.ipv4),
      frame(NEXT_HOP, GATEWAY),
      frame(bob.ipv4, FLOAT),
      frame(bob.ipv4, alice.ipv4),
      frame(NEXT_HOP, '10.10.0.99'),
      frame(NEXT_HOP, '192.168.0.1', 53),
      frame(NEXT_HOP, GATEWAY, 53),
      frame(NEXT_HOP, '192.168.0.255', 67),
    ];
    const places = [alice, bob].map(({ instance }) => ({
      node: all.sf1,
      device: 'eth0',
      namespace: instance,
    }));
    const out = { node: all.outside, device: 'out0' };
    const seen = await deliver(out, [...forbidden, frame(NEXT_HOP, FLOAT)], [...places, out]);
    const hits = seen.map((frames) => frames.filter((hex) => hex.includes(payload.toString('hex'))).length);
    assert.deepEqual(hits, [1, 0, 0]);
    // The router answers echo, and nothing else.
    assert.match(await all.outside.run(`ping -c 1 -W 1 ${GATEWAY}`), / 0% packet loss/);
    assert.equal(await ask(outside(), GATEWAY, 'tcp'), 'none');
    // Inside addresses are nobody's business outside.
    const arping = await all.outside.tryRun('arping', '-c', '1', '-w', '1', '-I', 'out0', '192.168.0.1');
    assert.match(arping.stdout, /Received 0 response/);
  });

  it('follows FTP in active mode, from behind the gateway and a floating address', async function () {
    const probe = `add table ip probe; add ct helper ip probe ftp { type "ftp" protocol tcp; }`;
    const { code } = await all.sf1.tryRun('nft', '-c', probe);
    if (code !== 0) this.skip();
    const [one = '', two = '', three = ''] = FTP_SERVERS;
    const hashes = [await ftpFetch(at(all.sf1, alice), one), await ftpFetch(at(all.sf2, carol), two)];
    await apply({ floats: { [FLOAT]: carol } });
    hashes.push(await ftpFetch(at(all.sf2, carol), three));
    assert.match(hashes[0]!, /^[0-9a-f]{64}$/);
    assert.equal(new Set(hashes).size, 1);
  });

  it('counts what each instance exchanges with the outside', async () => {
    await apply({ floats: { [FLOAT]: carol } });
    const before = await trafficOf(all);
    await all.sf2.run(`@${carol.instance} ping -c 5 -i 0.05 -W 1 -s 100 ${SERVER}`);
    await all.outside.run(`ping -c 3 -i 0.05 -W 1 -s 100 ${FLOAT}`);
    await all.sf1.run(`@${alice.instance} ping -c 2 -i 0.05 -W 1 ${carol.ipv4}`);
    const after = await trafficOf(all);
    const grown = (ipv4: string) =>
      (['sent', 'received'] as const).map((way) => {
        const [a, b] = [before.get(ipv4)![way], after.get(ipv4)![way]];
        return [b.packets - a.packets, b.bytes - a.bytes];
      });
    assert.deepEqual(grown(carol.ipv4), [
      [8, 1024],
      [8, 1024],
    ]);
    assert.deepEqual(grown(alice.ipv4), [
      [0, 0],
      [0, 0],
    ]);
    // A change of something else does not begin anew.
    await apply({ floats: { [FLOAT]: carol, [SECOND_FLOAT]: alice } });
    assert.deepEqual((await trafficOf(all)).get(carol.ipv4), after.get(carol.ipv4));
    // The address of another interface does.
    const heir = { ...carol, interface: guest(9).interface };
    await all.sf1.applied([
      network({ local: [alice, bob], remote: [heir], peer: SF2, router: 'here', nat: {} }),
      second({}),
    ]);
    assert.deepEqual((await trafficOf(all)).get(carol.ipv4)!.sent, { packets: 0, bytes: 0 });
  });

  const takenAway: [string, NatOptions, NatOptions | undefined, string, string][] = [
    ['a floating address', { floats: { [FLOAT]: alice } }, {}, FLOAT, FLOAT],
    [
      'a floating address that goes to another',
      { floats: { [FLOAT]: alice } },
      { floats: { [FLOAT]: bob } },
      FLOAT,
      FLOAT,
    ],
    ['NAT', {}, undefined, GATEWAY, GATEWAY],
    ['a gateway', {}, { gateway: '10.10.0.9' }, GATEWAY, GATEWAY],
  ];
  for (const [what, nat, then, source, target] of takenAway) {
    it(`lets not one packet pass that ${what} would have let pass, once a pass without it is done`, async () => {
      await apply(nat);
      const out = { node: all.outside, device: 'out0' };
      const inside = { node: all.sf1, device: 'eth0', namespace: alice.instance };
      const streams = [
        await talk(at(all.sf1, alice), 'stream', SERVER, '7001'),
        await talk(outside(), 'stream', target, '7002'),
      ];
      try {
        const toOutside = (hexes: string[]) =>
          hexes.filter((hex) => hex.includes(`${hexOf(source)}${hexOf(SERVER)}`));
        const toInside = (hexes: string[]) =>
          hexes.filter((hex) => hex.includes(`${hexOf(NEXT_HOP)}${hexOf(alice.ipv4)}`));
        const [sent, received] = await watch(300, [out, inside]);
        assert.ok(toOutside(sent!).length > 50, `${sent!.length} frames`);
        if (target === FLOAT) assert.ok(toInside(received!).length > 50);
        await apply(then);
        const [after, later] = await watch(500, [out, inside]);
        assert.deepEqual([toOutside(after!).length, toInside(later!).length], [0, 0]);
      } finally {
        for (const each of streams) await each.stop();
      }
    });
  }

  it('forgets the connections of an address whose interface goes', async () => {
    const stream = await talk(at(all.sf1, alice), 'stream', SERVER, '7001');
    try {
      await apply({});
      await all.sf1.applied([
        network({ local: [bob], remote: [carol], peer: SF2, router: 'here', nat: {} }),
        second({}),
      ]);
      assert.doesNotMatch(
        await all.sf1.run(`@${NETWORK} conntrack -L`),
        new RegExp(alice.ipv4.replaceAll('.', '\\.')),
      );
    } finally {
      await stream.stop();
    }
  });

  it('says which device the fast path sends to', async () => {
    const { networks } = await apply({});
    const index = async (device: string) =>
      (
        JSON.parse(await all.sf1.run(`ip -j link show dev ${device}`)) as {
          ifindex: number;
          address: string;
        }[]
      )[0]!;
    const { nat } = networks[NETWORK]!.devices!;
    assert.equal(nat!.egressIfindex, (await index(UPLINK.device)).ifindex);
    assert.deepEqual([nat!.uplinkMtu, nat!.vethInner, nat!.physicalInner], [1500, 'veth-2-i', 'phy-2-i']);
  });
});
