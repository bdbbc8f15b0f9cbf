// How many objects there may be.
import assert from 'node:assert/strict';
import { eventually, instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';

describe('controller: limits', () => {
  let scene: Scene;

  before(async () => {
    scene = await openScene({ limits: { networks: 2, instances: 3 } });
    await scene.addNode('sf-1', '10.2.1.11', { networkNode: true });
  });
  after(() => scene.close());

  const outcomes = async (creations: Promise<unknown>[]) => {
    const settled = await Promise.allSettled(creations);
    const refusals = settled.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []));
    return { made: settled.length - refusals.length, refusals: refusals.map(({ message }) => message) };
  };

  it('refuses more networks than the limit; a deleted one makes room', async () => {
    const create = () => scene.operations.createNetwork(SYSTEM, { name: 'net', netblock: '192.168.0.0/24' });
    const { uuid } = await create();
    await create();
    assert.deepEqual((await outcomes([create()])).refusals, [
      'there are 2 networks, which is the limit: delete some first',
    ]);
    assert.equal((await scene.operations.listNetworks(SYSTEM, { all: true })).length, 2);
    await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
    await scene.operations.deleteNetwork(SYSTEM, uuid);
    await eventually('room', async () => (await outcomes([create()])).made === 1);
  });

  it('refuses more instances than the limit', async () => {
    const create = () => scene.operations.createInstance(SYSTEM, instanceOn([]));
    for (let count = 0; count < 3; count++) await create();
    await assert.rejects(create(), { code: 'no-capacity', message: /^there are 3 instances/ });
  });
});
