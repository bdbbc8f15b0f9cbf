/** The layouts of the original's document, byte for byte, and the outputs for programs. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fistpath, StandIn } from './harness.ts';

const NETWORK = {
  uuid: '41f41085-b6d1-4c47-83ea-c8065bd54292',
  name: 'demonet',
  vxid: 2,
  vxlan_id: 2,
  netblock: '192.168.0.0/24',
  provide_dhcp: false,
  provide_nat: false,
  provide_dns: false,
  floating_gateway: null,
  namespace: 'system',
  state: 'initial',
  metadata: {},
  version: 1,
};

const NETWORK_TEXT = `uuid        : 41f41085-b6d1-4c47-83ea-c8065bd54292
name        : demonet
vxlan id    : 2
netblock    : 192.168.0.0/24
provide dhcp: False
provide nat : False
namespace   : system
state       : initial

Metadata:
`;

const INSTANCE = {
  uuid: '0d7fc92d-9577-4d17-97af-1a7ff3bdb157',
  name: 'inst-on-sf-2',
  namespace: 'system',
  cpus: 1,
  memory: 1024,
  disk_spec: [{ base: 'cirros', bus: null, size: 8, type: 'disk' }],
  node: 'sf-2',
  power_state: 'on',
  state: 'created',
  console_port: 44150,
  vdi_port: 44787,
  ssh_key: null,
  user_data: null,
  metadata: {},
  interfaces: [
    {
      uuid: 'c051356d-58fe-439b-8a6b-e772858298b0',
      network_uuid: NETWORK.uuid,
      instance_uuid: '0d7fc92d-9577-4d17-97af-1a7ff3bdb157',
      macaddr: '00:00:00:e0:b7:9e',
      order: 0,
      ipv4: '192.168.0.100',
      floating: null,
      model: 'virtio',
      state: 'created',
      metadata: { rack: '3' },
    },
  ],
};

const INSTANCE_TEXT = `uuid        : 0d7fc92d-9577-4d17-97af-1a7ff3bdb157
name        : inst-on-sf-2
namespace   : system
cpus        : 1
memory      : 1024
disk spec   : [{'base': 'cirros', 'bus': None, 'size': 8, 'type': 'disk'}]
node        : sf-2
power state : on
state       : created
console port: 44150
vdi port    : 44787

ssh key     : None
user data   : None

Metadata:

Interfaces:

    uuid    : c051356d-58fe-439b-8a6b-e772858298b0
    network : 41f41085-b6d1-4c47-83ea-c8065bd54292
    macaddr : 00:00:00:e0:b7:9e
    order   : 0
    ipv4    : 192.168.0.100
    floating: None
`;

/** Seconds of 2020-07-31 23:39:52.771882 and the following, from the document's own table. */
const EVENTS_TEXT = `+----------------------------+------+------------------------+------------+----------------------+-----------+
|         timestamp          | node |       operation        |   phase    |       duration       |  message  |
+----------------------------+------+------------------------+------------+----------------------+-----------+
| 2020-07-31 23:39:52.771882 | sf-1 |          api           |   create   |         None         |    None   |
| 2020-07-31 23:39:52.810563 | sf-1 | create vxlan interface |   start    |         None         |    None   |
| 2020-07-31 23:39:52.834701 | sf-1 | create vxlan interface |   finish   | 0.023019790649414062 |    None   |
| 2020-07-31 23:39:52.921939 | sf-1 |  create vxlan bridge   |   finish   | 0.07030558586120605  |    None   |
| 2020-07-31 23:39:53.013959 | sf-1 |      create netns      |   finish   |  0.0834047794342041  |    None   |
| 2020-07-31 23:39:53.404596 | sf-1 |   add mesh elements    |    None    |         None         | 10.2.1.11 |
| 2020-07-31 23:39:53.518700 | sf-1 |          api           |  created   |         None         |    None   |
| 2020-07-31 23:40:41.118869 | sf-1 |          api           | get events |         None         |    None   |
+----------------------------+------+------------------------+------------+----------------------+-----------+
`;

const EVENTS = EVENTS_TEXT.split('\n')
  .slice(3, -2)
  .map((line) => {
    const [time, fqdn, operation, phase, duration, message] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    const none = (text: string | undefined) => (text === 'None' ? null : text);
    const [whole, fraction] = time!.split('.');
    return {
      timestamp: Date.parse(`${whole!.replace(' ', 'T')}Z`) / 1000 + Number(`0.${fraction}`),
      fqdn,
      operation,
      phase: none(phase),
      duration: none(duration) === null ? null : Number(duration),
      message: none(message),
    };
  });

const NODE = {
  name: 'sf-2',
  ip: '10.2.1.12',
  lastseen: 1596238792.8,
  state: 'missing',
  release: '0.1.0',
  is_hypervisor: true,
  is_network_node: false,
  underlay_mtu: 9000,
  metadata: {},
  datapath: {
    wanted: 'ebpf',
    mode: 'kernel',
    reason: 'no bpffs',
    underlay_hook: null,
    problems: ['a problem'],
  },
};

describe('CLI: layouts', () => {
  const api = new StandIn();
  const run = (...args: string[]) => fistpath(args, { env: { FISTPATH_API_URL: api.url } });

  before(() => api.listen());
  after(() => api.close());
  beforeEach(() => api.answer(answers));

  function answers({ method, path }: { method: string; path: string }) {
    if (path === '/networks') return { body: method === 'POST' ? NETWORK : [NETWORK] };
    if (path === '/networks/demonet') return { body: method === 'DELETE' ? null : NETWORK };
    if (path === '/networks/demonet/events') return { body: EVENTS };
    if (path === '/instances') return { body: method === 'POST' ? INSTANCE : [INSTANCE] };
    if (path === '/instances/inst-on-sf-2') return { body: INSTANCE };
    if (path === '/interfaces/c051356d-58fe-439b-8a6b-e772858298b0') return { body: INSTANCE.interfaces[0] };
    if (path === '/nodes') return { body: [NODE] };
    if (path === '/nodes/sf-2' || path === '/nodes/sf-2/datapath') return { body: NODE };
    return undefined;
  }

  it('network create: the document’s block, in either order of arguments', async () => {
    const [old, later] = await Promise.all([
      run('network', 'create', '192.168.0.0/24', 'demonet', '--no-dhcp', '--no-nat'),
      run(
        'network',
        'create',
        'demonet',
        '192.168.0.0/24',
        '--no-dhcp',
        '--no-nat',
        '--dns',
        '--vxid',
        '7',
        '--namespace',
        'lab',
      ),
    ]);
    assert.deepEqual(old, { code: 0, stdout: NETWORK_TEXT, stderr: '' });
    assert.deepEqual(later, old);
    const bodies = api.requests.filter(({ path }) => path === '/networks').map(({ body }) => body);
    const plain = { name: 'demonet', netblock: '192.168.0.0/24', provide_dhcp: false, provide_nat: false };
    assert.deepEqual(
      bodies.sort((a, b) => Object.keys(a as object).length - Object.keys(b as object).length),
      [plain, { ...plain, provide_dns: true, vxid: 7, namespace: 'lab' }],
    );
  });

  it('network create: DHCP and NAT unless told otherwise', async () => {
    await run('network', 'create', 'demonet', '192.168.0.0/24');
    const { body } = api.requests.find(({ path }) => path === '/networks')!;
    assert.deepEqual(body, {
      name: 'demonet',
      netblock: '192.168.0.0/24',
      provide_dhcp: true,
      provide_nat: true,
    });
  });

  it('network show, list and delete', async () => {
    const [show, list, simple, json, all, gone] = await Promise.all([
      run('network', 'show', 'demonet'),
      run('network', 'list'),
      run('network', 'list', '--simple'),
      run('--json', 'network', 'list'),
      run('network', 'list', '--all', '--json'),
      run('network', 'delete', 'demonet'),
    ]);
    assert.deepEqual(show, { code: 0, stdout: NETWORK_TEXT, stderr: '' });
    assert.equal(
      list.stdout,
      `+--------------------------------------+---------+-----------+----------------+---------+
|                 uuid                 |   name  | namespace |    netblock    |  state  |
+--------------------------------------+---------+-----------+----------------+---------+
| 41f41085-b6d1-4c47-83ea-c8065bd54292 | demonet |   system  | 192.168.0.0/24 | initial |
+--------------------------------------+---------+-----------+----------------+---------+
`,
    );
    assert.equal(
      simple.stdout,
      'uuid,name,namespace,netblock,state\n41f41085-b6d1-4c47-83ea-c8065bd54292,demonet,system,192.168.0.0/24,initial\n',
    );
    assert.deepEqual(JSON.parse(json.stdout), { networks: [NETWORK] });
    assert.equal(all.code, 0);
    const asked = api.requests.filter(({ method, path }) => method === 'GET' && path === '/networks');
    assert.deepEqual(asked.map(({ body }) => JSON.stringify(body)).sort(), [
      '{"all":true}',
      undefined,
      undefined,
      undefined,
    ]);
    assert.deepEqual(gone, { code: 0, stdout: '', stderr: '' });
    assert.ok(api.requests.some(({ method, path }) => method === 'DELETE' && path === '/networks/demonet'));
  });

  it('network events: the document’s table, in UTC', async () => {
    const [table, simple, json] = await Promise.all([
      run('network', 'events', 'demonet'),
      run('network', 'events', 'demonet', '--simple'),
      run('network', 'events', 'demonet', '--json'),
    ]);
    assert.equal(table.stdout, EVENTS_TEXT);
    assert.deepEqual(simple.stdout.split('\n').slice(0, 2), [
      'timestamp,node,operation,phase,duration,message',
      '2020-07-31 23:39:52.771882,sf-1,api,create,None,None',
    ]);
    assert.deepEqual(JSON.parse(json.stdout), { events: EVENTS });
  });

  it('instance create and show: the document’s block', async () => {
    const spec = 'network_uuid=other,address=10.0.0.9,macaddress=02:00:00:aa:bb:cc,float=true';
    const [made, shown] = await Promise.all([
      run(
        'instance',
        'create',
        'inst-on-sf-2',
        '1',
        '1024',
        '-d',
        '8@cirros',
        '-d',
        '20',
        '-n',
        'demonet@192.168.0.7',
        '-n',
        'plain',
        '-N',
        spec,
        '-p',
        'sf-2',
      ),
      run('instance', 'show', 'inst-on-sf-2'),
    ]);
    assert.deepEqual(made, { code: 0, stdout: INSTANCE_TEXT, stderr: '' });
    assert.deepEqual(shown, made);
    assert.deepEqual(
      api.requests.find(({ method, path }) => method === 'POST' && path === '/instances')!.body,
      {
        name: 'inst-on-sf-2',
        cpus: 1,
        memory: 1024,
        network: [
          { network_uuid: 'demonet', address: '192.168.0.7' },
          { network_uuid: 'plain' },
          { network_uuid: 'other', address: '10.0.0.9', macaddress: '02:00:00:aa:bb:cc', float: true },
        ],
        disk: [
          { size: 8, base: 'cirros', bus: null, type: 'disk' },
          { size: 20, base: null, bus: null, type: 'disk' },
        ],
        ssh_key: null,
        user_data: null,
        placed_on: 'sf-2',
      },
    );
  });

  it('instances, interfaces and nodes in simple output', async () => {
    const [show, list, port, nodes, node] = await Promise.all([
      run('--simple', 'instance', 'show', 'inst-on-sf-2'),
      run('--simple', 'instance', 'list'),
      run('interface', 'show', 'c051356d-58fe-439b-8a6b-e772858298b0'),
      run('--simple', 'node', 'list'),
      run('node', 'datapath', 'sf-2', 'kernel'),
    ]);
    assert.match(show.stdout, /^uuid:0d7fc92d-.*\nname:inst-on-sf-2\n/);
    assert.match(show.stdout, /\ndisk_spec,type,bus,size,base\ndisk_spec,disk,None,8,cirros\n/);
    assert.match(
      show.stdout,
      /\niface,interface uuid,network uuid,macaddr,order,ipv4,floating,model\niface,c051356d-58fe-439b-8a6b-e772858298b0,41f41085-b6d1-4c47-83ea-c8065bd54292,00:00:00:e0:b7:9e,0,192.168.0.100,None,virtio\n$/,
    );
    assert.match(list.stdout, /,1,1024,sf-2,on,created,0: 192.168.0.100\n$/);
    assert.match(port.stdout, /^uuid {8}: c051356d-.*\n/);
    assert.match(port.stdout, /\nstate {7}: created\n\nMetadata:\n {4}rack {4}: 3\n$/);
    assert.equal(
      nodes.stdout,
      'name,ip,last seen,state,roles,release,datapath\nsf-2,10.2.1.12,1596238792.8,missing,hypervisor,0.1.0,kernel\n',
    );
    assert.match(node.stdout, /\nlast seen {3}: 2020-07-31 23:39:52.800000\n/);
    assert.match(node.stdout, /\nreason {6}: no bpffs\n.*\nproblem {5}: a problem\n/);
    const put = api.requests.find(({ method }) => method === 'PUT');
    assert.deepEqual([put?.path, put?.body], ['/nodes/sf-2/datapath', { mode: 'kernel' }]);
  });

  it('quotes what would break a comma-separated line', async () => {
    api.answer(({ path }) => (path === '/networks' ? { body: [{ ...NETWORK, name: 'a,"b"' }] } : undefined));
    const { stdout } = await run('network', 'list', '--simple');
    assert.match(stdout, /\n41f41085-b6d1-4c47-83ea-c8065bd54292,"a,""b""",system,/);
  });

  it('asks over a unix socket, too', async () => {
    const socket = join(tmpdir(), `fistpath-cli-${process.pid}.sock`);
    const local = new StandIn();
    local.answer(answers);
    await local.listen(socket);
    try {
      const { code, stdout } = await fistpath(['network', 'show', 'demonet'], {
        env: { FISTPATH_API_URL: `unix:${socket}` },
      });
      assert.deepEqual([code, stdout], [0, NETWORK_TEXT]);
    } finally {
      await local.close();
      rmSync(socket, { force: true });
    }
  });
});
