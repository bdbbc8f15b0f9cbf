import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Network } from './cluster.ts';
import { figure, useCluster } from './fixture.ts';
import type { Guest } from './guest.ts';
import { type Many, natload, type Steady, throughNamespace } from './nat.ts';
import { ECHO_PORT, SERVER_ADDRESS, startEcho } from './outside.ts';
import { until } from './process.ts';

/** Seconds, as conntrack's sysctls take them: so that a test lives through many of them. */
const TIMEOUTS = {
  nf_conntrack_udp_timeout: 1,
  nf_conntrack_udp_timeout_stream: 1,
  nf_conntrack_tcp_timeout_established: 1,
  nf_conntrack_tcp_timeout_time_wait: 1,
  nf_conntrack_tcp_timeout_last_ack: 1,
  nf_conntrack_tcp_timeout_close: 1,
};
const REFRESH = 0.2;
const STREAM_PORT = ECHO_PORT + 1;

/** As `fistpath flow list` shows it, without the daemon's help. */
interface Flow {
  protocol: string;
  there: { original: { source: string; destination: string; destination_port: number } };
  conntrack: object | false | null;
}

describe('conntrack and the flow table stay right', function () {
  this.timeout(60_000);
  let network: Network;
  let guest: Guest;
  const cluster = useCluster({ ports: 'netns', config: { flow_refresh_seconds: REFRESH } }, async () => {
    network = await cluster.createNetwork('nat', '192.168.0.0/24', { nat: true });
    guest = await cluster.createGuest('guest', network, 'sf-2');
    await startEcho(cluster.server);
    await cluster.setMode('ebpf');
    const settings = Object.entries(TIMEOUTS)
      .map(([name, seconds]) => `echo ${seconds} > /proc/sys/net/netfilter/${name}`)
      .join('\n');
    await cluster.controller.run(['sh', '-ec', settings], {}, network.uuid);
  });

  /** Connections to a port of the server that the router's conntrack knows. */
  async function connections(protocol: string, port: number): Promise<string[]> {
    const command = ['conntrack', '-L', '-p', protocol, '--dport', String(port)];
    const text = await cluster.controller.run(command, {}, network.uuid);
    return text.split('\n').filter((line) => line !== '');
  }

  /** Flows to a port of the server. */
  async function flows(protocol: string, port: number): Promise<Flow[]> {
    const list = ['flow', 'list', '--limit', '0', '--network', network.uuid];
    const { flows: all } = await cluster.cliJson<{ flows: Flow[] }>(cluster.controller, list);
    return all.filter(
      (flow) =>
        flow.protocol === protocol &&
        flow.there.original.destination === SERVER_ADDRESS &&
        flow.there.original.destination_port === port,
    );
  }

  it('a connection idle in one direction and busy in the other survives many timeouts', async () => {
    const seconds = 7;
    let answer: { asked: number; received: number; longestMs: number } | undefined;
    let atTheEnd: string[] = [];
    const { total, namespace } = await throughNamespace(cluster, network, async () => {
      const stream = natload<typeof answer>(guest, 'receive', SERVER_ADDRESS, 500, seconds);
      await delay((seconds - 1) * 1000);
      atTheEnd = await connections('udp', STREAM_PORT);
      answer = await stream;
    });
    figure(
      `${answer!.received} of ${answer!.asked} datagrams; ${namespace} of ${total} packets through the namespace`,
    );
    assert.equal(atTheEnd.length, 1);
    assert.equal(answer!.received, answer!.asked);
    // One packet for each refresh, and few more.
    assert.ok(namespace < (seconds / REFRESH) * 2 + 20, `${namespace} packets went through the namespace`);
    assert.ok(namespace >= seconds / REFRESH / 2, `only ${namespace} refreshed the connection`);
  });

  it('a TCP connection that is used lives on, its refreshes are few', async () => {
    let steady: Steady | undefined;
    const { total, namespace } = await throughNamespace(cluster, network, async () => {
      steady = await natload<Steady>(guest, 'steady', SERVER_ADDRESS, 5, 100, 4);
    });
    figure(`${namespace} of ${total} packets through the namespace`);
    assert.deepEqual([steady!.tcp.broken, steady!.udp.sent - steady!.udp.received], [0, 0]);
    assert.ok(namespace < total / 10);
  });

  it('a closed connection disappears from both tables', async () => {
    const { failed } = await natload<Many>(guest, 'connect', SERVER_ADDRESS, 50);
    assert.equal(failed, 0);
    // At once: FIN is the kernel's, and ends the flow.
    assert.deepEqual(await flows('tcp', ECHO_PORT), []);
    await until('conntrack forgets', async () => (await connections('tcp', ECHO_PORT)).length === 0);
  });

  it('what nobody uses any more disappears from both tables', async () => {
    await natload<Steady>(guest, 'steady', SERVER_ADDRESS, 0, 1000, 1);
    // Those of an earlier test may be there still, unused.
    const known = (await flows('udp', ECHO_PORT)).filter((flow) => flow.conntrack);
    assert.equal(known.length, 1, 'nothing was learned, or conntrack does not know it');
    await until('conntrack forgets', async () => (await connections('udp', ECHO_PORT)).length === 0);
    // With the agent's next full pass, which a foreign device brings forward.
    await cluster.controller.run(['ip', 'link', 'add', 'foreign', 'type', 'bridge']);
    await until(
      'the flow table forgets',
      async () => (await flows('udp', ECHO_PORT)).length === 0,
      40_000,
      500,
    );
  });
});
