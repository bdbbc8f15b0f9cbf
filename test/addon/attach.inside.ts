/**
 * Scenarios with devices, run by attach.test.ts in a child process that has network and mount namespaces of its
 * own. Prints one line of JSON per scenario.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readlinkSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { BpfLink, BpfObject, type BpfProgram, detachTc, inNamespace, queryTc } from '#addon';
import { compile } from './support.ts';

const object = new BpfObject(compile('basic'));
const [pins, netns] = ['/sys/fs/bpf', '/run/netns'];
let devices = 0;

function sh(command: string): string {
  return execFileSync('bash', ['-ec', command], { encoding: 'utf8' });
}

/** A new veth pair, both ends up, of that MTU; returns the first end. */
function veth(mtu = 1500): { name: string; peer: string; ifindex: number } {
  const name = `v${++devices}`;
  sh(
    `ip link add ${name} mtu ${mtu} type veth peer name ${name}p mtu ${mtu}; ip link set ${name} up; ip link set ${name}p up`,
  );
  return { name, peer: `${name}p`, ifindex: JSON.parse(sh(`ip -j link show ${name}`))[0].ifindex };
}

function linkIds(device: string): number[] {
  return JSON.parse(sh(`ip -j -d link show ${device}`))[0].xdp ? [1] : [];
}

const program = (name: string): BpfProgram => object.program(name);

export const scenarios: Record<string, () => void | Promise<void>> = {
  'TCX: attaches in both directions, replaces, detaches': () => {
    const { ifindex } = veth();
    for (const direction of ['ingress', 'egress'] as const) {
      const link = program('count_tc').attachTcx(ifindex, direction);
      assert.deepEqual([link.info.type, link.info.ifindex], [11, ifindex]);
      assert.equal(link.info.programId, program('count_tc').info.id);
      link.update(program('grow'));
      assert.equal(link.info.programId, program('grow').info.id);
      link.detach();
      assert.equal(link.info.ifindex, 0);
      link.close();
      link.close();
      assert.throws(() => link.info, { code: 'EBADF' });
    }
  },

  'XDP: native at MTU 9000 with fragments, generic, one at a time': () => {
    const { ifindex, name } = veth(9000);
    assert.throws(() => program('drop_xdp').attachXdp(ifindex, 'native'), { code: 'ERANGE' });
    const link = program('count_xdp').attachXdp(ifindex, 'native');
    assert.deepEqual([link.info.type, link.info.ifindex], [6, ifindex]);
    assert.throws(() => program('count_xdp').attachXdp(ifindex, 'native'), {
      code: 'EBUSY',
      syscall: 'bpf_link_create',
      message: new RegExp(`native XDP, ifindex ${ifindex}`),
    });
    link.close();
    assert.deepEqual(linkIds(name), [], 'an unpinned link ends with its handle');
    program('drop_xdp').attachXdp(ifindex, 'generic').close();
  },

  'a pinned link holds without a handle, and is opened again': () => {
    const { ifindex, name } = veth();
    const path = `${pins}/link`;
    const link = program('count_xdp').attachXdp(ifindex, 'native');
    link.pin(path);
    const { id } = link.info;
    link.close();
    assert.deepEqual(linkIds(name), [1]);
    const again = BpfLink.open(path);
    assert.equal(again.info.id, id);
    again.update(program('count_xdp'));
  },

  'a pinned link outlives its device: ifindex 0, update is ENOLINK': () => {
    for (const hook of ['tcx', 'xdp'] as const) {
      const { ifindex, name } = veth();
      const path = `${pins}/orphan-${hook}`;
      const tcx = hook === 'tcx';
      const attached = tcx
        ? program('count_tc').attachTcx(ifindex, 'ingress')
        : program('count_xdp').attachXdp(ifindex, 'native');
      attached.pin(path);
      sh(`ip link del ${name}`);
      const link = BpfLink.open(path);
      assert.equal(link.info.ifindex, 0);
      assert.throws(() => link.update(program(tcx ? 'grow' : 'count_xdp')), { code: 'ENOLINK', errno: 67 });
    }
  },

  'a device that does not exist is ENODEV everywhere': () => {
    const nobody = 0x7ffffff0;
    assert.throws(() => program('count_tc').attachTcx(nobody, 'ingress'), { code: 'ENODEV' });
    assert.throws(() => program('count_xdp').attachXdp(nobody, 'native'), { code: 'ENODEV' });
    assert.throws(() => program('count_tc').attachTc(nobody, 'ingress', 1, 1), { code: /ENODEV|EINVAL/ });
    assert.throws(() => queryTc(nobody, 'ingress', 1, 1), { code: 'ENODEV' });
  },

  'a program of another type is refused': () => {
    const { ifindex } = veth();
    assert.throws(() => program('count_xdp').attachTcx(ifindex, 'ingress'), { code: 'EINVAL' });
    assert.throws(() => program('count_tc').attachXdp(ifindex, 'native'), { code: 'EINVAL' });
  },

  'clsact: creates the qdisc, asks, replaces, detaches, and never removes the qdisc': () => {
    const { ifindex, name } = veth();
    assert.equal(queryTc(ifindex, 'ingress', 1, 10), 0);
    assert.throws(() => detachTc(ifindex, 'ingress', 1, 10), { code: 'ENOENT' });
    for (const direction of ['ingress', 'egress'] as const) {
      program('count_tc').attachTc(ifindex, direction, 1, 10);
      assert.equal(queryTc(ifindex, direction, 1, 10), program('count_tc').info.id);
      assert.throws(() => program('grow').attachTc(ifindex, direction, 1, 10), { code: 'EEXIST' });
      program('grow').attachTc(ifindex, direction, 1, 10, true);
      assert.equal(queryTc(ifindex, direction, 1, 10), program('grow').info.id);
      detachTc(ifindex, direction, 1, 10);
      assert.equal(queryTc(ifindex, direction, 1, 10), 0);
      assert.throws(() => detachTc(ifindex, direction, 1, 10), { code: 'ENOENT' });
    }
    assert.match(sh(`tc qdisc show dev ${name}`), /clsact/);
  },

  'clsact: a foreign filter survives': () => {
    const { ifindex, name } = veth();
    program('grow').pin(`${pins}/foreign`);
    sh(`tc qdisc add dev ${name} clsact`);
    sh(`tc filter add dev ${name} ingress prio 7 handle 3 bpf direct-action object-pinned ${pins}/foreign`);
    program('count_tc').attachTc(ifindex, 'ingress', 1, 10);
    detachTc(ifindex, 'ingress', 1, 10);
    assert.match(sh(`tc filter show dev ${name} ingress`), /pref 7 bpf .*handle 0x3/);
  },

  'an attached program really sees frames': () => {
    const { ifindex, peer } = veth();
    const counts = () => new BigUint64Array(object.map('counts').lookup(new Uint8Array(4))!.buffer);
    const before = counts().reduce((a, b) => a + b, 0n);
    program('count_tc').attachTc(ifindex, 'ingress', 1, 10);
    sh(`ip addr add 192.0.2.1/24 dev ${peer}; ping -c 1 -W 0.2 -I ${peer} 192.0.2.2 || true`);
    assert.ok(counts().reduce((a, b) => a + b, 0n) > before);
  },

  'inNamespace: attaches there, and this process stays here': async () => {
    sh(`ip netns add other; ip -n other link add dev eth5 type veth peer name eth6`);
    const before = readlinkSync('/proc/thread-self/ns/net');
    const path = `${netns}/other`;
    const tcx = `${pins}/other-tcx`;
    const xdp = `${pins}/other-xdp`;
    const [there, attachedTcx, attachedXdp] = await Promise.all([
      inNamespace(path, { verb: 'ifindex', ifname: 'eth5' }),
      inNamespace(path, {
        verb: 'attachTcx',
        program: program('count_tc'),
        ifname: 'eth5',
        direction: 'ingress',
        pin: tcx,
      }),
      inNamespace(path, {
        verb: 'attachXdp',
        program: program('count_xdp'),
        ifname: 'eth5',
        mode: 'native',
        pin: xdp,
      }),
    ]);
    assert.equal(there, JSON.parse(sh('ip -n other -j link show eth5'))[0].ifindex);
    assert.deepEqual([attachedTcx, attachedXdp], [there, there]);
    assert.equal(BpfLink.open(tcx).info.ifindex, there);
    assert.equal(BpfLink.open(xdp).info.programId, program('count_xdp').info.id);
    assert.equal(readlinkSync('/proc/thread-self/ns/net'), before);
    assert.equal(sh('ip -br link show eth5 2>&1 || true').includes('does not exist'), true);
  },

  'inNamespace: says what failed': async () => {
    sh(
      'ip netns list | grep -q other || ip netns add other; ip -n other link show eth5 || ip -n other link add eth5 type veth',
    );
    const path = `${netns}/other`;
    const failing = (operation: Parameters<typeof inNamespace>[1], where = path) =>
      inNamespace(where, operation);
    await assert.rejects(failing({ verb: 'ifindex', ifname: 'none' }), {
      code: 'ENODEV',
      message: /'none' in/,
    });
    const gone = `${netns}/gone`;
    await assert.rejects(failing({ verb: 'ifindex', ifname: 'lo' }, gone), {
      code: 'ENOENT',
      syscall: 'open',
    });
    mkdirSync('/run/plain', { recursive: true });
    await assert.rejects(failing({ verb: 'ifindex', ifname: 'lo' }, '/run/plain'), {
      code: 'EINVAL',
      syscall: 'setns',
    });
    const pin = '/run/plain/pin';
    const attach = {
      verb: 'attachTcx',
      program: program('grow'),
      ifname: 'lo',
      direction: 'egress',
      pin,
    } as const;
    await assert.rejects(failing(attach), { code: 'EPERM', message: /mount -t bpf/ });
    assert.throws(() => failing({ verb: 'nothing', ifname: 'lo' } as never), { name: 'TypeError' });
  },
};

async function main(): Promise<void> {
  sh('mount -t bpf bpf /sys/fs/bpf; mkdir -p /run/netns; mount -t tmpfs tmpfs /run; mkdir -p /run/netns');
  object.load();
  for (const [name, scenario] of Object.entries(scenarios)) {
    let error: string | undefined;
    try {
      await scenario();
    } catch (caught) {
      error = String((caught as Error).stack);
    }
    console.log(JSON.stringify({ name, error }));
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
