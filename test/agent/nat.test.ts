/** The fast path of a router, with real packets. One file, since every case needs the same router, which is made once. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { BpfLink, BpfMap, BpfObject } from '#addon';
import { FdbEntry, FdbFlag, Flow, Gateway, Router, Side } from '../../src/agent/datapath/abi.ts';
import {
  detachAll,
  FastPath,
  type FastPathConfig,
  type PlacedNetwork,
} from '../../src/agent/datapath/fastpath.ts';
import { readOutsideUsage } from '../../src/agent/datapath/usage.ts';
import {
  ifindex,
  ip,
  makeRouter,
  makeUplink,
  makeWorld,
  placed,
  removeRouter,
  removeWorld,
  seenByRouter,
  startEcho,
  talk,
  VNI,
} from './nat-world.ts';

const PINS = '/sys/fs/bpf/fistpath-nat';
const LEARN = ['learn-phy-2a-i', 'learn-veth-2a-i'];
const COUNT = 300;
/** Packets that conntrack has to see before both directions are flows, and what is on its way meanwhile. */
const FIRST = 10;

const config: FastPathConfig = {
  bpfDirectory: PINS,
  underlayAddress: '10.2.1.11',
  vxlanPort: 4789,
  underlayHook: 'tc',
  uplinkHook: 'tc',
  mapSizes: { flows: 1024, accounts: 16 },
  networkNode: true,
  flowRefreshSeconds: 3,
};

function links(prefix: string): string[] {
  return readdirSync(`${PINS}/links`)
    .filter((name) => name.startsWith(prefix))
    .toSorted();
}

function linkInfo(name: string): { id: number; programId: number; ifindex: number } {
  const link = BpfLink.open(`${PINS}/links/${name}`);
  const { id, programId, ifindex } = link.info;
  link.close();
  return { id, programId, ifindex };
}

function rows<T extends object>(
  map: string,
  layout: { size: number; read(view: DataView, at: number): T },
  pins = PINS,
): T[] {
  const handle = BpfMap.open(`${pins}/maps-2/${map}`);
  const { count, values } = handle.entries();
  handle.close();
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  return Array.from({ length: count }, (_, i) => layout.read(view, i * layout.size));
}
const generation = () => rows('routers', Router)[0]?.generation;
const toRouter = () => rows('fdb', FdbEntry).filter(({ flags }) => flags & FdbFlag.FDB_ROUTER).length;

describe('FastPath of a network node', () => {
  let fastPath: FastPath;
  let echo: ChildProcess;
  const prepare = (path = fastPath) => path.prepareNat(ifindex('uplink0'), ifindex('under0'));
  const applyAll = async (network: PlacedNetwork) => {
    prepare();
    await fastPath.apply(network);
    fastPath.attachUnderlay(ifindex('under0'));
    fastPath.sweep();
  };
  const restart = (change: Partial<FastPathConfig> = {}) => {
    fastPath.close();
    fastPath = new FastPath({ ...config, ...change }, () => {});
  };
  /** Packets of a conversation that the router saw; none may be lost. */
  const slowly = async (count = COUNT, port = 5000) => {
    const before = seenByRouter();
    assert.equal(await talk(count, 0.001, port), count, 'every packet came back');
    return seenByRouter() - before;
  };

  before(async () => {
    assert.ok(process.env.FISTPATH_TEST_NAMESPACE, 'run it with `npm test -- test/agent/nat.test.ts`');
    makeWorld();
    echo = await startEcho();
    fastPath = new FastPath(config, () => {});
  });

  after(() => {
    echo.kill();
    fastPath.switchOff();
    fastPath.close();
    removeWorld();
  });

  it('leaves NAT to the kernel when that can not be followed, and says why', async () => {
    restart({ natRefusal: () => 'this kernel is too old' });
    await applyAll(placed());
    assert.equal(fastPath.natRefusal, 'this kernel is too old');
    assert.deepEqual([...links('learn'), ...links('uplink')], []);
    assert.deepEqual([toRouter(), rows('gateways', Gateway), rows('routers', Router)], [0, [], []]);
    assert.ok((await slowly()) >= COUNT);
    restart();
  });

  it('attaches to the uplink and inside the namespace, and fills the maps', async () => {
    await applyAll(placed());
    assert.equal(fastPath.natRefusal, undefined);
    assert.deepEqual(links('learn'), LEARN);
    assert.deepEqual(links('uplink'), [`uplink-tc-${ifindex('uplink0')}`]);
    const byside = (a: Gateway, b: Gateway) => a.side - b.side;
    assert.deepEqual(rows('gateways', Gateway).toSorted(byside), [
      { vni: VNI, side: Side.INSIDE },
      { vni: VNI, side: Side.OUTSIDE },
      { vni: 0, side: Side.NODE },
    ]);
    const [router] = rows('routers', Router);
    assert.deepEqual([router!.egress_ifindex, router!.mtu, router!.flags], [ifindex('uplink0'), 1500, 0]);
    assert.equal(toRouter(), 1);
    const routed = BpfMap.open(`${PINS}/maps-2/routed`);
    assert.equal(routed.entries().count, 1);
    routed.close();
  });

  it('takes over what the kernel has decided, and counts it', async () => {
    const sent = () => readOutsideUsage(PINS).get(VNI)?.get('10.0.0.2');
    const before = sent()!;
    const seen = await slowly();
    assert.ok(seen <= FIRST, `the router saw ${seen} packets of ${COUNT}`);
    assert.equal(rows('flows', Flow).length, 2);
    const after = sent()!;
    const [out, back] = [
      after.sent.packets - before.sent.packets,
      after.received.packets - before.received.packets,
    ];
    assert.ok(out >= COUNT - FIRST && out <= COUNT, `${out} of ${COUNT} sent packets counted`);
    assert.ok(back >= COUNT - FIRST && back <= COUNT, `${back} of ${COUNT} received packets counted`);
    assert.equal(after.sent.bytes - before.sent.bytes, out * 32, 'IPv4, UDP and 4 bytes');
  });

  it('does nothing when there is nothing to do', async () => {
    const before = fastPath.writes;
    await applyAll(placed());
    assert.equal(fastPath.writes, before);
  });

  it('makes every flow a miss when what NAT does changes, and forgets it', async () => {
    await slowly();
    const before = generation()!;
    await fastPath.apply(placed({ floats: [{ floating: '10.10.0.9', ipv4: '10.0.0.3' }] }));
    const after = generation()!;
    assert.ok(after > before, `${before} to ${after}`);
    assert.ok(rows('flows', Flow).every((flow) => flow.generation === before));
    fastPath.sweep();
    assert.deepEqual(rows('flows', Flow), []);
    await slowly();
    assert.ok(rows('flows', Flow).every((flow) => flow.generation === after));
  });

  it('is adopted under traffic: no packet is lost, and no generation comes again', async () => {
    await applyAll(placed());
    const [before, links] = [generation()!, LEARN.map(linkInfo)];
    const counted = () => readOutsideUsage(PINS).get(VNI)!.get('10.0.0.2')!.sent.packets;
    const countedBefore = counted();
    const [returned] = await Promise.all([
      talk(2000, 0.001),
      (async () => {
        await new Promise((done) => setTimeout(done, 500));
        restart();
        await applyAll(placed());
      })(),
    ]);
    assert.equal(returned, 2000);
    assert.ok(generation()! > before);
    assert.ok(counted() > countedBefore + 1000, 'counters go on');
    for (const [i, name] of LEARN.entries()) {
      assert.equal(linkInfo(name).id, links[i]!.id, 'the link stays');
      assert.notEqual(linkInfo(name).programId, links[i]!.programId, 'and runs the new program');
    }
    assert.ok((await slowly()) <= FIRST);
  });

  it('never gives a generation twice, though its network was gone when it started', async () => {
    await slowly();
    const before = generation()!;
    fastPath.remove(VNI);
    assert.ok(rows('flows', Flow).length > 0, 'flows of the removed network are there still');
    restart();
    await applyAll(placed());
    assert.ok(generation()! > before);
  });

  it('trusts no flow of an earlier process until its network was applied', async () => {
    await slowly();
    restart();
    prepare();
    assert.equal(generation(), undefined);
    await applyAll(placed());
    assert.ok((await slowly()) <= FIRST);
  });

  it('starts anew in a namespace that was made again', async () => {
    const before = [generation()!, linkInfo(LEARN[0]!).id];
    removeRouter();
    makeRouter();
    await applyAll(placed());
    assert.ok(generation()! > before[0]!);
    assert.notEqual(linkInfo(LEARN[0]!).id, before[1]);
    await slowly();
    assert.ok((await slowly()) <= FIRST);
  });

  it('starts anew with an uplink that was made again', async () => {
    const before = [generation()!, ifindex('uplink0')];
    ip('link del uplink0');
    makeUplink();
    await applyAll(placed());
    assert.ok(generation()! > before[0]!);
    assert.deepEqual(links('uplink'), [`uplink-tc-${ifindex('uplink0')}`]);
    assert.notEqual(ifindex('uplink0'), before[1]);
    await slowly();
    assert.ok((await slowly()) <= FIRST);
  });

  it('sweeps flows that the kernel has not confirmed for too long, and no others', async () => {
    await slowly();
    const flows = BpfMap.open(`${PINS}/maps-2/flows`);
    const { count, keys, values } = flows.entries();
    assert.equal(count, 2);
    const flow = Flow.read(new DataView(values.buffer, values.byteOffset), 0);
    const old = new Uint8Array(Flow.size);
    Flow.write(new DataView(old.buffer), 0, {
      ...flow,
      learned_ns: process.hrtime.bigint() - 16_000_000_000n,
    });
    flows.update(keys.subarray(0, 20), old);
    fastPath.sweep();
    assert.equal(flows.lookup(keys.subarray(0, 20)), undefined);
    assert.notEqual(flows.lookup(keys.subarray(20, 40)), undefined);
    flows.close();
  });

  it('says when the flow table is nearly full', async () => {
    restart({ mapSizes: { ...config.mapSizes, flows: 2 } });
    await applyAll(placed());
    await slowly();
    fastPath.sweep();
    assert.match(fastPath.problems.join(), /map flows is nearly full \(of 2 entries\).*map_sizes\.flows/);
    restart();
    await applyAll(placed());
    assert.deepEqual(fastPath.problems, []);
  });

  it('follows no NAT of a router whose MAC is another one’s', async () => {
    const network = placed();
    const other: PlacedNetwork = {
      wanted: { ...network.wanted, uuid: 'other', vni: 7, peers: [] },
      devices: { ...network.devices, uuid: 'other', vni: 7, ports: [] },
    };
    await assert.rejects(fastPath.apply(other), /MAC 02:00:00:00:00:11 of its router is another one's/);
    assert.equal(rows('routers', Router).length, 1);
    fastPath.remove(7);
    assert.deepEqual(links('learn'), LEARN);
  });

  it('leaves NAT to the kernel when it could not count it', async () => {
    const network = placed();
    const leases = Array.from({ length: 17 }, (_, i) => ({
      ...network.wanted.router!.leases![0]!,
      ipv4: `10.0.0.${i + 2}`,
    }));
    const many = { ...network, wanted: { ...network.wanted, router: { ...network.wanted.router, leases } } };
    await assert.rejects(
      fastPath.apply(many),
      /map accounts is full \(16 entries\): raise map_sizes.accounts/,
    );
    assert.deepEqual(rows('routers', Router), []);
    assert.ok((await slowly()) >= COUNT);
    await fastPath.apply(network);
    assert.equal(rows('routers', Router).length, 1);
  });

  it('attaches XDP to the uplink beside TC, and sends by it only where that device can', async () => {
    restart({ uplinkHook: 'xdp' });
    await applyAll(placed());
    const index = ifindex('uplink0');
    assert.deepEqual(links('uplink'), [`uplink-tc-${index}`, `uplink-xdp-${index}`]);
    assert.equal(rows('routers', Router)[0]!.flags, 0, 'the other end of this veth takes none');
    execFileSync('ip', ['netns', 'exec', 'nat-outside', 'ethtool', '-K', 'eth0', 'gro', 'on']);
    const before = generation();
    await applyAll(placed());
    assert.equal(rows('routers', Router)[0]!.flags, 1);
    assert.equal(generation(), before);
    fastPath.prepareNat(index, index);
    assert.deepEqual(fastPath.problems, []);
    restart();
    await applyAll(placed());
    assert.deepEqual(links('uplink'), [`uplink-tc-${index}`]);
  });

  it('says that there is no way to follow NAT when the uplink takes no program', () => {
    restart();
    fastPath.prepareNat(99_999, ifindex('under0'));
    assert.match(fastPath.natRefusal!, /the uplink can't be attached to: ENODEV/);
    assert.deepEqual(links('uplink'), []);
    prepare();
    assert.equal(fastPath.natRefusal, undefined);
  });

  it('shares a device with the tunnels: XDP is theirs', async () => {
    restart({ uplinkHook: 'xdp', underlayHook: 'xdp' });
    const index = ifindex('under0');
    fastPath.prepareNat(index, index);
    fastPath.attachUnderlay(index);
    assert.deepEqual(links('u'), [`underlay-xdp-${index}`, `uplink-tc-${index}`]);
    assert.match(fastPath.problems.join(), /the uplink is the underlay device.*tc is used for the uplink/);
    restart();
    await applyAll(placed());
  });

  it('takes over from maps of an older version, without a lost packet', async () => {
    const index = ifindex('port0');
    fastPath.switchOff();
    const old = new BpfObject(readFileSync(new URL('../../bpf/out/port.bpf.o', import.meta.url)), {
      pinDirectory: `${PINS}/maps-1`,
    });
    old.load();
    const link = old.program('port').attachTcx(index, 'ingress');
    link.pin(`${PINS}/links/port-${index}`);
    const { id } = link.info;
    link.close();
    old.close();
    restart();
    const [returned] = await Promise.all([talk(1000, 0.001), applyAll(placed())]);
    assert.equal(returned, 1000);
    assert.equal(linkInfo(`port-${index}`).id, id);
    assert.deepEqual(
      readdirSync(PINS).filter((name) => name.startsWith('maps')),
      ['maps-2'],
    );
  });

  it('is switched off and on under traffic without a lost packet, and keeps its counters', async () => {
    const counted = () => readOutsideUsage(PINS).get(VNI)!.get('10.0.0.2')!.sent.packets;
    const before = counted();
    const [returned] = await Promise.all([
      talk(1500, 0.001),
      (async () => {
        for (let i = 0; i < 3; i++) {
          await new Promise((done) => setTimeout(done, 200));
          fastPath.switchOff();
          assert.deepEqual(readdirSync(`${PINS}/links`), []);
          await new Promise((done) => setTimeout(done, 200));
          await applyAll(placed());
        }
      })(),
    ]);
    assert.equal(returned, 1500);
    assert.ok(counted() > before);
    const then = counted();
    fastPath.switchOff();
    assert.equal(counted(), then, 'while it is off');
    await applyAll(placed());
    assert.equal(counted(), then, 'and on again');
  });

  it('is detached without loading anything, inside the namespace too', async () => {
    detachAll(PINS, []);
    assert.deepEqual(readdirSync(`${PINS}/links`), []);
    assert.ok((await slowly()) >= COUNT, 'the kernel translates');
    await applyAll(placed());
    assert.deepEqual(links('learn'), LEARN);
  });

  it('detaches from the uplink when nothing is translated any more', async () => {
    const network = placed();
    const plain = {
      wanted: { ...network.wanted, router: { ...network.wanted.router, nat: null } },
      devices: { ...network.devices, nat: null },
    };
    fastPath.prepareNat(undefined, ifindex('under0'));
    await fastPath.apply(plain);
    fastPath.sweep();
    assert.deepEqual([...links('learn'), ...links('uplink')], []);
    assert.deepEqual([toRouter(), rows('gateways', Gateway), rows('routers', Router)], [0, [], []]);
    assert.equal(readOutsideUsage(PINS).size, 0);
  });

  it('is told apart by capacity: caches and counters are made anew, and only on a network node they are large', () => {
    const size = (name: string) => {
      const map = BpfMap.open(`${PINS}/maps-2/${name}`);
      const { maxEntries } = map.info;
      map.close();
      return maxEntries;
    };
    assert.deepEqual([size('flows'), size('usage')], [1024, 16]);
    prepare();
    restart({ networkNode: false });
    assert.equal(links('uplink').length, 1, 'of when it was a network node');
    prepare();
    assert.deepEqual(links('uplink'), []);
    assert.deepEqual([size('flows'), size('usage')], [1, 1]);
    restart();
    assert.deepEqual([size('flows'), size('usage')], [1024, 16]);
    assert.ok(existsSync(`${PINS}/maps-2/counters`));
  });
});
