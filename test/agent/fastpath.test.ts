import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { BpfLink, BpfMap, BpfObject, queryTc } from '#addon';
import type { fistpath } from '#proto';
import { detachAll, FastPath, type FastPathConfig } from '../../src/agent/datapath/fastpath.ts';
import type { NetworkDevices } from '../../src/agent/kernel/kernel.ts';

const PINS = '/sys/fs/bpf/fistpath-test';
const GUEST = Uint8Array.of(2, 0, 0, 0, 0, 2);

function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8' });
}
function ifindex(name: string): number {
  return (JSON.parse(ip(`-j link show dev ${name}`)) as { ifindex: number }[])[0]!.ifindex;
}
function links(): string[] {
  return readdirSync(`${PINS}/links`).sort((a, b) => a.localeCompare(b));
}

const config: FastPathConfig = {
  bpfDirectory: PINS,
  underlayAddress: '10.2.1.11',
  vxlanPort: 4789,
  underlayHook: 'tc',
  uplinkHook: 'tc',
  mapSizes: { fdb: 1000, ports: 100 },
  networkNode: false,
  flowRefreshSeconds: 3,
};

function network(vni: number, port: string): { wanted: fistpath.INodeNetwork; devices: NetworkDevices } {
  const uuid = `network-${vni}`;
  return {
    wanted: {
      uuid,
      name: uuid,
      vni,
      peers: ['10.2.1.12', config.underlayAddress],
      remoteMacs: [{ mac: Uint8Array.of(2, 0, 0, 0, 1, vni), node: '10.2.1.12' }],
    },
    devices: {
      uuid,
      vni,
      mtu: 1450,
      vxlanIfindex: ifindex(`vx${vni}`),
      ports: [
        {
          interface: 'i',
          ifname: port,
          ifindex: ifindex(port),
          mac: GUEST,
          ipv4: '10.0.0.2',
          router: false,
          peer: true,
          xdp: false,
        },
      ],
      nat: null,
    },
  };
}

describe('FastPath, with real devices', () => {
  let fastPath: FastPath;

  before(() => {
    assert.ok(process.env.FISTPATH_TEST_NAMESPACE, 'run it with `npm test -- test/agent/fastpath.test.ts`');
    ip('link add under0 type veth peer name under1');
    ip('addr add 10.2.1.11/24 dev under0');
    ip('link set under0 up');
    for (const vni of [2, 3]) {
      ip(`link add vx${vni} type vxlan id ${vni} dstport 4789 local 10.2.1.11`);
      ip(`link add p${vni} type veth peer name g${vni}`);
    }
    fastPath = new FastPath(config, () => {});
  });

  after(() => {
    fastPath.switchOff();
    fastPath.close();
    for (const device of ['under0', 'vx2', 'vx3', 'p2', 'p3'])
      execFileSync('ip', ['link', 'del', device], { stdio: 'ignore' });
  });

  it('attaches ports, tunnels and the underlay, and fills the maps', async () => {
    await fastPath.apply(network(2, 'p2'));
    await fastPath.apply(network(3, 'p3'));
    fastPath.attachUnderlay(ifindex('under0'));
    const expected = [
      `port-${ifindex('p2')}`,
      `port-${ifindex('p3')}`,
      `tunnel-${ifindex('vx2')}`,
      `tunnel-${ifindex('vx3')}`,
      `underlay-tc-${ifindex('under0')}`,
    ];
    assert.deepEqual(
      links(),
      expected.sort((a, b) => a.localeCompare(b)),
    );
    const fdb = BpfMap.open(`${PINS}/maps-2/fdb`);
    assert.equal(fdb.entries().count, 4);
    assert.equal(fdb.info.maxEntries, 1000);
    fdb.close();
  });

  it('does nothing when there is nothing to do', async () => {
    const before = fastPath.writes;
    await fastPath.apply(network(2, 'p2'));
    fastPath.attachUnderlay(ifindex('under0'));
    fastPath.sweep();
    assert.equal(fastPath.writes, before);
  });

  it('is adopted by the next process: same links, same entries, new programs', async () => {
    const path = `${PINS}/links/port-${ifindex('p2')}`;
    const info = () => {
      const link = BpfLink.open(path);
      const { id, programId } = link.info;
      link.close();
      return { id, programId };
    };
    const before = info();
    fastPath.close();
    fastPath = new FastPath(config, () => {});
    await fastPath.apply(network(2, 'p2'));
    await fastPath.apply(network(3, 'p3'));
    fastPath.attachUnderlay(ifindex('under0'));
    assert.equal(fastPath.writes, 0, 'entries and attachments are there already');
    assert.equal(info().id, before.id, 'the link stays, so the hook was never empty');
    assert.notEqual(info().programId, before.programId, 'and runs the program that was just loaded');
  });

  it('makes an attachment anew whose device was replaced', async () => {
    const old = ifindex('p3');
    ip('link del p3');
    ip('link add p3 type veth peer name g3');
    assert.notEqual(ifindex('p3'), old);
    await fastPath.apply(network(3, 'p3'));
    fastPath.sweep();
    assert.ok(!links().includes(`port-${old}`), 'the pin of the device that is gone');
    assert.ok(links().includes(`port-${ifindex('p3')}`));
  });

  it('makes it anew, too, when the new device has the ifindex of the old one', async () => {
    const index = ifindex('p3');
    ip('link del p3');
    ip(`link add p3 index ${index} type veth peer name g3`);
    const before = fastPath.writes;
    await fastPath.apply(network(3, 'p3'));
    assert.equal(fastPath.writes, before + 1, 'the attachment alone');
    const link = BpfLink.open(`${PINS}/links/port-${index}`);
    assert.equal(link.info.ifindex, index);
    link.close();
  });

  it('takes a network away, and leaves the other', () => {
    fastPath.remove(3);
    assert.deepEqual(fastPath.networks(), [2]);
    assert.ok(!links().includes(`tunnel-${ifindex('vx3')}`));
    assert.ok(links().includes(`tunnel-${ifindex('vx2')}`));
  });

  it('says why XDP is not to be had, and takes TC', () => {
    const foreign = new BpfObject(readFileSync(new URL('../../bpf/out/underlay.bpf.o', import.meta.url)));
    foreign.load();
    const link = foreign.program('underlay_xdp').attachXdp(ifindex('under0'), 'native');
    fastPath.close();
    fastPath = new FastPath({ ...config, underlayHook: 'xdp' }, () => {});
    fastPath.attachUnderlay(ifindex('under0'));
    assert.equal(fastPath.underlayHook, 'tc');
    assert.match(
      fastPath.problems.join(),
      /XDP can't be attached to the underlay device .*tc is used instead/,
    );
    assert.equal(link.info.ifindex, ifindex('under0'), 'the foreign program is still there');
    link.close();
    foreign.close();
  });

  it('moves from TC to XDP and back', () => {
    fastPath.attachUnderlay(ifindex('under0'));
    assert.equal(fastPath.underlayHook, 'xdp');
    assert.ok(
      links().includes(`underlay-xdp-${ifindex('under0')}`) &&
        !links().includes(`underlay-tc-${ifindex('under0')}`),
    );
    fastPath.close();
    fastPath = new FastPath(config, () => {});
    fastPath.attachUnderlay(ifindex('under0'));
    assert.ok(
      links().includes(`underlay-tc-${ifindex('under0')}`) &&
        !links().includes(`underlay-xdp-${ifindex('under0')}`),
    );
  });

  it('refuses pinned maps of another layout, naming the difference', () => {
    fastPath.close();
    assert.throws(
      () => new FastPath({ ...config, mapSizes: { ...config.mapSizes, fdb: 2000 } }, () => {}),
      /fdb.*1000.*2000|fdb.*2000.*1000/,
    );
    fastPath = new FastPath(config, () => {});
  });

  it('drops nobody for want of room in a map: the kernel decides about the rest', async () => {
    const pins = `${PINS}-full`;
    const full = new FastPath(
      { ...config, bpfDirectory: pins, mapSizes: { members: 1, ports: 1 } },
      () => {},
    );
    const count = (name: string) => {
      const map = BpfMap.open(`${pins}/maps-2/${name}`);
      const { count } = map.entries();
      map.close();
      return count;
    };
    const [first, second] = [network(2, 'p2'), network(3, 'p3')];
    const counts = () => ['members', 'networks', 'ports', 'fdb'].map(count);
    await full.apply(first);
    assert.deepEqual(counts(), [1, 1, 1, 2]);
    // Without an entry in `networks` a member that found no room is not refused.
    const more = { ...first, wanted: { ...first.wanted, peers: ['10.2.1.12', '10.2.1.13'] } };
    await assert.rejects(full.apply(more), /map members is full \(1 entries\): raise map_sizes.members/);
    assert.deepEqual(counts(), [1, 0, 1, 2]);
    await full.apply(first);
    assert.deepEqual(counts(), [1, 1, 1, 2]);
    await assert.rejects(
      full.apply({ ...second, wanted: { ...second.wanted, peers: [] } }),
      /map ports is full/,
    );
    assert.deepEqual(counts(), [1, 2, 1, 4], 'what can be reached by the fast path still is');
    full.remove(2);
    await full.apply({ ...second, wanted: { ...second.wanted, peers: [] } });
    assert.deepEqual(counts(), [0, 1, 1, 2], 'room again');
    full.switchOff();
    full.close();
  });

  it('detaches without loading anything, and where there is no TCX, what has no pin', async () => {
    const object = new BpfObject(readFileSync(new URL('../../bpf/out/port.bpf.o', import.meta.url)));
    object.load();
    const [index, handle, priority] = [ifindex('p3'), 0xf157, 49157];
    object.program('port').attachTc(index, 'ingress', handle, priority, false);
    await fastPath.apply(network(2, 'p2'));
    detachAll(PINS, [`port-${index}`, `tunnel-${ifindex('vx3')}`]);
    assert.deepEqual([links(), queryTc(index, 'ingress', handle, priority)], [[], 0]);
    object.close();
  });

  it('goes away completely', async () => {
    await fastPath.apply(network(2, 'p2'));
    fastPath.attachUnderlay(ifindex('under0'));
    fastPath.switchOff();
    assert.deepEqual(links(), []);
    assert.deepEqual(fastPath.networks(), []);
    assert.ok(existsSync(`${PINS}/maps-2/counters`), 'counters stay');
  });
});
