// Floating and routed addresses: given, taken back, told to the nodes; also when many ask at once.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { fistpath } from '#proto';
import { isLive } from '../../src/records/states.ts';
import { eventually, instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';
import type { TestAgent } from './test-agent.ts';

const { CREATED, DELETED } = fistpath.State;
const DEMO = { namespace: 'demo' };

describe('controller: floating and routed addresses', () => {
  let scene: Scene;
  let router: TestAgent;
  let other: TestAgent;

  /** A pool with five addresses beside the next hop. */
  beforeEach(async () => {
    scene = await openScene({ floatingPool: '10.10.0.0/29' });
    router = await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
    other = await scene.connect({ node: 'sf-2', address: '10.2.1.12' });
    const demo = { name: 'demo', state: CREATED };
    await scene.put('namespace', 'demo', fistpath.Namespace.create(demo));
  });
  afterEach(() => scene.close());

  const network = (fields = {}) =>
    scene.operations.createNetwork(SYSTEM, {
      name: 'net',
      netblock: '192.168.0.0/24',
      provide_nat: true,
      ...fields,
    });
  const instance = (uuid: string, wanted = {}, placed_on = 'sf-2') =>
    scene.operations.createInstance(SYSTEM, instanceOn([{ network_uuid: uuid, ...wanted }], { placed_on }));
  const nic = async (made: fistpath.Instance) => scene.operations.getInterface(SYSTEM, made.interfaces[0]!);
  const taken = async () =>
    (await scene.operations.networkAddresses(SYSTEM, 'floating')).filter(
      ({ type, owner }) => type !== 'resting' && owner !== 'floating',
    );
  /** What the network node has of a network's NAT, as a plain object. */
  const told = (uuid: string): fistpath.INat | undefined => {
    const nat = router.networks.get(uuid)?.router?.nat;
    return nat ? { floats: [], ...(JSON.parse(JSON.stringify(nat)) as fistpath.INat) } : undefined;
  };

  it('floats and defloats; the network node has it when the call returns', async () => {
    const { uuid, floatingGateway } = await network();
    const { uuid: interfaceUuid, ipv4 } = await nic(await instance(uuid));
    await scene.operations.floatInterface(SYSTEM, interfaceUuid);
    const { floating } = await scene.operations.getInterface(SYSTEM, interfaceUuid);
    assert.match(floating, /^10\.10\.0\.[2-6]$/);
    assert.deepEqual(told(uuid), {
      gateway: floatingGateway,
      pool: '10.10.0.0/29',
      nextHop: '10.10.0.1',
      floats: [{ floating, ipv4 }],
    });
    assert.equal(other.networks.get(uuid)?.router, null);
    await assert.rejects(scene.operations.floatInterface(SYSTEM, interfaceUuid), {
      status: 409,
      message: `interface ${interfaceUuid} has floating address ${floating} already`,
    });
    await scene.operations.defloatInterface(SYSTEM, interfaceUuid);
    assert.equal((await scene.operations.getInterface(SYSTEM, interfaceUuid)).floating, '');
    assert.deepEqual(told(uuid)?.floats, []);
    await assert.rejects(scene.operations.defloatInterface(SYSTEM, interfaceUuid), {
      status: 409,
      message: /no floating/,
    });
    const events = await scene.operations.events(SYSTEM, 'interface', interfaceUuid, {});
    assert.deepEqual(
      events
        .filter(({ phase }) => phase.endsWith('float'))
        .map(({ operation, phase, message }) => [operation, phase, message]),
      [
        ['api', 'float', floating],
        ['api', 'defloat', floating],
      ],
    );
  });

  it('floats at creation, all or nothing', async () => {
    const { uuid } = await network();
    const made = await nic(await instance(uuid, { float: true }));
    assert.notEqual(made.floating, '');
    await eventually('told', () => told(uuid)?.floats?.length === 1);
    const before = await taken();
    const two = instanceOn([
      { network_uuid: uuid, float: true },
      { network_uuid: uuid, float: true, address: 'none' },
    ]);
    await assert.rejects(scene.operations.createInstance(SYSTEM, two), { code: 'malformed' });
    for (let count = 0; count < 3; count++) await instance(uuid, { float: true });
    const instances = (await scene.operations.listInstances(SYSTEM, {})).length;
    await assert.rejects(instance(uuid, { float: true }), { status: 507, message: /no address left/ });
    assert.equal((await scene.operations.listInstances(SYSTEM, {})).length, instances);
    assert.equal((await taken()).length, before.length + 3);
  });

  it('refuses what makes no sense', async () => {
    const { uuid } = await network();
    const inside = await network({ name: 'inside', provide_nat: false });
    const cases = [
      [await nic(await instance(uuid, { address: 'none' })), 400, /no IPv4 address/],
      [await nic(await instance(inside.uuid)), 409, /inside .*without provide_nat/],
    ] as const;
    for (const [{ uuid: id }, status, message] of cases)
      await assert.rejects(scene.operations.floatInterface(SYSTEM, id), { status, message });
    const { uuid: mine } = await nic(await instance(uuid));
    for (const call of [
      () => scene.operations.floatInterface(DEMO, mine),
      () => scene.operations.defloatInterface(DEMO, mine),
      () => scene.operations.floatInterface(SYSTEM, 'nowhere'),
      () => scene.operations.routeAddress(DEMO, uuid),
      () => scene.operations.unrouteAddress(DEMO, uuid, '10.10.0.2'),
    ])
      await assert.rejects(call(), { status: 404 });
    await assert.rejects(scene.operations.routeAddress(SYSTEM, inside.uuid), { status: 409 });
    await assert.rejects(scene.operations.unrouteAddress(SYSTEM, uuid, 'here'), { status: 400 });
    await assert.rejects(scene.operations.unrouteAddress(SYSTEM, uuid, '10.10.0.6'), { status: 404 });
    assert.equal((await taken()).length, 1, 'the gateway');
  });

  it('gives an address up with its interface, and not to what is going', async () => {
    const { uuid } = await network();
    const made = await instance(uuid, { float: true });
    const { uuid: id, floating } = await nic(made);
    other.obedient = false;
    await scene.operations.deleteInstance(SYSTEM, made.uuid);
    assert.deepEqual(told(uuid)?.floats, [], 'the network node had it when the call returned');
    for (const call of ['floatInterface', 'defloatInterface'] as const)
      await assert.rejects(scene.operations[call](SYSTEM, id), { status: 409, message: /delete-wait/ });
    assert.ok(
      (await taken()).some(({ address }) => address === floating),
      'until it is gone from its node',
    );
    other.report(uuid);
    const state = async () => (await scene.operations.getInterface(SYSTEM, id)).state;
    await eventually('deleted', async () => (await state()) === DELETED);
    assert.equal((await scene.operations.getInterface(SYSTEM, id)).floating, '');
    assert.ok(!(await taken()).some(({ address }) => address === floating));
    await assert.rejects(scene.operations.defloatInterface(SYSTEM, id), { status: 404 });
  });

  it('gives the last address to another interface as soon as it is free', async () => {
    const { uuid } = await network();
    const { uuid: other } = await network({ name: 'other' });
    for (let count = 0; count < 2; count++) await instance(uuid, { float: true });
    const one = await nic(await instance(uuid, { float: true }));
    const two = await nic(await instance(other));
    await assert.rejects(scene.operations.floatInterface(SYSTEM, two.uuid), {
      status: 507,
      message: 'network floating (10.10.0.0/29) has no address left: all 5 are taken',
    });
    await scene.operations.defloatInterface(SYSTEM, one.uuid);
    await scene.operations.floatInterface(SYSTEM, two.uuid);
    assert.equal((await scene.operations.getInterface(SYSTEM, two.uuid)).floating, one.floating);
    assert.deepEqual(told(other)?.floats, [{ floating: one.floating, ipv4: two.ipv4 }]);
  });

  it('routes addresses into a network, on all of its nodes, and takes them back', async () => {
    const { uuid, floatingGateway } = await network();
    await instance(uuid);
    const addresses = [];
    for (let count = 0; count < 4; count++) addresses.push(await scene.operations.routeAddress(SYSTEM, uuid));
    assert.equal(new Set([...addresses, floatingGateway]).size, 5);
    const sorted = addresses.toSorted();
    assert.deepEqual(router.networks.get(uuid)!.routed, sorted);
    await other.until(() => other.networks.get(uuid)!.routed!.length === 4);
    assert.deepEqual(other.networks.get(uuid)!.routed, sorted);
    await assert.rejects(scene.operations.routeAddress(SYSTEM, uuid), { status: 507 });
    await scene.operations.unrouteAddress(SYSTEM, uuid, addresses[0]!);
    await assert.rejects(scene.operations.unrouteAddress(SYSTEM, uuid, addresses[0]!), { status: 404 });
    assert.ok(!router.networks.get(uuid)!.routed!.includes(addresses[0]!));
    assert.deepEqual(
      (await taken()).map(({ type, ownerType, owner }) => `${type} ${ownerType} ${owner}`).toSorted(),
      ['gateway', 'routed', 'routed', 'routed'].map((type) => `${type} network ${uuid}`),
    );
    const phases = (await scene.operations.events(SYSTEM, 'network', uuid, {})).map(({ phase }) => phase);
    assert.equal(phases.filter((phase) => phase === 'route').length, 4);
    assert.equal(phases.filter((phase) => phase === 'unroute').length, 1);
  });

  it('lets 64 addresses be routed to a network, no more', async () => {
    await scene.reopen({ floatingPool: '10.10.0.0/24' });
    const { uuid } = await network();
    for (let count = 0; count < 64; count++) await scene.operations.routeAddress(SYSTEM, uuid);
    await assert.rejects(scene.operations.routeAddress(SYSTEM, uuid), { status: 507, message: /64 routed/ });
  });

  it('lets one of many have the last address', async () => {
    const { uuid } = await network();
    const made = await Promise.all(Array.from({ length: 12 }, () => instance(uuid).then(nic)));
    const outcomes = await Promise.allSettled(
      made.map(({ uuid: id }) => scene.operations.floatInterface(SYSTEM, id)),
    );
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    assert.deepEqual(new Set(refused.map(({ reason }) => reason.status)), new Set([507]));
    assert.equal(refused.length, 8);
    assert.equal(new Set((await taken()).map(({ address }) => address)).size, 5);
  });

  it('floats once when many want to float the same interface, or to delete it, at once', async () => {
    const { uuid } = await network();
    const made = await instance(uuid);
    const id = made.interfaces[0]!;
    const outcomes = await Promise.allSettled([
      ...Array.from({ length: 8 }, () => scene.operations.floatInterface(SYSTEM, id)),
      ...Array.from({ length: 8 }, () => scene.operations.defloatInterface(SYSTEM, id)),
      scene.operations.deleteInstance(SYSTEM, made.uuid),
    ]);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected')
        assert.ok([404, 409].includes(outcome.reason.status), outcome.reason);
    const state = async () => (await scene.operations.getInstance(SYSTEM, made.uuid)).state;
    await eventually('deleted', async () => (await state()) === DELETED);
    assert.equal((await taken()).length, 1, 'the gateway');
  });

  it('reserves what networks and interfaces have, and nothing else, whatever is done in which order (property)', async () => {
    const { operations } = scene;
    const step = fc.record({
      what: fc.constantFrom('make', 'drop', 'boot', 'kill', 'float', 'defloat', 'route', 'unroute', 'rest'),
      which: fc.nat(20),
      on: fc.boolean(),
    });
    const pick = <T>(list: T[], which: number): T | undefined => list[which % Math.max(list.length, 1)];
    const nics = async () => {
      const all = await Promise.all(
        (await operations.listInstances(SYSTEM, {})).map(({ uuid }) =>
          operations.instanceInterfaces(SYSTEM, uuid),
        ),
      );
      return all.flat();
    };
    const run = async ({ what, which, on }: { what: string; which: number; on: boolean }) => {
      const networks = await operations.listNetworks(SYSTEM, {});
      const net = pick(networks, which);
      const card = pick(await nics(), which);
      if (what === 'make') await network({ provide_nat: on });
      else if (what === 'rest') scene.pass(400);
      else if (what === 'drop' && net) await operations.deleteNetwork(SYSTEM, net.uuid);
      else if (what === 'boot' && net) await instance(net.uuid, { float: on }, on ? 'sf-1' : 'sf-2');
      else if (what === 'kill' && card) await operations.deleteInstance(SYSTEM, card.instance);
      else if (what === 'float' && card) await operations.floatInterface(SYSTEM, card.uuid);
      else if (what === 'defloat' && card) await operations.defloatInterface(SYSTEM, card.uuid);
      else if (what === 'route' && net) await operations.routeAddress(SYSTEM, net.uuid);
      else if (what === 'unroute' && net)
        await operations.unrouteAddress(SYSTEM, net.uuid, pick(net.routed, which) ?? '10.10.0.2');
    };
    const check = async () => {
      const wanted = ['10.10.0.0 network', '10.10.0.1 gateway', '10.10.0.7 broadcast'];
      for (const { floatingGateway, routed } of await operations.listNetworks(SYSTEM, {})) {
        if (floatingGateway) wanted.push(`${floatingGateway} gateway`);
        wanted.push(...routed.map((address) => `${address} routed`));
      }
      const all = await nics();
      for (const { floating, state } of all)
        if (floating && state !== DELETED) wanted.push(`${floating} floating`);
      const reserved = (await operations.networkAddresses(SYSTEM, 'floating'))
        .filter(({ type }) => type !== 'resting')
        .map(({ address, type }) => `${address} ${type}`);
      assert.deepEqual(reserved.toSorted(), wanted.toSorted());
      // What the network node was told is what the records say.
      for (const { uuid, state, floatingGateway, routed } of await operations.listNetworks(SYSTEM, {})) {
        if (!isLive({ state })) continue;
        assert.equal(told(uuid)?.gateway ?? '', floatingGateway);
        assert.deepEqual(router.networks.get(uuid)!.routed, routed.toSorted());
        const floats = all.filter((card) => card.network === uuid && card.floating && isLive(card));
        assert.deepEqual(
          (told(uuid)?.floats ?? []).map(({ floating, ipv4 }) => `${floating} ${ipv4}`),
          floats.map(({ floating, ipv4 }) => `${floating} ${ipv4}`).toSorted(),
        );
      }
    };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 5 }), { maxLength: 12 }),
        async (batches) => {
          for (const batch of batches) {
            const outcomes = await Promise.allSettled(batch.map(run));
            for (const outcome of outcomes) {
              if (outcome.status === 'fulfilled') continue;
              assert.ok([403, 404, 409, 507].includes(outcome.reason.status), outcome.reason);
            }
            await eventually('settled', async () =>
              check().then(
                () => true,
                () => false,
              ),
            ).catch(check);
          }
        },
      ),
      { numRuns: 25 },
    );
  });
});
