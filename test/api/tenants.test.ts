// Every path × {no token, another tenant, its owner, the admin}: nobody reaches what is not theirs.
import assert from 'node:assert/strict';
import { call } from './call.ts';
import { instanceOn, type Real, realServer } from './real.ts';

describe('tenants', () => {
  let real: Real;
  let network: string;
  let instance: string;
  let nic: string;

  before(async () => {
    real = await realServer();
    const net = await real.askAs('demo', 'POST', '/networks', { name: 'net', netblock: '192.168.0.0/24' });
    network = net.json.uuid;
    const inst = await real.askAs('demo', 'POST', '/instances', instanceOn({ network_uuid: 'net' }));
    assert.equal(inst.status, 200, inst.text);
    instance = inst.json.uuid;
    nic = inst.json.interfaces[0].uuid;
  });
  after(() => real.close());

  /** Paths of demo's own objects; none of them ends an object. */
  function own(): [string, string, unknown?][] {
    const metadata = (path: string): [string, string, unknown?][] => [
      ['POST', `${path}/metadata`, { key: 'a', value: 'b' }],
      ['GET', `${path}/metadata`],
      ['PUT', `${path}/metadata/c`, { value: 'd' }],
      ['DELETE', `${path}/metadata/c`],
    ];
    return [
      ...['', '/interfaces', '/addresses', '/events'].map((end): [string, string] => [
        'GET',
        `/networks/${network}${end}`,
      ]),
      ...['', '/interfaces', '/events'].map((end): [string, string] => [
        'GET',
        `/instances/${instance}${end}`,
      ]),
      ...['', '/events'].map((end): [string, string] => ['GET', `/interfaces/${nic}${end}`]),
      ...[
        `/networks/${network}`,
        `/instances/${instance}`,
        `/interfaces/${nic}`,
        '/auth/namespaces/demo',
      ].flatMap(metadata),
    ];
  }

  it('the owner and the admin may, with and without naming the namespace', async () => {
    for (const who of ['demo', 'system']) {
      for (const [method, path, body] of own()) {
        const answer = await real.askAs(who, method, path, body);
        assert.equal(answer.status, 200, `${who} ${method} ${path}: ${answer.text}`);
      }
    }
    assert.equal((await real.ask('GET', '/networks/net', { namespace: 'demo' })).json.uuid, network);
    assert.equal(
      (await real.askAs('demo', 'GET', '/networks/net', { namespace: 'demo' })).json.uuid,
      network,
    );
  });

  it('nobody else may see that it is there', async () => {
    const ends: [string, string, unknown?][] = [
      ['DELETE', `/networks/${network}`],
      ['DELETE', `/instances/${instance}`],
    ];
    for (const [method, path, body] of [...own(), ...ends]) {
      const answer = await real.askAs('other', method, path, body);
      assert.equal(answer.status, 404, `${method} ${path}: ${answer.text}`);
      const byName = path.replace(network, 'net').replace(instance, 'inst');
      assert.equal((await real.askAs('other', method, byName, body)).status, 404, `${method} ${byName}`);
      const posing = await real.askAs('other', method, path, { ...(body as object), namespace: 'demo' });
      assert.equal(posing.status, 401, `${method} ${path} as demo: ${posing.text}`);
    }
    for (const path of ['/networks', '/instances']) {
      assert.deepEqual((await real.askAs('other', 'GET', path, { all: true })).json, []);
      assert.equal((await real.askAs('demo', 'GET', path)).json.length, 1);
      assert.equal((await real.ask('GET', path)).json.length, 1);
      assert.deepEqual((await real.askAs('other', 'DELETE', path, { confirm: true })).json, []);
      assert.equal(
        (await real.askAs('other', 'DELETE', path, { confirm: true, namespace: 'demo' })).status,
        401,
      );
    }
    assert.equal((await real.askAs('demo', 'GET', `/instances/${instance}`)).json.state, 'initial');
  });

  it('nobody else may use it', async () => {
    for (const reference of [network, 'net']) {
      const answer = await real.askAs('other', 'POST', '/instances', instanceOn({ network_uuid: reference }));
      assert.equal(answer.status, 404, answer.text);
    }
    for (const path of ['/networks', '/instances']) {
      const body =
        path === '/networks' ? { name: 'n', netblock: '10.0.0.0/24' } : instanceOn({ network_uuid: network });
      const answer = await real.askAs('other', 'POST', path, { ...body, namespace: 'demo' });
      assert.equal(answer.status, 401, answer.text);
    }
  });

  it('nodes are changed by the admin only', async () => {
    const calls: [string, string, unknown?][] = [
      ['PUT', '/nodes/sf-1/datapath', { mode: 'kernel' }],
      ['DELETE', '/nodes/sf-3'],
      ['POST', '/nodes/sf-1/metadata', { key: 'a', value: 'b' }],
      ['PUT', '/nodes/sf-1/metadata/a', { value: 'b' }],
      ['DELETE', '/nodes/sf-1/metadata/a'],
    ];
    for (const [method, path, body] of calls) {
      const answer = await real.askAs('demo', method, path, body);
      assert.ok([401, 403].includes(answer.status), `${method} ${path}: ${answer.text}`);
    }
    assert.equal((await real.ask('GET', '/nodes/sf-1')).json.datapath.wanted, 'ebpf');
    assert.equal((await real.ask('GET', '/nodes/sf-3')).json.state, 'created');
  });

  it('without a token nothing but health, metrics and documentation answers', async () => {
    const document = real.app.swagger() as unknown as {
      paths: Record<string, Record<string, { security: object[] }>>;
    };
    let closed = 0;
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods)) {
        const at = path.replace(/\{\w+\}/g, network);
        const answer = await call(real, method.toUpperCase(), at, {});
        if (['/', '/healthz', '/readyz', '/metrics'].includes(path)) assert.equal(answer.status, 200, path);
        else if (path === '/auth') assert.equal(answer.status, 400);
        else {
          closed += 1;
          assert.equal(answer.status, 401, `${method} ${path}: ${answer.text}`);
        }
      }
    }
    assert.ok(closed > 40);
  });
});
