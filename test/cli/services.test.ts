/** Floating and routed addresses, DNS entries and ping: what goes to the API, and what people see. */
import assert from 'node:assert/strict';
import { fistpath, StandIn } from './harness.ts';

const NIC = 'c051356d-58fe-439b-8a6b-e772858298b0';
const ANSWERED =
  'PING 192.168.0.100 (192.168.0.100) 56(84) bytes of data.\n10 packets transmitted, 10 received, 0% packet loss, time 1838ms\n';
const SILENT = '10 packets transmitted, 0 received, 100% packet loss, time 1838ms\n';

describe('CLI: services of a network', () => {
  const api = new StandIn();
  const run = (...args: string[]) => fistpath(args, { env: { FISTPATH_API_URL: api.url } });
  const asked = () =>
    api.requests.filter(({ path }) => path !== '/auth').map(({ method, path, body }) => [method, path, body]);

  before(() => api.listen());
  after(() => api.close());

  it('float prints the address, defloat nothing', async () => {
    const one = { uuid: NIC, floating: '10.10.0.7' };
    api.answer(({ method }) => ({ body: method === 'POST' ? null : one }));
    const shown = await run('interface', 'float', NIC);
    assert.deepEqual(shown, { code: 0, stdout: '10.10.0.7\n', stderr: '' });
    assert.deepEqual(JSON.parse((await run('--json', 'interface', 'float', NIC)).stdout), one);
    assert.deepEqual(await run('interface', 'defloat', NIC), { code: 0, stdout: '', stderr: '' });
    assert.deepEqual(asked(), [
      ['POST', `/interfaces/${NIC}/float`, undefined],
      ['GET', `/interfaces/${NIC}`, undefined],
      ['POST', `/interfaces/${NIC}/float`, undefined],
      ['GET', `/interfaces/${NIC}`, undefined],
      ['POST', `/interfaces/${NIC}/defloat`, undefined],
    ]);
    api.answer(() => ({ status: 409, body: { error: 'it has 10.10.0.7 already', status: 409 } }));
    const again = await run('interface', 'float', NIC);
    assert.deepEqual([again.code, again.stdout], [4, '']);
    assert.match(again.stderr, /cannot float interface .*: it has 10.10.0.7 already/);
  });

  it('route prints the address, unroute and dns nothing', async () => {
    api.answer(({ method, path }) => ({
      body: method === 'POST' && path.endsWith('route') ? '"10.10.0.8"' : null,
    }));
    assert.equal((await run('network', 'route', 'web net')).stdout, '10.10.0.8\n');
    for (const words of [
      ['unroute', 'web net', '10.10.0.8'],
      ['dns', 'add', 'web net', 'db', '192.168.0.100'],
      ['dns', 'remove', 'web net', 'db'],
    ])
      assert.deepEqual(await run('network', ...words), { code: 0, stdout: '', stderr: '' });
    assert.deepEqual(asked(), [
      ['POST', '/networks/web%20net/route', undefined],
      ['DELETE', '/networks/web%20net/route/10.10.0.8', undefined],
      ['POST', '/networks/web%20net/dns', { name: 'db', value: '192.168.0.100' }],
      ['DELETE', '/networks/web%20net/dns', { name: 'db' }],
    ]);
  });

  it('ping shows what ping said, and ends with 1 when nothing answers', async () => {
    api.answer(({ path }) => ({
      body: path.endsWith('/192.168.0.100')
        ? { stdout: ANSWERED, stderr: '' }
        : { stdout: SILENT, stderr: 'why\n' },
    }));
    assert.deepEqual(await run('network', 'ping', 'demonet', '192.168.0.100'), {
      ...{ code: 0, stdout: ANSWERED, stderr: '' },
    });
    assert.deepEqual(await run('network', 'ping', 'demonet', '192.168.0.9'), {
      ...{ code: 1, stdout: SILENT, stderr: 'why\n' },
    });
    const json = await run('network', 'ping', 'demonet', '192.168.0.9', '--json');
    assert.deepEqual([json.code, JSON.parse(json.stdout)], [1, { stdout: SILENT, stderr: 'why\n' }]);
    assert.deepEqual(asked()[0], ['GET', '/networks/demonet/ping/192.168.0.100', undefined]);
  });

  it('an instance gets its networks in the order given, floated ones among them', async () => {
    api.answer(() => ({ body: { metadata: {}, interfaces: [] } }));
    const { code, stderr } = await run(
      ...[
        'instance',
        'create',
        'web',
        '1',
        '512',
        '-f',
        'demonet@192.168.0.9',
        '-N',
        'network_uuid=b,float=true',
      ],
      ...['-n', 'c', '--floated', 'd'],
    );
    assert.deepEqual([code, stderr], [0, '']);
    assert.deepEqual((asked()[0]![2] as { network: object[] }).network, [
      { network_uuid: 'demonet', address: '192.168.0.9', float: true },
      { network_uuid: 'b', float: true },
      { network_uuid: 'c' },
      { network_uuid: 'd', float: true },
    ]);
  });

  it('a network shows what its router does for it; a node where its NAT is done', async () => {
    const network = {
      ...{
        uuid: 'u',
        name: 'demonet',
        vxid: 2,
        netblock: '192.168.0.0/24',
        provide_dhcp: true,
        provide_nat: true,
      },
      ...{
        provide_dns: true,
        floating_gateway: '10.10.0.2',
        routed_addresses: ['10.10.0.8'],
        namespace: 'system',
      },
      ...{ dns_entries: { db: '192.168.0.100' }, state: 'created', metadata: {} },
    };
    const datapath = { wanted: 'ebpf', mode: 'ebpf', reason: null, underlay_hook: 'tc', problems: [] };
    api.answer(({ path }) =>
      path.startsWith('/networks')
        ? { body: network }
        : {
            body: {
              name: 'sf-1',
              lastseen: 0,
              metadata: {},
              datapath: { ...datapath, nat: 'kernel', nat_reason: 'no kfunc' },
            },
          },
    );
    const shown = await run('network', 'show', 'demonet');
    assert.match(
      shown.stdout,
      /\nprovide nat : True\nprovide dns : True\ngateway {5}: 10.10.0.2\nrouted {6}: 10.10.0.8\ndns {9}: db = 192.168.0.100\nnamespace/,
    );
    assert.match((await run('node', 'show', 'sf-1')).stdout, /\nnat {9}: kernel\nnat reason {2}: no kfunc\n/);
  });
});
