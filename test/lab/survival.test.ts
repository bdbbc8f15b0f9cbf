import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Mode } from './cluster.ts';
import { kernelForwarded, startWitness } from './counters.ts';
import { figure, pingLoss, useCluster } from './fixture.ts';
import { generateFrom } from './generator.ts';
import type { Guest } from './guest.ts';
import { udpFrame } from './packet.ts';
import { isAlive, signal, stop, until } from './process.ts';
import { UNDERLAY_DEVICE } from './topology.ts';

const RATE = 100_000;
const SINK_PORT = 9;

/** Counts and swallows what the generator sends, before the guest's stack looks at it. */
const SINK = `table ip sink { chain early { type filter hook prerouting priority raw; udp dport ${SINK_PORT} counter drop; }; }`;

async function sunk(guest: Guest): Promise<number> {
  return Number(/packets (\d+)/.exec(await guest.run(['nft', 'list', 'table', 'ip', 'sink']))![1]);
}

interface Statistics {
  rx: { dropped: number };
  tx: { dropped: number };
}

async function statistics(guest: Guest, device: string): Promise<Statistics> {
  const text = await guest.node.run(['ip', '-j', '-s', 'link', 'show', device]);
  return (JSON.parse(text) as [{ stats64: Statistics }])[0].stats64;
}

/**
 * Frames that found the ring of a veth full, at the sender's port and on the wire: a busy machine loses them, with any
 * datapath or none. The devices count them; a frame that a program or a missing hook lost is in none of these.
 */
async function overflown(from: Guest, to: Guest): Promise<number> {
  const [port, out, into] = await Promise.all([
    statistics(from, from.port),
    statistics(from, UNDERLAY_DEVICE),
    statistics(to, UNDERLAY_DEVICE),
  ]);
  return port.rx.dropped + out.tx.dropped + into.rx.dropped;
}

describe('traffic survives', function () {
  this.timeout(60_000);
  let [here, remote]: Guest[] = [];
  const cluster = useCluster({ ports: 'netns' }, async () => {
    const network = await cluster.createNetwork('survival', '192.168.0.0/24');
    here = await cluster.createGuest('here', network, 'sf-2');
    remote = await cluster.createGuest('remote', network, 'sf-3');
    await remote.run(['nft', SINK]);
  });

  it(`SIGKILL and restart of the daemons under ${RATE} packets/s: 0 lost`, async () => {
    await cluster.setMode('ebpf');
    const ends = {
      sourceMac: here!.address.mac,
      destinationMac: remote!.address.mac,
      source: here!.address.ipv4,
      destination: remote!.address.ipv4,
    };
    const frame = udpFrame(ends, SINK_PORT, Buffer.alloc(22));
    await startWitness(here!.node);
    const [sunkBefore, overflownBefore] = [await sunk(remote!), await overflown(here!, remote!)];
    const made = generateFrom(here!, { frame, rate: RATE, seconds: 8 });
    for (const guest of [here!, remote!]) {
      await delay(1500);
      const daemon = cluster.daemon(guest.node);
      signal(daemon, 'SIGKILL');
      await until('the daemon is dead', () => !isAlive(daemon));
      await delay(300);
      cluster.startDaemon(guest.node);
    }
    await cluster.ready();
    const sent = (await made) - ((await overflown(here!, remote!)) - overflownBefore);
    const received = (await sunk(remote!)) - sunkBefore;
    figure(`${sent} frames sent, ${sent - received} lost; two daemons killed and restarted`);
    assert.ok(sent > RATE * 5, `only ${sent} frames were sent`);
    // The fast path itself went on: the kernel would have carried them, too.
    assert.equal(await kernelForwarded(here!.node), 0);
    assert.equal(sent - received, 0, `${sent - received} of ${sent} frames lost`);
  });

  it('switching ebpf → kernel → ebpf under TCP and ping: the connection stays, no ping is lost', async () => {
    const switches: Mode[] = ['kernel', 'ebpf', 'kernel', 'ebpf'];
    const server = remote!.start('iperf3', ['iperf3', '--server', '--one-off', '--json']);
    try {
      await until('iperf3 listens', async () => (await remote!.run(['ss', '-Hltn', 'sport = :5201'])) !== '');
      const client = [
        'iperf3',
        '--client',
        remote!.address.ipv4,
        '--time',
        '8',
        '--interval',
        '0.5',
        '--json',
      ];
      const bulk = here!.run(client, { timeout: 40_000 });
      const pings = pingLoss(here!, remote!.address.ipv4, 700);
      let changed = 0;
      for (const mode of switches) {
        await delay(1000);
        await cluster.setMode(mode);
        changed += 1;
      }
      assert.equal(await pings, 0);
      const report = JSON.parse(await bulk) as { error?: string; intervals: { sum: { bytes: number } }[] };
      assert.equal(report.error, undefined);
      assert.equal(changed, switches.length);
      assert.ok(report.intervals.length >= 15);
      for (const { sum } of report.intervals) assert.ok(sum.bytes > 0, 'TCP stood still');
    } finally {
      await stop(server);
    }
  });
});
