import assert from 'node:assert/strict';
import type { fistpath } from '#proto';
import {
  FdbEntry,
  FdbFlag,
  FdbKey,
  MemberKey,
  Nexthop,
  Port,
  PortFlag,
} from '../../src/agent/datapath/abi.ts';
import { type Entries, keyOf } from '../../src/agent/datapath/mirror.ts';
import { nexthopEntries } from '../../src/agent/datapath/nexthops.ts';
import {
  Be32,
  bytes,
  ipv4Number,
  ipv4Text,
  natPrint,
  networkTables,
} from '../../src/agent/datapath/tables.ts';
import type { NatDevices, NetworkDevices } from '../../src/agent/kernel/kernel.ts';

const NETWORK: fistpath.INodeNetwork = {
  netblock: '10.0.0.0/24',
  routed: [],
  router: {
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    address: '10.0.0.1',
    leases: [{ interface: 'i', mac: Uint8Array.of(2, 0, 0, 0, 0, 2), ipv4: '10.0.0.9', name: 'one' }],
    nat: { gateway: '10.10.0.5', pool: '10.10.0.0/24', nextHop: '10.10.0.1', floats: [] },
    dns: false,
  },
};
const ROUTER = Uint8Array.of(2, 0, 0, 0, 0, 1);
const GUEST = Uint8Array.of(2, 0, 0, 0, 0, 2);
const REMOTE = Uint8Array.of(2, 0, 0, 0, 0, 3);

const tables = networkTables(
  {
    uuid: 'n',
    vni: 0xffffff,
    peers: ['10.2.1.12'],
    remoteMacs: [{ mac: REMOTE, node: '10.2.1.12' }],
  },
  {
    uuid: 'n',
    vni: 0xffffff,
    mtu: 8950,
    vxlanIfindex: 30,
    ports: [
      {
        interface: null,
        ifname: 'veth-ffffff-o',
        ifindex: 40,
        mac: ROUTER,
        ipv4: '192.168.0.1',
        router: true,
        peer: true,
        xdp: false,
      },
      {
        interface: 'i',
        ifname: 'p-0',
        ifindex: 41,
        mac: GUEST,
        ipv4: '192.168.0.9',
        router: false,
        peer: false,
        xdp: true,
      },
    ],
    nat: null,
  },
  (ifindex) => ifindex - 40,
);

function read<T>(layout: { read(view: DataView, at: number): T }, value: Uint8Array | undefined): T {
  assert.ok(value, 'entry is missing');
  return layout.read(new DataView(value.buffer, value.byteOffset), 0);
}
const fdb = (mac: Uint8Array) => read(FdbEntry, tables.fdb.get(keyOf(bytes(FdbKey, { vni: 0xffffff, mac }))));
const port = (ifindex: number) => read(Port, tables.ports.get(keyOf(Uint8Array.of(ifindex, 0, 0, 0))));

describe('networkTables', () => {
  it('points remote MACs to their node, and to nothing local', () => {
    assert.deepEqual(fdb(REMOTE), { ifindex: 0, remote: 0x0a02010c, slot: 0, mtu: 8950, flags: 0 });
  });

  it('points local MACs to their port, with what its device can do', () => {
    assert.deepEqual(fdb(ROUTER), { ifindex: 40, remote: 0, slot: 0, mtu: 8950, flags: FdbFlag.FDB_PEER });
    assert.deepEqual(fdb(GUEST), { ifindex: 41, remote: 0, slot: 1, mtu: 8950, flags: FdbFlag.FDB_XDP });
    assert.equal(tables.fdb.size, 3);
  });

  it('lets a guest send as itself only, and the router for others', () => {
    assert.deepEqual(
      { ...port(41), mac: [...port(41).mac] },
      {
        vni: 0xffffff,
        slot: 1,
        ipv4: 0xc0a80009,
        mtu: 8950,
        flags: 0,
        mac: [...GUEST],
      },
    );
    assert.equal(port(40).flags, PortFlag.PORT_ROUTER);
  });

  it('trusts the peers of this VNI, in network byte order', () => {
    assert.deepEqual(
      [...tables.members.keys()],
      [keyOf(bytes(MemberKey, { vni: 0xffffff, address: 0x0a02010c }))],
    );
    assert.deepEqual([...tables.members.keys()][0], keyOf(Uint8Array.of(255, 255, 255, 0, 10, 2, 1, 12)));
  });

  it('converts addresses both ways', () => {
    for (const text of ['0.0.0.0', '10.2.1.11', '255.255.255.255'])
      assert.equal(ipv4Text(ipv4Number(text)), text);
    assert.equal(ipv4Number(''), 0);
  });
});

describe('natPrint', () => {
  const router = NETWORK.router!;
  const nat: NatDevices = {
    namespace: '/run/netns/n',
    vethInner: 'veth-2-i',
    insideMac: ROUTER,
    physicalInner: 'phy-2-i',
    outsideMac: Uint8Array.of(6, 0, 0, 0, 0, 1),
    egressIfindex: 9,
    uplinkMtu: 1500,
    bridgeMac: REMOTE,
  };
  const veth = {
    interface: null,
    ifname: 'veth-2-o',
    mac: ROUTER,
    ipv4: '10.0.0.1',
    router: true,
    peer: true,
  };
  const devices: NetworkDevices = {
    uuid: 'n',
    vni: 2,
    mtu: 1450,
    vxlanIfindex: 3,
    ports: [{ ...veth, ifindex: 4, xdp: true }],
    nat,
  };
  const before = natPrint(NETWORK, devices);
  const changed = (network: fistpath.INodeNetwork, change: Partial<NetworkDevices> = {}) =>
    natPrint({ ...NETWORK, ...network }, { ...devices, ...change }) !== before;
  const lease = router.leases![0]!;

  it('changes with whatever NAT decides by', () => {
    const floats = [{ floating: '10.10.0.9', ipv4: '10.0.0.9' }];
    const changes: fistpath.INodeNetwork[] = [
      { router: { ...router, nat: { ...router.nat, floats } } },
      { router: { ...router, nat: { ...router.nat, gateway: '10.10.0.6' } } },
      { router: { ...router, nat: { ...router.nat, nextHop: '10.10.0.2' } } },
      { router: { ...router, leases: [] } },
      { router: { ...router, leases: [{ ...lease, ipv4: '10.0.0.10' }] } },
      { router: { ...router, leases: [{ ...lease, mac: REMOTE }] } },
      { router: { ...router, leases: [{ ...lease, interface: 'j' }] } },
      { router: { ...router, address: '10.0.0.2' } },
      { routed: ['10.10.0.77'] },
      { netblock: '10.0.0.0/25' },
    ];
    for (const change of changes) assert.ok(changed(change), JSON.stringify(change));
  });

  it('changes with the namespace, its devices and where they lead', () => {
    assert.ok(changed({}, { ports: [{ ...veth, ifindex: 5, xdp: true }] }));
    assert.ok(changed({}, { nat: { ...nat, outsideMac: REMOTE } }));
    assert.ok(changed({}, { nat: { ...nat, egressIfindex: 10 } }));
  });

  it('stays while only names change, or instances on other nodes', () => {
    assert.ok(!changed({ router: { ...router, dns: true, leases: [{ ...lease, name: 'two' }] } }));
    assert.ok(!changed({ remoteMacs: [{ mac: REMOTE, node: '10.2.1.12' }], peers: ['10.2.1.12'] }));
  });
});

describe('nexthopEntries', () => {
  const links = [{ ifindex: 5, ifname: 'eth0', address: '02:00:00:00:00:0a', mtu: 9000 }];
  const neighbour = (dst: string, state: string) => ({
    dst,
    dev: 'eth0',
    lladdr: '02:00:00:00:00:0b',
    state: [state],
  });
  const found = (entries: Entries, peer: string) => entries.get(keyOf(bytes(Be32, ipv4Number(peer))));

  it('takes the header from the neighbour, through a gateway too', () => {
    const routes = [
      { dst: '10.2.1.12', dev: 'eth0' },
      { dst: '10.9.0.1', gateway: '10.2.1.1', dev: 'eth0' },
    ];
    const neighbours = [
      neighbour('10.2.1.12', 'REACHABLE'),
      { ...neighbour('10.2.1.1', 'STALE'), lladdr: '02:00:00:00:00:0c' },
    ];
    const entries = nexthopEntries(routes, neighbours, links);
    assert.equal(read(Nexthop, found(entries, '10.2.1.12')).dst_mac[5], 0x0b);
    const far = read(Nexthop, found(entries, '10.9.0.1'));
    assert.deepEqual([far.dst_mac[5], far.src_mac[5], far.ifindex, far.mtu], [0x0c, 0x0a, 5, 9000]);
  });

  it('has no entry for what is not resolved', () => {
    const routes = [
      { dst: '10.2.1.12', dev: 'eth0' },
      { dst: '10.2.1.13', dev: 'eth0' },
      { dst: '10.2.1.14', dev: 'gone' },
    ];
    const unresolved = { dst: '10.2.1.13', dev: 'eth0', state: ['INCOMPLETE'] };
    assert.equal(nexthopEntries(routes, [neighbour('10.2.1.12', 'FAILED'), unresolved], links).size, 0);
  });
});
