import assert from 'node:assert/strict';
import { Capture, inject } from './capture.ts';
import type { Mode, PortKind } from './cluster.ts';
import { packetsOf, readCounters } from './counters.ts';
import { pingLoss, useCluster } from './fixture.ts';
import { GUEST_DEVICE, type Guest } from './guest.ts';
import { type Case, markOf, matrix } from './matrix.ts';

const VARIANTS: { ports: PortKind; underlayHook: 'tc' | 'xdp' }[] = [
  { ports: 'netns', underlayHook: 'tc' },
  { ports: 'netns', underlayHook: 'xdp' },
  { ports: 'tap', underlayHook: 'tc' },
  { ports: 'tap', underlayHook: 'xdp' },
];

/** Who received what: `<guest>: <name of the case>: <bytes>`, sorted; a duplicate appears twice. */
type Delivery = string[];

for (const variant of VARIANTS) {
  describe(`one traffic matrix through both modes, ${variant.ports} guests, underlay program at ${variant.underlayHook}`, function () {
    this.timeout(30_000);
    let [sender, neighbour, remote]: Guest[] = [];
    const cases: Case[] = [];
    const cluster = useCluster(variant, async () => {
      const network = await cluster.createNetwork('matrix', '192.168.0.0/24');
      sender = await cluster.createGuest('sender', network, 'sf-2');
      neighbour = await cluster.createGuest('neighbour', network, 'sf-2');
      remote = await cluster.createGuest('remote', network, 'sf-3');
      for (const to of [neighbour, remote]) {
        const [from, there] = [sender.address, to.address];
        const ends = {
          sourceMac: from.mac,
          destinationMac: there.mac,
          source: from.ipv4,
          destination: there.ipv4,
        };
        cases.push(...matrix(to === remote ? 'remote' : 'neighbour', ends, network.mtu));
      }
    });

    async function deliver(mode: Mode): Promise<Delivery> {
      await cluster.setMode(mode);
      for (const to of [neighbour!, remote!]) assert.equal(await pingLoss(sender!, to.address.ipv4, 1), 0);
      const guests = { sender: sender!, neighbour: neighbour!, remote: remote! };
      const captures = await Promise.all(
        Object.entries(guests).map(async ([name, guest]) => {
          return [name, await Capture.start(guest.node, GUEST_DEVICE, guest.namespace)] as const;
        }),
      );
      await inject(
        sender!.node,
        GUEST_DEVICE,
        cases.map((each) => each.frame),
        sender!.namespace,
      );
      const delivery: Delivery = [];
      for (const [name, capture] of captures) {
        for (const { bytes, out } of await capture.end(300)) {
          const mark = markOf(bytes);
          // What a receiver's stack answers may quote a marked frame, but has the receiver's own MAC.
          const own =
            bytes.toString('hex', 6, 12) ===
            guests[name as keyof typeof guests].address.mac.replaceAll(':', '');
          const reply = [neighbour!, remote!].some(
            (guest) => bytes.toString('hex', 6, 12) === guest.address.mac.replaceAll(':', ''),
          );
          if (mark !== undefined && !out && !own && !reply)
            delivery.push(`${name}: ${mark}: ${bytes.toString('hex')}`);
        }
      }
      return delivery.sort();
    }

    it('delivers the same frames to the same guests', async () => {
      const byKernel = await deliver('kernel');
      const byFastPath = await deliver('ebpf');
      const after = await readCounters(cluster, sender!.node);
      assert.deepEqual(short(byFastPath), short(byKernel));
      assert.deepEqual(byFastPath, byKernel);

      // The comparison says something only when frames arrived, and by different ways.
      const names = new Set(byKernel.map((line) => line.split(': ', 2).join(': ')));
      for (const expected of [
        'remote: remote udp 64',
        'neighbour: neighbour udp 64',
        'remote: remote fragment 2000',
      ]) {
        assert.ok(names.has(expected), `${expected} was not delivered`);
      }
      assert.ok(names.size > cases.length / 2, `only ${names.size} deliveries of ${cases.length} frames`);
      for (const name of names) assert.doesNotMatch(name, /: \w+ false/);
      assert.ok(packetsOf(after, 'port', 'tunnel') > 20 && packetsOf(after, 'port', 'port') > 20);
    });
  });
}

/** The lines without their bytes, for a difference that can be read. */
function short(delivery: Delivery): string[] {
  return delivery.map((line) => line.slice(0, line.lastIndexOf(': ')));
}
