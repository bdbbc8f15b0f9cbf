/** dnsmasq with real clients. Long, since every case needs the same two networks with their guests. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fistpath } from '#proto';
import type { NetworkResult } from '../../src/agent/kernel/kernel.ts';
import { Dnsmasq, type DnsmasqResult } from '../../src/agent/services/dnsmasq.ts';
import { commandLine, isWorking, processState } from '../../src/agent/services/dnsmasq-process.ts';
import type { ChildTask } from './dnsmasq-child.ts';

const FIRST = '00000000-0000-4000-8000-00000000d001';
const SECOND = '00000000-0000-4000-8000-00000000d002';
const INTERFACE = 'c0010000-0000-4000-8000-000000000001';
const [WEB, MAIL, STRANGER] = [9, 10, 11].map((last) => Uint8Array.of(2, 0, 0, 0, 0, last)) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
];
const LOOK_MS = 100;
const CHILD = new URL('./dnsmasq-child.ts', import.meta.url);

const ip = (command: string): string =>
  execFileSync('ip', command.split(' '), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const macText = (mac: Uint8Array) => Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');

async function inside(namespace: string, ...command: string[]): Promise<string> {
  const run = promisify(execFile);
  return (await run('nsenter', [`--net=/run/netns/${namespace}`, ...command])).stdout;
}

async function eventually(what: string, condition: () => boolean, ms = 5000): Promise<void> {
  for (const end = performance.now() + ms; performance.now() < end; ) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not in ${ms} ms: ${what}`);
}

/** A network's bridge and router namespace, as the kernel path makes them. */
function makeRouter(uuid: string, vni: number): void {
  const x = vni.toString(16);
  ip(`netns add ${uuid}`);
  ip(`link add name br-${x} type bridge`);
  ip(`link set br-${x} up`);
  makeVeth(uuid, vni);
}

function makeVeth(uuid: string, vni: number): void {
  const x = vni.toString(16);
  ip(`link add veth-${x}-o type veth peer name veth-${x}-i netns ${uuid}`);
  ip(`link set veth-${x}-o master br-${x} up`);
  ip(`-n ${uuid} link set lo up`);
  ip(`-n ${uuid} addr add 10.0.0.1/24 brd + dev veth-${x}-i`);
  ip(`-n ${uuid} link set veth-${x}-i up`);
}

/** A guest in namespace `name`, on a network's bridge. */
function makeGuest(name: string, vni: number, mac: Uint8Array): void {
  ip(`netns add ${name}`);
  ip(`link add ${name} type veth peer name eth0 netns ${name} address ${macText(mac)}`);
  ip(`link set ${name} master br-${vni.toString(16)} up`);
  ip(`-n ${name} link set eth0 up`);
}

function network(
  router: Partial<fistpath.IRouter> = {},
  fields: Partial<fistpath.INodeNetwork> = {},
): fistpath.INodeNetwork {
  return {
    ...{ uuid: FIRST, name: 'first', vni: 0x21, netblock: '10.0.0.0/24', mtu: 1400, ports: [] },
    router: {
      ...{ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), address: '10.0.0.1', dhcp: true, dns: true },
      domain: 'banana.internal',
      leases: [{ interface: INTERFACE, mac: WEB, ipv4: '10.0.0.9', name: 'web' }],
      dnsEntries: [
        { name: 'db', value: '10.0.0.77' },
        { name: 'www.example.com.', value: '198.51.100.7' },
      ],
      ...router,
    },
    ...fields,
  };
}

function resultOf({ uuid, vni, mtu }: fistpath.INodeNetwork): NetworkResult {
  const ifname = `veth-${vni!.toString(16)}-o`;
  const [{ ifindex }] = JSON.parse(ip(`-j link show ${ifname}`));
  const router = { interface: null, ifname, ifindex, mac: Uint8Array.of(2, 0, 0, 0, 0, 1), ipv4: '10.0.0.1' };
  const ports = [{ ...router, router: true, peer: true, xdp: true }];
  return {
    uuid: uuid!,
    steps: [],
    devices: { uuid: uuid!, vni: vni!, mtu: mtu!, vxlanIfindex: 0, ports, nat: null },
  };
}

describe('dnsmasq of the networks of a node', () => {
  const base = mkdtempSync(join(tmpdir(), 'fistpath-dnsmasq-'));
  const state = join(base, 'state');
  const script = join(base, 'udhcpc');
  const sick: string[] = [];
  let dnsmasq: Dnsmasq;

  const start = () =>
    new Dnsmasq({
      stateDirectory: state,
      servers: ['192.0.2.53'],
      onSick: (uuid) => sick.push(uuid),
      lookMs: LOOK_MS,
    });
  const directory = (uuid = FIRST) => join(state, 'dnsmasq', uuid);
  const pid = (uuid = FIRST) => Number(readFileSync(join(directory(uuid), 'pid'), 'utf8'));
  const leases = (uuid = FIRST) => readFileSync(join(directory(uuid), 'leases'), 'utf8');

  async function apply(
    networks: fistpath.INodeNetwork[],
    scope?: Set<string>,
  ): Promise<DnsmasqResult & { said: string[] }> {
    const wanted = new Map(networks.map((each) => [each.uuid!, each]));
    const results = new Map(
      networks.filter(({ uuid }) => scope?.has(uuid!) ?? true).map((each) => [each.uuid!, resultOf(each)]),
    );
    const result = await dnsmasq.apply(wanted, results, scope);
    const said = [...result.steps.values()].flat().map(({ operation }) => operation);
    return { ...result, said };
  }

  async function applied(...networks: fistpath.INodeNetwork[]): Promise<string[]> {
    const { errors, said } = await apply(networks);
    assert.deepEqual([...errors.values()], []);
    return said;
  }

  const taskOf = (...networks: fistpath.INodeNetwork[]): ChildTask => ({
    stateDirectory: state,
    networks: networks.map((each) => ({
      record: Buffer.from(fistpath.NodeNetwork.encode(each).finish()).toString('base64'),
      result: resultOf(each),
    })),
  });

  /** What a real client was given, or undefined when nobody answered. */
  async function lease(
    guest: string,
    tries = 5,
    ...options: string[]
  ): Promise<Record<string, string> | undefined> {
    const words = ['udhcpc', '-i', 'eth0', '-f', '-q', '-n', '-t', String(tries), '-T', '1', '-s', script];
    try {
      const text = await inside(guest, ...words, ...options);
      return Object.fromEntries(
        text
          .trim()
          .split('\n')
          .map((line) => line.split('=') as [string, string]),
      );
    } catch {
      return undefined;
    }
  }

  /** Addresses of a name, or names of an address; or the resolver's error code. */
  async function resolve(guest: string, what: string, server = '10.0.0.1'): Promise<string> {
    const verb = /^[0-9.]+$/.test(what) ? 'reverse' : 'resolve4';
    const program =
      "const r = new (require('dns').promises.Resolver)({ timeout: 500, tries: 2 });" +
      `r.setServers(['${server}']); r.${verb}('${what}').then((a) => a.join(), (e) => e.code).then(console.log)`;
    return (await inside(guest, process.execPath, '-e', program)).trim();
  }

  before(() => {
    assert.ok(process.env.FISTPATH_TEST_NAMESPACE, 'run it with `npm test -- test/agent/dnsmasq.test.ts`');
    chmodSync(base, 0o755);
    mkdirSync(state);
    const variables = ['ip', 'mask', 'subnet', 'router', 'dns', 'domain', 'mtu', 'hostname', 'lease'];
    const say = `[ "$1" = bound ] || exit 0; env | grep -E '^(${variables.join('|')})='`;
    writeFileSync(script, `#!/bin/sh\n${say}\n`, { mode: 0o755 });
    makeRouter(FIRST, 0x21);
    makeRouter(SECOND, 0x22);
    makeGuest('web', 0x21, WEB);
    makeGuest('mail', 0x21, MAIL);
    makeGuest('stranger', 0x22, STRANGER);
    ip(`-n web addr add 10.0.0.9/24 dev eth0`);
    dnsmasq = start();
  });

  after(async () => {
    await apply([]);
    dnsmasq.close();
    for (const name of [FIRST, SECOND, 'web', 'mail', 'stranger']) ip(`netns del ${name}`);
    ip('link del br-21');
    ip('link del br-22');
    rmSync(base, { recursive: true, force: true });
  });

  beforeEach(() => {
    sick.length = 0;
  });

  it('gives an instance its address with all options, and nobody else one', async () => {
    assert.deepEqual(await applied(network()), ['update dhcp']);
    assert.deepEqual(await lease('web'), {
      ...{ ip: '10.0.0.9', mask: '24', subnet: '255.255.255.0', router: '10.0.0.1', dns: '10.0.0.1' },
      ...{ domain: 'banana.internal', mtu: '1400', hostname: 'web', lease: '3600' },
    });
    const [mail, stranger] = await Promise.all([lease('mail', 2), lease('stranger', 2)]);
    assert.deepEqual([mail, stranger], [undefined, undefined]);
    assert.match(leases(), /^\d+ 02:00:00:00:00:09 10.0.0.9 web \*\n$/);
  });

  it('runs as a user of its own, with its files out of its reach', () => {
    const status = readFileSync(`/proc/${pid()}/status`, 'utf8');
    const uid = Number(execFileSync('id', ['-u', 'dnsmasq'], { encoding: 'utf8' }));
    assert.match(status, new RegExp(`^Uid:\\s+${uid}\\s+${uid}\\s+${uid}\\s+${uid}$`, 'm'));
    for (const name of ['.', 'dnsmasq.conf', 'hosts', 'names', 'process.json']) {
      const { uid: owner, mode } = statSync(join(directory(), name));
      assert.deepEqual([owner, mode & 0o022], [0, 0], name);
    }
  });

  it('does nothing, and runs nothing, when nothing changed', async () => {
    const before = readdirSync(directory()).map((name) => statSync(join(directory(), name)).mtimeMs);
    const { said, processes } = await apply([network()]);
    assert.deepEqual([said, processes], [[], 0]);
    const after = readdirSync(directory()).map((name) => statSync(join(directory(), name)).mtimeMs);
    assert.deepEqual(after, before);
  });

  it('serves names both ways, and entries', async () => {
    const answers = await Promise.all(
      ['web.banana.internal', '10.0.0.9', 'db.banana.internal', '10.0.0.77', 'www.example.com'].map((what) =>
        resolve('web', what),
      ),
    );
    const entries = ['10.0.0.77', 'db.banana.internal', '198.51.100.7'];
    assert.deepEqual(answers, ['10.0.0.9', 'web.banana.internal', ...entries]);
    assert.equal(await resolve('web', 'nobody.banana.internal'), 'ENOTFOUND');
    // Without NAT there is nobody to ask.
    assert.equal(await resolve('web', 'www.example.org'), 'EREFUSED');
  });

  it('lets no guest choose its name or identity', async () => {
    const nameless = [{ interface: INTERFACE, mac: WEB, ipv4: '10.0.0.9', name: '' }];
    await applied(network({ leases: [] }));
    await applied(network({ leases: nameless }));
    assert.equal((await lease('web', 5, '-x', 'hostname:chosen'))?.ip, '10.0.0.9');
    assert.equal(await resolve('web', 'chosen.banana.internal'), 'ENOTFOUND');
    // Another client identifier, as after a new installation: its MAC is what counts.
    assert.equal((await lease('web', 5, '-x', '0x3d:ff0102030405'))?.ip, '10.0.0.9');
    assert.match(leases(), /^\d+ 02:00:00:00:00:09 10.0.0.9 \* \*\n$/);
    await applied(network());
  });

  it('renames without a restart', async () => {
    const before = pid();
    const renamed = network({
      leases: [{ interface: INTERFACE, mac: WEB, ipv4: '10.0.0.9', name: 'blog' }],
      dnsEntries: [{ name: 'db', value: '10.0.0.78' }],
    });
    assert.deepEqual(await applied(renamed), ['update dhcp']);
    assert.equal(pid(), before);
    for (const [what, answer] of [
      ['blog.banana.internal', '10.0.0.9'],
      ['10.0.0.9', 'blog.banana.internal'],
      ['web.banana.internal', 'ENOTFOUND'],
      ['db.banana.internal', '10.0.0.78'],
      ['www.example.com', 'EREFUSED'],
    ] as const)
      assert.equal(await resolve('web', what), answer, what);
    assert.deepEqual(await applied(renamed), []);
  });

  it('releases the lease of an interface that went, and of an address that is another one’s now', async () => {
    await applied(network());
    assert.ok(await lease('web'));
    const before = pid();
    assert.deepEqual(await applied(network({ leases: [] })), ['update dhcp']);
    assert.equal(leases(), '');
    assert.equal(pid(), before);
    assert.equal(await lease('web', 2), undefined);

    await applied(network());
    assert.ok(await lease('web'));
    const moved = [{ interface: INTERFACE, mac: MAIL, ipv4: '10.0.0.9', name: 'mail' }];
    await applied(network({ leases: moved }));
    assert.equal(leases(), '');
    assert.equal((await lease('mail'))?.ip, '10.0.0.9');
    assert.equal(await lease('web', 2), undefined);
    await applied(network());
    assert.equal(leases(), '');
  });

  it('restarts for what can only be configured', async () => {
    const before = pid();
    assert.deepEqual(await applied(network({}, { mtu: 1300 })), ['update dhcp']);
    assert.notEqual(pid(), before);
    assert.equal(processState(before), undefined);
    assert.equal((await lease('web'))?.mtu, '1300');
    const second = pid();
    ip('link del veth-21-o');
    makeVeth(FIRST, 0x21);
    assert.deepEqual(
      await applied(network({}, { mtu: 1300 })),
      ['update dhcp'],
      'another device of that name',
    );
    assert.notEqual(pid(), second);
    assert.ok(await lease('web'));
    await applied(network());
  });

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    it(`replaces one that got ${signal}`, async () => {
      const before = pid();
      process.kill(before, signal);
      await eventually('noticed', () => sick.length > 0);
      assert.deepEqual(sick, [FIRST]);
      assert.deepEqual((await apply([network()], new Set([FIRST]))).said, ['update dhcp']);
      assert.notEqual(pid(), before);
      assert.equal(processState(before), undefined);
      assert.ok(await lease('web'));
    });
  }

  it('replaces one that does not read its requests, and no other', async () => {
    await applied(network());
    await new Promise((resolve) => setTimeout(resolve, 3 * LOOK_MS));
    assert.deepEqual(sick, []);
    const before = pid();
    // Held in its poll for a minute: neither stopped nor dead.
    const inject = ['-e', 'trace=poll,ppoll', '-e', 'inject=poll,ppoll:delay_exit=60000000'];
    const tracer = spawn('strace', ['-o', '/dev/null', '-p', String(before), ...inject], { stdio: 'ignore' });
    try {
      await eventually('traced', () => processState(before)?.state === 't' || tracer.exitCode !== null);
      // The call in which strace found it ends as ever; a later one is held.
      for (let i = 0; i < 6 && sick.length === 0; i++) await resolve('web', 'web.banana.internal');
      await eventually('noticed', () => sick.length > 0);
      tracer.kill('SIGKILL'); // a tracer keeps what it traces from ending
      assert.deepEqual(await applied(network()), ['update dhcp']);
      assert.notEqual(pid(), before);
      assert.equal(await resolve('web', 'web.banana.internal'), '10.0.0.9');
    } finally {
      tracer.kill('SIGKILL');
    }
  });

  it('is adopted by the next daemon after the first one was killed', async () => {
    await applied();
    const child = fork(CHILD, { execArgv: ['--import', 'tsx'] });
    child.send(taskOf(network()));
    assert.deepEqual(await once(child, 'message'), [[], undefined]);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    const running = pid();
    assert.ok(processState(running));
    dnsmasq.close();
    dnsmasq = new Dnsmasq({
      ...{ stateDirectory: state, servers: [] },
      onSick: (id) => sick.push(id),
      lookMs: LOOK_MS,
    });
    const { said, processes } = await apply([network()]);
    assert.deepEqual([said, processes, pid()], [[], 0, running]);
    process.kill(running, 'SIGKILL');
    await eventually('the adopted one is looked after, too', () => sick.length > 0);
    dnsmasq.close();
    dnsmasq = start();
    await applied(network());
  });

  it('needs no capability that the unit does not have', async () => {
    await applied();
    const unit = readFileSync(new URL('../../vagrant/fistpathd.service', import.meta.url), 'utf8');
    const lines = [...unit.matchAll(/^CapabilityBoundingSet=(.*)$/gm)];
    const capabilities = lines.flatMap(([, names]) => names!.toLowerCase().split(' '));
    assert.ok(capabilities.length > 5, unit);
    const set = ['-all', ...capabilities.map((name) => name.replace('cap_', '+'))].join(',');
    const limits = ['--bounding-set', set, '--inh-caps', '-all', '--no-new-privs'];
    const words = [...limits, process.execPath, '--import', 'tsx', fileURLToPath(CHILD)];
    const child = spawn('setpriv', words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const told = async (task: ChildTask) => {
      child.send(task);
      assert.deepEqual(await once(child, 'message'), [[], undefined]);
    };
    try {
      await told(taskOf(network()));
      assert.ok(await lease('web'));
      const running = pid();
      await told(taskOf(network({ leases: [] })));
      assert.deepEqual([pid(), leases()], [running, '']);
      await told(taskOf());
      assert.equal(processState(running), undefined);
    } finally {
      child.kill('SIGKILL');
    }
    await applied(network());
  });

  it('does again what a crash cut short', async () => {
    const memory = join(directory(), 'process.json');
    const before = pid();
    // The new list was written, the process was not told of it.
    writeFileSync(
      join(directory(), 'names'),
      `${readFileSync(join(directory(), 'names'), 'utf8')}10.0.0.5 x.y\n`,
    );
    assert.deepEqual(await applied(network()), ['update dhcp']);
    assert.equal(pid(), before);
    const made = JSON.parse(readFileSync(memory, 'utf8'));
    writeFileSync(memory, JSON.stringify({ ...made, lists: 'older' }));
    assert.deepEqual(await applied(network()), ['update dhcp']);
    assert.equal(pid(), before);
    // It was started, but not remembered; then the memory was torn.
    for (const text of [undefined, '{"pid":']) {
      const unknown = pid();
      if (text === undefined) rmSync(memory);
      else writeFileSync(memory, text);
      rmSync(join(directory(), 'pid'));
      assert.deepEqual(await applied(network()), ['update dhcp']);
      assert.equal(processState(unknown), undefined, 'there are never two');
    }
    assert.ok(await lease('web'));
    assert.deepEqual(await applied(network()), []);
  });

  it('leaves processes of others alone', async () => {
    const foreign: ChildProcess[] = [];
    try {
      // One of the operator's in the same namespace, and one whose number our memory has.
      const own = ['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--port=5353', '--pid-file='];
      foreign.push(spawn('nsenter', [`--net=/run/netns/${FIRST}`, ...own], { stdio: 'ignore' }));
      foreign.push(spawn('sleep', ['60'], { stdio: 'ignore' }));
      await eventually('started', () => commandLine(foreign[0]!.pid!)[0] === 'dnsmasq');
      const memory = join(directory(), 'process.json');
      const made = JSON.parse(readFileSync(memory, 'utf8'));
      const sleep = processState(foreign[1]!.pid!)!;
      writeFileSync(memory, JSON.stringify({ ...made, pid: sleep.pid, started: sleep.started }));
      assert.deepEqual(await applied(network()), ['update dhcp'], 'it is not taken for ours');
      await applied();
      for (const { pid: number, exitCode } of foreign)
        assert.deepEqual([exitCode, isWorking(processState(number!))], [null, true]);
    } finally {
      for (const process of foreign) process.kill('SIGKILL');
    }
  });

  it('refuses hostile text whole: nothing is written, what runs goes on, other networks are served', async () => {
    await applied(network());
    const before = [
      pid(),
      ...readdirSync(directory()).map((name) => readFileSync(join(directory(), name), 'utf8')),
    ];
    const hostile = network({
      leases: [{ interface: INTERFACE, mac: WEB, ipv4: '10.0.0.9', name: 'x\naddn-hosts=/etc/shadow' }],
    });
    const second = network({ leases: [] }, { uuid: SECOND, vni: 0x22 });
    const { errors, said } = await apply([hostile, second]);
    assert.deepEqual([[...errors.keys()], said], [[FIRST], ['update dhcp']]);
    assert.match(
      errors.get(FIRST)!,
      /^dnsmasq of network .*d001: name "x\\naddn-hosts.*" of 10.0.0.9 is no host name$/,
    );
    const after = [
      pid(),
      ...readdirSync(directory()).map((name) => readFileSync(join(directory(), name), 'utf8')),
    ];
    assert.deepEqual(after, before);
    assert.ok(processState(pid(SECOND)));
  });

  it('answers no DHCP for a network without it, and no DNS', async () => {
    await applied(network({ dhcp: false }));
    assert.equal(await lease('web', 3), undefined);
    assert.equal(await resolve('web', 'web.banana.internal'), '10.0.0.9');
    await applied(network({ dns: false }));
    assert.equal((await lease('web'))?.dns, '192.0.2.53');
    assert.equal(await resolve('web', 'web.banana.internal'), 'ECONNREFUSED');
    assert.deepEqual(await applied(network({ dns: false, dhcp: false })), ['remove dhcp']);
    assert.equal(await lease('web', 3), undefined);
    assert.equal(existsSync(directory()), false);
  });

  it('goes with its network, in the pass that concerns it', async () => {
    await applied(network());
    const before = pid();
    assert.deepEqual((await apply([], new Set([SECOND]))).said, []);
    assert.ok(processState(before));
    assert.deepEqual((await apply([], new Set([FIRST]))).said, ['remove dhcp']);
    assert.deepEqual([processState(before), existsSync(directory())], [undefined, false]);
    assert.deepEqual(await applied(), []);
  });

  it('goes on as it is while the disk is full', async () => {
    await applied(network());
    const before = pid();
    const place = join(state, 'dnsmasq');
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=755', 'none', `${place}/${FIRST}`]);
    try {
      await applied(network());
      const second = pid();
      assert.throws(() => writeFileSync(join(directory(), 'ballast'), Buffer.alloc(1 << 20)), /ENOSPC/);
      const full = await apply([network({}, { mtu: 1300 })]);
      assert.match(full.errors.get(FIRST)!, /ENOSPC/);
      assert.equal(pid(), second);
      assert.ok(isWorking(processState(second)), 'it was ended before its files were written');
      rmSync(join(directory(), 'ballast'));
      await applied(network({}, { mtu: 1300 }));
      assert.equal((await lease('web'))?.mtu, '1300');
    } finally {
      // dnsmasq has its leases there.
      execFileSync('umount', ['-l', `${place}/${FIRST}`]);
    }
    await applied(network());
    assert.notEqual(pid(), before);
  });

  it('says when its port is somebody else’s, whom it leaves alone', async () => {
    await applied();
    const program =
      "const s=require('dgram').createSocket('udp4');s.bind(53,'10.0.0.1',()=>console.log('bound'))";
    const words = [`--net=/run/netns/${FIRST}`, process.execPath, '-e', program];
    const other = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(other.stdout!, 'data');
    const refused = await apply([network()]);
    assert.match(refused.errors.get(FIRST)!, /can't be started \(exit 2\): .*Address already in use/);
    assert.equal(other.exitCode, null);
    other.kill('SIGKILL');
    await once(other, 'exit');
    assert.deepEqual(await applied(network()), ['update dhcp']);
  });

  it('knows two instances and an entry of one name by all their addresses', async () => {
    const same = [
      { interface: INTERFACE, mac: WEB, ipv4: '10.0.0.9', name: 'web' },
      { interface: INTERFACE, mac: MAIL, ipv4: '10.0.0.10', name: 'web' },
    ];
    await applied(network({ leases: same, dnsEntries: [{ name: 'web', value: '10.0.0.77' }] }));
    const addresses = (await resolve('web', 'web.banana.internal')).split(',');
    assert.deepEqual(new Set(addresses), new Set(['10.0.0.9', '10.0.0.10', '10.0.0.77']));
    assert.deepEqual([(await lease('web'))?.ip, (await lease('mail'))?.ip], ['10.0.0.9', '10.0.0.10']);
    await applied();
  });

  it('says what prevents it', async () => {
    chmodSync(base, 0o700);
    const closed = await apply([network()]);
    assert.match(closed.errors.get(FIRST)!, /user dnsmasq can't enter .*: chmod o\+x /);
    chmodSync(base, 0o755);
    ip(`-n ${FIRST} link set veth-21-i name elsewhere`);
    const missing = await apply([network()]);
    assert.match(missing.errors.get(FIRST)!, /can't be started \(exit 2\): .*unknown interface veth-21-i/);
    ip(`-n ${FIRST} link set elsewhere name veth-21-i`);
    assert.deepEqual(await applied(network()), ['update dhcp']);
  });
});
