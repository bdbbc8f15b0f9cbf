import assert from 'node:assert/strict';
import type { ClusterOptions, Mode, Network } from './cluster.ts';
import { figure, iperf3, useCluster } from './fixture.ts';
import type { Guest } from './guest.ts';
import {
  floatingOf,
  type Many,
  natload,
  observeInwards,
  observeOutwards,
  sourcesSeen,
  throughNamespace,
  under,
  withFtp,
} from './nat.ts';
import { NEXT_HOP, SERVER_ADDRESS, startEcho } from './outside.ts';

const OWN_NIC: ClusterOptions[] = [
  { ports: 'netns' },
  { ports: 'tap', underlayHook: 'xdp', uplinkHook: 'xdp' },
];
/** What this adds is the way outside, so not everything is asked again. */
const SHARED_NIC: ClusterOptions = { ports: 'netns', uplink: 'mesh' };
const MODES: Mode[] = ['kernel', 'ebpf'];
const ROUTER = '192.168.0.1';

function title({ ports, underlayHook, uplinkHook, uplink }: ClusterOptions): string {
  const nic = uplink === 'mesh' ? 'the mesh NIC is the uplink' : `uplink program at ${uplinkHook ?? 'tc'}`;
  return `${ports} guests, underlay program at ${underlayHook ?? 'tc'}, ${nic}`;
}

for (const variant of [...OWN_NIC, SHARED_NIC]) {
  describe(`NAT: ${title(variant)}`, function () {
    this.timeout(90_000);
    let [network, other]: Network[] = [];
    /** near is on the network node; floating has a floating address; stranger is in another network. */
    let [near, far, floating, stranger]: Guest[] = [];
    let address = '';
    /** Who has the first link of 1500 bytes ahead. */
    const narrow = variant.uplink === 'mesh' ? NEXT_HOP : ROUTER;
    const cluster = useCluster(variant, async () => {
      network = await cluster.createNetwork('nat', '192.168.0.0/24', { nat: true });
      other = await cluster.createNetwork('other', '192.168.0.0/24', { nat: true });
      near = await cluster.createGuest('near', network, 'sf-1');
      far = await cluster.createGuest('far', network, 'sf-2');
      floating = await cluster.createGuest('floating', network, 'sf-2', { float: true });
      stranger = await cluster.createGuest('stranger', other, 'sf-2');
      address = await floatingOf(cluster, floating);
      await startEcho(cluster.server);
      await startEcho(floating);
    });

    /** The same in both modes; returns what was seen. */
    async function inBothModes<T>(observe: () => Promise<T>): Promise<T> {
      const seen: T[] = [];
      for (const mode of MODES) {
        await cluster.setMode(mode);
        seen.push(await observe());
      }
      assert.deepEqual(seen[1], seen[0], 'the fast path gives another result than the kernel');
      return seen[0]!;
    }

    const places = ['the network node', 'another node'];
    for (const place of variant === SHARED_NIC ? places.slice(1) : places) {
      it(`a guest on ${place} reaches the outside alike in both modes`, async () => {
        const guest = place === 'another node' ? far! : near!;
        const seen = await withFtp(cluster, () => inBothModes(() => observeOutwards(cluster, guest)));
        const { ftp, ...rest } = seen as { ftp: string };
        assert.match(ftp, /^eaee34640ca7/);
        assert.deepEqual(rest, {
          ping: { answers: 10, ttls: '62', refused: null },
          full: { answers: 3, ttls: '62', refused: null },
          tooBig: { answers: 0, ttls: '', refused: `${narrow}: Frag needed and DF set (mtu = 1500)` },
          fragments: { answers: 3, ttls: '62', refused: null },
          traceUdp: [ROUTER, NEXT_HOP, SERVER_ADDRESS],
          traceIcmp: [ROUTER, NEXT_HOP, SERVER_ADDRESS],
          udpLost: 0,
          udpDoubled: 0,
          tcpBroken: 0,
          failed: 0,
          up: true,
          down: true,
          checksumErrors: 0,
        });
      });
    }

    it('a floating address is reached from outside alike in both modes', async () => {
      const seen = await inBothModes(() => observeInwards(cluster, floating!, address));
      assert.deepEqual(seen, {
        ping: { answers: 10, ttls: '62', refused: null },
        fragments: { answers: 3, ttls: '62', refused: null },
        traceUdp: ['198.51.100.254', address, address],
        traceIcmp: ['198.51.100.254', address, address],
        udpLost: 0,
        tcpBroken: 0,
        failed: 0,
        up: true,
        down: true,
        checksumErrors: 0,
      });
    });

    if (variant !== SHARED_NIC) {
      it('who has a floating address leaves as it, the others leave as the gateway', async () => {
        const talk = (guest: Guest) => () => natload<Many>(guest, 'connect', SERVER_ADDRESS, 20);
        const seen = await inBothModes(async () => [
          await sourcesSeen(cluster, talk(floating!)),
          await sourcesSeen(cluster, talk(far!)),
          await sourcesSeen(cluster, talk(stranger!)),
        ]);
        assert.deepEqual(seen, [[address], [network!.floating_gateway], [other!.floating_gateway]]);
      });
    }

    it('a floating address is reached from guests: of its network, of another, and from its owner', async () => {
      const seen = await inBothModes(async () => {
        const failed = [];
        for (const guest of [near!, far!, floating!, stranger!]) {
          failed.push((await natload<Many>(guest, 'connect', address, 50)).failed);
        }
        await iperf3(stranger!, under(floating!, address), ['--bytes', '5M']);
        return failed;
      });
      assert.deepEqual(seen, [0, 0, 0, 0]);
    });

    it('≥ 99 % of the packets bypass the namespace', async () => {
      await cluster.setMode('ebpf');
      const inwards = under(floating!, address);
      const works: [string, () => Promise<unknown>][] = [];
      for (const [name, guest] of [
        ['near', near!],
        ['far', far!],
      ] as const) {
        works.push(
          [`TCP from ${name}`, () => iperf3(guest, cluster.server, ['--bytes', '300M'])],
          [`TCP to ${name}`, () => iperf3(guest, cluster.server, ['--bytes', '150M', '--reverse'])],
          [`UDP of ${name}`, () => natload(guest, 'steady', SERVER_ADDRESS, 0, 8000, 1)],
          [`ping of ${name}`, () => guest.run(['ping', '-qc', '1500', '-i', '0.0005', SERVER_ADDRESS])],
        );
      }
      works.push(['TCP to the floating address', () => iperf3(cluster.server, inwards, ['--bytes', '300M'])]);
      for (const [name, work] of works) {
        const { total, namespace } = await throughNamespace(cluster, network!, work);
        figure(`${name}: ${namespace} of ${total} packets through the namespace`);
        assert.ok(total > 1000, `${name}: only ${total} packets`);
        assert.ok(namespace <= total / 100, `${name}: ${namespace} of ${total} went through the namespace`);
      }
    });
  });
}

describe('NAT: a smaller MTU outside', function () {
  this.timeout(60_000);
  let guest: Guest;
  const cluster = useCluster({ ports: 'netns' }, async () => {
    const network = await cluster.createNetwork('nat', '192.168.0.0/24', { nat: true });
    guest = await cluster.createGuest('guest', network, 'sf-2');
    await cluster.topology.outside.run(['ip', 'link', 'set', cluster.server.port, 'mtu', '1300']);
  });

  const upload = () => iperf3(guest, cluster.server, ['--bytes', '4M']);

  for (const mode of MODES) {
    it(`${mode}: the guest is told, and TCP goes on with smaller segments`, async () => {
      await cluster.setMode(mode);
      await guest.run(['ip', 'route', 'flush', 'cache']);
      await upload();
      assert.match(await guest.run(['ip', 'route', 'get', SERVER_ADDRESS]), / mtu 1300/);
    });

    it(`${mode}: where nobody tells, TCP finds out by probing`, async () => {
      await cluster.setMode(mode);
      await guest.run(['ip', 'route', 'flush', 'cache']);
      await guest.run(['sh', '-c', 'cd /proc/sys/net/ipv4; echo 1 > tcp_mtu_probing; echo 1 > tcp_retries1']);
      const { outside } = cluster.topology;
      await outside.run([
        'nft',
        'table ip hole { chain silent { type filter hook output priority 0; icmp type destination-unreachable counter drop; }; }',
      ]);
      try {
        await upload();
        assert.match(await outside.run(['nft', 'list', 'table', 'ip', 'hole']), /packets [1-9]/);
      } finally {
        await outside.run(['nft', 'delete', 'table', 'ip', 'hole']);
      }
    });
  }
});
