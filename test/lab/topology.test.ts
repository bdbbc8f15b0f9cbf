import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capture, inject } from './capture.ts';
import { Guest, startTapGuest } from './guest.ts';
import { joinPlainly } from './plain.ts';
import { run, tryRun, until } from './process.ts';
import { ownName, sweepDead, Topology } from './topology.ts';

/** The lab's own parts, with hand-made kernel VXLAN devices in the place of the daemon's. */
describe('lab topology', () => {
  const topology = new Topology(ownName('test'));
  before(async () => {
    await sweepDead();
    await topology.up();
  });
  after(() => topology.down());

  it('joins the nodes with an MTU of 9000', async () => {
    await topology.node('sf-1').run(['ping', '-c1', '-W2', '-Mdo', '-s8972', topology.node('sf-3').address]);
  });

  it('gives each node its own pins, namespaces and host name', async () => {
    const [one, two] = [topology.node('sf-1'), topology.node('sf-2')];
    await one.shell('mkdir /sys/fs/bpf/only-here && ip netns add only-here');
    assert.doesNotMatch(await two.shell('ls /sys/fs/bpf /run/netns'), /only-here/);
    assert.equal(await two.run(['hostname']), 'sf-2\n');
    assert.doesNotMatch(await run(['ip', 'netns']), /only-here/);
  });

  it('passes super-frames and partial checksums between a tap guest and a plain peer', async function () {
    this.timeout(20_000);
    const [one, two] = [topology.node('sf-1'), topology.node('sf-2')];
    const shared = { prefix: 24, mtu: 1450 };
    const plain = await joinPlainly(two, {
      vni: 7,
      peers: [one.address],
      guest: { ...shared, mac: '02:00:00:00:00:02', ipv4: '192.168.7.2' },
    });
    // The tap guest's node: the same objects, with a tap in the place of its own guest's veth.
    await joinPlainly(one, {
      vni: 7,
      peers: [two.address],
      guest: { ...shared, mac: '02:00:00:00:00:09', ipv4: '192.168.7.9' },
    });
    await one.shell('ip tuntap add dev tap7 mode tap vnet_hdr && ip link set tap7 mtu 1450 master br7 up');
    const guest = new Guest(one, 'tap-guest', 'tap7', {
      ...shared,
      mac: '02:00:00:00:00:01',
      ipv4: '192.168.7.1',
    });
    await startTapGuest(guest);
    const capture = await Capture.start(one, 'tap7');
    plain.start('iperf3', ['iperf3', '--server', '--one-off']);
    await until('iperf3 listens', async () => (await plain.run(['ss', '-Hltn', 'sport = :5201'])) !== '');
    await guest.run(['iperf3', '--client', '192.168.7.2', '--bytes', '20M']);
    const frames = await capture.end();
    const sent = frames.filter((frame) => !frame.out);
    assert.ok(
      sent.some((frame) => frame.gso > 0 && frame.bytes.length > 10_000),
      'no super-frame from the guest',
    );
    assert.ok(
      sent.every((frame) => frame.gso === 0 || frame.partial),
      'a super-frame without partial checksum',
    );
    for (const each of [guest, plain]) {
      assert.match(await each.run(['nstat', '-asz', 'TcpInCsumErrors']), /TcpInCsumErrors\s+0 /);
    }
  });

  it('injects and captures frames as they are, VLAN tags too', async () => {
    const [one, two] = [topology.node('sf-1'), topology.node('sf-2')];
    const capture = await Capture.start(two, 'mesh0');
    const untagged = Buffer.concat([Buffer.from('ffffffffffff02000000aaaa88b5', 'hex'), Buffer.alloc(50, 1)]);
    const tagged = Buffer.concat([
      Buffer.from('ffffffffffff02000000aaaa8100002a88b5', 'hex'),
      Buffer.alloc(50, 2),
    ]);
    await inject(one, 'mesh0', [untagged, tagged]);
    const seen = (await capture.end()).map((frame) => frame.bytes.toString('hex'));
    for (const frame of [untagged, tagged]) assert.ok(seen.includes(frame.toString('hex')));
  });

  it('is removed whole after its maker was killed', async function () {
    this.timeout(30_000);
    const script = join(topology.directory, 'maker.mts');
    writeFileSync(
      script,
      `import { ownName, Topology } from '${join(import.meta.dirname, 'topology.ts')}';
       const topology = new Topology(ownName('test'));
       console.log(topology.directory);
       await topology.up();
       setInterval(() => undefined, 1000);`,
    );
    // Killed at different moments of building: from nothing made yet to everything up.
    for (const moment of [10, 40, 80, 120, 400]) {
      const maker = spawn(process.execPath, ['--import', 'tsx', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const directory = await new Promise<string>((resolve) => {
        maker.stdout.once('data', (line) => resolve(String(line).trim()));
      });
      await new Promise((resolve) => setTimeout(resolve, moment));
      maker.kill('SIGKILL');
      await new Promise((resolve) => maker.once('close', resolve));
      await sweepDead();
      assert.equal(existsSync(directory), false);
      // Asked in another way than the sweep itself does.
      const left = await tryRun(['sh', '-c', `grep -slF '${directory}' /proc/[0-9]*/environ`]);
      assert.equal(left.stdout, '');
    }
    assert.equal(topology.isUp(), true, 'another lab was swept, too');
  });
});
