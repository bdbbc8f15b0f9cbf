// What the network node does for a network beside forwarding: DNS entries, pings, and counting.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { eventually, instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';
import type { TestAgent } from './test-agent.ts';

const { DELETED } = fistpath.State;

describe('controller: services of the network node', () => {
  let scene: Scene;
  let router: TestAgent;
  let other: TestAgent;

  const connect = async () => {
    router = await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
    other = await scene.connect({ node: 'sf-2', address: '10.2.1.12' });
  };
  beforeEach(async () => {
    scene = await openScene();
    await connect();
  });
  afterEach(() => scene.close());

  const network = (fields = {}) =>
    scene.operations.createNetwork(SYSTEM, { name: 'net', netblock: '192.168.0.0/24', ...fields });

  describe('DNS entries', () => {
    const entries = async (uuid: string) => (await scene.operations.getNetwork(SYSTEM, uuid)).dnsEntries;

    it('are checked, kept in one form, told, and taken back', async () => {
      const { uuid } = await network({ provide_dns: true });
      const { operations } = scene;
      await operations.setDnsEntry(SYSTEM, uuid, 'WWW', '192.0.2.1');
      await operations.setDnsEntry(SYSTEM, uuid, 'db.example.org.', '192.0.2.2');
      await operations.setDnsEntry(SYSTEM, uuid, 'www', '192.0.2.3');
      assert.deepEqual(await entries(uuid), { www: '192.0.2.3', 'db.example.org.': '192.0.2.2' });
      const told = () => router.networks.get(uuid)!.router!;
      await router.until(() => told().dnsEntries?.[1]?.value === '192.0.2.3');
      assert.deepEqual([told().dns, told().dhcp, told().domain], [true, false, 'system.internal']);
      assert.deepEqual(
        told().dnsEntries!.map(({ name, value }) => `${name} ${value}`),
        ['db.example.org. 192.0.2.2', 'www 192.0.2.3'],
      );
      const { version } = await operations.getNetwork(SYSTEM, uuid);
      await operations.setDnsEntry(SYSTEM, uuid, 'www', '192.0.2.3');
      assert.equal((await operations.getNetwork(SYSTEM, uuid)).version, version, 'written again');
      await operations.deleteDnsEntry(SYSTEM, uuid, 'Www');
      await assert.rejects(operations.deleteDnsEntry(SYSTEM, uuid, 'www'), { status: 404 });
      await assert.rejects(operations.deleteDnsEntry(SYSTEM, uuid, 'constructor'), { status: 404 });
      await operations.setDnsEntry(SYSTEM, uuid, 'constructor', '192.0.2.9');
      await operations.deleteDnsEntry(SYSTEM, uuid, 'constructor');
      await router.until(() => told().dnsEntries?.length === 1);
      const phases = (await operations.events(SYSTEM, 'network', uuid, {})).map(({ phase }) => phase);
      assert.equal(phases.filter((phase) => phase === 'set dns').length, 4);
      assert.equal(phases.filter((phase) => phase === 'delete dns').length, 2);
    });

    it('and instances are below the configured domain', async () => {
      await assert.rejects(scene.reopen({ dnsDomain: 'a..b' }), {
        message: 'dns_domain "a..b" is no domain name',
      });
      await scene.reopen({ dnsDomain: 'example.org' });
      await connect();
      const { uuid } = await network({ provide_dns: true });
      await router.until(() => router.networks.get(uuid)?.router?.domain === 'system.example.org');
    });

    it('are refused where nothing answers, and when they are none', async () => {
      const { uuid } = await network({ provide_dns: true });
      const silent = await network({ provide_dhcp: true });
      const { operations } = scene;
      await assert.rejects(operations.setDnsEntry(SYSTEM, silent.uuid, 'www', '192.0.2.1'), {
        status: 400,
        message: /without provide_dns/,
      });
      await assert.rejects(operations.setDnsEntry({ namespace: 'demo' }, uuid, 'www', '192.0.2.1'), {
        status: 404,
      });
      for (const [name, value] of [
        ['a\naddress=/evil/192.0.2.1', '192.0.2.1'],
        ['', '192.0.2.1'],
        ['__proto__', '192.0.2.1'],
        ['www', '192.0.2.1\n'],
        ['www', '192.0.2.01'],
        ['www', '::1'],
        ['www', ''],
      ] as const)
        await assert.rejects(operations.setDnsEntry(SYSTEM, uuid, name, value), { status: 400 });
      assert.deepEqual(await entries(uuid), {});
      for (let index = 0; index < 256; index++)
        await operations.setDnsEntry(SYSTEM, uuid, `n${index}`, '192.0.2.1');
      await assert.rejects(operations.setDnsEntry(SYSTEM, uuid, 'more', '192.0.2.1'), { status: 507 });
      await operations.setDnsEntry(SYSTEM, uuid, 'n0', '192.0.2.2');
    });
  });

  describe('ping', () => {
    it('asks the network node, and says what it said', async () => {
      const { uuid } = await network({ provide_nat: true });
      const asked: [string, string][] = [];
      router.pong = ({ network: from, address }) => {
        asked.push([from!, address!]);
        return { stdout: `to ${address}\n`, stderr: 'hm' };
      };
      const ping = (address: string) => scene.operations.pingFromNetwork(SYSTEM, 'net', address);
      const replies = await Promise.all([ping('192.168.0.9'), ping('10.10.0.1')]);
      assert.deepEqual(replies, [
        { stdout: 'to 192.168.0.9\n', stderr: 'hm' },
        { stdout: 'to 10.10.0.1\n', stderr: 'hm' },
      ]);
      assert.deepEqual(asked, [
        [uuid, '192.168.0.9'],
        [uuid, '10.10.0.1'],
      ]);
    });

    it('takes no other addresses, and no network that has no router', async () => {
      await network();
      const ping = (from: string, address: string, caller = SYSTEM) =>
        scene.operations.pingFromNetwork(caller, from, address);
      for (const address of ['192.168.1.1', '192.168.0.0', '192.168.0.255', '8.8.8.8', 'host', '-f', '1', ''])
        await assert.rejects(ping('net', address), { status: 400 });
      await assert.rejects(ping('floating', '10.10.0.1'), { status: 400, message: /no router/ });
      await assert.rejects(ping('net', '192.168.0.9', { namespace: 'demo' }), { status: 404 });
      assert.ok(router.received.every(({ ping: sent }) => !sent));
    });

    it('says 406 when the network node is silent, busy, gone, or not there', async () => {
      await network();
      const ping = () => scene.operations.pingFromNetwork(SYSTEM, 'net', '192.168.0.9');
      await assert.rejects(ping(), { status: 406, message: /did not say within 0.2 s/ });
      const many = await Promise.allSettled(Array.from({ length: 18 }, ping));
      const why = many.map((each) =>
        each.status === 'rejected' ? (each.reason as Error).message : 'answered',
      );
      assert.equal(why.filter((text) => /16 pings are under way/.test(text)).length, 2);
      const last = ping();
      await router.until(() => router.received.filter(({ ping: sent }) => sent).length === 18);
      router.close();
      await assert.rejects(last, { status: 406, message: /disconnected/ });
      await assert.rejects(ping(), { status: 406, message: /no network node is connected/ });
    });

    it('brings the agent to no revision that it was not sent', async () => {
      const { uuid } = await network();
      await router.until(() => router.networks.has(uuid));
      router.pong = () => ({});
      const before = Number(router.revision);
      await scene.operations.setMetadata(SYSTEM, 'network', uuid, 'k', 'v');
      await scene.operations.pingFromNetwork(SYSTEM, 'net', '192.168.0.9');
      assert.ok((await scene.operations.health()).revision > before);
      assert.equal(Number(router.revision), before);
    });
  });

  describe('traffic', () => {
    let net: fistpath.Network;
    let instance: fistpath.Instance;
    let nic: string;

    beforeEach(async () => {
      net = await network({ provide_nat: true });
      const request = instanceOn([net.uuid, net.uuid], { placed_on: 'sf-2' });
      instance = await scene.operations.createInstance(SYSTEM, request);
      nic = instance.interfaces[0]!;
      await other.until(() => other.networks.get(net.uuid)?.ports?.length === 2);
    });

    const traffic = (packets: number) => ({ packets, bytes: packets * 100 });
    const say = (agent: TestAgent, id: string, sent: number, received = 0) =>
      agent.send({
        usage: { interfaces: [{ interface: id, sent: traffic(sent), received: traffic(received) }] },
      });
    const sentOf = async (id: string) =>
      (await scene.operations.usage()).interfaces.find((each) => each.interface === id)?.sent.packets;
    const usageEvents = async (type: 'instance' | 'network', id: string) =>
      (await scene.operations.events(SYSTEM, type, id, { event_type: 'usage' })).map(({ extra }) => extra);

    it('is what the agents count, by interface and network', async () => {
      say(other, nic, 5, 7);
      say(other, instance.interfaces[1]!, 2);
      const outside = { network: net.uuid, interface: nic, sent: traffic(3), received: traffic(4) };
      router.send({ usage: { outside: [outside], flowTable: { used: 8, capacity: 64 } } });
      await eventually('counted', async () => {
        const { interfaces } = await scene.operations.usage();
        return interfaces.length === 2 && interfaces.some(({ sentOutside }) => sentOutside.packets === 3);
      });
      const { interfaces, networks, flowTables } = await scene.operations.usage();
      assert.deepEqual(flowTables, [{ node: 'sf-1', used: 8, capacity: 64 }]);
      assert.deepEqual(
        interfaces.find((each) => each.interface === nic),
        {
          interface: nic,
          instance: instance.uuid,
          network: net.uuid,
          namespace: 'system',
          sent: traffic(5),
          received: traffic(7),
          sentOutside: traffic(3),
          receivedOutside: traffic(4),
        },
      );
      assert.deepEqual(networks, [
        {
          network: net.uuid,
          namespace: 'system',
          sent: traffic(7),
          received: traffic(7),
          sentOutside: traffic(3),
          receivedOutside: traffic(4),
        },
      ]);
    });

    it('goes on when a device was made again, and takes the numbers of its own node only', async () => {
      say(other, nic, 1000);
      say(other, nic, 1500);
      say(other, nic, 20);
      say(other, nic, 30);
      await eventually('added', async () => (await sentOf(nic)) === 1530);
      // sf-1 does not have the port, and sf-2 is no network node.
      say(router, nic, 99_999);
      other.send({ usage: { outside: [{ network: net.uuid, interface: nic, sent: traffic(1) }] } });
      say(other, 'unknown', 5);
      say(other, nic, 31);
      await eventually('the last', async () => (await sentOf(nic)) === 1531);
      const { interfaces, networks } = await scene.operations.usage();
      assert.equal(interfaces.length, 1);
      assert.equal(interfaces[0]!.sentOutside.packets, 0);
      assert.equal(networks[0]!.sent.packets, 1531);
    });

    it('counts no interface that is deleted; its network keeps what it sent', async () => {
      say(other, nic, 10);
      await eventually('counted', async () => (await sentOf(nic)) === 10);
      await scene.operations.deleteInstance(SYSTEM, instance.uuid);
      const state = async () => (await scene.operations.getInstance(SYSTEM, instance.uuid)).state;
      await eventually('deleted', async () => (await state()) === DELETED);
      say(other, nic, 20);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const { interfaces, networks } = await scene.operations.usage();
      assert.deepEqual(interfaces, []);
      assert.equal(networks[0]!.sent.packets, 10);
      await scene.operations.deleteNetwork(SYSTEM, net.uuid);
      await eventually('none', async () => (await scene.operations.usage()).networks.length === 0);
    });

    it('becomes events of instance and network, at most every 15 minutes, when it changed, and at the end', async () => {
      const told = async () =>
        (await usageEvents('instance', instance.uuid)).map((extra) => extra.sent_packets);
      const heard = async (packets: number) => {
        say(other, nic, packets);
        await eventually(`${packets} counted`, async () => (await sentOf(nic)) === packets);
        await new Promise((resolve) => setTimeout(resolve, 20));
      };
      await heard(10);
      assert.deepEqual(await usageEvents('instance', instance.uuid), [
        {
          sent_packets: '10',
          sent_bytes: '1000',
          received_packets: '0',
          received_bytes: '0',
          sent_outside_packets: '0',
          sent_outside_bytes: '0',
          received_outside_packets: '0',
          received_outside_bytes: '0',
        },
      ]);
      assert.equal((await usageEvents('network', net.uuid)).length, 1);
      await heard(20);
      scene.pass(890);
      await heard(30);
      assert.deepEqual(await told(), ['10'], 'too early');
      scene.pass(20);
      await heard(30);
      assert.deepEqual(await told(), ['10', '30']);
      scene.pass(1000);
      await heard(30);
      assert.deepEqual(await told(), ['10', '30'], 'nothing changed');

      // A new controller knows what was told.
      await scene.reopen();
      await connect();
      await heard(30);
      assert.deepEqual(await told(), ['10', '30']);
      await heard(40);
      assert.deepEqual(await told(), ['10', '30', '40']);
      await heard(50);
      await scene.operations.deleteInstance(SYSTEM, instance.uuid);
      await eventually('the last number', async () => (await told()).join() === '10,30,40,50');
    });
  });

  it('keeps what a node says about where it does NAT', async () => {
    const nat = { nat: 'kernel', natReason: 'no bpf_skb_ct_lookup' };
    router.send({ datapath: { mode: 'ebpf', reason: '', underlayHook: 'tc', problems: [], ...nat } });
    const status = async () => (await scene.operations.getNode(SYSTEM, 'sf-1')).datapathStatus;
    await eventually('kept', async () => (await status())?.natReason === 'no bpf_skb_ct_lookup');
    assert.equal((await status())?.nat, 'kernel');
    const events = await scene.operations.events(SYSTEM, 'node', 'sf-1', {});
    assert.equal(
      events.find(({ operation }) => operation === 'datapath status')?.message,
      'ebpf in force, NAT by kernel: no bpf_skb_ct_lookup',
    );
  });
});
