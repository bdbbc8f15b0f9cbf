// The worked example of the original's networking document, with agents that do what they are told.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { eventually, instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';
import type { TestAgent } from './test-agent.ts';

const { INITIAL, CREATED, DELETE_WAIT, DELETED } = fistpath.State;

describe('controller: the worked example', () => {
  let scene: Scene;
  let agents: TestAgent[];
  let network: fistpath.Network;
  const instances: fistpath.Instance[] = [];

  before(async () => {
    scene = await openScene();
    agents = [
      await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true }),
      await scene.connect({ node: 'sf-2', address: '10.2.1.12' }),
      await scene.connect({ node: 'sf-3', address: '10.2.1.13' }),
    ];
  });
  after(() => scene.close());

  it('creates a network: initial at first, created when the network node has it', async () => {
    network = await scene.operations.createNetwork(SYSTEM, { name: 'demonet', netblock: '192.168.0.0/24' });
    assert.equal(network.vxid, 1);
    assert.equal(network.state, INITIAL);
    assert.equal(network.mtu, 8950);
    await eventually(
      'network created',
      async () => (await scene.operations.getNetwork(SYSTEM, 'demonet')).state === CREATED,
    );
    const events = await scene.operations.events(SYSTEM, 'network', network.uuid, {});
    assert.deepEqual(
      events.map(({ operation, phase, node }) => [operation, phase, node]),
      [
        ['api', 'create', 'sf-1'],
        ['api', 'created', 'sf-1'],
        ['api', 'get events', 'sf-1'],
      ],
    );
  });

  it('tells the network node only, with the router', () => {
    const there = agents[0]!.networks.get(network.uuid)!;
    assert.equal(there.router?.address, '192.168.0.1');
    assert.deepEqual(there.peers, []);
    assert.equal(there.mtu, 8950);
    assert.equal(agents[1]!.networks.size + agents[2]!.networks.size, 0);
  });

  it('places two instances; each member knows the others', async () => {
    for (const node of ['sf-2', 'sf-3']) {
      const request = instanceOn([network.uuid], { name: `inst-on-${node}`, placed_on: node });
      instances.push(await scene.operations.createInstance(SYSTEM, request));
    }
    for (const { uuid, node } of instances) {
      await eventually(
        `${node}'s instance created`,
        async () => (await scene.operations.getInstance(SYSTEM, uuid)).state === CREATED,
      );
    }
    const [one, two, three] = agents.map((agent) => agent.networks.get(network.uuid)!);
    assert.deepEqual(one!.peers, ['10.2.1.12', '10.2.1.13']);
    assert.deepEqual(two!.peers, ['10.2.1.11', '10.2.1.13']);
    assert.deepEqual(three!.peers, ['10.2.1.11', '10.2.1.12']);
    assert.deepEqual(
      two!.ports?.map(({ instance }) => instance),
      [instances[0]!.uuid],
    );
    const macs = (remotes: fistpath.IRemoteMac[] | null | undefined) =>
      remotes!.map(({ node }) => node!).toSorted((a, b) => a.localeCompare(b));
    assert.deepEqual(macs(two!.remoteMacs), ['10.2.1.11', '10.2.1.13']);
    assert.deepEqual(macs(one!.remoteMacs), ['10.2.1.12', '10.2.1.13']);
    const [instance] = instances;
    const events = await scene.operations.events(SYSTEM, 'instance', instance!.uuid, {});
    assert.deepEqual(
      events.map(({ operation, phase }) => `${operation} ${phase}`).filter((event) => event !== 'api get'),
      [
        'api create',
        'schedule start',
        'schedule finish',
        'placement ',
        'ensure networks exist start',
        'ensure networks exist finish',
        'instance creation start',
        'instance creation finish',
        'api created',
        'api get events',
      ],
    );
    assert.equal(events.find(({ operation }) => operation === 'placement')?.message, 'sf-2');
  });

  it('refuses to delete the network while it is used, naming the instances', async () => {
    await assert.rejects(scene.operations.deleteNetwork(SYSTEM, network.uuid), {
      code: 'forbidden',
      message: /cannot be deleted.*inst-on-sf-2 .*inst-on-sf-3/,
    });
  });

  it('removes it from a node with its last instance', async () => {
    const { uuid } = instances[0]!;
    assert.equal((await scene.operations.deleteInstance(SYSTEM, uuid)).state, DELETE_WAIT);
    await agents[1]!.until(() => !agents[1]!.networks.has(network.uuid));
    await eventually(
      'deleted',
      async () => (await scene.operations.getInstance(SYSTEM, uuid)).state === DELETED,
    );
    await agents[2]!.until(() => agents[2]!.networks.get(network.uuid)!.peers!.join() === '10.2.1.11');
    const resting = (await scene.operations.networkAddresses(SYSTEM, network.uuid)).filter(
      ({ type }) => type === 'resting',
    );
    assert.equal(resting.length, 1);
  });

  it('deletes the network once it is unused, on all nodes, and frees its vxid', async () => {
    await scene.operations.deleteInstance(SYSTEM, instances[1]!.uuid);
    assert.equal((await scene.operations.deleteNetwork(SYSTEM, network.uuid)).state, DELETE_WAIT);
    await eventually(
      'deleted',
      async () => (await scene.operations.getNetwork(SYSTEM, network.uuid)).state === DELETED,
    );
    assert.ok(agents.every((agent) => agent.networks.size === 0));
    assert.deepEqual(await scene.operations.listNetworks(SYSTEM, {}), []);
    assert.equal((await scene.operations.listNetworks(SYSTEM, { all: true })).length, 1);
    assert.deepEqual(await scene.operations.networkAddresses(SYSTEM, network.uuid), []);
    const next = await scene.operations.createNetwork(SYSTEM, { name: 'next', netblock: '192.168.0.0/24' });
    assert.equal(next.vxid, 1);
  });
});
