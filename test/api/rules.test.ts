// The rules that existing clients enforce, over the real controller.
import assert from 'node:assert/strict';
import { bytesThrough, call } from './call.ts';
import { instanceOn, KEY, type Real, realServer } from './real.ts';

describe('the rules of the API', () => {
  let real: Real;
  let network: { uuid: string };
  let instance: { uuid: string; interfaces: { uuid: string }[] };

  before(async () => {
    real = await realServer();
    network = (await real.ask('POST', '/networks', { name: 'demonet', netblock: '192.168.0.0/24' })).json;
    instance = (await real.ask('POST', '/instances', instanceOn({ network_uuid: 'demonet' }))).json;
  });
  after(() => real.close());

  it('success is 200 with a JSON body, for every path', async () => {
    const nic = instance.interfaces[0]?.uuid;
    const spare = (await real.ask('POST', '/networks', { name: 'spare', netblock: '10.1.0.0/24' })).json;
    const onSpare = { ...instanceOn({ network_uuid: spare.uuid }), name: 'doomed' };
    const doomed = (await real.ask('POST', '/instances', onSpare)).json;
    const calls: [string, string, unknown?][] = [
      ['POST', '/auth', { namespace: 'system', key: KEY }],
      ['GET', '/networks'],
      ['GET', `/networks/${network.uuid}`],
      ['GET', '/networks/demonet'],
      ['GET', '/networks/demonet/interfaces'],
      ['GET', '/networks/demonet/addresses'],
      ['GET', '/networks/demonet/events'],
      ['GET', '/instances'],
      ['GET', `/instances/${instance.uuid}`],
      ['GET', '/instances/inst/interfaces'],
      ['GET', '/instances/inst/events'],
      ['GET', `/interfaces/${nic}`],
      ['GET', `/interfaces/${nic}/events`],
      ['GET', '/nodes'],
      ['GET', '/nodes/sf-2'],
      ['GET', '/nodes/sf-2/events'],
      ['PUT', '/nodes/sf-2/datapath', { mode: 'kernel' }],
      ...[
        '/networks/demonet',
        '/instances/inst',
        `/interfaces/${nic}`,
        '/nodes/sf-3',
        '/auth/namespaces/system',
      ].flatMap((path): [string, string, unknown?][] => [
        ['POST', `${path}/metadata`, { key: 'a', value: 'b' }],
        ['PUT', `${path}/metadata/c`, { value: 'd' }],
        ['GET', `${path}/metadata`],
        ['DELETE', `${path}/metadata/a`],
      ]),
      ['DELETE', `/instances/${doomed.uuid}`],
      ['DELETE', `/networks/${spare.uuid}`],
      ['DELETE', '/instances', { confirm: true, namespace: 'demo' }],
      ['DELETE', '/networks', { confirm: true, namespace: 'demo' }],
      ['DELETE', '/nodes/sf-lost'],
    ];
    for (const [method, path, body] of calls) {
      const answer = await real.ask(method, path, body);
      assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
      assert.notEqual(answer.json, undefined, `${method} ${path}: ${answer.text}`);
      assert.match(String(answer.headers['content-type']), /^application\/json/, `${method} ${path}`);
    }
  });

  it('nothing to say is the text null', async () => {
    const answer = await real.ask('PUT', '/networks/demonet/metadata/owner', { value: 'ops' });
    assert.deepEqual([answer.status, answer.text], [200, 'null']);
    assert.equal(answer.headers['content-length'], '4');
    assert.equal((await real.ask('GET', '/networks/demonet/metadata')).json.owner, 'ops');
    assert.equal((await real.ask('DELETE', '/networks/demonet/metadata/owner')).text, 'null');
    const again = await real.ask('DELETE', '/networks/demonet/metadata/owner');
    assert.deepEqual([again.status, again.json.status], [404, 404]);
  });

  it('null, an empty body and none at all mean "no arguments", whatever the Content-Type', async () => {
    for (const body of ['null', '', '{}', ' \r\n', undefined]) {
      for (const type of [undefined, 'application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
        const headers = { ...real.as('system'), ...(type === undefined ? {} : { 'content-type': type }) };
        for (const [method, path, status] of [
          ['GET', '/networks', 200],
          ['GET', '/nodes/sf-1', 200],
          ['DELETE', '/networks/no-such-network', 404],
          ['POST', '/networks', 400],
        ] as const) {
          const answer = await call(real, method, path, body, headers);
          assert.equal(
            answer.status,
            status,
            `${method} ${path} ${JSON.stringify(body)} ${type}: ${answer.text}`,
          );
        }
      }
    }
  });

  it('the body counts with every method, and GET takes the query string, too', async () => {
    const gone = (await real.ask('POST', '/networks', { name: 'gone', netblock: '10.2.0.0/24' })).json;
    await real.ask('DELETE', `/networks/${gone.uuid}`);
    const has = async (path: string, body?: unknown): Promise<boolean> =>
      (await real.ask('GET', path, body)).json.some((entry: { uuid: string }) => entry.uuid === gone.uuid);
    const state = (await real.ask('GET', `/networks/${gone.uuid}`)).json.state as string;
    assert.match(state, /^(delete-wait|deleted)$/);
    if (state === 'deleted') assert.equal(await has('/networks'), false);
    assert.equal(await has('/networks', { all: true }), true);
    assert.equal(await has('/networks?all=true'), true);
    const one = await real.ask('GET', '/networks/demonet/events?limit=1');
    assert.equal(one.json.length, 1);
    assert.equal((await real.ask('GET', '/networks/demonet/events', { limit: 1 })).json.length, 1);
  });

  it('an unknown argument is a 400 that names it, anywhere', async () => {
    const calls: [string, string, unknown, RegExp][] = [
      ['GET', '/networks', { al: true }, /unknown argument "al"/],
      ['GET', '/networks?al=true', undefined, /unknown argument "al"/],
      ['GET', '/nodes', { all: true }, /unknown argument "all"/],
      ['DELETE', '/networks/demonet', { force: true }, /unknown argument "force"/],
      ['DELETE', '/networks/demonet?namespace=system', undefined, /unknown argument "namespace"/],
      ['POST', '/networks', { name: 'n', netblock: '10.0.0.0/24', mtu: 9000 }, /unknown argument "mtu"/],
      [
        'POST',
        '/instances',
        instanceOn({ network_uuid: 'demonet', ip: '1' }),
        /unknown argument "ip" in network\[0\]/,
      ],
      ['PUT', '/nodes/sf-1/datapath', { mode: 'kernel', 'a\nb': 1 }, /unknown argument "a\\nb"/],
    ];
    for (const [method, path, body, text] of calls) {
      const answer = await real.ask(method, path, body);
      assert.equal(answer.status, 400, `${method} ${path}`);
      assert.match(answer.json.error, text);
      assert.equal(answer.json.status, 400);
    }
    assert.equal((await real.ask('GET', '/networks/demonet')).json.state, 'initial');
  });

  it('a network has both names of its number, and floating_gateway even when null', async () => {
    const { json } = await real.ask('GET', '/networks/demonet');
    assert.equal(json.vxid, json.vxlan_id);
    assert.ok(json.vxid >= 1);
    assert.ok('floating_gateway' in json && json.floating_gateway === null);
    assert.deepEqual(
      [json.state, json.netblock, json.namespace, json.mtu],
      ['initial', '192.168.0.0/24', 'system', 8950],
    );
  });

  it('an instance has its interfaces inside, in every reply, and sorted keys in disk_spec', async () => {
    const replies = [
      instance,
      (await real.ask('GET', `/instances/${instance.uuid}`)).json,
      (await real.ask('GET', '/instances')).json.find(
        (entry: { uuid: string }) => entry.uuid === instance.uuid,
      ),
    ];
    for (const reply of replies) {
      assert.equal(reply.interfaces.length, 1);
      assert.equal(reply.interfaces[0].network_uuid, network.uuid);
      assert.match(reply.interfaces[0].macaddr, /^02:00:00(:[0-9a-f]{2}){3}$/);
      assert.match(reply.interfaces[0].ipv4, /^192\.168\.0\.[0-9]+$/);
      assert.equal(JSON.stringify(reply.disk_spec), '[{"base":"cirros","bus":null,"size":8,"type":"disk"}]');
    }
  });

  it('objects are named by uuid, or by a name that is unique', async () => {
    const twin = { name: 'twin', netblock: '10.3.0.0/24' };
    const first = await real.ask('POST', '/networks', twin);
    assert.equal((await real.ask('GET', '/networks/twin')).json.uuid, first.json.uuid);
    await real.ask('POST', '/networks', twin);
    const both = await real.ask('GET', '/networks/twin');
    assert.deepEqual([both.status, both.json.status], [400, 400]);
    assert.match(both.json.error, new RegExp(first.json.uuid));
    assert.equal((await real.ask('GET', `/networks/${first.json.uuid}`)).status, 200);
  });

  it('names with spaces, slashes, percent signs and other letters work in paths', async () => {
    for (const name of ['a b', 'a/b', '100%', 'Netz für München', '網路', '..', "'; drop"]) {
      const made = await real.ask('POST', '/networks', { name, netblock: '10.4.0.0/24' });
      assert.equal(made.status, 200, name);
      const found = await real.ask('GET', `/networks/${encodeURIComponent(name).replaceAll('.', '%2E')}`);
      assert.equal(found.json.uuid, made.json.uuid, name);
    }
  });

  it('a deleted instance stays readable with state deleted', async () => {
    const made = (await real.ask('POST', '/instances', instanceOn({ network_uuid: 'demonet' }))).json;
    const { json, status } = await real.ask('DELETE', `/instances/${made.uuid}`);
    assert.deepEqual([status, json.uuid], [200, made.uuid]);
    const after = await real.ask('GET', `/instances/${made.uuid}`);
    assert.equal(after.status, 200);
    assert.match(after.json.state, /^delete(-wait|d)$/);
  });

  it('DELETE of all takes confirm, and from an admin a namespace', async () => {
    const mine = (await real.askAs('demo', 'POST', '/networks', { name: 'mine', netblock: '10.5.0.0/24' }))
      .json;
    for (const body of [undefined, {}, { confirm: false }]) {
      assert.equal((await real.askAs('demo', 'DELETE', '/networks', body)).status, 400);
      assert.equal((await real.askAs('demo', 'DELETE', '/instances', body)).status, 400);
    }
    const denied = await real.askAs('other', 'DELETE', '/networks', { confirm: true, namespace: 'demo' });
    assert.ok([401, 403].includes(denied.status), denied.text);
    assert.equal((await real.askAs('demo', 'GET', `/networks/${mine.uuid}`)).json.state, 'initial');
    const all = await real.ask('DELETE', '/networks', {
      confirm: true,
      namespace: 'demo',
      clean_wait: false,
    });
    assert.deepEqual(all.json, [mine.uuid]);
    assert.equal((await real.ask('GET', '/networks/demonet')).json.state, 'initial');
  });

  it('the front page needs no token and has the words', async () => {
    const answer = await call(real, 'GET', '/');
    assert.equal(answer.status, 200);
    assert.match(answer.text, /events-by-type/);
    for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs']) {
      assert.equal((await call(real, 'GET', path)).status, 200, path);
    }
  });

  it('events come oldest first for clients of 2020, newest first with filters for those of 2024', async () => {
    const made = (await real.ask('POST', '/networks', { name: 'eventful', netblock: '10.6.0.0/24' })).json;
    await real.ask('GET', `/networks/${made.uuid}/events`, 'null');
    const old = (await real.ask('GET', `/networks/${made.uuid}/events`, 'null')).json;
    assert.deepEqual([old[0].operation, old[0].phase, old[0].message], ['api', 'create', null]);
    const times = old.map((event: { timestamp: number }) => event.timestamp);
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    assert.ok(Math.abs(times[0] - Date.now() / 1000) < 60);
    const path = `/networks/${made.uuid}/events`;
    const newer = (await real.ask('GET', path, { event_type: null, limit: 100 })).json;
    assert.equal(newer.at(-1).message, 'api');
    assert.deepEqual([newer.at(-1).extra.phase, newer.at(-1).operation], ['create', 'api']);
    assert.ok(newer[0].timestamp >= newer.at(-1).timestamp);
    const latest = (await real.ask('GET', path, { event_type: null, limit: '2' })).json;
    assert.equal(latest.length, 2);
    assert.notEqual(latest[0].extra.phase, 'create');
    const none = (await real.ask('GET', path, { event_type: 'no-such-type', limit: 5 })).json;
    assert.deepEqual(none, []);
  });

  it('pipelined requests with bodies are told apart', async () => {
    const token = real.as('system').authorization;
    const one = (path: string, body: string, last = false): string =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${token}\r\nContent-Length: ${body.length}\r\n` +
      `${last ? 'Connection: close\r\n' : ''}\r\n${body}`;
    const text = await bytesThrough(
      real,
      one('/nodes', 'null') + one('/networks', '{"all": true}') + one('/nodes/sf-1', '', true),
    );
    assert.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 3);
    assert.match(text, /"name":"sf-1"/);
  });
});
