// References, tenants, keys, metadata, events and what is kept of deleted objects.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { Cache } from '../../src/controller/cache.ts';
import { Events } from '../../src/controller/events.ts';
import { instanceOn, KEY, openScene, type Scene, SYSTEM } from './scene.ts';

const DEMO = { namespace: 'demo' };
const OTHER = { namespace: 'other' };

describe('controller: objects', () => {
  let scene: Scene;

  beforeEach(async () => {
    scene = await openScene();
    await scene.addNode('sf-1', '10.2.1.11', { networkNode: true });
    for (const [name, trust] of [
      ['demo', []],
      ['other', ['friend']],
      ['friend', []],
    ] as const) {
      const fields = { name, state: fistpath.State.CREATED, trust: [...trust] };
      await scene.put('namespace', name, fistpath.Namespace.create(fields));
    }
  });
  afterEach(() => scene.close());

  const network = (caller = SYSTEM, fields = {}) =>
    scene.operations.createNetwork(caller, { name: 'net', netblock: '192.168.0.0/24', ...fields });

  it('finds by uuid, and by a name that is unique in the namespace', async () => {
    const { uuid } = await network(DEMO);
    assert.equal((await scene.operations.getNetwork(DEMO, uuid)).uuid, uuid);
    assert.equal((await scene.operations.getNetwork(DEMO, 'net')).uuid, uuid);
    await network(OTHER);
    assert.equal((await scene.operations.getNetwork(DEMO, 'net')).uuid, uuid);
    await network(DEMO);
    await assert.rejects(scene.operations.getNetwork(DEMO, 'net'), {
      code: 'malformed',
      message: new RegExp(uuid),
    });
    await assert.rejects(scene.operations.getNetwork(DEMO, 'nothing'), { code: 'not-found' });
  });

  it("hides a tenant's objects from others, but not from the admin and from those it trusts", async () => {
    const { uuid } = await network(OTHER);
    const instance = await scene.operations.createInstance(OTHER, instanceOn([uuid]));
    const calls = [
      (caller: typeof DEMO) => scene.operations.getNetwork(caller, uuid),
      (caller: typeof DEMO) => scene.operations.getInstance(caller, instance.uuid),
      (caller: typeof DEMO) => scene.operations.getInterface(caller, instance.interfaces[0]!),
      (caller: typeof DEMO) => scene.operations.events(caller, 'network', uuid, {}),
      (caller: typeof DEMO) => scene.operations.getMetadata(caller, 'namespace', 'other'),
    ];
    for (const call of calls) {
      await assert.rejects(call(DEMO), { code: 'not-found' });
      for (const namespace of ['system', 'friend', 'other']) await call({ namespace });
    }
    await assert.rejects(scene.operations.createInstance(DEMO, instanceOn([uuid])), { code: 'not-found' });
    await assert.rejects(scene.operations.deleteInstance(DEMO, instance.uuid), { code: 'not-found' });
    assert.equal((await scene.operations.listNetworks(DEMO, {})).length, 0);
    assert.equal((await scene.operations.listNetworks(SYSTEM, {})).length, 1);
    await assert.rejects(scene.operations.listNodes(DEMO), { code: 'unauthorized' });
    await assert.rejects(network(DEMO, { namespace: 'other' }), { code: 'unauthorized' });
    await assert.rejects(network(SYSTEM, { namespace: 'nowhere' }), { code: 'not-found' });
  });

  it('refuses netblocks over the floating pool, and names that would break a line', async () => {
    await assert.rejects(network(SYSTEM, { netblock: '10.10.0.0/16' }), {
      code: 'malformed',
      message: 'netblock 10.10.0.0/16 overlaps 10.10.0.0/24, the pool of floating addresses',
    });
    await assert.rejects(network(SYSTEM, { name: 'a\nb' }), { code: 'malformed', message: /network name/ });
    assert.deepEqual(await scene.operations.listNetworks(SYSTEM, { all: true }), []);
  });

  it('knows the configured key of system, kept as a hash, and follows when it changes', async () => {
    await scene.operations.authenticate('system', KEY);
    for (const [namespace, key] of [
      ['system', 'wrong'],
      ['demo', KEY],
      ['nowhere', KEY],
    ] as const) {
      await assert.rejects(scene.operations.authenticate(namespace, key), {
        code: 'unauthorized',
        message: 'unknown namespace or wrong key',
      });
    }
    for (const { value } of (await scene.store.range('')).entries) {
      assert.ok(!Buffer.from(value).includes(KEY), 'the key itself is in the store');
    }
    const before = (await scene.store.range('')).revision;
    await scene.reopen();
    await scene.operations.authenticate('system', KEY);
    assert.equal((await scene.store.range('')).revision, before, 'the same key is not written again');
  });

  it('keeps metadata of every kind of object', async () => {
    const { uuid } = await network();
    const instance = await scene.operations.createInstance(
      SYSTEM,
      instanceOn([uuid], { metadata: { a: '1' } }),
    );
    const objects = [
      ['network', uuid],
      ['instance', instance.uuid],
      ['interface', instance.interfaces[0]!],
      ['node', 'sf-1'],
      ['namespace', 'demo'],
    ] as const;
    for (const [type, reference] of objects) {
      await scene.operations.setMetadata(SYSTEM, type, reference, 'k', 'v');
      await scene.operations.setMetadata(SYSTEM, type, reference, 'gone', 'v');
      await scene.operations.deleteMetadata(SYSTEM, type, reference, 'gone');
      assert.equal((await scene.operations.getMetadata(SYSTEM, type, reference)).k, 'v');
      await assert.rejects(scene.operations.deleteMetadata(SYSTEM, type, reference, 'gone'), {
        code: 'not-found',
      });
      await assert.rejects(scene.operations.setMetadata(SYSTEM, type, reference, '__proto__', 'v'), {
        code: 'malformed',
      });
    }
    assert.deepEqual(await scene.operations.getMetadata(SYSTEM, 'instance', instance.uuid), {
      a: '1',
      k: 'v',
    });
    assert.equal((await scene.operations.getInstance(SYSTEM, instance.uuid)).version, 4);
  });

  it('loses no metadata when many write at once', async () => {
    const { uuid } = await network();
    const keys = Array.from({ length: 10 }, (_, index) => `k${index}`);
    await Promise.all(keys.map((key) => scene.operations.setMetadata(SYSTEM, 'network', uuid, key, key)));
    assert.deepEqual(
      Object.keys(await scene.operations.getMetadata(SYSTEM, 'network', uuid)).toSorted(),
      keys,
    );
  });

  it('empties a namespace on confirmation only, and leaves networks in use', async () => {
    const used = await network(DEMO, { name: 'used' });
    const unused = await network(DEMO, { name: 'unused' });
    await network(OTHER);
    const instance = await scene.operations.createInstance(DEMO, instanceOn([used.uuid]));
    await assert.rejects(scene.operations.deleteNetworks(DEMO, {}), {
      code: 'malformed',
      message: /confirm/,
    });
    await assert.rejects(scene.operations.deleteNetworks(SYSTEM, { confirm: true }), { code: 'malformed' });
    await assert.rejects(scene.operations.deleteNetworks(DEMO, { confirm: true, namespace: 'other' }), {
      code: 'unauthorized',
    });
    assert.deepEqual(await scene.operations.deleteNetworks(DEMO, { confirm: true }), [unused.uuid]);
    assert.deepEqual(await scene.operations.deleteInstances(SYSTEM, { confirm: true, namespace: 'demo' }), [
      instance.uuid,
    ]);
    assert.deepEqual(await scene.operations.deleteNetworks(DEMO, { confirm: true }), [used.uuid]);
  });

  it('filters events by type and number, and records who polls once a minute', async () => {
    const { uuid } = await network();
    for (let count = 0; count < 3; count++) await scene.operations.events(SYSTEM, 'network', uuid, {});
    const phases = async (filter = {}) =>
      (await scene.operations.events(SYSTEM, 'network', uuid, filter)).map(({ phase }) => phase);
    assert.deepEqual(await phases(), ['create', 'get events']);
    assert.deepEqual(await phases({ limit: 1 }), ['get events']);
    assert.deepEqual(await phases({ event_type: 'mutate' }), []);
    scene.pass(61);
    assert.deepEqual(await phases(), ['create', 'get events', 'get events']);
    await scene.reopen();
    assert.equal((await phases()).length, 4, 'numbering goes on after a restart');
  });

  it('keeps the latest events of each object only', async () => {
    const events = new Events(scene.store, 10);
    const event = (index: number) =>
      fistpath.Event.create({
        objectType: 'network',
        objectUuid: 'u',
        timestamp: index,
        operation: `${index}`,
      });
    for (let index = 0; index < 25; index++) await events.write([event(index)]);
    const kept = (await events.list('network', 'u')).map(({ operation }) => Number(operation));
    assert.deepEqual(kept, [15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
    const keys = (await scene.store.range('')).entries.filter(({ key }) => key.includes('/u/'));
    assert.equal(keys.length, 10);
  });

  it('refuses a second delete of what is deleted', async () => {
    const instance = await scene.operations.createInstance(SYSTEM, instanceOn([]));
    assert.equal(instance.state, fistpath.State.CREATED);
    await scene.operations.deleteInstance(SYSTEM, instance.uuid);
    assert.equal((await scene.operations.getInstance(SYSTEM, instance.uuid)).state, fistpath.State.DELETED);
    await assert.rejects(scene.operations.deleteInstance(SYSTEM, instance.uuid), { code: 'not-found' });
    assert.deepEqual(await scene.operations.listInstances(SYSTEM, {}), []);
    assert.equal((await scene.operations.health()).objects.instance, 0, 'deleted ones do not count');
  });

  it('finds a deleted object by a name that nothing else has or had', async () => {
    const make = async (name: string) => {
      const { uuid } = await scene.operations.createInstance(SYSTEM, instanceOn([], { name }));
      await scene.operations.deleteInstance(SYSTEM, uuid);
      return uuid;
    };
    const uuid = await make('once');
    assert.equal((await scene.operations.getInstance(SYSTEM, 'once')).uuid, uuid);
    await assert.rejects(scene.operations.deleteInstance(SYSTEM, 'once'), {
      code: 'not-found',
      message: `instance once (${uuid}) is already deleted`,
    });
    await assert.rejects(scene.operations.getInstance(DEMO, 'once'), { code: 'not-found' });
    const live = await scene.operations.createInstance(SYSTEM, instanceOn([], { name: 'once' }));
    assert.equal((await scene.operations.getInstance(SYSTEM, 'once')).uuid, live.uuid);
    await make('twice');
    await make('twice');
    await assert.rejects(scene.operations.getInstance(SYSTEM, 'twice'), { code: 'not-found' });
  });

  it('bounds metadata by number and size, at creation, too', async () => {
    const { uuid } = await network();
    const many = (count: number, value = 'v') =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, value]));
    const create = (metadata: Record<string, string>) =>
      scene.operations.createInstance(SYSTEM, instanceOn([uuid], { metadata }));
    const full = await create(many(256));
    await assert.rejects(scene.operations.setMetadata(SYSTEM, 'instance', full.uuid, 'more', ''), {
      code: 'no-capacity',
      message: new RegExp(`instance ${full.uuid} can have 256 entries`),
    });
    await scene.operations.setMetadata(SYSTEM, 'instance', full.uuid, 'k0', 'another');
    await assert.rejects(create(many(257)), { code: 'no-capacity', message: /instance inst can have 256/ });
    await assert.rejects(create(many(1, 'x'.repeat(65_537))), { code: 'malformed', message: /k0 is longer/ });
    await assert.rejects(create(many(5, 'x'.repeat(65_000))), {
      code: 'no-capacity',
      message: /325010 characters, more than 262144/,
    });
    assert.equal((await scene.operations.listInstances(SYSTEM, {})).length, 1, 'nothing half-created');
  });

  it('acts on no read without records', async () => {
    const empty = { ...scene.store, range: async () => ({ revision: 7, entries: [] }) };
    await assert.rejects(new Cache().open(empty), /revision 7 and has no records/);
  });
});
