import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capture } from './capture.ts';
import { type Network, routerOf } from './cluster.ts';
import { pingLoss, useCluster } from './fixture.ts';
import { DHCP_CLIENT, GUEST_DEVICE, type Guest } from './guest.ts';
import { SERVER_ADDRESS } from './outside.ts';
import { until } from './process.ts';

const DOMAIN = 'system.internal';
describe('DHCP and DNS', function () {
  this.timeout(60_000);
  let [full, bare, silent]: Network[] = [];
  let [near, far, plain, alone]: Guest[] = [];
  let unanswered: ReturnType<typeof askInVain> | undefined;
  const cluster = useCluster({ ports: 'netns' }, async () => {
    full = await cluster.createNetwork('full', '192.168.0.0/24', { dhcp: true, nat: true, dns: true });
    bare = await cluster.createNetwork('bare', '192.168.0.0/24', { dhcp: true });
    silent = await cluster.createNetwork('silent', '192.168.0.0/24', { nat: true });
    near = await cluster.createGuest('near', full, 'sf-1');
    far = await cluster.createGuest('far', full, 'sf-2');
    plain = await cluster.createGuest('plain', bare, 'sf-2');
    alone = await cluster.createGuest('alone', silent, 'sf-2');
    cluster.topology.outside.start(
      'resolver',
      [
        'dnsmasq',
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--no-resolv',
        '--no-hosts',
        '--pid-file=',
        '--address=/outside.test/203.0.113.77',
      ],
      { namespace: cluster.server.namespace },
    );
    await cluster.setMode('ebpf');
    unanswered = askInVain(alone); // while the other tests run
    unanswered.catch(() => undefined);
  });

  /** Takes a guest's address away and asks for one; what the client was told, or undefined when nobody answered. */
  async function ask(guest: Guest, tries = 5): Promise<Record<string, string> | undefined> {
    await guest.run(['ip', 'address', 'flush', 'dev', GUEST_DEVICE]);
    const { stdout } = await guest.tryRun([...DHCP_CLIENT, '-t', String(tries), '-T', '2', '-A', '0']);
    const told = [...stdout.matchAll(/^told (\w+)=(.*)$/gm)].map((match) => [match[1], match[2]]);
    return told.length > 0 ? (Object.fromEntries(told) as Record<string, string>) : undefined;
  }

  async function askInVain(guest: Guest) {
    const capture = await Capture.start(guest.node, GUEST_DEVICE, guest.namespace);
    const start = Date.now();
    const answer = await ask(guest, 6);
    return { answer, waited: Date.now() - start, frames: await capture.end() };
  }

  /** The addresses that a name has, asked with a guest's own tool. */
  async function resolve(guest: Guest, name: string, server = routerOf(full!)): Promise<string[]> {
    const { stdout } = await guest.tryRun(['timeout', '2', 'busybox', 'nslookup', '-type=a', name, server]);
    const answer = stdout.slice(stdout.indexOf('\n\n'));
    return [...answer.matchAll(/^Address(?: \d+)?: (\S+)$/gm)].map((match) => match[1]!);
  }

  const file = (network: Network, name: string) =>
    join(cluster.controller.directory, 'state', 'dnsmasq', network.uuid, name);
  const pidFile = (network: Network) => file(network, 'pid');
  const leasesOf = (network: Network) => readFileSync(file(network, 'leases'), 'utf8');

  for (const place of ['sf-1', 'sf-2']) {
    it(`a client on ${place} gets its address and every option, and reaches the outside`, async () => {
      const guest = place === 'sf-1' ? near! : far!;
      assert.deepEqual(await ask(guest), {
        ip: guest.address.ipv4,
        subnet: '255.255.255.0',
        router: routerOf(full!),
        dns: routerOf(full!),
        domain: DOMAIN,
        mtu: String(full!.mtu),
        lease: '3600',
        serverid: routerOf(full!),
      });
      assert.match(leasesOf(full!), new RegExp(`${guest.address.mac} ${guest.address.ipv4} `));
      assert.equal(await pingLoss(guest, SERVER_ADDRESS, 3), 0);
    });
  }

  it('without DNS and NAT a client is told the servers of the configuration', async () => {
    const told = await ask(plain!);
    assert.equal(told?.ip, plain!.address.ipv4);
    assert.equal(told?.dns, SERVER_ADDRESS);
  });

  it('names of instances, entries and names of the outside resolve', async () => {
    assert.deepEqual(await resolve(near!, `far.${DOMAIN}`), [far!.address.ipv4]);
    assert.deepEqual(await resolve(far!, `near.${DOMAIN}`), [near!.address.ipv4]);
    assert.deepEqual(await resolve(far!, 'www.outside.test'), ['203.0.113.77']);
    const entry = { name: 'db', value: '192.168.0.250' };
    await cluster.rest.call('POST', `/networks/${full!.uuid}/dns`, entry);
    await until('the entry resolves', async () => {
      return (await resolve(far!, `db.${DOMAIN}`)).join() === entry.value;
    });
    await cluster.rest.call('DELETE', `/networks/${full!.uuid}/dns`, { name: 'db' });
    await until('the entry is gone', async () => (await resolve(far!, `db.${DOMAIN}`)).length === 0);
    assert.deepEqual(await resolve(plain!, `far.${DOMAIN}`), [], 'a network without DNS answers');
  });

  it('a new instance gets its address without a restart, a deleted one loses its lease', async () => {
    const before = readFileSync(pidFile(full!), 'utf8');
    const late = await cluster.createGuest('late', full!, 'sf-2');
    assert.equal((await ask(late))?.ip, late.address.ipv4);
    assert.match(leasesOf(full!), new RegExp(late.address.mac));
    await cluster.rest.call('DELETE', `/instances/${late.namespace}`);
    await until('the lease is gone', () => !leasesOf(full!).includes(late.address.mac));
    await until('the name is gone', async () => (await resolve(near!, `late.${DOMAIN}`)).length === 0);
    assert.equal(readFileSync(pidFile(full!), 'utf8'), before, 'dnsmasq was restarted');
  });

  it('--no-dhcp: nothing answers within 10 s', async () => {
    const { answer, frames, waited } = await unanswered!;
    assert.equal(answer, undefined);
    assert.ok(waited >= 10_000, `the client waited only ${waited} ms`);
    const udp = frames.filter(({ bytes }) => bytes.readUInt16BE(12) === 0x0800 && bytes[23] === 17);
    assert.ok(
      udp.some(({ out, bytes }) => out && bytes.readUInt16BE(36) === 67),
      'the client did not ask',
    );
    assert.deepEqual(
      udp.filter(({ out }) => !out),
      [],
    );
  });

  it('`network ping` asks from the router', async () => {
    const path = `/networks/${full!.uuid}/ping/${far!.address.ipv4}`;
    const { stdout } = await cluster.rest.call<{ stdout: string }>('GET', path);
    assert.match(stdout, / 0% packet loss/);
  });
});
