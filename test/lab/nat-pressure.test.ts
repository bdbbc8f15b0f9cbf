import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { compileTool } from './compile.ts';
import { figure, useCluster } from './fixture.ts';
import type { Guest } from './guest.ts';
import { type Many, natload, type Steady } from './nat.ts';
import { SERVER_ADDRESS, startEcho } from './outside.ts';

const FLOWS = 1024;
/** Where SYNs disappear without an answer. */
const NOWHERE = '203.0.113.1';

describe(`a flow table of ${FLOWS} entries that is too small, and a SYN flood`, function () {
  this.timeout(60_000);
  let [attacker, victim]: Guest[] = [];
  const cluster = useCluster({ ports: 'netns', config: { map_sizes: { flows: FLOWS } } }, async () => {
    const network = await cluster.createNetwork('nat', '192.168.0.0/24', { nat: true });
    attacker = await cluster.createGuest('attacker', network, 'sf-2');
    victim = await cluster.createGuest('victim', network, 'sf-2');
    await cluster.topology.outside.run(['ip', 'route', 'add', 'blackhole', '203.0.113.0/24']);
    await startEcho(cluster.server);
    await cluster.setMode('ebpf');
  });

  /** What another guest notices while `work` runs: of its established connections, and of new ones. */
  async function besides(work: () => Promise<unknown>): Promise<void> {
    const seconds = 5;
    const established = natload<Steady>(victim!, 'steady', SERVER_ADDRESS, 20, 500, seconds);
    await delay(500);
    const attack = work();
    await delay(1000);
    const made = await natload<Many>(victim!, 'connect', SERVER_ADDRESS, 200);
    await attack;
    const { tcp, udp } = await established;
    figure(
      `established: ${udp.received} of ${udp.sent} datagrams, TCP waits ${tcp.longestMs} ms at most; new: ${made.made}`,
    );
    assert.equal(tcp.broken, 0);
    assert.ok(udp.received >= udp.sent * 0.999, `${udp.received} of ${udp.sent} datagrams`);
    assert.equal(made.failed, 0);
  }

  it('a guest with more connections than the table holds', async () => {
    await besides(async () => {
      const { failed } = await natload<Many>(attacker!, 'spread', SERVER_ADDRESS, FLOWS * 2);
      assert.equal(failed, 0);
    });
  });

  it('a guest that floods the outside with SYNs', async () => {
    const synflood = await compileTool('lab/synflood');
    await besides(async () => {
      const sent = Number(await attacker!.run([synflood, NOWHERE, '3', '20000']));
      figure(`${sent} SYNs`);
      assert.ok(sent > 20_000, `only ${sent} SYNs were sent`);
    });
  });
});
