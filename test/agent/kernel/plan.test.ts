/** The planner alone: no root, no kernel. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { fistpath } from '#proto';
import {
  type Actual,
  type ActualLink,
  parseFdb,
  parseLinks,
  parseTable,
} from '../../../src/agent/kernel/actual.ts';
import { wantedState } from '../../../src/agent/kernel/desired.ts';
import { failedLines } from '../../../src/agent/kernel/execute.ts';
import type { LinkConfig } from '../../../src/agent/kernel/links.ts';
import { networkNames } from '../../../src/agent/kernel/names.ts';
import type { Operation, Plan } from '../../../src/agent/kernel/operations.ts';
import { DELETE_GROUP, plan } from '../../../src/agent/kernel/plan.ts';
import { deviceOf, guest, NETWORK, network, OTHER_NETWORK, SF1, SF2 } from './samples.ts';

const config: LinkConfig = {
  underlay: { device: 'mesh0', address: SF1 },
  vxlanPort: 4789,
  portKind: 'netns',
  uplink: null,
};
const everything = { everything: true, has: () => true };

function nothing(): Actual {
  return {
    links: new Map(),
    fdb: { tunnel: new Map(), bridge: new Map() },
    guard: { ip: new Map(), bridge: new Map() },
    namespaces: { present: new Set(), broken: new Set() },
    claims: new Map(),
    pending: new Set(),
    inner: new Map(),
    ipv6: new Set(),
    hasIpv6: true,
    bridgeNetfilter: [],
    uplinkAddresses: [],
    ftpHelper: true,
  };
}

function link(name: string, change: Partial<ActualLink> = {}): [string, ActualLink] {
  const base = { ifindex: 9, name, kind: 'vxlan', alias: '', mac: '', mtu: 8950, up: true, group: 'default' };
  return [
    name,
    { ...base, master: null, learning: false, flood: false, peerNamespace: null, info: {}, ...change },
  ];
}

function planFor(
  networks: fistpath.INodeNetwork[],
  actual = nothing(),
  scope: Parameters<typeof plan>[2] = everything,
): Plan {
  const desired = new Map(networks.map((each) => [each.uuid!, each]));
  return plan(wantedState(desired, SF1, 9000), actual, scope, config);
}

function textOf(operation: Operation): string {
  if ('line' in operation) return `${operation.tool} ${operation.line}`;
  if (operation.tool === 'inner')
    return `inner ${operation.setup.namespace} ${operation.setup.lines.join('; ')}`;
  return JSON.stringify(operation);
}

const lines = (made: Plan) => made.stages.flatMap(({ operations }) => operations).map(textOf);
const errorOf = (change: Partial<fistpath.INodeNetwork>) =>
  planFor([{ ...network({ local: [guest(1)] }), ...change }]).errors.get(change.uuid ?? NETWORK) ?? '';

describe('kernel fallback, planner', () => {
  const one = network({ local: [guest(1)], remote: [guest(3)], peer: SF2, router: 'here' });

  it('lets a port come up only when its guard and its neighbours’ entries are there', () => {
    const all = lines(planFor([one]));
    const at = (text: string) => {
      const index = all.findIndex((each) => each.includes(text));
      assert.ok(index >= 0, `${text} is not in the plan`);
      return index;
    };
    const port = deviceOf(guest(1));
    const order = [
      '"tool":"pending"',
      `add element bridge fistpath macs { "${port}" . 02:00:00:00:01:01 }`,
      `link add name ${port}`,
      `/proc/sys/net/ipv6/conf/${port}/disable_ipv6`,
      `bridge fdb replace 02:00:00:00:01:01 dev ${port} master static`,
      'addr replace 192.168.0.101/24',
      `ip link set dev ${port} up`,
    ].map(at);
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
    );
    assert.ok(at('"tool":"claim"') < at('netns add'));
    assert.ok(at('add element ip fistpath mesh { 10.2.1.12 . 2 }') < at('ip link set dev vxlan-2 up'));
    assert.ok(!all.some((each) => /phy-2-o up|dst 10\.2\.1\.11/.test(each)));
  });

  it('tells who joins the mesh, this node first, though it is not its own peer', () => {
    const operations = planFor([one]).stages.flatMap((stage) => stage.operations);
    const joins = operations.flatMap(({ mesh }) => (mesh ? [`${mesh.operation} ${mesh.address}`] : []));
    assert.deepEqual(joins, [`add mesh elements ${SF1}`, `add mesh elements ${SF2}`]);
  });

  it('takes the guard away behind the devices', () => {
    const actual = nothing();
    actual.links = new Map([link('vxlan-2', { alias: `fistpath:${NETWORK}` })]);
    actual.guard = { ip: new Map([['mesh', new Set(['10.2.1.12 . 2'])]]), bridge: new Map() };
    assert.deepEqual(lines(planFor([], actual)), [
      'ip link del dev vxlan-2',
      'nft delete element ip fistpath mesh { 10.2.1.12 . 2 }',
    ]);
  });

  it('deletes many links by one command, unless somebody else is in that group', () => {
    const actual = nothing();
    const names = ['p-1', 'p-2', 'p-3', 'p-4', 'p-5'];
    actual.links = new Map(names.map((name) => link(name, { alias: `fistpath:${NETWORK}` })));
    const grouped = lines(planFor([], actual));
    assert.equal(grouped.at(-1), `ip link del group ${DELETE_GROUP}`);
    assert.ok(!grouped.some((each) => each.includes('link del dev')));
    actual.links.set(...link('stranger', { group: DELETE_GROUP }));
    const single = lines(planFor([], actual));
    assert.equal(single.filter((each) => each.includes('link del dev')).length, names.length);
    assert.ok(!single.some((each) => each.includes('group') || each.includes('stranger')));
  });

  it('never touches what has no alias of ours', () => {
    const name = fc.constantFrom('vxlan-2', 'br-vxlan-2', 'veth-2-o', 'phy-2-o', 'vxlan-9', 'p-0', 'ens3');
    const alias = fc.constantFrom('', 'other', `x fistpath:${NETWORK}`, 'fistpath');
    fc.assert(
      fc.property(fc.array(fc.tuple(name, alias)), fc.boolean(), (rows, wanted) => {
        const actual = nothing();
        actual.links = new Map(rows.map(([each, text]) => link(each, { alias: text })));
        const made = planFor(wanted ? [one] : [], actual);
        const blocked = [...actual.links.keys()].some((each) => /-2(-o)?$/.test(each));
        if (wanted) assert.equal(made.errors.has(NETWORK), blocked);
        const touched = [...actual.links.keys()].filter((each) =>
          lines(made).some((text) => text.includes(`${each} `) || text.endsWith(each)),
        );
        assert.deepEqual(touched, []);
      }),
    );
  });

  it('keeps what a network has that can’t be built, guard included', () => {
    const actual = nothing();
    actual.links = new Map([link('vxlan-2', { alias: `fistpath:${NETWORK}` })]);
    actual.guard = { ip: new Map([['mesh', new Set(['10.2.1.12 . 2'])]]), bridge: new Map() };
    actual.claims = new Map([[guest(1).instance, {}]]);
    actual.namespaces.present.add(guest(1).instance);
    const made = planFor([{ ...network({ local: [guest(1)] }), netblock: 'nonsense' }], actual);
    assert.deepEqual(lines(made), []);
    assert.match(made.errors.get(NETWORK)!, /netblock "nonsense" is malformed/);
  });

  it('does not let one bad network stop the others', () => {
    const bad = { ...network({ uuid: OTHER_NETWORK, vni: 3 }), mtu: 9000 };
    const made = planFor([bad, one]);
    assert.match(
      made.errors.get(OTHER_NETWORK)!,
      /MTU 9000 does not fit the underlay.*raise the underlay's to 9050/,
    );
    assert.equal(made.errors.size, 1);
    assert.ok(lines(made).some((each) => each.startsWith('ip link add name vxlan-2 ')));
    assert.ok(!lines(made).some((each) => each.includes('vxlan-3')));
  });

  it('stays inside the scope of a pass', () => {
    const actual = nothing();
    actual.links = new Map([link('vxlan-9', { alias: 'fistpath:somebody' })]);
    const two = network({ uuid: OTHER_NETWORK, vni: 3, local: [guest(1, 3)] });
    const scope = { everything: false, has: (uuid: string) => uuid === OTHER_NETWORK };
    const made = planFor([one, two], actual, scope).stages.filter(({ name }) => name !== 'guard');
    const networks = new Set(made.flatMap(({ operations }) => operations).flatMap((each) => each.networks));
    assert.deepEqual([...networks], [OTHER_NETWORK]);
  });

  it('refuses what it can’t build, and says why', () => {
    const cases: [Partial<fistpath.INodeNetwork>, RegExp][] = [
      [{ vni: 0 }, /vxid 0 is not between/],
      [{ vni: 1 << 24 }, /vxid 16777216 is not between/],
      [{ netblock: '192.168.0.0' }, /netblock "192\.168\.0\.0" is malformed/],
      [{ netblock: '192.168.0.0/24; reboot' }, /malformed/],
      [{ peers: ['10.2.1.12\nlink del eth0'] }, /mesh member/],
      [{ remoteMacs: [{ mac: new Uint8Array(5), node: SF2 }] }, /is not 6 bytes/],
      [{ remoteMacs: [{ mac: new Uint8Array(6).fill(255), node: SF2 }] }, /group address/],
      [
        { ports: [{ ...guest(1), mac: new Uint8Array([2, 0, 0, 0, 0, 1]), instance: '../x', order: 0 }] },
        /instance "..\/x"/,
      ],
      [{ router: { mac: new Uint8Array([2, 0, 0, 0, 0, 1]), address: '1.2.3' } }, /router address "1.2.3"/],
    ];
    for (const [change, expected] of cases) assert.match(errorOf(change), expected);
    const again = planFor([one, network({ uuid: OTHER_NETWORK, vni: 2 })]);
    assert.match(again.errors.get(OTHER_NETWORK)!, new RegExp(`vxid 2 is taken by network ${NETWORK}`));
  });
});

describe('kernel fallback, parsers and names', () => {
  it('has names of 15 characters for the largest VNI', () => {
    for (const name of Object.values(networkNames(0xffffff))) assert.ok(name.length <= 15, name);
    assert.equal(networkNames(0xffffff).bridge, 'br-vxlan-ffffff');
  });

  it('reads nothing at all as an empty table', () => {
    assert.equal(parseLinks('', new Map()).size, 0);
    assert.equal(parseFdb('\n').bridge.size, 0);
    assert.throws(() => parseLinks('[{"ifindex":1', new Map()));
  });

  it('tells a tunnel entry with another port or VNI from ours', () => {
    const row = {
      mac: '02:00:00:00:01:03',
      ifname: 'vxlan-2',
      dst: SF2,
      port: 8472,
      flags: ['self'],
      state: 'static',
    };
    assert.deepEqual(
      [
        ...parseFdb(JSON.stringify([row]))
          .tunnel.get('vxlan-2')!
          .get(row.mac)!,
      ],
      [`${SF2} port 8472`],
    );
  });

  it('sees a table change, but not its counters count', () => {
    const table = (packets: number, verdict: string) =>
      JSON.stringify({
        nftables: [
          { set: { name: 'mesh', handle: packets, elem: [{ concat: [SF2, 2] }, { elem: { val: 'x' } }] } },
          {
            rule: { handle: packets, expr: [{ counter: { packets, bytes: packets } }, { [verdict]: null }] },
          },
        ],
      });
    assert.equal(parseTable(table(1, 'drop')).structure, parseTable(table(2, 'drop')).structure);
    assert.notEqual(parseTable(table(1, 'drop')).structure, parseTable(table(1, 'accept')).structure);
    assert.deepEqual([...parseTable(table(1, 'drop')).elements.get('mesh')!], [`${SF2} . 2`, 'x']);
  });

  it('finds the line and the reason of each failure in a batch', () => {
    const stderr =
      'RTNETLINK answers: File exists\nCommand failed /x/build.ip:3\nCannot find device "a"\nCommand failed -:17\n';
    assert.deepEqual(failedLines(stderr), [
      { line: 3, reason: 'RTNETLINK answers: File exists' },
      { line: 17, reason: 'Cannot find device "a"' },
    ]);
  });
});
