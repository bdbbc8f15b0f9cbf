import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterOptions, Mode, Network } from './cluster.ts';
import { figure, useCluster } from './fixture.ts';
import type { Guest } from './guest.ts';
import { floatingOf, Traffic, throughNamespace } from './nat.ts';
import { SERVER_ADDRESS, startEcho } from './outside.ts';
import { isAlive, signal, until } from './process.ts';

const VARIANTS: ClusterOptions[] = [
  { ports: 'netns' },
  { ports: 'tap', underlayHook: 'xdp', uplinkHook: 'xdp' },
];
const CONNECTIONS = 50;
/** Datagrams per second. */
const RATE = 1000;

for (const variant of VARIANTS) {
  describe(`live connections through NAT, ${variant.ports} guests, programs at ${variant.uplinkHook ?? 'tc'}, survive`, function () {
    this.timeout(60_000);
    let network: Network;
    let [near, far, floating]: Guest[] = [];
    let address = '';
    const cluster = useCluster({ ...variant, config: { flow_refresh_seconds: 0.5 } }, async () => {
      network = await cluster.createNetwork('nat', '192.168.0.0/24', { nat: true });
      near = await cluster.createGuest('near', network, 'sf-1');
      far = await cluster.createGuest('far', network, 'sf-2');
      floating = await cluster.createGuest('floating', network, 'sf-2', { float: true });
      address = await floatingOf(cluster, floating);
      await startEcho(cluster.server);
      await startEcho(floating);
      await cluster.setMode('ebpf');
    });

    /** Keeps connections busy from a guest on the other node, one on the network node, and outside while `work` runs. */
    async function underTraffic(work: () => Promise<void>): Promise<void> {
      const talks = [
        await Traffic.start(far!, SERVER_ADDRESS, CONNECTIONS, RATE),
        await Traffic.start(near!, SERVER_ADDRESS, 10, 200),
        await Traffic.start(cluster.server, address, 10, 200),
      ];
      let failure: unknown;
      try {
        await delay(1000);
        await work();
        await delay(500);
      } catch (error) {
        failure = error;
      }
      const seen = await Promise.all(talks.map((talk) => talk.end()));
      if (failure !== undefined) throw failure;
      for (const { tcp, udp } of seen) {
        figure(
          `TCP: ${tcp.answered} answers, longest wait ${tcp.longestMs} ms; UDP: ${udp.sent} sent, ${udp.reordered} reordered`,
        );
        assert.deepEqual(
          { broken: tcp.broken, lost: udp.sent - udp.received, doubled: udp.doubled },
          { broken: 0, lost: 0, doubled: 0 },
        );
        assert.ok(tcp.longestMs < 1500, `a TCP connection stood still for ${tcp.longestMs} ms`);
      }
    }

    it('switching ebpf → kernel → ebpf', async () => {
      await underTraffic(async () => {
        for (const mode of ['kernel', 'ebpf', 'kernel', 'ebpf'] as Mode[]) {
          await cluster.setMode(mode);
          await delay(500);
        }
      });
    });

    it("SIGKILL of the network node's daemon, and its restart", async () => {
      await underTraffic(async () => {
        const daemon = cluster.daemon(cluster.controller);
        signal(daemon, 'SIGKILL');
        await until('the daemon is dead', () => !isAlive(daemon));
        // The fast path goes on by itself.
        const { total, namespace } = await throughNamespace(cluster, network, () => delay(2000));
        assert.ok(total > 2000 && namespace < total / 5, `${namespace} of ${total} through the namespace`);
        cluster.startDaemon(cluster.controller);
        await cluster.ready();
      });
    });

    if (variant.uplinkHook === 'xdp') return;
    it('its orderly end and start', async () => {
      await underTraffic(async () => {
        await cluster.stopDaemon(cluster.controller);
        cluster.startDaemon(cluster.controller);
        await cluster.ready();
      });
    });
  });
}
