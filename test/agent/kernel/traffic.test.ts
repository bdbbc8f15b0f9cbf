/** Two nodes, real packets: what must arrive, and what must not. */
import assert from 'node:assert/strict';
import { arp, ethernet, ipv4, udp, udpFrame, vxlan } from '../../lab/packet.ts';
import { deliver, type Place } from './frames.ts';
import { type Node, twoNodes, UNDERLAY_DEVICE } from './node.ts';
import { type Guest, guest, network, OTHER_NETWORK, SF1, SF2 } from './samples.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const PAYLOAD = Buffer.alloc(64, 0xab);

describe('kernel fallback, traffic', () => {
  const [alice, bob, carol] = [guest(1), guest(2), guest(3)] as const;
  // The same netblock, addresses and MACs in another network, on the other node only.
  const twin = { ...guest(1, 3), mac: alice.mac, ipv4: alice.ipv4 };
  const twinOfCarol = { ...guest(3, 3), mac: carol.mac, ipv4: carol.ipv4 };
  let sf1: Node;
  let sf2: Node;

  const inside = (node: Node, { instance }: Guest): Place => ({ node, device: 'eth0', namespace: instance });
  const ends = (from: Guest, to: Guest) => ({
    sourceMac: from.mac,
    source: from.ipv4,
    destinationMac: to.mac,
    destination: to.ipv4,
  });

  before(async () => {
    [sf1, sf2] = await twoNodes();
    const other = { uuid: OTHER_NETWORK, vni: 3 };
    // sf-2 has two networks; sf-1 only one, so that sf-1's address is no member of the other.
    await sf1.applied([network({ local: [alice, bob], remote: [carol], peer: SF2, router: 'here' })]);
    await sf2.applied([
      network({ local: [carol], remote: [alice, bob], peer: SF1, router: 'there' }),
      network({ ...other, local: [twin, twinOfCarol], peer: null }),
    ]);
  });
  after(async () => {
    await Promise.all([sf1?.stop(), sf2?.stop()]);
  });

  it('carries pings of the full MTU between the nodes and to the router', async () => {
    for (const address of [alice.ipv4, bob.ipv4, '192.168.0.1']) {
      const output = await sf2.run(`@${carol.instance} ping -c 3 -i 0.05 -W 1 -s 8922 -M do ${address}`);
      assert.match(output, / 0% packet loss/);
    }
  });

  it('keeps 200 pings between two guests of a node off the underlay and off other guests', async () => {
    const output = await sf1.run(`@${alice.instance} ping -c 1 -W 1 ${bob.ipv4}`); // ARP is broadcast
    assert.match(output, / 0% packet loss/);
    const packets = async (place: Place, key: 'rx' | 'tx') => {
      const enter = place.namespace === undefined ? '' : `@${place.namespace} `;
      const text = await place.node.run(`${enter}ip -j -s link show dev ${place.device}`);
      return (JSON.parse(text) as { stats64: Record<string, { packets: number }> }[])[0]!.stats64[key]!
        .packets;
    };
    const underlay = { node: sf1, device: UNDERLAY_DEVICE };
    const before = [await packets(underlay, 'tx'), await packets(inside(sf2, carol), 'rx')];
    const pings = await sf1.run(`@${alice.instance} ping -c 200 -i 0.002 -W 1 ${bob.ipv4}`);
    assert.match(pings, /200 packets transmitted, 200 received/);
    const after = [await packets(underlay, 'tx'), await packets(inside(sf2, carol), 'rx')];
    for (const [i, count] of after.entries())
      assert.ok(count - before[i]! <= 4, `${count - before[i]!} frames`);
  });

  it("lets a guest send with its own addresses only, on its node and to another's", async () => {
    const plain = udpFrame(ends(alice, bob), 9, PAYLOAD);
    const far = udpFrame(ends(alice, carol), 9, PAYLOAD);
    const target = { mac: '00:00:00:00:00:00', ip: bob.ipv4 };
    const sendArp = (sender: { mac: string; ip: string }, operation = 1, source = alice.mac) =>
      ethernet(BROADCAST, source, 0x0806, arp(operation, sender, target));
    const ip = (source: string, destination: string, ports: [number, number]) =>
      ethernet(BROADCAST, alice.mac, 0x0800, ipv4(source, destination, 17, udp(...ports, PAYLOAD)));
    const tagged = (id: number) =>
      Buffer.concat([
        plain.subarray(0, 12),
        Buffer.from([0x81, 0x00, id >> 8, id & 255]),
        plain.subarray(12),
      ]);
    const wrongArp = arp(1, { mac: alice.mac, ip: alice.ipv4 }, target);
    wrongArp[4] = 8; // hardware address length

    const forbidden: Record<string, Buffer> = {
      'MAC of another': udpFrame({ ...ends(alice, bob), sourceMac: carol.mac }, 9, PAYLOAD),
      'MAC of another, broadcast': udpFrame(
        { ...ends(alice, bob), sourceMac: carol.mac, destinationMac: BROADCAST },
        9,
        PAYLOAD,
      ),
      'IPv4 of another': udpFrame({ ...ends(alice, bob), source: carol.ipv4 }, 9, PAYLOAD),
      'IPv4 of another to the other node': udpFrame({ ...ends(alice, carol), source: bob.ipv4 }, 9, PAYLOAD),
      'IPv4 of nobody, broadcast': ip('0.0.0.0', '255.255.255.255', [68, 69]),
      'DHCP server': ip('0.0.0.0', '255.255.255.255', [67, 68]),
      'ARP sender IP of another': sendArp({ mac: alice.mac, ip: carol.ipv4 }),
      'ARP sender MAC of another': sendArp({ mac: carol.mac, ip: alice.ipv4 }),
      'ARP reply for another': sendArp({ mac: alice.mac, ip: '192.168.0.1' }, 2),
      'ARP reply from 0.0.0.0': sendArp({ mac: alice.mac, ip: '0.0.0.0' }, 2),
      'ARP in a frame of another': sendArp({ mac: alice.mac, ip: alice.ipv4 }, 1, carol.mac),
      'malformed ARP': ethernet(BROADCAST, alice.mac, 0x0806, wrongArp),
      'VLAN 0': tagged(0),
      'LLC/SNAP': ethernet(
        bob.mac,
        alice.mac,
        64,
        Buffer.concat([Buffer.from('aaaa030000000800', 'hex'), PAYLOAD]),
      ),
      'EtherType of nothing': ethernet(bob.mac, alice.mac, 0x88b5, PAYLOAD),
      'provider VLAN': ethernet(bob.mac, alice.mac, 0x88a8, PAYLOAD),
      RARP: ethernet(BROADCAST, alice.mac, 0x8035, PAYLOAD),
    };
    const allowed: Record<string, Buffer> = {
      unicast: plain,
      'unicast to the other node': far,
      'ARP request': sendArp({ mac: alice.mac, ip: alice.ipv4 }),
      'ARP probe': sendArp({ mac: alice.mac, ip: '0.0.0.0' }),
      'DHCP client': ip('0.0.0.0', '255.255.255.255', [68, 67]),
      'VLAN 5': tagged(5),
      IPv6: ethernet(bob.mac, alice.mac, 0x86dd, Buffer.alloc(60, 0x60)),
    };
    const places = [inside(sf1, bob), inside(sf2, carol)];
    const all = [...Object.values(forbidden), ...Object.values(allowed)];
    const [bobs, carols] = await deliver(inside(sf1, alice), all, places);
    const arrived = (frame: Buffer) => [bobs, carols].some((hexes) => hexes!.includes(frame.toString('hex')));
    assert.deepEqual(
      Object.keys(forbidden).filter((name) => arrived(forbidden[name]!)),
      [],
    );
    assert.deepEqual(
      Object.keys(allowed).filter((name) => !arrived(allowed[name]!)),
      [],
    );
    assert.match(
      await sf1.run('nft list table bridge fistpath'),
      /counter packets [1-9]\d* bytes \d+ drop comment "EtherType"/,
    );
  });

  it('takes tunnel packets from members of the mesh of that VNI only', async () => {
    const underlayMac = async (node: Node) =>
      (JSON.parse(await node.run(`ip -j link show dev ${UNDERLAY_DEVICE}`)) as { address: string }[])[0]!
        .address;
    const outer = {
      sourceMac: await underlayMac(sf1),
      destinationMac: await underlayMac(sf2),
      destination: SF2,
    };
    const tunnel = (source: string, vni: number, inner: Buffer) =>
      udpFrame({ ...outer, source }, 4789, vxlan(vni, inner));
    const inner = (mark: number) =>
      udpFrame({ ...ends(alice, carol), destinationMac: BROADCAST }, mark, PAYLOAD);
    const forged = [
      tunnel('10.2.1.99', 2, inner(1001)), // no member of anything
      tunnel('10.2.1.99', 3, inner(1002)),
      tunnel(SF1, 3, inner(1003)), // a member of another VNI
      tunnel('10.2.1.1', 2, udpFrame(ends(alice, carol), 1004, PAYLOAD)),
    ];
    const genuine = tunnel(SF1, 2, inner(1005));
    const from = { node: sf1, device: UNDERLAY_DEVICE };
    const places = [inside(sf2, carol), inside(sf2, twinOfCarol)];
    const [carols, twins] = await deliver(from, [...forged, genuine], places);
    assert.deepEqual(carols, [inner(1005).toString('hex')]);
    assert.deepEqual(twins, []);
    assert.match(
      await sf2.run('nft list table ip fistpath'),
      /counter packets 4 bytes \d+ drop comment "no member"/,
    );
  });

  it('keeps networks with the same netblock and MACs apart', async () => {
    const hello = (n: number) => udpFrame({ ...ends(alice, carol), destinationMac: BROADCAST }, n, PAYLOAD);
    const direct = (n: number) => udpFrame(ends(alice, carol), n, PAYLOAD);
    const places = [inside(sf2, carol), inside(sf2, twinOfCarol)];
    const hex = (frames: Buffer[]) => frames.map((frame) => frame.toString('hex'));
    // The guests' own ARP is not what is looked at.
    const ours = (hexes: string[]) => hexes.filter((each) => each.includes(PAYLOAD.toString('hex')));
    const here = (await deliver(inside(sf1, alice), [hello(2001), direct(2002)], places)).map(ours);
    assert.deepEqual(here, [hex([hello(2001), direct(2002)]), []]);
    const everywhere = [...places, inside(sf1, bob)];
    const there = (await deliver(inside(sf2, twin), [hello(2003), direct(2004)], everywhere)).map(ours);
    assert.deepEqual(there, [[], hex([hello(2003), direct(2004)]), []]);
  });

  it('lets no local user but root send tunnel packets', async () => {
    const send = `import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(bytes(60), ("${SF2}", 4789))`;
    const before = await sf1.run('nft list table ip fistpath');
    assert.match(before, /counter packets 0 bytes 0 drop comment "forged by a local user"/);
    const { code, stderr } = await sf1.tryRun(
      'setpriv',
      '--reuid',
      '65534',
      '--clear-groups',
      '/usr/bin/python3',
      '-c',
      send,
    );
    assert.match(stderr, /PermissionError/);
    assert.notEqual(code, 0);
    assert.match(
      await sf1.run('nft list table ip fistpath'),
      /counter packets 1 .* drop comment "forged by a local user"/,
    );
  });
});
