/**
 * Inspection of real pinned maps and links and of a real kernel's entries, with no daemon anywhere. One file, since
 * every command looks at the same maps, devices and entries, which are made once.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BpfMap, BpfObject, possibleCpus } from '#addon';
import {
  Abi,
  FdbEntry,
  FdbFlag,
  FdbKey,
  MemberKey,
  Port,
  PortFlag,
  Program,
  Reason,
} from '../../src/agent/datapath/abi.ts';
import { bytes, ipv4Number, U32 } from '../../src/agent/datapath/tables.ts';
import { verdictOf } from '../../src/cli/inspect/counters.ts';
import { fistpath, StandIn } from './harness.ts';

const PREFIX = `fistpath-cli-inspect-${process.pid}-`;
const MAPS = `maps-${Abi.VERSION}`;
const NETNS = `fp-cli-${process.pid}`;
const NETWORK = '41f41085-b6d1-4c47-83ea-c8065bd54292';
const INTERFACE = 'c051356d-58fe-439b-8a6b-e772858298b0';
const PORT = 'p-c051356d58fe';
const LOCAL_MAC = '02:00:00:00:00:01';
const REMOTE_MAC = '02:00:00:aa:bb:cc';
const ROUTER_MAC = '02:00:00:00:00:fe';

const sh = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' });
const inNs = (...words: string[]) => sh('nsenter', `--net=/run/netns/${NETNS}`, ...words);
const macBytes = (mac: string) => new Uint8Array(mac.split(':').map((byte) => Number.parseInt(byte, 16)));

/** True when the run that made this name is over, or is this one. */
function over(name: string, pattern: RegExp): boolean {
  const pid = Number(pattern.exec(name)?.[1] ?? Number.NaN);
  if (Number.isNaN(pid)) return false;
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

/** Removes what this run and earlier ones, which were killed, left. */
function sweep(): void {
  for (const name of readdirSync(tmpdir()).filter((each) => over(each, /^fistpath-cli-inspect-([0-9]+)-/))) {
    const path = join(tmpdir(), name);
    try {
      sh('umount', join(path, 'bpf'));
    } catch {
      // Not mounted any more.
    }
    rmSync(path, { recursive: true, force: true });
  }
  for (const { name } of JSON.parse(sh('ip', '-j', 'netns', 'list') || '[]') as { name: string }[]) {
    if (over(name, /^fp-cli-([0-9]+)$/)) sh('ip', 'netns', 'delete', name);
  }
}

describe('CLI: inspection', () => {
  let directory: string;
  let bpf: string;
  let object: BpfObject;
  let ifindex: number;
  let socket: string;
  const api = new StandIn();

  const run = (args: string[], env: Record<string, string> = {}) =>
    fistpath([...args, '--bpf-directory', bpf, '--state-directory', directory], {
      by: ['nsenter', `--net=/run/netns/${NETNS}`],
      env,
    });
  const put = (map: string, key: Uint8Array, value: Uint8Array) => {
    const handle = BpfMap.open(join(bpf, MAPS, map));
    handle.update(key, value);
    handle.close();
  };
  const perCpu = (values: bigint[][]) => new Uint8Array(new BigUint64Array(values.flat()).buffer);
  const fdb = (vni: number, mac: string) => bytes(FdbKey, { vni, mac: macBytes(mac) });
  const entry = (device: number, remote: string, flags = 0) =>
    bytes(FdbEntry, {
      ifindex: device,
      remote: ipv4Number(remote),
      slot: device === 0 ? 0 : 3,
      mtu: 8950,
      flags,
    });

  before(async () => {
    sweep();
    directory = mkdtempSync(join(tmpdir(), PREFIX));
    mkdirSync(join(directory, 'bpf'));
    sh('mount', '-t', 'bpf', 'bpf', join(directory, 'bpf'));
    bpf = join(directory, 'bpf', 'node');
    mkdirSync(join(bpf, MAPS), { recursive: true });
    mkdirSync(join(bpf, 'links'));

    sh('ip', 'netns', 'add', NETNS);
    inNs('ip', 'link', 'set', 'lo', 'up');
    inNs('ip', 'link', 'add', 'br-vxlan-2', 'type', 'bridge');
    inNs(...'ip link add vxlan-2 type vxlan id 2 dstport 4789 local 127.0.0.1 nolearning'.split(' '));
    inNs('ip', 'link', 'add', PORT, 'type', 'veth', 'peer', 'name', 'guest');
    inNs('ip', 'link', 'add', 'veth-2-o', 'type', 'veth', 'peer', 'name', 'veth-2-i');
    for (const device of ['vxlan-2', PORT, 'veth-2-o'])
      inNs('ip', 'link', 'set', device, 'master', 'br-vxlan-2');
    inNs('bridge', 'fdb', 'add', REMOTE_MAC, 'dev', 'vxlan-2', 'dst', '10.2.1.12', 'self', 'static');
    inNs('bridge', 'fdb', 'add', REMOTE_MAC, 'dev', 'vxlan-2', 'master', 'static');
    inNs('bridge', 'fdb', 'append', '00:00:00:00:00:00', 'dev', 'vxlan-2', 'dst', '10.2.1.12', 'self');
    inNs('bridge', 'fdb', 'add', LOCAL_MAC, 'dev', PORT, 'master', 'static');
    inNs('bridge', 'fdb', 'add', ROUTER_MAC, 'dev', 'veth-2-o', 'master', 'static');
    const link = (name: string) =>
      (JSON.parse(inNs('ip', '-j', 'link', 'show', name)) as { ifindex: number }[])[0]!.ifindex;
    ifindex = link(PORT);

    object = new BpfObject(readFileSync(new URL('../../bpf/out/port.bpf.o', import.meta.url)), {
      pinDirectory: join(bpf, MAPS),
    });
    for (const map of ['fdb', 'ports', 'members']) object.setMaxEntries(map, 64);
    for (const map of ['port_counters', 'usage', 'flows']) object.setMaxEntries(map, 16);
    object.load();
    const port = { slot: 3, ipv4: ipv4Number('192.168.0.100'), mtu: 8950, flags: PortFlag.PORT_ROUTER };
    put('ports', bytes(U32, ifindex), bytes(Port, { ...port, vni: 2, mac: macBytes(LOCAL_MAC) }));
    put('fdb', fdb(2, LOCAL_MAC), entry(ifindex, '0.0.0.0', FdbFlag.FDB_PEER | FdbFlag.FDB_XDP));
    put('fdb', fdb(2, REMOTE_MAC), entry(0, '10.2.1.12'));
    put('fdb', fdb(2, ROUTER_MAC), entry(link('veth-2-o'), '0.0.0.0', FdbFlag.FDB_ROUTER));
    put('fdb', fdb(9, REMOTE_MAC), entry(0, '10.2.1.13'));
    put('members', bytes(MemberKey, { vni: 2, address: ipv4Number('10.2.1.12') }), new Uint8Array(4));
    const index = Program.PORT * Reason.MAX + Reason.UNKNOWN_MAC;
    const values = Array.from({ length: possibleCpus }, (_, cpu) => [BigInt(cpu + 1), 100n]);
    put('counters', bytes(U32, index), perCpu(values));
    put('counters', bytes(U32, Program.UNDERLAY * Reason.MAX + Reason.UNTRUSTED_SOURCE), perCpu(values));
    const slot = Array.from({ length: possibleCpus }, () =>
      [1n, 2n, 3n, 4n, 5n, 6n, 7n].flatMap((n) => [n, 10n * n]),
    );
    put('port_counters', bytes(U32, 3), perCpu(slot));

    writeFileSync(
      join(directory, 'names.json'),
      JSON.stringify({
        node: 'sf-1',
        networks: { 2: { uuid: NETWORK, name: 'demonet' }, 9: { uuid: 'other', name: 'other' } },
        nodes: { '10.2.1.12': 'sf-2' },
        ports: { [PORT]: { interface: INTERFACE, instance: 'inst-uuid', network: NETWORK } },
      }),
    );
    // A unix socket: the commands run in another network namespace.
    socket = join(directory, 'api.sock');
    await api.listen(socket);
  });

  after(async () => {
    object?.close();
    await api.close();
    sweep();
  });

  it('map list: fill, types and memory', async () => {
    const { code, stdout } = await run(['map', 'list', '--json']);
    assert.equal(code, 0);
    const { maps } = JSON.parse(stdout) as { maps: Record<string, unknown>[] };
    const found = (name: string) => maps.find((map) => map.name === name)!;
    const { memory, ...fdbMap } = found('fdb');
    assert.ok(Number(memory) > 0, `memory ${String(memory)}`);
    assert.deepEqual(fdbMap, {
      name: 'fdb',
      type: 'hash',
      entries: 4,
      max_entries: 64,
      key: 'struct fdb_key',
      value: 'struct fdb_entry',
    });
    assert.equal(found('counters').type, 'percpu_array');
    assert.equal(found('counters').value, 'struct traffic');
    assert.equal(found('events').type, 'ringbuf');
    assert.match((await run(['map', 'list'])).stdout, /\|\s+fdb\s+\|\s+hash\s+\|\s+4\s+\|\s+64\s+\|/);
  });

  it('map dump: decoded, with names, filtered by network', async () => {
    const [all, named, numbered, ports, counters] = await Promise.all([
      run(['map', 'dump', 'fdb', '--json']),
      run(['map', 'dump', 'fdb', '--network', 'demonet', '--simple']),
      run(['map', 'dump', 'fdb', '--vni', '9', '--json']),
      run(['map', 'dump', 'ports', '--json']),
      run(['map', 'dump', 'counters']),
    ]);
    const entries = (JSON.parse(all.stdout) as { entries: { key: { mac: string } }[] }).entries;
    assert.equal(entries.length, 4);
    assert.deepEqual(
      entries.find(({ key }) => key.mac === LOCAL_MAC),
      {
        key: { vni: 2, mac: LOCAL_MAC },
        value: { ifindex, remote: '0.0.0.0', slot: 3, mtu: 8950, flags: 3 },
        names: { vni: 'demonet', ifindex: PORT, slot: PORT, flags: 'peer xdp' },
      },
    );
    const lines = named.stdout.trim().split('\n');
    assert.equal(lines.length, 4);
    assert.equal(lines[0], 'vni,mac,ifindex,remote,slot,mtu,flags');
    assert.ok(lines.includes(`2 (demonet),${REMOTE_MAC},0,10.2.1.12 (sf-2),0,8950,0`), named.stdout);
    assert.equal((JSON.parse(numbered.stdout) as { entries: unknown[] }).entries.length, 1);
    assert.deepEqual((JSON.parse(ports.stdout) as { entries: unknown[] }).entries, [
      {
        key: { ifindex },
        value: { vni: 2, slot: 3, ipv4: '192.168.0.100', mtu: 8950, flags: 1, mac: LOCAL_MAC },
        names: { ifindex: PORT, vni: 'demonet', slot: PORT, flags: 'router' },
      },
    ]);
    assert.match(
      counters.stdout,
      new RegExp(`\\|\\s+port\\s+\\|\\s+unknown mac\\s+\\|\\s+${Reason.UNKNOWN_MAC}\\s+\\|`),
    );
    assert.match(counters.stdout, /\|\s+underlay\s+\|\s+untrusted source\s+\|/);
  });

  it('map lookup: by numbers and by names, 3 when there is none', async () => {
    const [found, name, device, missing, wrong, noMap, ring, filter] = await Promise.all([
      run(['map', 'lookup', 'fdb', 'vni=2', `mac=${REMOTE_MAC}`]),
      run(['map', 'lookup', 'fdb', 'vni=demonet', `mac=${REMOTE_MAC}`, '--json']),
      run(['map', 'lookup', 'ports', PORT, '--json']),
      run(['map', 'lookup', 'fdb', 'vni=3', `mac=${REMOTE_MAC}`]),
      run(['map', 'lookup', 'fdb', 'vni=2', 'mac=nonsense']),
      run(['map', 'dump', 'nothing']),
      run(['map', 'dump', 'events']),
      run(['map', 'dump', 'nexthops', '--vni', '2']),
    ]);
    assert.match(found.stdout, /^vni {9}: 2 \(demonet\)\nmac {9}: 02:00:00:aa:bb:cc\n/);
    assert.match(found.stdout, /\nremote {6}: 10.2.1.12 \(sf-2\)\n/);
    assert.deepEqual((JSON.parse(name.stdout) as { key: unknown }).key, { vni: 2, mac: REMOTE_MAC });
    assert.equal((JSON.parse(device.stdout) as { key: { ifindex: number } }).key.ifindex, ifindex);
    assert.deepEqual(
      [missing.code, missing.stderr],
      [3, `fistpath: no entry vni=3 mac=${REMOTE_MAC} in map fdb\n`],
    );
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /mac: "nonsense" is no MAC address/);
    assert.equal(noMap.code, 3);
    assert.match(noMap.stderr, /no map nothing in .*maps-2: there are .*fdb/);
    assert.deepEqual([ring.code, filter.code], [2, 2]);
  });

  it('counters: by program and reason and by port, summed over CPUs', async () => {
    const [json, table, all] = await Promise.all([
      run(['counters', '--json']),
      run(['counters']),
      run(['counters', '--all', '--json']),
    ]);
    const packets = (possibleCpus * (possibleCpus + 1)) / 2;
    const counters = JSON.parse(json.stdout) as { programs: unknown[]; ports: unknown[] };
    const total = { packets, bytes: 100 * possibleCpus };
    assert.deepEqual(counters.programs, [
      { program: 'port', verdict: 'kernel', reason: 'unknown mac', ...total },
      { program: 'underlay', verdict: 'drop', reason: 'untrusted source', ...total },
    ]);
    const traffic = (n: number) => ({ packets: n * possibleCpus, bytes: 10 * n * possibleCpus });
    assert.deepEqual(counters.ports, [
      {
        device: PORT,
        vni: 2,
        network: 'demonet',
        interface: INTERFACE,
        instance: 'inst-uuid',
        sent: {
          port: traffic(1),
          tunnel: traffic(2),
          uplink: traffic(3),
          router: traffic(4),
          kernel: traffic(5),
          drop: traffic(6),
        },
        received: traffic(7),
      },
    ]);
    assert.match(table.stdout, /\| port {5}\| kernel {2}\| unknown mac {6}\|/);
    const every = JSON.parse(all.stdout) as { programs: unknown[] };
    assert.equal(every.programs.length, Program.MAX * Reason.MAX);
    const verdicts = {
      port: [Reason.TO_PORT],
      tunnel: [Reason.TO_TUNNEL],
      uplink: [Reason.TO_UPLINK],
      router: [Reason.NO_FLOW, Reason.FLOW_UNREACHABLE],
      kernel: [Reason.UNKNOWN_DEVICE, Reason.HELPER, Reason.LEARNED, Reason.ALG],
      drop: [Reason.SPOOFED_MAC, Reason.REWRITE_FAILED],
    };
    for (const [verdict, reasons] of Object.entries(verdicts))
      for (const reason of reasons) assert.equal(verdictOf(reason), verdict);
  });

  it('status: attachments from pinned links, datapath in force and why', async () => {
    const off = JSON.parse((await run(['status', '--json'])).stdout) as Record<string, unknown>;
    assert.deepEqual(
      [off.node, off.datapath, off.reason],
      ['sf-1', 'kernel', 'no program is attached to the underlay'],
    );
    assert.match(String(off.api), /no API at http:\/\/127.0.0.1:1 /);
    assert.deepEqual((off.features as { btf: boolean }).btf, true);
    const { inNamespace } = await import('#addon');
    const pin = join(bpf, 'links', `underlay-tc-${ifindex}`);
    await inNamespace(`/run/netns/${NETNS}`, {
      verb: 'attachTcx',
      program: object.program('port'),
      ifname: PORT,
      direction: 'ingress',
      pin,
    });
    try {
      const on = JSON.parse((await run(['status', '--json'])).stdout) as Record<string, unknown>;
      assert.equal(on.datapath, 'ebpf');
      const [attached] = on.attachments as Record<string, unknown>[];
      assert.deepEqual(
        [attached!.hook, attached!.kind, attached!.device, attached!.network, attached!.programId],
        ['underlay', 'tcx', PORT, 'demonet', object.program('port').info.id],
      );
      const [map] = (on.maps as { name: string }[]).filter(({ name }) => name === 'fdb');
      assert.deepEqual(map, { name: 'fdb', entries: 4, max_entries: 64, fill: 4 / 64 });
      const { stdout } = await run(['status']);
      assert.match(stdout, /\ndatapath {4}: ebpf\n/);
      assert.match(stdout, /\|\s+fdb\s+\|\s+4\s+\|\s+64\s+\|\s+6.3 %\s+\|/);
    } finally {
      rmSync(pin, { force: true });
    }
  });

  describe('fdb show', () => {
    const NODES = [
      { name: 'sf-1', ip: '10.2.1.11', is_network_node: true, is_hypervisor: true },
      { name: 'sf-2', ip: '10.2.1.12', is_network_node: false, is_hypervisor: true },
    ];
    const INTERFACES = [
      { uuid: INTERFACE, instance_uuid: 'i1', macaddr: LOCAL_MAC, ipv4: '192.168.0.100', state: 'created' },
      { uuid: 'remote', instance_uuid: 'i2', macaddr: REMOTE_MAC, ipv4: '192.168.0.33', state: 'created' },
    ];
    const INSTANCES = [
      { uuid: 'i1', name: 'inst-on-sf-1', node: 'sf-1' },
      { uuid: 'i2', name: 'inst-on-sf-2', node: 'sf-2' },
    ];
    let pin: string;

    before(async () => {
      const { inNamespace } = await import('#addon');
      pin = join(bpf, 'links', `underlay-tc-${ifindex}`);
      const program = object.program('port');
      await inNamespace(`/run/netns/${NETNS}`, {
        verb: 'attachTcx',
        program,
        ifname: PORT,
        direction: 'ingress',
        pin,
      });
      api.answer(({ path }) => {
        if (path === '/networks/demonet')
          return {
            body: { uuid: NETWORK, name: 'demonet', vxid: 2, state: 'created', router_mac: ROUTER_MAC },
          };
        if (path === `/networks/${NETWORK}/interfaces`) return { body: INTERFACES };
        if (path === '/instances') return { body: INSTANCES };
        if (path === '/nodes') return { body: NODES };
        return undefined;
      });
    });
    after(() => rmSync(pin, { force: true }));

    it('wanted, kernel and fast path agree: exit code 0', async () => {
      const { code, stdout, stderr } = await run(['fdb', 'show', 'demonet', '--json'], {
        FISTPATH_API_URL: `unix:${socket}`,
      });
      assert.deepEqual([code, stderr], [0, ''], stdout);
      const { entries, notes } = JSON.parse(stdout) as { entries: unknown[]; notes: string[] };
      assert.deepEqual(notes, []);
      const row = (kind: string, key: string, who: string, place: string) => ({
        kind,
        key,
        who,
        wanted: place,
        kernel: place,
        fast: place,
        difference: null,
      });
      assert.deepEqual(entries, [
        row('mac', LOCAL_MAC, 'inst-on-sf-1 192.168.0.100', PORT),
        row('mac', ROUTER_MAC, 'router', 'veth-2-o'),
        row('mac', REMOTE_MAC, 'inst-on-sf-2 192.168.0.33', '10.2.1.12'),
        row('peer', '10.2.1.12', '', 'member'),
      ]);
    });

    it('marks each difference and ends with 1', async () => {
      put('fdb', fdb(2, REMOTE_MAC), entry(0, '10.2.1.13', FdbFlag.FDB_ROUTER));
      inNs('bridge', 'fdb', 'del', LOCAL_MAC, 'dev', PORT, 'master');
      try {
        const shown = await run(['fdb', 'show', 'demonet'], { FISTPATH_API_URL: `unix:${socket}` });
        assert.equal(shown.code, 1);
        assert.match(
          shown.stdout,
          /fast path: 10.2.1.13 instead of 10.2.1.12; fast path: taken for the router/,
        );
        assert.match(shown.stdout, /kernel: missing/);
        assert.ok(!shown.stdout.includes('\u001b'), 'no colours in a pipe');
        assert.match(shown.stderr, /network demonet: 2 of 4 entries differ/);
        // Without the API the kernel and the fast path are still compared with each other.
        const alone = await run(['fdb', 'show', 'demonet', '--json']);
        assert.equal(alone.code, 1);
        const { entries, notes } = JSON.parse(alone.stdout) as {
          entries: { key: string; who: string; difference: string | null }[];
          notes: string[];
        };
        assert.match(notes[0]!, /what is wanted is not known.*no API at/);
        const router = entries.find(({ key }) => key === ROUTER_MAC);
        assert.equal(router?.who, 'router', 'known by its flag alone');
        assert.equal(entries.filter(({ difference }) => difference !== null).length, 2);
      } finally {
        put('fdb', fdb(2, REMOTE_MAC), entry(0, '10.2.1.12'));
        inNs('bridge', 'fdb', 'add', LOCAL_MAC, 'dev', PORT, 'master', 'static');
      }
      const again = await run(['fdb', 'show', '2']);
      assert.equal(again.code, 0, again.stdout);
    });

    it('says which networks there are', async () => {
      const { code, stderr } = await run(['fdb', 'show', 'nonesuch']);
      assert.equal(code, 3);
      assert.match(stderr, /no network nonesuch on this node: it knows demonet, other/);
    });
  });

  it('says what to do when nothing is pinned', async () => {
    const { code, stderr } = await fistpath(['map', 'list', '--bpf-directory', join(directory, 'nothing')]);
    assert.equal(code, 3);
    assert.match(stderr, /^fistpath: no maps are pinned in .*maps-2: .*nsenter.*\n$/);
  });
});
