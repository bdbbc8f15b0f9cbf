import assert from 'node:assert/strict';
import { Capture, type CapturedFrame, inject } from './capture.ts';
import { type ClusterOptions, type Mode, type Network, routerOf } from './cluster.ts';
import { packetsOf, readCounters } from './counters.ts';
import { useCluster } from './fixture.ts';
import { GUEST_DEVICE, type Guest } from './guest.ts';
import { type Case, MAGIC, markOf, matrix } from './matrix.ts';
import { OUTSIDE_DEVICE, SERVER_ADDRESS, startEcho } from './outside.ts';
import { checkedUdp, checksum, type Ends, ethernet, icmpEcho, ipv4, pseudoHeader } from './packet.ts';

const VARIANTS: ClusterOptions[] = [
  { ports: 'netns' },
  { ports: 'netns', underlayHook: 'xdp', uplinkHook: 'xdp' },
];
/** Where the matrix sends to: there is the echo. */
const PORT = 9;
/** A guest that answers nothing: what it would say of frames that nobody asked for depends on time. */
const QUIET = 'table ip quiet { chain early { type filter hook prerouting priority raw; drop; }; }';
/** Routers and servers may say these only so often per second. */
const ERRORS = [3, 11, 12];

/** Parts of no datagram: the router waits for the others, and for those of the next round. */
const LONELY = /fragment (2000|2001|4)$/;

/** Frames with what NAT must keep right, beside the matrix. */
function translated(ends: Ends): Case[] {
  const cases: Case[] = [];
  const add = (name: string, protocol: number, make: (mark: Buffer) => Buffer, ttl = 64): void => {
    const packet = ipv4(ends.source, ends.destination, protocol, make(Buffer.from(`${MAGIC}${name}#`)), {
      ttl,
    });
    cases.push({ name, frame: ethernet(ends.destinationMac, ends.sourceMac, 0x0800, packet) });
  };
  for (const ttl of [1, 2, 3, 64]) {
    add(`checked ttl ${ttl}`, 17, (mark) => checkedUdp(ends, 40000, PORT, mark), ttl);
    add(`echo ttl ${ttl}`, 1, (mark) => icmpEcho(8, 77, mark), ttl);
  }
  for (let length = 0; length < 9; length++) {
    add(`checked ${length}`, 17, (mark) =>
      checkedUdp(ends, 40000, PORT, Buffer.concat([mark, Buffer.alloc(length, 0xa5)])),
    );
  }
  add('wrong checksum', 17, (mark) => {
    const datagram = checkedUdp(ends, 40000, PORT, mark);
    datagram[6]! ^= 0x10;
    return datagram;
  });
  const whole = checkedUdp(ends, 40000, PORT, Buffer.from(`${MAGIC}in two fragments#${'.'.repeat(60)}`));
  for (const [fragment, part] of [
    [0x2000, whole.subarray(0, 48)],
    [6, whole.subarray(48)],
  ] as const) {
    const packet = ipv4(ends.source, ends.destination, 17, part, { id: 99, fragment });
    const frame = ethernet(ends.destinationMac, ends.sourceMac, 0x0800, packet);
    cases.push({ name: 'in two fragments', frame });
  }
  add('reply that nobody asked for', 1, (mark) => icmpEcho(0, 78, mark));
  return cases;
}

/** A frame as text, without its IPv4 identification and what is behind the packet; and whether its checksums are right. */
function told({ bytes, partial }: CapturedFrame): string {
  let copy = Buffer.from(bytes);
  let sums = '';
  if (bytes.readUInt16BE(12) === 0x0800 && bytes.length >= 14 + 20) {
    const length = (bytes[14]! & 15) * 4;
    const packet = bytes.subarray(14, 14 + bytes.readUInt16BE(16));
    sums = checksum(packet.subarray(0, length)) === 0 ? 'right' : 'wrong';
    const segment = packet.subarray(length);
    const isWhole = (packet.readUInt16BE(6) & 0x3fff) === 0;
    if (partial) sums += ' unfinished';
    else if (packet[9] === 17 && isWhole && segment.length >= 8 && segment.readUInt16BE(6) !== 0) {
      const address = (at: number) => [...packet.subarray(at, at + 4)].join('.');
      const pseudo = pseudoHeader(address(12), address(16), 17, segment.length);
      sums += checksum(Buffer.concat([pseudo, segment])) === 0 ? ' right' : ' wrong';
    }
    copy = Buffer.from(bytes.subarray(0, 14 + packet.length));
    copy.fill(0, 18, 20);
    copy.fill(0, 24, 26);
  }
  return `${markOf(bytes)} (${sums}): ${copy.toString('hex')}`;
}

for (const variant of VARIANTS) {
  describe(`one matrix through NAT in both modes, programs at ${variant.uplinkHook ?? 'tc'}`, function () {
    this.timeout(60_000);
    let network: Network;
    const guests = new Map<string, Guest>();
    let routerMac = '';
    const cluster = useCluster(variant, async () => {
      network = await cluster.createNetwork('matrix', '192.168.0.0/24', { nat: true });
      for (const [name, node] of [
        ['near', 'sf-1'],
        ['far', 'sf-2'],
      ] as const) {
        const guest = await cluster.createGuest(name, network, node);
        await guest.run(['ping', '-c1', '-W2', SERVER_ADDRESS]);
        routerMac = / lladdr (\S+)/.exec(await guest.run(['ip', 'neigh', 'show', routerOf(network)]))![1]!;
        await guest.run(['nft', QUIET]);
        guests.set(name, guest);
      }
      await startEcho(cluster.server, PORT);
    });

    /** What arrives outside, and what comes back to the guest. */
    async function deliver(guest: Guest, cases: Case[]): Promise<string[]> {
      const captures = {
        outside: await Capture.start(cluster.topology.outside, OUTSIDE_DEVICE),
        guest: await Capture.start(guest.node, GUEST_DEVICE, guest.namespace),
      };
      const frames = cases.map((each) => each.frame);
      await inject(guest.node, GUEST_DEVICE, frames, guest.namespace);
      const lines: string[] = [];
      for (const [where, capture] of Object.entries(captures)) {
        for (const frame of await capture.end(400)) {
          const isError = frame.bytes[23] === 1 && ERRORS.includes(frame.bytes[34]!);
          if (frame.out || isError || markOf(frame.bytes) === undefined) continue;
          lines.push(`${where}: ${told(frame)}`);
        }
      }
      return lines.toSorted();
    }

    for (const name of variant.uplinkHook === 'xdp' ? ['far'] : ['near', 'far']) {
      it(`the outside and the guest that is ${name} receive the same frames`, async () => {
        const guest = guests.get(name)!;
        const ends = {
          sourceMac: guest.address.mac,
          destinationMac: routerMac,
          source: guest.address.ipv4,
          destination: SERVER_ADDRESS,
        };
        const own = matrix(name, ends, network.mtu).filter((each) => !LONELY.test(each.name));
        const cases = [...own, ...translated(ends)];
        const delivered = new Map<Mode, string[]>();
        for (const mode of ['kernel', 'ebpf'] as const) {
          await cluster.setMode(mode);
          await deliver(guest, cases); // connections begin, flows are learned
          const before = await readCounters(cluster, cluster.controller).catch(() => undefined);
          delivered.set(mode, await deliver(guest, cases));
          if (mode === 'kernel') continue;
          const after = await readCounters(cluster, cluster.controller);
          const uplink = (counters: typeof after) =>
            ['port', 'underlay', 'tunnel'].reduce(
              (sum, each) => sum + packetsOf(counters, each, 'uplink'),
              0,
            );
          assert.ok(uplink(after) - uplink(before!) > 20, 'the fast path carried next to nothing');
        }
        const [byKernel, byFastPath] = [delivered.get('kernel')!, delivered.get('ebpf')!];
        const short = (lines: string[]) => lines.map((line) => line.slice(0, line.indexOf('): ') + 1));
        const missing = short(byKernel.filter((line) => !byFastPath.includes(line)));
        const added = short(byFastPath.filter((line) => !byKernel.includes(line)));
        // conntrack sums every packet that it sees and drops a wrong one; the fast path leaves a wrong sum wrong, and the
        // receiver drops it.
        assert.deepEqual(
          { missing, added },
          { missing: [], added: ['outside: wrong checksum (right wrong)'] },
        );
        assert.equal(byFastPath.length, byKernel.length + 1);
        const names = new Set(short(byKernel));
        for (const expected of [
          `outside: ${name} udp 64 (right)`,
          `guest: ${name} udp 64 (right ${variant.uplinkHook === 'xdp' ? 'right' : 'unfinished'})`,
          'outside: checked ttl 64 (right right)',
          'outside: in two fragments (right)',
          'guest: echo ttl 64 (right)',
        ]) {
          assert.ok(names.has(expected), `${expected} is not among\n${[...names].join('\n')}`);
        }
        assert.ok(![...names].some((each) => /false|asked for|ttl 1 /.test(each)));
      });
    }
  });
}
