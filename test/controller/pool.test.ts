// The floating network: its record, its addresses, and what happens when the configured pool changes.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { eventually, instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';

const { CREATED, DELETED } = fistpath.State;
const POOL = '10.10.0.0/29';

describe('controller: the floating network', () => {
  let scene: Scene;

  const open = async (floatingPool: string | null = POOL) => {
    scene = await openScene({ floatingPool });
    await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
  };
  afterEach(() => scene.close());

  const network = (fields = {}) =>
    scene.operations.createNetwork(SYSTEM, { name: 'net', netblock: '192.168.0.0/24', ...fields });
  const pool = async () =>
    (await scene.operations.networkAddresses(SYSTEM, 'floating')).map(
      ({ address, type, ownerType, owner }) => `${address} ${type} ${ownerType} ${owner}`,
    );

  it('is there for the admin, and cannot be deleted, listed, counted, used by instances, or imitated', async () => {
    await open();
    const floating = await scene.operations.getNetwork(SYSTEM, 'floating');
    assert.deepEqual(
      [floating.uuid, floating.name, floating.vxid, floating.netblock, floating.namespace, floating.state],
      ['floating', 'floating', 0, POOL, 'system', CREATED],
    );
    assert.deepEqual(await pool(), [
      '10.10.0.0 network network floating',
      '10.10.0.1 gateway network floating',
      '10.10.0.7 broadcast network floating',
    ]);
    const { operations } = scene;
    for (const call of [
      () => operations.getNetwork({ namespace: 'demo' }, 'floating'),
      () => operations.networkAddresses({ namespace: 'demo' }, 'floating'),
    ])
      await assert.rejects(call(), { code: 'not-found' });
    await assert.rejects(operations.deleteNetwork(SYSTEM, 'floating'), {
      code: 'forbidden',
      message: /stays/,
    });
    await operations.deleteNetworks(SYSTEM, { confirm: true, namespace: 'system' });
    assert.equal((await operations.getNetwork(SYSTEM, 'floating')).state, CREATED);
    assert.deepEqual(await operations.listNetworks(SYSTEM, { all: true }), []);
    assert.equal((await operations.health()).objects.network, 0);
    await assert.rejects(operations.createInstance(SYSTEM, instanceOn(['floating'])), { code: 'forbidden' });
    await assert.rejects(network({ name: 'floating' }), { code: 'malformed', message: /name floating/ });
    await assert.rejects(network({ vxid: 0 }), { code: 'malformed' });
    await assert.rejects(operations.routeAddress(SYSTEM, 'floating'), { code: 'conflict' });
    await operations.setMetadata(SYSTEM, 'network', 'floating', 'k', 'v');
  });

  it('is told to no node, and an agent that speaks of it is not believed', async () => {
    await open();
    const agent = await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
    const { uuid } = await network();
    await scene.operations.setMetadata(SYSTEM, 'network', 'floating', 'k', 'v');
    agent.failing.set('floating', 'lies');
    agent.report('floating');
    await agent.until(() => agent.networks.has(uuid));
    await eventually(
      'created',
      async () => (await scene.operations.getNetwork(SYSTEM, uuid)).state === CREATED,
    );
    assert.ok(!agent.networks.has('floating'));
    assert.equal((await scene.operations.getNetwork(SYSTEM, 'floating')).state, CREATED);
  });

  it('gives a network with NAT its gateway, and takes it back with the network', async () => {
    await open();
    assert.equal((await network()).floatingGateway, '');
    const { uuid, floatingGateway } = await network({ provide_nat: true });
    assert.match(floatingGateway, /^10\.10\.0\.[2-6]$/);
    assert.ok((await pool()).includes(`${floatingGateway} gateway network ${uuid}`));
    const events = await scene.operations.events(SYSTEM, 'network', 'floating', {});
    assert.deepEqual(
      events
        .filter(({ operation }) => operation === 'allocate address')
        .map(({ message, extra }) => [message, extra]),
      [[floatingGateway, { use: 'gateway', network: uuid }]],
    );
    await scene.operations.deleteNetwork(SYSTEM, uuid);
    const get = () => scene.operations.getNetwork(SYSTEM, uuid);
    await eventually('deleted', async () => (await get()).state === DELETED);
    assert.equal((await get()).floatingGateway, '');
    assert.ok((await pool()).includes(`${floatingGateway} resting network ${uuid}`));
    scene.pass(301);
    assert.equal((await pool()).length, 3);
  });

  it('says 507 when it is empty, and when there is none, and leaves nothing half-made', async () => {
    await open();
    for (let count = 0; count < 5; count++) await network({ provide_nat: true });
    await assert.rejects(network({ provide_nat: true }), {
      status: 507,
      message: 'network floating (10.10.0.0/29) has no address left: all 5 are taken',
    });
    assert.equal((await scene.operations.listNetworks(SYSTEM, {})).length, 5);
    await network();
    await scene.close();

    await open(null);
    await assert.rejects(network({ provide_nat: true }), { status: 507, message: /without a floating_pool/ });
    await assert.rejects(scene.operations.getNetwork(SYSTEM, 'floating'), { code: 'not-found' });
    await network();
  });

  it('is written once, follows a changed configuration, and never gives up what is in use', async () => {
    await open('10.10.0.0/28');
    await scene.operations.setMetadata(SYSTEM, 'network', 'floating', 'k', 'v');
    const made = await Promise.all([1, 2, 3].map((n) => network({ name: `n${n}`, provide_nat: true })));
    const before = (await scene.store.range('')).revision;
    await scene.reopen();
    assert.equal((await scene.store.range('')).revision, before, 'the same pool is not written again');

    // What is in use is in the new one.
    await scene.reopen({ floatingPool: '10.10.0.0/24' });
    assert.ok((await pool()).includes('10.10.0.255 broadcast network floating'));
    assert.ok(!(await pool()).some((line) => line.startsWith('10.10.0.15 ')));
    const floating = await scene.operations.getNetwork(SYSTEM, 'floating');
    assert.deepEqual([floating.netblock, floating.metadata], ['10.10.0.0/24', { k: 'v' }]);

    for (const other of ['10.11.0.0/24', null]) {
      await assert.rejects(scene.reopen({ floatingPool: other }), (error: Error) => {
        assert.match(error.message, other ? /floating_pool 10\.11\.0\.0\/24/ : /no floating_pool/);
        for (const { uuid, floatingGateway } of made)
          assert.ok(error.message.includes(`${floatingGateway} (gateway of network ${uuid})`), error.message);
        return true;
      });
    }
    await scene.reopen({ floatingPool: '10.10.0.0/24' });
    const now = await scene.operations.listNetworks(SYSTEM, {});
    assert.deepEqual(
      now.map(({ floatingGateway }) => floatingGateway).toSorted(),
      made.map(({ floatingGateway }) => floatingGateway).toSorted(),
    );
  });

  it('refuses a pool that networks overlap, or that is none', async () => {
    await open(null);
    const { uuid } = await network({ netblock: '10.12.0.0/24' });
    await assert.rejects(scene.reopen({ floatingPool: '10.12.0.0/28' }), {
      message: new RegExp(`overlaps 10\\.12\\.0\\.0/24 of network net \\(${uuid}\\)`),
    });
    for (const [floatingPool, why] of [
      ['10.10.0.1/24', /floating_pool: .*host bits/],
      ['10.10.0.0/31', /floating_pool: .*too small/],
      ['here', /floating_pool: .*no IPv4 CIDR/],
    ] as const)
      await assert.rejects(scene.reopen({ floatingPool }), { message: why });
    await scene.reopen({ floatingPool: null });
  });

  it('gives a gateway to networks that were made while there was no pool', async () => {
    await open(null);
    const made = [await network(), await network()];
    for (const { uuid } of made) {
      const before = await scene.operations.getNetwork(SYSTEM, uuid);
      const record = fistpath.Network.create(Object.assign({}, before, { provideNat: true }));
      await scene.put('network', uuid, record);
    }
    const gateways = () =>
      Promise.all(
        made.map(async ({ uuid }) => (await scene.operations.getNetwork(SYSTEM, uuid)).floatingGateway),
      );
    await scene.reopen();
    assert.deepEqual(await gateways(), ['', '']);
    // One address is too few.
    await scene.reopen({ floatingPool: '10.10.0.0/30' });
    assert.deepEqual((await gateways()).sort(), ['', '10.10.0.2']);
    const poor = made[(await gateways()).indexOf('')]!.uuid;
    const rich = made[(await gateways()).indexOf('10.10.0.2')]!.uuid;
    assert.ok((await pool()).includes(`10.10.0.2 gateway network ${rich}`));
    await assert.rejects(scene.operations.routeAddress(SYSTEM, poor), {
      code: 'conflict',
      message: /has no gateway: no address of the pool was free for it/,
    });
  });
});
