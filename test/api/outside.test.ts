// Floating and routed addresses, DNS entries, ping and traffic, over the real controller with an agent on the network node.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestAgent } from '../controller/test-agent.ts';
import type { Answer } from './call.ts';
import { call } from './call.ts';
import { instanceOn, type Real, realServer } from './real.ts';

const NAT = { provide_nat: true, provide_dns: true };

function expectError(answer: Answer, status: number, text: RegExp): void {
  assert.deepEqual([answer.status, answer.json.status], [status, status], answer.text);
  assert.match(answer.json.error, text);
}

describe('API: the way outside', () => {
  let real: Real;
  let agent: TestAgent;
  let nic: string;
  let network: { uuid: string; floating_gateway: string };

  const floatingOf = async (uuid: string) => (await real.ask('GET', `/interfaces/${uuid}`)).json.floating;
  const nat = () => agent.networks.get(network.uuid)!.router!.nat!;

  before(async () => {
    real = await realServer();
    agent = await real.connectAgent();
    network = (await real.ask('POST', '/networks', { name: 'net', netblock: '192.168.0.0/24', ...NAT })).json;
    const made = await real.ask(
      'POST',
      '/instances',
      instanceOn({ network_uuid: 'net', address: '192.168.0.9' }),
    );
    assert.equal(made.status, 200, made.text);
    nic = made.json.interfaces[0].uuid;
  });
  after(() => real.close());

  it('a network with NAT has a gateway of its own, one without has none', async () => {
    assert.match(network.floating_gateway, /^10\.10\.0\.\d+$/);
    assert.equal((await real.ask('GET', '/networks/net')).json.floating_gateway, network.floating_gateway);
    const plain = { name: 'plain', netblock: '192.168.1.0/24', provide_nat: false };
    assert.equal((await real.ask('POST', '/networks', plain)).json.floating_gateway, null);
    await real.ask('DELETE', '/networks/plain');
  });

  it('float and defloat: null, and the network node has it when the call returns', async () => {
    const floated = await real.ask('POST', `/interfaces/${nic}/float`, 'null');
    assert.deepEqual([floated.status, floated.text], [200, 'null']);
    const floating = await floatingOf(nic);
    assert.match(floating, /^10\.10\.0\.\d+$/);
    assert.deepEqual(
      nat().floats!.map((one) => [one.floating, one.ipv4]),
      [[floating, '192.168.0.9']],
    );
    expectError(await real.ask('POST', `/interfaces/${nic}/float`), 409, new RegExp(`${nic}.*${floating}`));
    assert.equal(await floatingOf(nic), floating);
    assert.equal((await real.ask('POST', `/interfaces/${nic}/defloat`)).text, 'null');
    assert.deepEqual([await floatingOf(nic), nat().floats], [null, []]);
    expectError(await real.ask('POST', `/interfaces/${nic}/defloat`), 409, /no floating address/);
  });

  it('a call that takes something away waits for the network node, and others do not wait for it', async () => {
    await real.ask('POST', `/interfaces/${nic}/float`);
    agent.obedient = false;
    let done = false;
    const leaving = real.ask('POST', `/interfaces/${nic}/defloat`).then((answer) => {
      done = true;
      return answer;
    });
    await agent.until(() => nat().floats!.length === 0);
    assert.equal((await real.ask('GET', '/networks/net')).status, 200);
    await sleep(200);
    assert.equal(done, false, 'it is not in force yet');
    agent.report(network.uuid);
    assert.equal((await leaving).status, 200);
    agent.obedient = true;
  });

  it('an instance may have its floating address from the start, and it goes with it', async () => {
    const made = await real.ask('POST', '/instances', instanceOn({ network_uuid: 'net', float: true }));
    const [one] = made.json.interfaces;
    assert.match(one.floating, /^10\.10\.0\.\d+$/);
    await agent.until(() => nat().floats!.some(({ floating }) => floating === one.floating));
    assert.equal((await real.ask('DELETE', `/instances/${made.json.uuid}`)).status, 200);
    assert.deepEqual(nat().floats, []);
  });

  it('routed addresses: the address itself, then null; both visible with the network', async () => {
    const routed = await real.ask('POST', '/networks/net/route', 'null');
    assert.equal(routed.status, 200, routed.text);
    assert.match(String(routed.headers['content-type']), /^application\/json/);
    const address = routed.json as string;
    assert.match(address, /^10\.10\.0\.\d+$/);
    assert.deepEqual((await real.ask('GET', '/networks/net')).json.routed_addresses, [address]);
    assert.deepEqual(agent.networks.get(network.uuid)!.routed, [address]);
    expectError(await real.ask('DELETE', '/networks/net/route/10.10.0.250'), 404, /10\.10\.0\.250.*net/);
    expectError(await real.ask('DELETE', '/networks/net/route/nonsense'), 400, /nonsense/);
    assert.equal((await real.ask('DELETE', `/networks/net/route/${address}`)).text, 'null');
    expectError(await real.ask('DELETE', `/networks/net/route/${address}`), 404, /not routed/);
    assert.deepEqual(agent.networks.get(network.uuid)!.routed, []);
  });

  it('DNS entries: added, replaced, removed', async () => {
    const entries = async () => (await real.ask('GET', '/networks/net')).json.dns_entries;
    for (const value of ['192.168.0.9', '192.168.0.10'])
      assert.equal((await real.ask('POST', '/networks/net/dns', { name: 'db', value })).text, 'null');
    assert.deepEqual(await entries(), { db: '192.168.0.10' });
    assert.deepEqual(
      agent.networks.get(network.uuid)!.router!.dnsEntries!.map((one) => [one.name, one.value]),
      [['db', '192.168.0.10']],
    );
    for (const name of ['a b', '-a', 'a\n', 'x'.repeat(64), 'a/b', 'é', ''])
      expectError(await real.ask('POST', '/networks/net/dns', { name, value: '192.168.0.9' }), 400, /name/);
    for (const value of ['192.168.0.999', '::1', 'db', '', '1.2.3.4\naddress=/x/1.2.3.4'])
      expectError(await real.ask('POST', '/networks/net/dns', { name: 'x', value }), 400, /./);
    expectError(await real.ask('DELETE', '/networks/net/dns', { name: 'no' }), 404, /no DNS entry "no"/);
    expectError(await real.ask('DELETE', '/networks/net/dns', {}), 400, /^name is missing$/);
    assert.equal((await real.ask('DELETE', '/networks/net/dns', { name: 'db' })).text, 'null');
    assert.deepEqual(await entries(), {});
    await real.ask('POST', '/networks', { name: 'mute', netblock: '192.168.2.0/24', provide_dns: false });
    const refused = await real.ask('POST', '/networks/mute/dns', { name: 'x', value: '192.168.2.9' });
    expectError(refused, 400, /mute.*without provide_dns/);
  });

  it('ping: what ping said, as two texts; 406 without an answer to wait for', async () => {
    agent.pong = ({ network: uuid, address }) => ({ stdout: `${uuid} ${address}\nok\n`, stderr: '' });
    const answer = await real.ask('GET', '/networks/net/ping/192.168.0.9', 'null');
    assert.deepEqual(answer.json, { stdout: `${network.uuid} 192.168.0.9\nok\n`, stderr: '' });
    for (const address of ['nonsense', '192.168.0', '8.8.8.8', '192.168.0.9;reboot', '-f', '::1'])
      expectError(await real.ask('GET', `/networks/net/ping/${encodeURIComponent(address)}`), 400, /./);
    expectError(await real.ask('GET', '/networks/nonesuch/ping/192.168.0.9'), 404, /nonesuch/);
    assert.equal(agent.received.filter(({ ping }) => ping).length, 1, 'the agent saw none of these');
  });

  it('traffic: one row per interface, network and direction, by uuid', async () => {
    const traffic = (packets: number) => ({ packets, bytes: 100 * packets });
    agent.send({
      usage: {
        interfaces: [{ interface: nic, network: network.uuid, sent: traffic(5), received: traffic(7) }],
        outside: [{ interface: nic, network: network.uuid, sent: traffic(2), received: traffic(3) }],
        flowTable: { used: 8, capacity: 64 },
      },
    });
    const rows = async () =>
      (await real.app.inject('/metrics')).body
        .split('\n')
        .filter((line) => /^fistpath_(interface|network)_/.test(line) && line.includes(network.uuid));
    for (let i = 0; i < 100 && (await rows()).every((line) => / 0$/.test(line)); i++) await sleep(20);
    const instance = (await real.ask('GET', `/interfaces/${nic}`)).json.instance_uuid as string;
    const labels = `interface="${nic}",instance="${instance}",network="${network.uuid}"`;
    const expected = (object: string, label: string) =>
      (
        [
          [`${object}_packets_total`, 5, 7],
          [`${object}_outside_packets_total`, 2, 3],
          [`${object}_bytes_total`, 500, 700],
          [`${object}_outside_bytes_total`, 200, 300],
        ] as const
      ).flatMap(([name, sent, received]) => [
        `fistpath_${name}{${label},direction="sent"} ${sent}`,
        `fistpath_${name}{${label},direction="received"} ${received}`,
      ]);
    assert.deepEqual(await rows(), [
      ...expected('interface', labels),
      ...expected('network', `network="${network.uuid}"`),
    ]);
    const text = (await call(real, 'GET', '/metrics')).text;
    assert.match(text, /\n# TYPE fistpath_interface_outside_bytes_total counter\n/);
    assert.match(text, /\nfistpath_node_flows\{node="sf-1"\} 8\n/);
    assert.match(text, /\nfistpath_node_flows_capacity\{node="sf-1"\} 64\n/);
    assert.equal(text.match(/# TYPE fistpath_interface_bytes_total/g)?.length, 1);
  });

  it('other tenants can do none of it, and learn nothing', async () => {
    const calls: [string, string, unknown?][] = [
      ['POST', `/interfaces/${nic}/float`],
      ['POST', `/interfaces/${nic}/defloat`],
      ['POST', `/networks/${network.uuid}/route`],
      ['DELETE', `/networks/${network.uuid}/route/10.10.0.9`],
      ['POST', `/networks/${network.uuid}/dns`, { name: 'x', value: '192.168.0.9' }],
      ['DELETE', `/networks/${network.uuid}/dns`, { name: 'x' }],
      ['GET', `/networks/${network.uuid}/ping/192.168.0.9`],
    ];
    for (const [method, path, body] of calls) {
      const answer = await real.askAs('other', method, path, body);
      assert.equal(answer.status, 404, `${method} ${path}: ${answer.text}`);
      const posing = await real.askAs('other', method, path, { ...(body as object), namespace: 'system' });
      assert.equal(posing.status, 401, `${method} ${path}: ${posing.text}`);
    }
    assert.equal(await floatingOf(nic), null);
  });
});

describe('API: the pool of outside addresses', () => {
  const NIC = { network_uuid: 'net', float: true };

  it('empty: 507 for a gateway, a floating and a routed address, and nothing is half made', async () => {
    // Three addresses, of which the first is the next hop.
    const real = await realServer({}, '10.10.0.0/29');
    try {
      const make = (name: string) =>
        real.ask('POST', '/networks', { name, netblock: '192.168.0.0/24', provide_nat: true });
      for (const name of ['net', 'b', 'c', 'd', 'e']) {
        const made = await make(name);
        assert.equal(made.status, 200, `${name}: ${made.text}`);
      }
      expectError(await make('f'), 507, /10\.10\.0\.0\/29|floating/);
      expectError(await real.ask('POST', '/networks/net/route'), 507, /10\.10\.0\.0\/29|floating/);
      expectError(await real.ask('POST', '/instances', instanceOn(NIC)), 507, /10\.10\.0\.0\/29|floating/);
      assert.deepEqual((await real.ask('GET', '/instances')).json, [], 'all or nothing');
      const plain = await real.ask('POST', '/instances', instanceOn({ network_uuid: 'net' }));
      const uuid = plain.json.interfaces[0].uuid as string;
      expectError(await real.ask('POST', `/interfaces/${uuid}/float`), 507, /10\.10\.0\.0\/29|floating/);
      assert.equal((await real.ask('GET', `/interfaces/${uuid}`)).json.floating, null);
      const names = (await real.ask('GET', '/networks')).json.map((one: { name: string }) => one.name);
      assert.ok(!names.includes('f'), names.join());
    } finally {
      await real.close();
    }
  });

  it('none configured: NAT is refused with what to do, the rest works', async () => {
    const real = await realServer({}, null);
    try {
      const network = { name: 'net', netblock: '192.168.0.0/24' };
      expectError(
        await real.ask('POST', '/networks', { ...network, provide_nat: true }),
        507,
        /floating_pool/,
      );
      assert.equal((await real.ask('POST', '/networks', { ...network, provide_nat: false })).status, 200);
      expectError(await real.ask('POST', '/instances', instanceOn(NIC)), 409, /net.*without provide_nat/);
    } finally {
      await real.close();
    }
  });

  it('the floating network belongs to the admin, and stays', async () => {
    const real = await realServer();
    try {
      const floating = await real.ask('GET', '/networks/floating');
      assert.deepEqual([floating.json.vxid, floating.json.netblock], [0, '10.10.0.0/24']);
      await real.ask('POST', '/networks', { name: 'net', netblock: '192.168.0.0/24', provide_nat: true });
      const addresses = (await real.ask('GET', '/networks/floating/addresses')).json as { type: string }[];
      assert.ok(
        addresses.some(({ type }) => type === 'gateway'),
        JSON.stringify(addresses),
      );
      assert.equal((await real.askAs('demo', 'GET', '/networks/floating')).status, 404);
      expectError(await real.ask('DELETE', '/networks/floating'), 403, /floating/);
      const on = await real.ask('POST', '/instances', instanceOn({ network_uuid: 'floating' }));
      assert.ok(on.status >= 400 && on.status < 500, on.text);
      expectError(await real.ask('POST', '/networks/floating/route'), 409, /floating/);
    } finally {
      await real.close();
    }
  });

  it('an interface without IPv4 has nothing to float to', async () => {
    const real = await realServer();
    try {
      await real.ask('POST', '/networks', { name: 'net', netblock: '192.168.0.0/24', provide_nat: true });
      const none = { network_uuid: 'net', address: 'none' };
      const made = await real.ask('POST', '/instances', instanceOn(none));
      const uuid = made.json.interfaces[0].uuid as string;
      expectError(await real.ask('POST', `/interfaces/${uuid}/float`), 400, /no IPv4/);
      expectError(await real.ask('POST', '/instances', instanceOn({ ...none, float: true })), 400, /no IPv4/);
    } finally {
      await real.close();
    }
  });
});
