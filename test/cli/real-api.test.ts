/** The commands against the real API, controller and store: the worked example as far as it needs no agent. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fistpath } from './harness.ts';
import { KEY, serveReal } from './real.ts';

const UUID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';

describe('CLI: with the real API', () => {
  let real: Awaited<ReturnType<typeof serveReal>>;
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-cli-real-'));
  const config = join(directory, 'fistpathd.json');
  const run = (...args: string[]) =>
    fistpath(args, {
      env: { FISTPATH_API_URL: `unix:${real.socket}`, FISTPATH_KEY: KEY, FISTPATH_CONFIG: config },
    });
  const json = async <T>(...args: string[]) => JSON.parse((await run(...args, '--json')).stdout) as T;

  before(async () => {
    real = await serveReal();
    writeFileSync(
      config,
      JSON.stringify({ node: 'sf-2', state_directory: directory, bpf_directory: directory }),
    );
  });
  after(async () => {
    await real.close();
    rmSync(directory, { recursive: true });
  });

  it('creates, shows, lists and tells the events of a network', async () => {
    const made = await run('network', 'create', '192.168.0.0/24', 'demonet', '--no-dhcp', '--no-nat');
    assert.deepEqual([made.code, made.stderr], [0, '']);
    assert.match(
      made.stdout,
      new RegExp(
        `^uuid {8}: ${UUID}\nname {8}: demonet\nvxlan id {4}: 1\nnetblock {4}: 192.168.0.0/24\nprovide dhcp: False\nprovide nat : False\nnamespace {3}: system\nstate {7}: initial\n\nMetadata:\n$`,
      ),
    );
    assert.equal((await run('network', 'create', 'later', '192.168.1.0/24', '--vxid', '77')).code, 0);
    const [shown, listed, events, later] = await Promise.all([
      run('network', 'show', 'demonet'),
      run('network', 'list', '--simple'),
      run('network', 'events', 'demonet'),
      json<{ vxid: number; provide_nat: boolean }>('network', 'show', 'later'),
    ]);
    assert.equal(shown.stdout, made.stdout);
    assert.match(listed.stdout, /,demonet,system,192.168.0.0\/24,initial\n/);
    assert.match(
      events.stdout,
      /\| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} \| sf-1 \|\s+api\s+\|\s+create\s+\|\s+None\s+\|/,
    );
    assert.deepEqual([later.vxid, later.provide_nat], [77, true]);
  });

  it('creates, shows and deletes instances; refusals have their exit codes', async () => {
    const made = await run(
      'instance',
      'create',
      'inst-on-sf-2',
      '1',
      '1024',
      '-d',
      '8@cirros',
      '-n',
      'demonet@192.168.0.100',
      '-p',
      'sf-2',
    );
    assert.deepEqual([made.code, made.stderr], [0, '']);
    assert.match(
      made.stdout,
      /\ndisk spec {3}: \[{'base': 'cirros', 'bus': None, 'size': 8, 'type': 'disk'}\]\nnode {8}: sf-2\n/,
    );
    assert.match(
      made.stdout,
      new RegExp(
        `\nInterfaces:\n\n {4}uuid {4}: ${UUID}\n {4}network : ${UUID}\n {4}macaddr : 02:00:00(:[0-9a-f]{2}){3}\n {4}order {3}: 0\n {4}ipv4 {4}: 192.168.0.100\n {4}floating: None\n$`,
      ),
    );
    const create = ['instance', 'create', 'x', '1', '1024', '-d', '8@cirros'];
    const refused: [string[], number, RegExp][] = [
      [[...create, '-n', 'demonet@192.168.0.100'], 4, /cannot create instance x: .*192.168.0.100/],
      [[...create, '-n', 'demonet@10.9.9.9'], 2, /10.9.9.9/],
      [[...create, '-n', 'nonesuch'], 3, /nonesuch/],
      [[...create, '-n', 'demonet', '-p', 'sf-7'], 3, /sf-7/],
      [[...create, '-N', 'network_uuid=demonet,macaddress=nonsense'], 2, /macaddress|MAC/],
      [['network', 'create', 'small', '10.0.0.0/30'], 2, /10.0.0.0\/30/],
      [['network', 'create', 'overlap', '10.10.0.0/25'], 2, /10.10.0/],
      [['network', 'create', 'taken', '10.1.0.0/24', '--vxid', '77'], 4, /77/],
      [['network', 'show', 'nonesuch'], 3, /cannot show network nonesuch: /],
      [['network', 'delete', 'demonet'], 1, /inst-on-sf-2/],
      [['interface', 'show', 'c051356d-58fe-439b-8a6b-e772858298b0'], 3, /c051356d/],
    ];
    const results = await Promise.all(refused.map(([args]) => run(...args)));
    for (const [i, [args, code, message]] of refused.entries()) {
      const { stderr, stdout } = results[i]!;
      assert.match(stderr, /^fistpath: [^\n]+\n$/, args.join(' '));
      assert.match(stderr, message);
      assert.deepEqual([results[i]!.code, stdout], [code, ''], `${args.join(' ')}: ${stderr}`);
    }
    const { interfaces } = await json<{ interfaces: { uuid: string }[] }>('instance', 'show', 'inst-on-sf-2');
    const [one, listed] = await Promise.all([
      run('interface', 'show', interfaces[0]!.uuid),
      run('instance', 'list'),
    ]);
    assert.match(one.stdout, /\nipv4 {8}: 192.168.0.100\n/);
    assert.match(listed.stdout, /\|\s+sf-2\s+\|.*0: 192.168.0.100/);
  });

  it('floats, routes and names; refusals have their exit codes', async () => {
    const made = await run('network', 'create', 'open', '192.168.9.0/24', '--dns');
    assert.match(made.stdout, /\nprovide dns : True\ngateway {5}: 10\.10\.0\.\d+\nnamespace/);
    const floated = await json<{ interfaces: { uuid: string; floating: string }[] }>(
      ...['instance', 'create', 'web', '1', '512', '-f', 'open'],
    );
    const [{ uuid, floating }] = floated.interfaces as [{ uuid: string; floating: string }];
    assert.match(floating, /^10\.10\.0\.\d+$/);
    const again = await run('interface', 'float', uuid);
    assert.deepEqual([again.code, again.stdout], [4, '']);
    assert.deepEqual(await run('interface', 'defloat', uuid), { code: 0, stdout: '', stderr: '' });
    assert.equal((await run('interface', 'defloat', uuid)).code, 4);
    const { stdout: address } = await run('interface', 'float', uuid);
    assert.match((await run('interface', 'show', uuid)).stdout, new RegExp(`\nfloating {4}: ${address}`));

    const routed = (await run('network', 'route', 'open')).stdout.trim();
    assert.match(routed, /^10\.10\.0\.\d+$/);
    assert.equal((await run('network', 'dns', 'add', 'open', 'db', '192.168.9.7')).code, 0);
    const shown = await run('network', 'show', 'open');
    assert.match(shown.stdout, new RegExp(`\nrouted {6}: ${routed}\ndns {9}: db = 192.168.9.7\n`));
    const refused: [string[], number][] = [
      [['dns', 'add', 'open', 'a b', '192.168.9.7'], 2],
      [['dns', 'add', 'open', 'x', 'nonsense'], 2],
      [['dns', 'add', 'demonet', 'x', '192.168.0.7'], 2],
      [['dns', 'remove', 'open', 'x'], 3],
      [['unroute', 'open', '10.10.0.250'], 3],
      [['route', 'demonet'], 4],
      [['ping', 'open', 'nonsense'], 2],
      // No agent is connected.
      [['ping', 'open', '192.168.9.1'], 1],
    ];
    for (const [words, code] of refused) {
      const answer = await run('network', ...words);
      assert.deepEqual([answer.code, answer.stdout], [code, ''], `${words.join(' ')}: ${answer.stderr}`);
    }
    assert.equal((await run('network', 'dns', 'remove', 'open', 'db')).code, 0);
    assert.equal((await run('network', 'unroute', 'open', routed)).code, 0);
    assert.doesNotMatch((await run('network', 'show', 'open')).stdout, /routed|dns {5}/);
    assert.equal((await run('instance', 'delete', 'web')).code, 0);
    assert.equal((await run('network', 'delete', 'open')).code, 0);
  });

  it('compares what is wanted with a kernel that has nothing yet', async () => {
    const { code, stdout } = await run('fdb', 'show', 'demonet', '--json');
    assert.equal(code, 1);
    const { entries, vni } = JSON.parse(stdout) as { vni: number; entries: Record<string, string | null>[] };
    assert.equal(vni, 1);
    const local = entries.find(({ who }) => who === 'inst-on-sf-2 192.168.0.100')!;
    assert.match(local.wanted!, /^p-[0-9a-f]{12}$/);
    assert.equal(local.difference, 'kernel: missing');
    assert.deepEqual(
      entries.filter(({ kind }) => kind === 'peer').map(({ key, wanted }) => [key, wanted]),
      [['10.2.1.11', 'member']],
    );
    assert.equal(entries.find(({ who }) => who === 'router')?.wanted, '10.2.1.11');
  });

  it('shows nodes and says which datapath they should run', async () => {
    const [list, node] = await Promise.all([run('node', 'list'), run('node', 'datapath', 'sf-2', 'kernel')]);
    assert.match(list.stdout, /\|\s+sf-lost\s+\|.*\|\s+missing\s+\|/);
    assert.match(list.stdout, /\|\s+sf-1\s+\|\s+10.2.1.11\s+\|.*\|\s+hypervisor; network node\s+\|/);
    assert.match(node.stdout, /\nwanted {6}: kernel\n/);
    const unknown = await run('node', 'show', 'nonesuch');
    assert.deepEqual([unknown.code, unknown.stdout], [3, '']);
  });

  it('deletes', async () => {
    assert.deepEqual(await run('instance', 'delete', 'inst-on-sf-2'), { code: 0, stdout: '', stderr: '' });
    assert.deepEqual(await run('network', 'delete', 'later'), { code: 0, stdout: '', stderr: '' });
    const all = await json<{ networks: { name: string; state: string }[] }>('network', 'list', '--all');
    assert.match(all.networks.find(({ name }) => name === 'later')?.state ?? '', /^delete/);
  });
});
