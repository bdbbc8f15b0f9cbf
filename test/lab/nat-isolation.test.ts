import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { Capture, type CapturedFrame } from './capture.ts';
import type { Network } from './cluster.ts';
import { figure, useCluster } from './fixture.ts';
import type { Guest } from './guest.ts';
import { floatingOf, interfaceOf, type Many, natload, Traffic, throughNamespace } from './nat.ts';
import { ECHO_PORT, OUTSIDE_DEVICE, SERVER_ADDRESS, startEcho } from './outside.ts';

/** Of the pool: 10.10.0.2 to 10.10.0.6. Two gateways and three floating addresses use it up. */
const POOL = '10.10.0.0/29';
const RATE = 1000;
/** How long is looked for late packets. */
const WATCHED_MS = 700;
/** What a program had sent before the call returned may still be in a queue on a busy machine. */
const ON_ITS_WAY_MS = 1;
const ADDRESS = '192.168.0.11';
/** Where the IPv4 header is in a frame, and in the inner frame of a tunnel packet. */
const [PLAIN, INNER] = [14, 50 + 14];
/** Of a tunnel packet's VNI. */
const VNI = 14 + 20 + 8 + 4;

interface Packet {
  source: string;
  destination: string;
  port: number;
  /** A TCP segment that ends the connection. */
  reset: boolean;
}

interface Seen extends Packet {
  /** Milliseconds after the call had returned. */
  late: number;
}

/** Source, destination and destination port of the TCP or UDP packet whose IPv4 header is there; undefined: none is. */
function packetAt({ bytes }: CapturedFrame, offset: number): Packet | undefined {
  if (bytes.length < offset + 24 || bytes.readUInt16BE(offset - 2) !== 0x0800) return undefined;
  const reset = bytes[offset + 9] === 6 && ((bytes[offset + 33] ?? 0) & 4) !== 0;
  const address = (at: number) => [...bytes.subarray(offset + at, offset + at + 4)].join('.');
  return { source: address(12), destination: address(16), port: bytes.readUInt16BE(offset + 22), reset };
}

describe('what was taken away carries not one packet more', function () {
  this.timeout(60_000);
  let [one, two]: Network[] = [];
  let [owner, heir, neighbour]: Guest[] = [];
  const cluster = useCluster({ ports: 'netns', config: { floating_pool: POOL } }, async () => {
    one = await cluster.createNetwork('one', '192.168.0.0/24', { nat: true });
    two = await cluster.createNetwork('two', '192.168.0.0/24', { nat: true });
    owner = await cluster.createGuest('owner', one, 'sf-2', { address: ADDRESS, float: true });
    heir = await cluster.createGuest('heir', two, 'sf-2', { address: ADDRESS });
    neighbour = await cluster.createGuest('neighbour', one, 'sf-2', { float: true });
    await cluster.createGuest('last', two, 'sf-1', { float: true });
    for (const guest of [cluster.server, owner, heir, neighbour]) await startEcho(guest);
    await cluster.setMode('ebpf');
  });

  /**
   * Captures on the wire between sf-1 and sf-2, and outside, before `call`; then tells what was seen after it had
   * returned: tunnel packets of network `one`, and IPv4 packets outside.
   */
  async function seenAfter(call: () => Promise<unknown>) {
    const { wire, outside } = cluster.topology;
    const captures = [
      await Capture.start(wire, 'sf-1', undefined, 128),
      await Capture.start(outside, OUTSIDE_DEVICE, undefined, 64),
    ] as const;
    const before = Date.now();
    await call();
    const returned = Date.now();
    const until = returned + WATCHED_MS;
    await delay(WATCHED_MS);
    const [onWire, beyond] = await Promise.all(captures.map((capture) => capture.end(150, until)));
    const seen = { earlier: 0, tunnelled: [] as Seen[], beyond: [] as Seen[] };
    for (const frame of onWire!) {
      const packet = packetAt(frame, INNER);
      if (packet === undefined || frame.bytes.readUIntBE(VNI, 3) !== one!.vxid) continue;
      const late = frame.time - returned;
      if (late > ON_ITS_WAY_MS) seen.tunnelled.push({ ...packet, late });
      else seen.earlier++;
    }
    for (const frame of beyond!) {
      const packet = packetAt(frame, PLAIN);
      const late = frame.time - returned;
      if (packet !== undefined && late > ON_ITS_WAY_MS) seen.beyond.push({ ...packet, late });
    }
    figure(`the call took ${returned - before} ms; ${seen.earlier} tunnel packets until then`);
    assert.ok(seen.earlier > 0, 'there was no traffic');
    return seen;
  }

  it('defloat under traffic, both ways; a floating address that moved answers within a second', async () => {
    const floating = await floatingOf(cluster, owner!);
    const talks = [
      await Traffic.start(cluster.server, floating, 3, RATE),
      await Traffic.start(owner!, SERVER_ADDRESS, 3, RATE),
    ];
    try {
      await delay(1500);
      // Flows of each way are under way now, by the fast path.
      const { total, namespace } = await throughNamespace(cluster, one!, () => delay(500));
      assert.ok(namespace < total / 10, `${namespace} of ${total}`);
      const own = await interfaceOf(cluster, owner!);
      const { tunnelled, beyond } = await seenAfter(() =>
        cluster.rest.call('POST', `/interfaces/${own}/defloat`),
      );
      // What the owner still receives are answers to what it sends as the gateway: of its echo server's late segments
      // the outside knows nothing, and resets those connections.
      const entered = tunnelled.filter(
        (each) => each.port === ECHO_PORT && each.destination === ADDRESS && !each.reset,
      );
      assert.deepEqual(entered, [], 'packets entered after defloat had returned');
      const left = beyond.filter((each) => each.source === floating);
      assert.deepEqual(left, [], 'packets left as the floating address after defloat had returned');
      const asGateway = beyond.filter((each) => each.source === one!.floating_gateway);
      assert.ok(asGateway.length > 100, 'the guest does not leave as the gateway');

      const start = performance.now();
      await cluster.rest.call('POST', `/interfaces/${await interfaceOf(cluster, heir!)}/float`);
      assert.equal(await floatingOf(cluster, heir!), floating, 'the pool had other addresses left');
      const made = await natload<Many>(cluster.server, 'connect', floating, 1);
      const waited = performance.now() - start;
      figure(`the new owner answered ${waited.toFixed(0)} ms after float was asked for`);
      assert.equal(made.failed, 0);
      assert.ok(waited < 1000, `${waited} ms`);
    } finally {
      await Promise.allSettled(talks.map((talk) => talk.end()));
    }
  });

  it('deletion of an instance, then of its network, under traffic', async () => {
    const floating = await floatingOf(cluster, neighbour!);
    const talks = [
      await Traffic.start(cluster.server, floating, 3, RATE),
      await Traffic.start(owner!, SERVER_ADDRESS, 3, RATE),
    ];
    try {
      await delay(1500);
      const instance = await seenAfter(() =>
        cluster.rest.call('DELETE', `/instances/${neighbour!.namespace}`),
      );
      const target = neighbour!.address.ipv4;
      const entered = instance.tunnelled.filter((each) => each.destination === target);
      assert.deepEqual(entered, [], 'packets to the deleted instance');

      const network = await seenAfter(async () => {
        await cluster.rest.call('DELETE', `/instances/${owner!.namespace}`);
        await cluster.rest.call('DELETE', `/networks/${one!.uuid}`);
      });
      assert.deepEqual(network.tunnelled, [], 'tunnel packets of the deleted network');
      const addresses = [floating, one!.floating_gateway];
      const left = network.beyond.filter((each) => addresses.includes(each.source));
      assert.deepEqual(left, [], 'packets left from the addresses of the deleted network');
    } finally {
      await Promise.allSettled(talks.map((talk) => talk.end()));
    }
  });
});

describe('two networks with the same netblock and identical connections', function () {
  this.timeout(120_000);
  const SOCKETS = 64;
  const MARKS = [1, 2];
  let networks: Network[] = [];
  const guests: Guest[] = [];
  const cluster = useCluster({ ports: 'netns' }, async () => {
    networks = [
      await cluster.createNetwork('one', '192.168.0.0/24', { nat: true }),
      await cluster.createNetwork('two', '192.168.0.0/24', { nat: true }),
    ];
    for (const network of networks) {
      guests.push(await cluster.createGuest('twin', network, 'sf-2', { address: ADDRESS }));
    }
    await startEcho(cluster.server);
    await cluster.setMode('ebpf');
  });

  it('a million packets: no reply reaches the other one', async () => {
    const count = 250_000; // each goes out and comes back, in two networks
    const { total, namespace } = await throughNamespace(cluster, networks[0]!, async () => {
      const talks = guests.map((guest, i) =>
        natload<{ sent: number; received: number; foreign: number }>(
          guest,
          'cross',
          SERVER_ADDRESS,
          SOCKETS,
          count,
          MARKS[i]!,
        ),
      );
      for (const { sent, received, foreign } of await Promise.all(talks)) {
        figure(`${sent} sent, ${received} answered, ${foreign} by a foreign answer`);
        assert.equal(foreign, 0);
        assert.ok(received >= count, `only ${received} answers`);
      }
    });
    assert.ok(total >= 4 * count, `only ${total} packets`);
    assert.ok(namespace < total / 100, `${namespace} of ${total} went through the namespace`);
  });
});
