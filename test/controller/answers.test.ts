// Calls that take something away return when the network node has applied it, and hold nobody else up.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { eventually, instanceOn, openScene, type Scene, SYSTEM } from './scene.ts';
import type { TestAgent } from './test-agent.ts';

const PATIENCE = { answerMs: 1500, pingMs: 200 };

describe('controller: waiting for the network node', () => {
  let scene: Scene;
  let router: TestAgent;
  let uuid: string;
  let nic: string;
  let instance: string;

  beforeEach(async () => {
    scene = await openScene({ patience: PATIENCE });
    router = await scene.connect({ node: 'sf-1', address: '10.2.1.11', networkNode: true });
    const request = { name: 'net', netblock: '192.168.0.0/24', provide_nat: true };
    ({ uuid } = await scene.operations.createNetwork(SYSTEM, request));
    const made = await scene.operations.createInstance(SYSTEM, instanceOn([uuid]));
    instance = made.uuid;
    nic = made.interfaces[0]!;
    await router.until(() => router.networks.get(uuid)?.ports?.length === 1);
    router.obedient = false;
  });
  afterEach(() => scene.close());

  /** Watches a call: whether it has returned, and how long it took. */
  const watch = (call: Promise<unknown>) => {
    const started = performance.now();
    const watched = { returned: false, ms: 0, done: call };
    watched.done = call.finally(() => {
      watched.returned = true;
      watched.ms = performance.now() - started;
    });
    return watched;
  };
  const moment = (ms = 50) => new Promise((resolve) => setTimeout(resolve, ms));
  const isFloating = () => router.networks.get(uuid)?.router?.nat?.floats?.length === 1;

  for (const answer of ['done', 'error', 'all done'] as const) {
    it(`returns when the network node answers: ${answer}`, async () => {
      const old = router.revision;
      const call = watch(scene.operations.floatInterface(SYSTEM, nic));
      await router.until(isFloating);
      // Answers about the past say nothing.
      router.report(uuid, old);
      router.reportAll(old);
      await moment();
      assert.equal(call.returned, false);
      if (answer === 'error') router.failing.set(uuid, 'no uplink');
      if (answer === 'all done') {
        const status = { objectType: 'node', objectUuid: 'sf-1', progress: 1, revision: router.revision };
        router.send({ status });
      } else router.report(uuid);
      await call.done;
      assert.ok(call.ms < PATIENCE.answerMs);
    });
  }

  it('takes "all applied" for nothing that the agent may not have received by then', async () => {
    const request = { name: 'second', netblock: '192.168.0.0/24', provide_nat: true };
    const second = await scene.operations.createNetwork(SYSTEM, request);
    const two = await scene.operations.createInstance(SYSTEM, instanceOn([uuid, second.uuid]));
    await router.until(() => router.networks.get(second.uuid)?.ports?.length === 1);
    const call = watch(scene.operations.deleteInstance(SYSTEM, two.uuid));
    const ports = (network: string) => router.networks.get(network)?.ports?.length;
    await router.until(() => ports(uuid) === 1 && ports(second.uuid) === 0);
    // One transaction, two messages: the agent began to work when it had the first of them.
    const status = { objectType: 'node', objectUuid: 'sf-1', progress: 1 };
    router.send({ status: { ...status, revision: router.received.at(-2)!.revision } });
    await moment();
    assert.equal(call.returned, false);
    assert.equal((await scene.operations.getInstance(SYSTEM, two.uuid)).state, fistpath.State.DELETE_WAIT);
    router.send({ status: { ...status, revision: router.revision } });
    await call.done;
    assert.ok(call.ms < PATIENCE.answerMs);
  });

  it('waits no longer than its patience', async () => {
    const call = watch(scene.operations.floatInterface(SYSTEM, nic));
    await call.done;
    assert.ok(call.ms >= PATIENCE.answerMs, `${call.ms} ms`);
    assert.notEqual((await scene.operations.getInterface(SYSTEM, nic)).floating, '');
  });

  it('does not wait for a network node that is not there, or goes', async () => {
    const call = watch(scene.operations.floatInterface(SYSTEM, nic));
    await router.until(isFloating);
    router.close();
    await call.done;
    assert.ok(call.ms < PATIENCE.answerMs);
    const next = watch(scene.operations.defloatInterface(SYSTEM, nic));
    await next.done;
    assert.ok(next.ms < 500, `${next.ms} ms`);
  });

  it('waits for its own change, not for those of others that follow', async () => {
    const call = watch(scene.operations.floatInterface(SYSTEM, nic));
    await router.until(isFloating);
    const { revision } = router;
    const other = watch(scene.operations.routeAddress(SYSTEM, uuid));
    await router.until(() => router.networks.get(uuid)?.routed?.length === 1);
    router.report(uuid, revision);
    await call.done;
    assert.ok(call.ms < PATIENCE.answerMs);
    assert.equal(other.returned, false);
    router.report(uuid);
    await other.done;
  });

  it('holds up no other call', async () => {
    const call = watch(scene.operations.floatInterface(SYSTEM, nic));
    const others = Array.from({ length: 20 }, (_, index) =>
      scene.operations.createNetwork(SYSTEM, { name: `n${index}`, netblock: '10.0.0.0/24' }),
    );
    await Promise.all(others);
    assert.equal(call.returned, false);
    await router.until(isFloating);
    router.report(uuid);
    await call.done;
    assert.ok(call.ms < PATIENCE.answerMs);
  });

  it('waits for a stream that is full, and for a snapshot that is not applied yet', async () => {
    router.pause();
    const names = Array.from({ length: 600 }, (_, index) => `${index}`.padEnd(255, 'x'));
    await Promise.all(
      names.map((name) => scene.operations.createNetwork(SYSTEM, { name, netblock: '10.0.0.0/24' })),
    );
    const call = watch(scene.operations.floatInterface(SYSTEM, nic));
    await moment();
    assert.equal(call.returned, false);
    router.resume();
    await router.until(isFloating);
    await moment();
    assert.equal(call.returned, false);
    router.report(uuid);
    await call.done;
    assert.ok(call.ms < PATIENCE.answerMs);

    // An agent that is connected, and has not said yet that it applied its snapshot.
    await scene.reopen();
    const hello = { node: 'sf-1', address: '10.2.1.11', networkNode: true };
    const slow = await scene.connect(hello, { obedient: false });
    const next = watch(scene.operations.deleteInstance(SYSTEM, instance));
    await slow.until(() => slow.networks.get(uuid)?.ports?.length === 0);
    await moment();
    assert.equal(next.returned, false);
    slow.reportAll();
    await next.done;
    assert.ok(next.ms < PATIENCE.answerMs);
  });

  it('returns with the answer of a network node that never comes to an end with everything', async () => {
    router.close();
    await eventually('gone', async () => (await scene.operations.health()).agents === 0);
    const hello = { node: 'sf-1', address: '10.2.1.11', networkNode: true };
    router = await scene.connect(hello, { obedient: false });
    router.report(uuid);
    for (const verb of ['floatInterface', 'defloatInterface'] as const) {
      const { revision } = router;
      const call = watch(scene.operations[verb](SYSTEM, nic));
      await router.until(() => router.revision > revision);
      router.report(uuid);
      await call.done;
      assert.ok(call.ms < 500, `${verb}: ${call.ms} ms`);
    }
  });

  it('waits for a snapshot that does not have the network any more', async () => {
    router.obedient = true;
    await scene.operations.deleteInstance(SYSTEM, instance);
    router.close();
    await eventually('gone', async () => (await scene.operations.health()).agents === 0);
    const first = watch(scene.operations.deleteNetwork(SYSTEM, uuid));
    await first.done;
    assert.ok(first.ms < 500);
    const hello = { node: 'sf-1', address: '10.2.1.11', networkNode: true };
    const slow = await scene.connect(hello, { obedient: false });
    assert.equal(slow.networks.size, 0);
    const again = watch(scene.operations.deleteNetwork(SYSTEM, uuid));
    await moment();
    assert.equal(again.returned, false);
    slow.reportAll();
    await again.done;
    assert.ok(again.ms < PATIENCE.answerMs);
  });

  const calls: [string, () => Promise<unknown>][] = [
    ['defloat', () => scene.operations.defloatInterface(SYSTEM, nic)],
    ['route', () => scene.operations.routeAddress(SYSTEM, uuid)],
    ['unroute', async () => scene.operations.unrouteAddress(SYSTEM, uuid, (await routed())[0]!)],
    ['delete an instance', () => scene.operations.deleteInstance(SYSTEM, instance)],
    [
      'delete instances',
      () => scene.operations.deleteInstances(SYSTEM, { confirm: true, namespace: 'system' }),
    ],
    ['delete a network', () => scene.operations.deleteNetwork(SYSTEM, uuid)],
    [
      'delete networks',
      () => scene.operations.deleteNetworks(SYSTEM, { confirm: true, namespace: 'system' }),
    ],
  ];
  const routed = async () => (await scene.operations.getNetwork(SYSTEM, uuid)).routed;
  for (const [what, start] of calls) {
    it(`waits after: ${what}`, async () => {
      router.obedient = true;
      await scene.operations.floatInterface(SYSTEM, nic);
      await scene.operations.routeAddress(SYSTEM, uuid);
      if (what.includes('a network') || what.includes('networks')) {
        await scene.operations.deleteInstance(SYSTEM, instance);
      }
      router.obedient = false;
      const { revision } = router;
      const call = watch(start());
      await router.until(() => router.revision > revision);
      await moment();
      assert.equal(call.returned, false);
      router.report(uuid);
      await call.done;
      assert.ok(call.ms < PATIENCE.answerMs);
    });
  }
});
