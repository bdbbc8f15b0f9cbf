import assert from 'node:assert/strict';
import { Capture, inject } from './capture.ts';
import type { Mode, Network, PortKind } from './cluster.ts';
import { pingLoss, useCluster } from './fixture.ts';
import { GUEST_DEVICE, type Guest } from './guest.ts';
import { markOf, matrix } from './matrix.ts';
import { arp, ethernet, ipv4, udp, udpFrame, vxlan } from './packet.ts';
import type { LabNode } from './topology.ts';

const OUTSIDER = { name: 'outsider', address: '10.2.1.14' };
const MODES: Mode[] = ['ebpf', 'kernel'];
const KINDS: PortKind[] = ['netns', 'tap'];
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const COPIES = 20;

const mark = (name: string) => Buffer.from(`fistpath#${name}#`.padEnd(64, '.'));

async function macOf(node: LabNode): Promise<string> {
  const [link] = JSON.parse(await node.run(['ip', '-j', 'link', 'show', 'mesh0'])) as [{ address: string }];
  return link.address;
}

for (const ports of KINDS) {
  describe(`isolation of ${ports} guests`, function () {
    this.timeout(30_000);
    let [one, two]: Network[] = [];
    /** Of network `one`: a and b on sf-2, c on sf-3. Of network `two`, same addresses: a on sf-2, c on sf-3. */
    let [a1, b1, c1, a2, c2]: Guest[] = [];
    /** A network that sf-3 is no member of, and its guest on sf-2. */
    let [narrow, narrowGuest]: [Network?, Guest?] = [];
    const cluster = useCluster({ ports, bystanders: [OUTSIDER] }, async () => {
      one = await cluster.createNetwork('one', '192.168.0.0/24');
      two = await cluster.createNetwork('two', '192.168.0.0/24');
      narrow = await cluster.createNetwork('narrow', '192.168.0.0/24');
      a1 = await cluster.createGuest('a1', one, 'sf-2', { address: '192.168.0.11' });
      b1 = await cluster.createGuest('b1', one, 'sf-2', { address: '192.168.0.12' });
      c1 = await cluster.createGuest('c1', one, 'sf-3', { address: '192.168.0.13' });
      a2 = await cluster.createGuest('a2', two, 'sf-2', { address: '192.168.0.11' });
      c2 = await cluster.createGuest('c2', two, 'sf-3', { address: '192.168.0.13' });
      narrowGuest = await cluster.createGuest('narrow', narrow, 'sf-2', { address: '192.168.0.11' });
    });

    /** Captures in guests while `work` runs; the marks of what arrived from outside, by guest. */
    async function arrivals(guests: Guest[], work: () => Promise<void>): Promise<Map<Guest, string[]>> {
      const captures = await Promise.all(
        guests.map((guest) => Capture.start(guest.node, GUEST_DEVICE, guest.namespace)),
      );
      await work();
      const seen = new Map<Guest, string[]>();
      for (const [i, guest] of guests.entries()) {
        const frames = (await captures[i]!.end(250)).filter((frame) => !frame.out);
        seen.set(
          guest,
          frames.map((frame) => markOf(frame.bytes)).filter((each) => each !== undefined),
        );
      }
      return seen;
    }

    /** A tunnel packet from a node to sf-2 with its true outer addresses. */
    async function tunnelPacket(from: LabNode, vni: number, inner: Buffer): Promise<Buffer> {
      const to = cluster.node('sf-2');
      const packet = ipv4(from.address, to.address, 17, udp(50000, 4789, vxlan(vni, inner)));
      return ethernet(await macOf(to), await macOf(from), 0x0800, packet);
    }

    /** What could reach a guest: UDP and TCP to it, a broadcast, an ARP request. From the MAC of nobody. */
    function temptations(name: string, guest: Guest): Buffer[] {
      const stranger = { mac: '02:00:00:00:ba:ad', ip: '192.168.0.77' };
      const { mac, ipv4: address } = guest.address;
      const tcp = Buffer.concat([
        Buffer.from('9c4000090000000000000000500203e800000000', 'hex'),
        mark(`${name} tcp`),
      ]);
      return [
        ethernet(mac, stranger.mac, 0x0800, ipv4(stranger.ip, address, 17, udp(1, 9, mark(`${name} udp`)))),
        ethernet(mac, stranger.mac, 0x0800, ipv4(stranger.ip, address, 6, tcp)),
        ethernet(
          BROADCAST,
          stranger.mac,
          0x0800,
          ipv4(stranger.ip, '255.255.255.255', 17, udp(1, 9, mark(`${name} broadcast`))),
        ),
        ethernet(
          BROADCAST,
          stranger.mac,
          0x0806,
          Buffer.concat([arp(1, stranger, { mac: '00:00:00:00:00:00', ip: address }), mark(`${name} arp`)]),
        ),
      ];
    }

    async function forge(from: LabNode, vni: number, inner: Buffer[]): Promise<void> {
      const packets = await Promise.all(inner.map((frame) => tunnelPacket(from, vni, frame)));
      await inject(from, 'mesh0', Array.from({ length: COPIES }, () => packets).flat());
    }

    for (const mode of MODES) {
      describe(`${mode} mode`, () => {
        before(() => cluster.setMode(mode));

        it('admits tunnel packets of a member only', async () => {
          const [member, outsider] = [cluster.node('sf-1'), cluster.node(OUTSIDER.name)];
          const otherMember = cluster.node('sf-3');
          const seen = await arrivals([a1!, narrowGuest!], async () => {
            await forge(member, narrow!.vxid, temptations('member', narrowGuest!));
            await forge(outsider, one!.vxid, temptations('outsider', a1!));
            await forge(otherMember, narrow!.vxid, temptations('member of others', narrowGuest!));
          });
          const kinds = ['udp', 'tcp', 'broadcast', 'arp'];
          const honest = kinds.flatMap((kind) => Array<string>(COPIES).fill(`member ${kind}`));
          assert.deepEqual(seen.get(narrowGuest!)!.toSorted(), honest.toSorted());
          assert.deepEqual(seen.get(a1!), []);
        });

        it('delivers nothing of a sender that pretends to be another', async () => {
          const near = {
            sourceMac: a1!.address.mac,
            destinationMac: b1!.address.mac,
            source: '192.168.0.11',
            destination: '192.168.0.12',
          };
          const far = { ...near, destinationMac: c1!.address.mac, destination: '192.168.0.13' };
          const frames: Buffer[] = [];
          for (const [ends, victim, label] of [
            [near, c1!, 'near'],
            [far, b1!, 'far'],
          ] as const) {
            const { mac, ipv4: address } = victim.address;
            frames.push(
              udpFrame({ ...ends, sourceMac: mac }, 9, mark(`${label} spoofed mac`)),
              udpFrame({ ...ends, source: address }, 9, mark(`${label} spoofed ipv4`)),
              udpFrame({ ...ends, sourceMac: mac, source: address }, 9, mark(`${label} spoofed both`)),
              udpFrame(
                { ...ends, destinationMac: BROADCAST, source: address },
                9,
                mark(`${label} spoofed broadcast`),
              ),
            );
            for (const [sender, name] of [
              [{ mac, ip: ends.source }, 'arp mac'],
              [{ mac: ends.sourceMac, ip: address }, 'arp ip'],
            ] as const) {
              for (const operation of [1, 2]) {
                const message = arp(operation, sender, { mac: ends.destinationMac, ip: ends.destination });
                const payload = Buffer.concat([message, mark(`${label} spoofed ${name} ${operation}`)]);
                frames.push(ethernet(BROADCAST, ends.sourceMac, 0x0806, payload));
                frames.push(ethernet(ends.destinationMac, ends.sourceMac, 0x0806, payload));
              }
            }
            // Around the guard: an address inside a priority tag, or inside LLC/SNAP.
            const hidden = ipv4(address, ends.destination, 17, udp(1, 9, mark(`${label} spoofed hidden`)));
            const tagged = Buffer.concat([Buffer.from([0, 0, 8, 0]), hidden]);
            frames.push(ethernet(ends.destinationMac, ends.sourceMac, 0x8100, tagged));
            const snap = Buffer.concat([Buffer.from('aaaa030000000800', 'hex'), hidden]);
            frames.push(ethernet(ends.destinationMac, ends.sourceMac, snap.length, snap));
            frames.push(udpFrame(ends, 9, mark(`${label} honest`)));
          }
          const seen = await arrivals([b1!, c1!], () =>
            inject(a1!.node, GUEST_DEVICE, frames, a1!.namespace),
          );
          assert.deepEqual(seen.get(b1!), ['near honest']);
          assert.deepEqual(seen.get(c1!), ['far honest']);
        });

        it('keeps two networks with the same addresses apart', async () => {
          assert.equal(await pingLoss(a1!, '192.168.0.13', 3), 0);
          assert.equal(await pingLoss(a2!, '192.168.0.13', 3), 0);
          const ends = { sourceMac: a1!.address.mac, source: '192.168.0.11', destination: '192.168.0.13' };
          // To the MACs of its own network, and to those of the other.
          const frames = [c1!, c2!, a2!].flatMap((to, i) =>
            matrix(`${i}`, { ...ends, destinationMac: to.address.mac }, one!.mtu).map((each) => each.frame),
          );
          const seen = await arrivals([c1!, a2!, c2!, narrowGuest!], () =>
            inject(a1!.node, GUEST_DEVICE, frames, a1!.namespace),
          );
          assert.ok(seen.get(c1!)!.length > 50);
          for (const guest of [a2!, c2!, narrowGuest!]) assert.deepEqual(seen.get(guest), []);
        });
      });
    }
  });
}
