import assert from 'node:assert/strict';
import type { Instance, Interface, Network, Node } from '../../src/cli/api-types.ts';
import { compareFdb, type FdbRow, kernelEntries } from '../../src/cli/inspect/fdb-compare.ts';
import { wantedEntries } from '../../src/cli/inspect/fdb-wanted.ts';

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const ROUTER = '02:00:00:00:00:fe';

const network = { uuid: 'n', name: 'demonet', vxid: 255, state: 'created', router_mac: ROUTER } as Network;
const node = (name: string, ip: string, router = false) => ({ name, ip, is_network_node: router }) as Node;
const NODES = [node('sf-1', '10.2.1.11', true), node('sf-2', '10.2.1.12'), node('sf-3', '10.2.1.13')];
const interfaces = [
  { uuid: 'aaaaaaaa-bbbb-cccc', instance_uuid: 'ia', macaddr: A, ipv4: '192.168.0.2', state: 'created' },
  { uuid: 'b', instance_uuid: 'ib', macaddr: B, ipv4: null, state: 'initial' },
  { uuid: 'c', instance_uuid: 'ia', macaddr: '02:00:00:00:00:0c', ipv4: null, state: 'deleted' },
] as Interface[];
const instances = [
  { uuid: 'ia', name: 'a', node: 'sf-2' },
  { uuid: 'ib', name: 'b', node: 'sf-3' },
] as Instance[];
const wantedOn = (here: string) => wantedEntries(here, network, interfaces, instances, NODES);

const differences = (rows: FdbRow[]) =>
  Object.fromEntries(rows.filter((row) => row.difference !== null).map((row) => [row.key, row.difference]));

describe('forwarding entries compared', () => {
  it('what is wanted depends on the node', () => {
    const two = wantedOn('sf-2');
    assert.deepEqual(
      [...two.entries],
      [
        [A, { location: 'p-aaaaaaaabbbb', who: 'a 192.168.0.2' }],
        [B, { location: '10.2.1.13', who: 'b' }],
        [ROUTER, { location: '10.2.1.11', who: 'router' }],
      ],
    );
    assert.deepEqual([...two.peers].sort(), ['10.2.1.11', '10.2.1.13']);
    assert.equal(wantedOn('sf-1').entries.get(ROUTER)?.location, 'veth-ff-o');
    const leaving = wantedEntries('sf-1', { ...network, state: 'delete-wait' }, [], [], NODES);
    for (const nothing of [wantedOn('sf-4'), leaving]) {
      assert.deepEqual([nothing.entries.size, nothing.peers.size], [0, 0]);
    }
  });

  it('a remote MAC needs an entry in the bridge and one in the tunnel', () => {
    const line = (mac: string, ifname: string, more: object) => ({ mac, ifname, ...more });
    const bridge = { master: 'br-vxlan-ff', state: 'static' };
    const { entries, peers } = kernelEntries(
      [
        line('00:00:00:00:00:00', 'vxlan-ff', { dst: '10.2.1.13', state: 'permanent' }),
        line('00:00:00:00:00:00', 'vxlan-fe', { dst: '10.2.1.99', state: 'permanent' }),
        line('02:00:00:00:00:01', 'vxlan-ff', bridge),
        line('02:00:00:00:00:01', 'vxlan-ff', { dst: '10.2.1.12', state: 'static' }),
        line('02:00:00:00:00:02', 'vxlan-ff', bridge),
        line('02:00:00:00:00:03', 'vxlan-ff', { dst: '10.2.1.12', state: 'static' }),
        line('02:00:00:00:00:04', 'p-1', bridge),
        line('02:00:00:00:00:05', 'p-1', { master: 'br-vxlan-ff', state: 'permanent' }),
        line('02:00:00:00:00:06', 'p-1', { master: 'br-vxlan-ff', state: '' }),
        line('02:00:00:00:00:07', 'p-2', { master: 'br-vxlan-fe', state: 'static' }),
      ],
      'vxlan-ff',
      'br-vxlan-ff',
    );
    assert.deepEqual(Object.fromEntries(entries), {
      '02:00:00:00:00:01': '10.2.1.12',
      '02:00:00:00:00:02': 'vxlan-ff, without a node',
      '02:00:00:00:00:03': '10.2.1.12, not in the bridge',
      '02:00:00:00:00:04': 'p-1',
    });
    assert.deepEqual([...peers], ['10.2.1.13']);
  });

  it('tells what differs, and where', () => {
    const wanted = wantedOn('sf-2');
    const right = {
      entries: new Map([
        [A, 'p-aaaaaaaabbbb'],
        [B, '10.2.1.13'],
        [ROUTER, '10.2.1.11'],
      ]),
      peers: wanted.peers,
    };
    const equal = compareFdb({ wanted, kernel: right, fast: right, compareFast: true });
    assert.deepEqual(differences(equal), {});
    assert.equal(equal.find(({ key }) => key === ROUTER)?.who, 'router');

    const wrong = {
      entries: new Map([
        [A, 'p-aaaaaaaabbbb'],
        [B, '10.2.1.99'],
        ['stale', 'p-x'],
      ]),
      peers: new Set(['10.2.1.11']),
    };
    assert.deepEqual(differences(compareFdb({ wanted, kernel: right, fast: wrong, compareFast: true })), {
      [B]: 'fast path: 10.2.1.99 instead of 10.2.1.13',
      [ROUTER]: 'fast path: missing',
      stale: 'fast path: not wanted',
      '10.2.1.13': 'fast path: missing',
    });
    const off = compareFdb({ wanted, kernel: right, fast: wrong, compareFast: false });
    assert.deepEqual(differences(off), {});
  });

  it('without knowing what is wanted, compares what is there', () => {
    const kernel = {
      entries: new Map([
        [A, 'p-a'],
        [B, 'p-b'],
      ]),
      peers: new Set<string>(),
    };
    const fast = { entries: new Map([[A, 'p-a']]), peers: new Set<string>() };
    assert.deepEqual(differences(compareFdb({ kernel, fast, compareFast: true })), {
      [B]: 'kernel: p-b; fast path: missing',
    });
    assert.deepEqual(differences(compareFdb({ kernel, fast: undefined, compareFast: false })), {});
  });

  it('a router that is nowhere is a difference', () => {
    const wanted = wantedOn('sf-1');
    const none = { entries: new Map<string, string>(), peers: new Set<string>() };
    assert.equal(
      differences(compareFdb({ wanted, kernel: none, compareFast: false }))[ROUTER],
      'kernel: missing',
    );
  });
});
