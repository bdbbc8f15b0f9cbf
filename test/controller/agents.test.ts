// Nodes that come, go, lag behind and fail; over real gRPC streams.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { eventually, instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';

const { INITIAL, CREATED, DELETE_WAIT, DELETED, ERROR, MISSING } = fistpath.State;

describe('controller: agents', () => {
  let scene: Scene;

  beforeEach(async () => {
    scene = await openScene({ missingAfterSeconds: 10 });
  });
  afterEach(() => scene.close());

  const network = () => scene.operations.createNetwork(SYSTEM, { name: 'net', netblock: '192.168.0.0/24' });
  const stateOf = async (uuid: string) => (await scene.operations.getNetwork(SYSTEM, uuid)).state;
  const sf1 = () => scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
  const sf2 = (fields = {}) => scene.connect({ node: 'sf-2', address: '10.2.1.12', ...fields });

  it('keeps a network initial until the network node answers, then tells it what it missed', async () => {
    const { uuid, mtu } = await network();
    assert.equal(mtu, 1450);
    assert.equal(await stateOf(uuid), INITIAL);
    await sf2();
    assert.equal(await stateOf(uuid), INITIAL);
    const agent = await sf1();
    assert.ok(agent.networks.has(uuid), 'in the snapshot');
    await eventually('created', async () => (await stateOf(uuid)) === CREATED);
  });

  it('records nodes, their datapath, and their names for people', async () => {
    const one = await sf1();
    const two = await sf2({ underlayMtu: 1500, hypervisor: false });
    await one.until(() => Object.keys(one.settings?.nodeNames ?? {}).length === 2);
    assert.deepEqual(two.settings?.nodeNames, { '10.2.1.11': 'sf-1', '10.2.1.12': 'sf-2' });
    assert.equal(two.settings?.datapath, 'ebpf');
    await scene.operations.setDatapath(SYSTEM, 'sf-2', 'kernel');
    await two.until(() => two.settings?.datapath === 'kernel');
    await assert.rejects(scene.operations.setDatapath(SYSTEM, 'sf-2', 'magic'), { code: 'malformed' });
    two.send({ datapath: { mode: 'kernel', reason: 'no BTF', underlayHook: '', problems: ['no BTF'] } });
    await eventually('status', async () => {
      const node = await scene.operations.getNode(SYSTEM, 'sf-2');
      return node.datapathStatus?.reason === 'no BTF' && !node.hypervisor;
    });
    assert.equal((await network()).mtu, 1450, 'the smallest underlay decides');
  });

  it('tells the steps of an instance in their order, also when its network is there already', async () => {
    await sf1();
    const { uuid } = await network();
    const make = async (name: string) => {
      const request = instanceOn([uuid], { name, placed_on: 'sf-1' });
      const { uuid: made } = await scene.operations.createInstance(SYSTEM, request);
      const state = async () => (await scene.operations.getInstance(SYSTEM, made)).state;
      await eventually('created', async () => (await state()) === CREATED);
      return made;
    };
    await make('first');
    const events = await scene.operations.events(SYSTEM, 'instance', await make('second'), {});
    const steps = events.map(({ operation, phase }) => `${operation} ${phase}`.trim());
    assert.deepEqual(
      steps.filter((step) => !step.startsWith('api get')),
      [
        'api create',
        'schedule start',
        'schedule finish',
        'placement',
        'ensure networks exist start',
        'ensure networks exist finish',
        'instance creation start',
        'instance creation finish',
        'api created',
      ],
    );
  });

  it('answers a switch of datapaths with when the node was last heard of', async () => {
    const one = await sf1();
    scene.pass(5);
    one.send({ heartbeat: {} });
    const { lastSeen: before } = await scene.operations.getNode(SYSTEM, 'sf-1');
    await eventually('heard', async () => (await scene.operations.getNode(SYSTEM, 'sf-1')).lastSeen > before);
    const { lastSeen } = await scene.operations.getNode(SYSTEM, 'sf-1');
    assert.equal((await scene.operations.setDatapath(SYSTEM, 'sf-1', 'kernel')).lastSeen, lastSeen);
  });

  it('refuses a hello that makes no sense, and an address of another node', async () => {
    await sf1();
    for (const hello of [
      { node: 'sf-9', address: '10.2.1.11' },
      { node: 'a/b', address: '10.2.1.19' },
      { node: 'sf-9', address: 'here' },
    ]) {
      await assert.rejects(scene.connect(hello), /sf-1|no name|no IPv4 address/);
    }
    assert.equal((await scene.operations.listNodes(SYSTEM)).length, 1);
  });

  it('lets a second connection of a node replace the first', async () => {
    const { uuid } = await network();
    const first = await sf1();
    const second = await sf1();
    await first.until(() => first.ended !== undefined);
    assert.match(first.ended!, /connected anew/);
    assert.equal(second.ended, undefined);
    assert.equal((await scene.operations.health()).agents, 1);
    await scene.operations.deleteNetwork(SYSTEM, uuid);
    await second.until(() => !second.networks.has(uuid));
  });

  it('shows a silent node as missing, keeps it in the mesh, and takes it back', async () => {
    const one = await sf1();
    const two = await sf2();
    const { uuid } = await network();
    const request = instanceOn([uuid], { placed_on: 'sf-2' });
    const instance = await scene.operations.createInstance(SYSTEM, request);
    // Everything that sf-2 has to say has arrived.
    const state = async () => (await scene.operations.getInstance(SYSTEM, instance.uuid)).state;
    await eventually('created', async () => (await state()) === CREATED);
    await one.until(() => one.networks.get(uuid)?.peers?.length === 1);
    scene.pass(9);
    one.send({ heartbeat: {} });
    await new Promise((resolve) => setTimeout(resolve, 50));
    scene.pass(2);
    const nodeState = async () => (await scene.operations.getNode(SYSTEM, 'sf-2')).state;
    await eventually('missing', async () => (await nodeState()) === MISSING);
    assert.match(two.ended!, /no message for 11 s/);
    assert.equal((await scene.operations.getNode(SYSTEM, 'sf-1')).state, CREATED, 'heartbeats count');
    assert.deepEqual(one.networks.get(uuid)!.peers, ['10.2.1.12']);
    const events = await scene.operations.events(SYSTEM, 'node', 'sf-2', {});
    assert.ok(events.some(({ operation }) => operation === 'missing'));
    await assert.rejects(scene.operations.createInstance(SYSTEM, instanceOn([uuid], { placed_on: 'sf-2' })), {
      code: 'no-capacity',
      message: /node sf-2 is missing/,
    });
    await assert.rejects(scene.operations.createInstance(SYSTEM, instanceOn([uuid], { placed_on: 'sf-9' })), {
      code: 'not-found',
      message: /node "sf-9"/,
    });
    const back = await sf2();
    assert.equal(await nodeState(), CREATED);
    assert.equal(back.networks.get(uuid)?.ports?.length, 1);
  });

  it('does not take a report about the past for the removal', async () => {
    const one = await sf1();
    const { uuid } = await network();
    await eventually('created', async () => (await stateOf(uuid)) === CREATED);
    one.obedient = false;
    const before = one.revision;
    await scene.operations.deleteNetwork(SYSTEM, uuid);
    await one.until(() => !one.networks.has(uuid));
    one.report(uuid, before);
    one.reportAll(before);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(await stateOf(uuid), DELETE_WAIT);
    one.failing.set(uuid, 'vxlan-1 is busy');
    one.report(uuid);
    one.reportAll();
    await eventually('error shown', async () =>
      /busy/.test((await scene.operations.getNetwork(SYSTEM, uuid)).error),
    );
    assert.equal(await stateOf(uuid), DELETE_WAIT, 'failed to remove');
    one.failing.clear();
    one.report(uuid);
    await eventually('deleted', async () => (await stateOf(uuid)) === DELETED);
  });

  it('settles what was made and deleted while the stream was full', async () => {
    const one = await sf1();
    one.pause();
    const names = Array.from({ length: 600 }, (_, index) => `${index}`.padEnd(255, 'x'));
    await Promise.all(
      names.map((name) => scene.operations.createNetwork(SYSTEM, { name, netblock: '10.0.0.0/24' })),
    );
    const { uuid } = await network();
    await new Promise((resolve) => setImmediate(resolve));
    await scene.operations.deleteNetwork(SYSTEM, uuid);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await stateOf(uuid), DELETE_WAIT);
    one.resume();
    await eventually('deleted', async () => (await stateOf(uuid)) === DELETED);
    assert.ok(
      one.received.every(({ network: sent, removed }) => sent?.uuid !== uuid && removed !== uuid),
      'the agent never heard of it',
    );
  });

  it('takes "all applied" for the removal of a network that had failed', async () => {
    const one = await sf1();
    one.obedient = false;
    const { uuid } = await network();
    await one.until(() => one.networks.has(uuid));
    one.failing.set(uuid, 'vxlan-1 belongs to somebody else');
    one.report(uuid);
    const failedAt = one.revision;
    await eventually('error', async () => (await stateOf(uuid)) === ERROR);
    await scene.operations.deleteNetwork(SYSTEM, uuid);
    await one.until(() => !one.networks.has(uuid));
    // About the past, and late: it says nothing about the removal.
    one.report(uuid, failedAt);
    one.reportAll();
    await eventually('deleted', async () => (await stateOf(uuid)) === DELETED);
  });

  it('takes its own standstill for no silence of its agents', async () => {
    await sf1();
    // Blocks this whole process, agents and timers included, while its clock goes on.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3300);
    scene.pass(11);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const events = await scene.operations.events(SYSTEM, 'node', 'sf-1', {});
    assert.deepEqual(
      events.filter(({ operation }) => operation === 'missing'),
      [],
    );
    assert.equal((await scene.operations.getNode(SYSTEM, 'sf-1')).state, CREATED);
  });

  it('shows why a network or an interface could not be made, and recovers', async () => {
    const one = await sf1();
    one.obedient = false;
    const { uuid } = await network();
    await one.until(() => one.networks.has(uuid));
    one.failing.set(uuid, 'vxlan-1 belongs to somebody else');
    one.report(uuid);
    await eventually('error', async () => (await stateOf(uuid)) === ERROR);
    assert.match((await scene.operations.getNetwork(SYSTEM, uuid)).error, /somebody else/);
    const instance = await scene.operations.createInstance(SYSTEM, instanceOn([uuid], { placed_on: 'sf-1' }));
    const get = () => scene.operations.getInstance(SYSTEM, instance.uuid);
    await one.until(() => one.networks.get(uuid)?.ports?.length === 1);
    one.report(uuid);
    await eventually(
      'instance error',
      async () => (await get()).state === ERROR && /somebody/.test((await get()).error),
    );
    one.failing.clear();
    one.report(uuid);
    await eventually(
      'both created',
      async () => (await stateOf(uuid)) === CREATED && (await get()).state === CREATED,
    );
    assert.equal((await get()).error, '');
  });

  it('turns steps into events of the network, with the sender as node, and drops what is about nothing', async () => {
    const one = await sf1();
    const { uuid } = await network();
    const step = {
      objectType: 'network',
      objectUuid: uuid,
      operation: 'create vxlan interface',
      node: 'liar',
    };
    one.send({ event: { ...step, phase: 'start', timestamp: 1.5 } });
    one.send({
      event: { ...step, phase: 'finish', timestamp: 2, duration: 0.5, message: 'x'.repeat(10_000) },
    });
    one.send({ event: { ...step, objectUuid: 'unknown' } });
    const steps = async () =>
      (await scene.operations.events(SYSTEM, 'network', uuid, {})).filter(({ operation }) =>
        operation.startsWith('create v'),
      );
    await eventually('two steps', async () => (await steps()).length === 2);
    const [start, finish] = await steps();
    assert.deepEqual(
      [start!.node, start!.phase, start!.timestamp, start!.duration],
      ['sf-1', 'start', 1.5, null],
    );
    assert.deepEqual(
      [finish!.node, finish!.phase, finish!.duration, finish!.message.length],
      ['sf-1', 'finish', 0.5, 4096],
    );
    assert.ok((await scene.store.range('')).entries.every(({ key }) => !key.includes('unknown')));
  });

  it('goes on after a restart of the controller: nothing is lost, deletions finish', async () => {
    const one = await sf1();
    const kept = await network();
    const doomed = await scene.operations.createNetwork(SYSTEM, { name: 'doomed', netblock: '10.0.0.0/24' });
    await eventually('created', async () => (await stateOf(doomed.uuid)) === CREATED);
    one.obedient = false;
    await scene.operations.deleteNetwork(SYSTEM, doomed.uuid);
    await scene.reopen();
    assert.equal(await stateOf(doomed.uuid), DELETE_WAIT);
    await assert.rejects(
      scene.operations.createNetwork(SYSTEM, { name: 'x', netblock: '10.0.0.0/24', vxid: doomed.vxid }),
      { code: 'conflict' },
    );
    const again = await sf1();
    assert.deepEqual([...again.networks.keys()], [kept.uuid]);
    await eventually('deleted', async () => (await stateOf(doomed.uuid)) === DELETED);
    assert.equal(await stateOf(kept.uuid), CREATED);
  });

  it('lets a missing node hold up no deletion', async () => {
    await sf1();
    const two = await sf2();
    const { uuid } = await network();
    const instance = await scene.operations.createInstance(SYSTEM, instanceOn([uuid], { placed_on: 'sf-2' }));
    await two.until(() => two.networks.has(uuid));
    two.close();
    await scene.operations.deleteInstance(SYSTEM, instance.uuid);
    const state = async () => (await scene.operations.getInstance(SYSTEM, instance.uuid)).state;
    assert.equal(await state(), DELETE_WAIT);
    scene.pass(11);
    await eventually('deleted', async () => (await state()) === DELETED);
  });

  it('moves the network node: the new one gets every router, and is the one that is waited for', async () => {
    const old = await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
    const next = await scene.connect({ node: 'sf-2', address: '10.2.1.12' });
    const request = { name: 'net', netblock: '192.168.0.0/24', provide_nat: true };
    const { uuid } = await scene.operations.createNetwork(SYSTEM, request);
    const { interfaces } = await scene.operations.createInstance(SYSTEM, {
      ...instanceOn([{ network_uuid: uuid, float: true }]),
      placed_on: 'sf-1',
    });
    await old.until(() => old.networks.get(uuid)?.router?.nat?.floats?.length === 1);
    const { router } = old.networks.get(uuid)!;

    // Each daemon was started anew with another configuration.
    next.close();
    const chosen = await scene.connect({ node: 'sf-2', address: '10.2.1.12', networkNode: true });
    assert.equal(chosen.networks.size, 0, 'the first by name is it still');
    old.close();
    const former = await scene.connect({ node: 'sf-1', address: '10.2.1.11' });
    await chosen.until(() => chosen.networks.has(uuid));
    assert.deepEqual(chosen.networks.get(uuid)?.router, router);
    assert.equal(former.networks.get(uuid)?.router, null);
    assert.deepEqual(former.networks.get(uuid)?.peers, ['10.2.1.12']);

    former.obedient = false;
    await scene.operations.defloatInterface(SYSTEM, interfaces[0]!);
    assert.deepEqual(chosen.networks.get(uuid)?.router?.nat?.floats, [], 'it has applied it by now');
    former.failing.set(uuid, 'not my business any more');
    former.report(uuid);
    await eventually('told', async () =>
      (await scene.operations.events(SYSTEM, 'network', uuid, {})).some(({ message }) =>
        message.startsWith('not my business'),
      ),
    );
    assert.equal((await scene.operations.getNetwork(SYSTEM, uuid)).error, '');
  });

  it('forgets a node only when nothing is on it and its agent is gone', async () => {
    const two = await sf2();
    const { uuid } = await network();
    const instance = await scene.operations.createInstance(SYSTEM, instanceOn([uuid]));
    await assert.rejects(scene.operations.deleteNode(SYSTEM, 'sf-2'), {
      code: 'conflict',
      message: /1 instances/,
    });
    await scene.operations.deleteInstance(SYSTEM, instance.uuid);
    await assert.rejects(scene.operations.deleteNode(SYSTEM, 'sf-2'), {
      code: 'conflict',
      message: /connected/,
    });
    two.close();
    await eventually('disconnected', async () => (await scene.operations.health()).agents === 0);
    await scene.operations.deleteNode(SYSTEM, 'sf-2');
    await assert.rejects(scene.operations.getNode(SYSTEM, 'sf-2'), { code: 'not-found' });
  });
});
