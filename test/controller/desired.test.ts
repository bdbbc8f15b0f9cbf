// Desired state: a pure function of the records, checked against what a mesh has to be.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { fistpath } from '#proto';
import { chooseRouter, desiredNetwork, type Placed } from '../../src/controller/desired.ts';
import { formatMac } from '../../src/records/mac.ts';

const { CREATED, INITIAL, DELETE_WAIT, DELETED, ERROR, MISSING } = fistpath.State;

const nodes = Array.from({ length: 5 }, (_, index) =>
  fistpath.Node.create({
    name: `sf-${index + 1}`,
    address: `10.2.1.${11 + index}`,
    state: index === 4 ? MISSING : CREATED,
  }),
);
const routerMac = Uint8Array.of(2, 0, 0, 255, 255, 255);
const make = (state = CREATED) =>
  fistpath.Network.create({
    uuid: 'net',
    name: 'demonet',
    vxid: 7,
    netblock: '192.168.0.0/24',
    mtu: 8950,
    state,
    routerMac,
  });

const placements = fc.array(
  fc.record({ node: fc.nat(4), state: fc.constantFrom(INITIAL, CREATED, ERROR, DELETE_WAIT, DELETED) }),
  { maxLength: 12 },
);
const place = (given: { node: number; state: fistpath.State }[]): Placed[] =>
  given.map(({ node, state }, index) => ({
    node: nodes[node]!,
    name: `guest-${index}`,
    interface: fistpath.Interface.create({
      uuid: `if-${String(index).padStart(2, '0')}`,
      instance: `inst-${index}`,
      mac: Uint8Array.of(2, 0, 0, 0, 0, index),
      ipv4: `192.168.0.${10 + index}`,
      state,
    }),
  }));

const common = { floating: undefined, dnsDomain: 'internal' };

describe('controller: desired state', () => {
  it('is a full mesh of the members without self, with every MAC behind its own node (property)', () => {
    fc.assert(
      fc.property(placements, fc.option(fc.nat(4), { nil: undefined }), (given, at) => {
        const router = at === undefined ? undefined : nodes[at]!;
        const placed = place(given);
        const live = placed.filter(
          (each) => each.interface.state !== DELETE_WAIT && each.interface.state !== DELETED,
        );
        const members = new Set(live.map(({ node }) => node));
        if (router) members.add(router);
        const desired = desiredNetwork({ network: make(), placed, router, ...common });
        assert.deepEqual([...desired.keys()].toSorted(), [...members].map(({ name }) => name).toSorted());
        for (const [name, network] of desired) {
          const self = nodes.find((node) => node.name === name)!;
          const others = [...members].filter((node) => node !== self).map(({ address }) => address);
          assert.deepEqual(network.peers, others.toSorted());
          const remote = new Map(
            live
              .filter(({ node }) => node !== self)
              .map((each) => [formatMac(each.interface.mac), each.node.address]),
          );
          if (router && router !== self) remote.set(formatMac(routerMac), router.address);
          const given = network.remoteMacs.map(
            ({ mac, node }) => [formatMac(mac!), node!] as [string, string],
          );
          assert.equal(given.length, remote.size);
          assert.deepEqual(new Map(given), remote);
          const ports = live.filter(({ node }) => node === self).map((each) => each.interface.uuid);
          assert.deepEqual(
            network.ports.map((port) => port.interface),
            ports.toSorted(),
          );
          assert.deepEqual(network.router?.address, router === self ? '192.168.0.1' : undefined);
          assert.deepEqual([network.vni, network.mtu], [7, 8950]);
        }
      }),
    );
  });

  it('does not depend on the order of the records (property)', () => {
    fc.assert(
      fc.property(placements, fc.infiniteStream(fc.nat()), (given, order) => {
        const placed = place(given);
        const shuffled = placed
          .map((each) => ({ each, key: order.next().value }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ each }) => each);
        const encode = (list: Placed[]) =>
          [...desiredNetwork({ network: make(), placed: list, router: nodes[0], ...common })]
            .map(([name, network]) => [
              name,
              Buffer.from(fistpath.NodeNetwork.encode(network).finish()).toString('hex'),
            ])
            .toSorted(([a], [b]) => (a! < b! ? -1 : 1));
        assert.deepEqual(encode(shuffled), encode(placed));
      }),
    );
  });

  it('is nothing for a dead network', () => {
    const placed = place([{ node: 1, state: CREATED }]);
    for (const state of [DELETE_WAIT, DELETED]) {
      assert.equal(desiredNetwork({ network: make(state), placed, router: nodes[0], ...common }).size, 0);
    }
    assert.equal(
      desiredNetwork({ network: make(ERROR), placed, router: nodes[0], ...common }).size,
      2,
      'an error is tried again',
    );
  });

  it('tells the network node of gateway, floats, leases and names, in their order', () => {
    const network = fistpath.Network.create(
      Object.assign({}, make(), {
        namespace: 'Demo',
        provideNat: true,
        provideDhcp: true,
        provideDns: true,
        floatingGateway: '10.10.0.9',
        routed: ['10.10.0.100', '10.10.0.20'],
        dnsEntries: { www: '192.0.2.1', 'a.example.': '192.0.2.2' },
      }),
    );
    const floating = fistpath.Network.create({ uuid: 'floating', netblock: '10.10.0.0/24', state: CREATED });
    const nic = (uuid: string, ipv4: string, to = '', state = CREATED): Placed => ({
      node: nodes[1]!,
      name: uuid === 'c' ? 'no host name' : `Guest-${uuid}`,
      interface: fistpath.Interface.create({
        uuid,
        mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
        ipv4,
        floating: to,
        state,
      }),
    });
    const placed = [
      nic('a', '192.168.0.100', '10.10.0.30'),
      nic('b', '192.168.0.20', '10.10.0.200'),
      nic('c', '192.168.0.3'),
      nic('d', ''),
      nic('e', '192.168.0.4', '10.10.0.31', DELETE_WAIT),
    ];
    const records = { network, placed, router: nodes[0], floating, dnsDomain: 'internal' };
    const desired = desiredNetwork(records);
    const plain = JSON.parse(JSON.stringify(desired.get('sf-1'))) as fistpath.INodeNetwork;
    const { nat, dhcp, dns, leases, dnsEntries, domain } = plain.router!;
    assert.deepEqual(nat, {
      gateway: '10.10.0.9',
      pool: '10.10.0.0/24',
      nextHop: '10.10.0.1',
      floats: [
        { floating: '10.10.0.30', ipv4: '192.168.0.100' },
        { floating: '10.10.0.200', ipv4: '192.168.0.20' },
      ],
    });
    assert.deepEqual([dhcp, dns, domain], [true, true, 'demo.internal']);
    assert.deepEqual(
      leases!.map((lease) => `${lease.interface} ${lease.ipv4} ${lease.name ?? ''}`),
      ['c 192.168.0.3 ', 'b 192.168.0.20 guest-b', 'a 192.168.0.100 guest-a'],
    );
    assert.deepEqual(dnsEntries, [
      { name: 'a.example.', value: '192.0.2.2' },
      { name: 'www', value: '192.0.2.1' },
    ]);
    for (const each of desired.values()) assert.deepEqual(each.routed, ['10.10.0.20', '10.10.0.100']);
    assert.deepEqual([...desired.keys()].toSorted(), ['sf-1', 'sf-2']);
    assert.equal(desired.get('sf-2')!.router, null);

    const router = (changes: Partial<fistpath.Network>, pool: fistpath.Network | undefined = floating) => {
      const changed = fistpath.Network.create(Object.assign({}, network, changes));
      return desiredNetwork({ ...records, network: changed, floating: pool }).get('sf-1')!.router!;
    };
    assert.equal(router({ provideNat: false }).nat, null);
    assert.equal(router({ floatingGateway: '' }).nat, null);
    assert.deepEqual(router({ provideDns: false }).dnsEntries, []);
    assert.equal(desiredNetwork({ ...records, floating: undefined }).get('sf-1')!.router!.nat, null);
    assert.equal(
      desiredNetwork({ ...records, network: floating }).size,
      0,
      'no mesh for the floating network',
    );
  });

  it('takes the first by name when several nodes say that they are the network node', () => {
    const say = (name: string, networkNode: boolean) => fistpath.Node.create({ name, networkNode });
    assert.equal(chooseRouter([say('a', false), say('c', true), say('b', true)])?.name, 'b');
    assert.equal(chooseRouter([say('a', false)]), undefined);
  });
});
