// What is kept of deleted objects and of released addresses, and for how long.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { Addresses } from '../../src/controller/addresses.ts';
import { Cache } from '../../src/controller/cache.ts';
import { type Context, makeEvent, OBJECT_LIMITS, realChance } from '../../src/controller/context.ts';
import { Events } from '../../src/controller/events.ts';
import { Retention } from '../../src/controller/retention.ts';
import { createWriter } from '../../src/controller/writer.ts';
import { addressId } from '../../src/records/keys.ts';
import { openScene, type Scene } from './scene.ts';

const { CREATED, DELETED } = fistpath.State;
const DAY = 86_400;
const NOW = 1_700_000_000;

describe('controller: retention', () => {
  let scene: Scene;
  let context: Context;
  const open: { close(): void }[] = [];

  beforeEach(async () => {
    scene = await openScene({ floatingPool: null });
    const cache = new Cache();
    await cache.open(scene.store);
    const events = new Events(scene.store);
    context = {
      cache,
      events,
      writer: createWriter(scene.store, cache, events, async () => {}),
      clock: () => NOW,
      chance: realChance,
      log: { info() {}, warn() {}, error() {} },
      nodeName: 'sf-1',
      floatingPool: undefined,
      dnsDomain: 'internal',
      limits: OBJECT_LIMITS,
    };
    open.push(cache);
  });
  afterEach(async () => {
    for (const each of open.splice(0)) each.close();
    await scene.close();
  });

  const sweep = async (keptCount?: number) => {
    const retention = new Retention(context, new Addresses(context), keptCount);
    open.push(retention);
    await retention.sweep();
  };

  /** A deleted (0: a live) network, or instance with an interface on that network; each with an event. */
  async function put(type: 'network' | 'instance', uuid: string, age: number, network = ''): Promise<void> {
    const state = age === 0 ? CREATED : DELETED;
    const fields = { uuid, name: uuid, namespace: 'system', state, deleted: age === 0 ? 0 : NOW - age };
    if (type === 'network') await scene.put('network', uuid, fistpath.Network.create(fields));
    else {
      const nic = `${uuid}-nic`;
      await scene.put(
        'interface',
        nic,
        fistpath.Interface.create({ uuid: nic, network, instance: uuid, state }),
      );
      await scene.put('instance', uuid, fistpath.Instance.create({ ...fields, interfaces: [nic] }));
      await context.events.write([makeEvent(context, 'interface', nic, 'api')]);
    }
    await context.events.write([makeEvent(context, type, uuid, 'api')]);
  }

  const kept = (table: 'network' | 'instance' | 'interface') =>
    [...context.cache.all(table)].map(({ uuid }) => uuid).toSorted();

  it('forgets what was deleted a day ago, with its interfaces and events, and nothing else', async () => {
    await put('network', 'net-live', 0);
    await put('network', 'net-old', DAY + 1);
    await put('network', 'net-young', DAY - 1);
    await put('network', 'net-old-held', DAY + 1);
    await put('instance', 'live', 0, 'net-live');
    await put('instance', 'old', DAY + 1, 'net-live');
    await put('instance', 'young', DAY - 1, 'net-old-held');
    await sweep();
    // net-old-held: an instance that can still be read has an interface there.
    assert.deepEqual(kept('network'), ['net-live', 'net-old-held', 'net-young']);
    assert.deepEqual(kept('instance'), ['live', 'young']);
    assert.deepEqual(kept('interface'), ['live-nic', 'young-nic']);
    const { entries } = await scene.store.range('/fistpath/1/events/');
    const withEvents = new Set(entries.map(({ key }) => String(key.split('/')[5])));
    assert.deepEqual(
      [...withEvents].toSorted(),
      ['live', 'live-nic', 'net-live', 'net-old-held', 'net-young', 'young', 'young-nic'].toSorted(),
    );
    const { revision } = await scene.store.range('');
    await sweep();
    assert.equal((await scene.store.range('')).revision, revision, 'a second sweep writes nothing');
  });

  it('keeps the latest only when there are very many', async () => {
    for (const age of [1, 2, 3, 4]) await put('instance', `gone-${age}`, age, 'net');
    await sweep(2);
    assert.deepEqual(kept('instance'), ['gone-1', 'gone-2']);
  });

  it('forgets addresses that have rested, and no others', async () => {
    const reserve = (last: number, type: string, age: number) => {
      const address = `10.0.0.${last}`;
      const fields = { network: 'net', address, type, when: NOW - age };
      return scene.put('address', addressId('net', 0x0a000000 + last), fistpath.Reservation.create(fields));
    };
    await reserve(1, 'gateway', 10_000);
    await reserve(2, 'resting', 301);
    await reserve(3, 'resting', 299);
    await reserve(4, 'interface', 10_000);
    await sweep();
    const left = [...context.cache.all('address')].map(({ address }) => address);
    assert.deepEqual(left.toSorted(), ['10.0.0.1', '10.0.0.3', '10.0.0.4']);
  });
});
