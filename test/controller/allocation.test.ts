// Addresses, vxids and MACs: never twice, also when many ask at once.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { formatMac } from '../../src/records/mac.ts';
import type { Compare, Operation, Store } from '../../src/store/store.ts';
import { instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';

describe('controller: allocation', () => {
  let scene: Scene;
  let interfering: Operation[] = [];

  /** A store in which, once, somebody else's transaction comes first. */
  const wrap = (store: Store): Store => ({
    ...store,
    get: (key) => store.get(key),
    range: (prefix) => store.range(prefix),
    watch: (prefix, from, onBatch) => store.watch(prefix, from, onBatch),
    grantLease: (ttl) => store.grantLease(ttl),
    keepAlive: (lease) => store.keepAlive(lease),
    revokeLease: (lease) => store.revokeLease(lease),
    close: () => store.close(),
    async transaction(compare: Compare[], operations: Operation[]) {
      const others = interfering.splice(0);
      if (others.length > 0) await store.transaction([], others);
      return store.transaction(compare, operations);
    },
  });

  beforeEach(async () => {
    interfering = [];
    scene = await openScene({ wrap });
    await scene.addNode('sf-1', '10.2.1.11', { networkNode: true });
    await scene.addNode('sf-2', '10.2.1.12');
  });
  afterEach(() => scene.close());

  const network = (fields = {}) =>
    scene.operations.createNetwork(SYSTEM, { name: 'net', netblock: '192.168.0.0/24', ...fields });
  const addressOf = async (instance: fistpath.Instance) =>
    (await scene.operations.getInterface(SYSTEM, instance.interfaces[0]!)).ipv4;

  it('gives 200 networks made at once the vxids 1 to 200, and different router MACs', async () => {
    const networks = await Promise.all(
      Array.from({ length: 200 }, (_, index) => network({ name: `n${index}` })),
    );
    assert.deepEqual(
      networks.map(({ vxid }) => vxid).toSorted((a, b) => a - b),
      Array.from({ length: 200 }, (_, index) => index + 1),
    );
    assert.equal(new Set(networks.map(({ routerMac }) => formatMac(routerMac))).size, 200);
  });

  it('gives the lowest free vxid, also after one was freed, and the one asked for', async () => {
    const [a, b] = [await network({ name: 'a' }), await network({ name: 'b' })];
    assert.equal((await network({ name: 'c', vxid: 0xffffff })).vxid, 0xffffff);
    await assert.rejects(network({ vxid: b.vxid }), { code: 'conflict', message: /vxid 2/ });
    for (const vxid of [0, -1, 2 ** 24, 1.5]) await assert.rejects(network({ vxid }), { code: 'malformed' });
    // With nobody to wait for, a network goes at once.
    await scene.operations.deleteNode(SYSTEM, 'sf-1');
    await scene.operations.deleteNode(SYSTEM, 'sf-2');
    await scene.operations.deleteNetwork(SYSTEM, a.uuid);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await network({ name: 'd' })).vxid, 1);
    assert.equal((await network({ name: 'e' })).vxid, 3);
  });

  it('takes the next vxid when another controller was faster', async () => {
    const { recordKey, vxidId } = await import('../../src/records/keys.ts');
    interfering = [{ put: recordKey('vxid', vxidId(1)), value: Buffer.from('theirs') }];
    assert.equal((await network()).vxid, 2);
  });

  it('gives every instance made at once an address and a MAC of its own, never a reserved one', async () => {
    const { uuid } = await network();
    const instances = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        scene.operations.createInstance(SYSTEM, instanceOn([uuid], { name: `i${index}` })),
      ),
    );
    const interfaces = await scene.operations.networkInterfaces(SYSTEM, uuid);
    assert.equal(interfaces.length, 100);
    const addresses = new Set(interfaces.map(({ ipv4 }) => ipv4));
    assert.equal(addresses.size, 100);
    for (const reserved of ['192.168.0.0', '192.168.0.1', '192.168.0.255'])
      assert.ok(!addresses.has(reserved));
    const macs = new Set(interfaces.map(({ mac }) => formatMac(mac)));
    assert.equal(macs.size, 100);
    for (const mac of macs) assert.match(mac, /^02:00:00(:[0-9a-f]{2}){3}$/);
    const placed = instances.filter(({ node }) => node === 'sf-2').length;
    assert.equal(placed, 50, 'spread over the hypervisors');
  });

  it('fills a /29 to the last address, says 507, and leaves nothing half-made', async () => {
    const { uuid } = await network({ netblock: '10.1.0.0/29' });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 12 }, (_, index) =>
        scene.operations.createInstance(SYSTEM, instanceOn([uuid], { name: `i${index}` })),
      ),
    );
    const failures = outcomes.filter((outcome) => outcome.status === 'rejected');
    assert.equal(failures.length, 7);
    for (const { reason } of failures) assert.equal(reason.status, 507);
    assert.equal((await scene.operations.networkInterfaces(SYSTEM, uuid)).length, 5);
    assert.equal((await scene.operations.listInstances(SYSTEM, {})).length, 5);
    const reservations = await scene.operations.networkAddresses(SYSTEM, uuid);
    assert.deepEqual(
      reservations.map(({ address, type }) => `${address.split('.')[3]} ${type}`),
      [
        '0 network',
        '1 gateway',
        '2 interface',
        '3 interface',
        '4 interface',
        '5 interface',
        '6 interface',
        '7 broadcast',
      ],
    );
  });

  it('lets a released address rest 300 s, 30 s when the network is full, and not when it is asked for', async () => {
    const { uuid } = await network({ netblock: '10.1.0.0/29' });
    const make = (address?: string) =>
      scene.operations.createInstance(SYSTEM, instanceOn([address ? { network_uuid: uuid, address } : uuid]));
    const instances = [];
    for (let count = 0; count < 5; count++) instances.push(await make());
    const first = await addressOf(instances[0]!);
    const agent = await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
    const other = await scene.connect({ node: 'sf-2', address: '10.2.1.12' });
    const release = async (instance: fistpath.Instance) => {
      await scene.operations.deleteInstance(SYSTEM, instance.uuid);
      await (instance.node === 'sf-1' ? agent : other).until(() => true);
      for (let wait = 0; wait < 200; wait++) {
        if ((await scene.operations.getInstance(SYSTEM, instance.uuid)).state === fistpath.State.DELETED)
          return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error('never deleted');
    };
    await release(instances[0]!);
    await assert.rejects(make(), { code: 'no-capacity', message: /released less than 30 s ago/ });
    scene.pass(31);
    const again = await make();
    assert.equal(await addressOf(again), first, 'full: 30 s are enough');
    await release(again);
    assert.equal(await addressOf(await make(first)), first, 'asked for: at once');
    await release(instances[1]!);
    await release(instances[2]!);
    scene.pass(299);
    const resting = (await scene.operations.networkAddresses(SYSTEM, uuid)).filter(
      ({ type }) => type === 'resting',
    );
    assert.equal(resting.length, 2);
    scene.pass(2);
    const rested = (await scene.operations.networkAddresses(SYSTEM, uuid)).filter(
      ({ type }) => type === 'resting',
    );
    assert.equal(rested.length, 0);
  });

  it('checks what is asked for, and takes nothing when it refuses', async () => {
    const { uuid } = await network();
    const before = (await scene.store.range('')).entries.length;
    const refuse = (wanted: object, code: string, message: RegExp) =>
      assert.rejects(
        scene.operations.createInstance(SYSTEM, instanceOn([{ network_uuid: uuid, ...wanted }])),
        { code, message },
      );
    await refuse(
      { address: '192.168.1.5' },
      'malformed',
      /192\.168\.1\.5 is not one of the usable addresses/,
    );
    await refuse({ address: '192.168.0.0' }, 'malformed', /usable/);
    await refuse({ address: '192.168.0.255' }, 'malformed', /usable/);
    await refuse({ address: '192.168.0.1' }, 'conflict', /in use by gateway/);
    await refuse({ address: '192.168.0.x' }, 'malformed', /no IPv4 address/);
    await refuse({ macaddress: '02:00:00:aa:bb' }, 'malformed', /no MAC address/);
    await refuse({ macaddress: '01:00:00:aa:bb:cc' }, 'malformed', /multicast/);
    await refuse({ network_uuid: 'nowhere' }, 'not-found', /network "nowhere"/);
    await refuse({ float: true }, 'conflict', /without provide_nat/);
    await refuse({ float: true, address: 'none' }, 'malformed', /no IPv4 address/);
    const twice = [
      { network_uuid: uuid, address: '192.168.0.9' },
      { network_uuid: uuid, address: '192.168.0.9' },
    ];
    await assert.rejects(scene.operations.createInstance(SYSTEM, instanceOn(twice)), { code: 'conflict' });
    assert.equal((await scene.store.range('')).entries.length, before, 'something was left behind');

    const given = { network_uuid: uuid, address: '192.168.0.9', macaddress: '02:00:00:AA:BB:CC' };
    const instance = await scene.operations.createInstance(SYSTEM, instanceOn([given]));
    assert.equal(await addressOf(instance), '192.168.0.9');
    await refuse({ address: '192.168.0.9' }, 'conflict', /192\.168\.0\.9 .*in use/);
    await refuse({ macaddress: '02:00:00:aa:bb:cc' }, 'conflict', /MAC 02:00:00:aa:bb:cc is in use/);
    const none = await scene.operations.createInstance(
      SYSTEM,
      instanceOn([{ network_uuid: uuid, address: 'none' }]),
    );
    assert.equal(await addressOf(none), '');
  });

  it('lets one of many win who ask for the same address at once', async () => {
    const { uuid } = await network();
    const wanted = { network_uuid: uuid, address: '192.168.0.77' };
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, () => scene.operations.createInstance(SYSTEM, instanceOn([wanted]))),
    );
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'conflict');
  });
});
