import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { openEmbeddedStore } from '../../src/store/embedded.ts';
import { CompactedError, type Store, type WatchBatch } from '../../src/store/store.ts';

const bytes = (text: string) => Buffer.from(text);
const put = (key: string, text = key) => ({ put: key, value: bytes(text) });

describe('embedded store', () => {
  let directory: string;
  let store: Store;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'fistpath-store-'));
    store = await openEmbeddedStore(directory, { history: 10 });
  });
  afterEach(async () => {
    await store.close();
    rmSync(directory, { recursive: true });
  });

  it('counts revisions and versions as etcd does', async () => {
    assert.deepEqual(await store.transaction([], [put('/a'), put('/b')]), { succeeded: true, revision: 1 });
    assert.deepEqual(await store.transaction([], [put('/a', 'again')]), { succeeded: true, revision: 2 });
    const { value, ...rest } = (await store.get('/a'))!;
    assert.equal(Buffer.from(value).toString(), 'again');
    assert.deepEqual(rest, { key: '/a', createRevision: 1, modRevision: 2, version: 2 });
    await store.transaction([], [{ delete: '/a' }]);
    assert.equal(await store.get('/a'), undefined);
    await store.transaction([], [put('/a')]);
    assert.deepEqual((await store.get('/a'))!.createRevision, 4);
    assert.equal((await store.get('/a'))!.version, 1);
  });

  it('ranges over a prefix in byte order, and over nothing else', async () => {
    await store.transaction(
      [],
      ['/n/b', '/n/a', '/n', '/n0', '/m/z', '/n/c/d'].map((key) => put(key)),
    );
    const { revision, entries } = await store.range('/n/');
    assert.equal(revision, 1);
    assert.deepEqual(
      entries.map(({ key }) => key),
      ['/n/a', '/n/b', '/n/c/d'],
    );
    assert.equal((await store.range('')).entries.length, 6);
  });

  it('writes nothing when one comparison fails, and does not count it', async () => {
    await store.transaction([], [put('/a')]);
    const failing = [
      [{ key: '/a', modRevision: 0 }],
      [{ key: '/b', modRevision: 1 }],
      [
        { key: '/a', modRevision: 1 },
        { key: '/c', modRevision: 7 },
      ],
    ];
    for (const compare of failing) {
      assert.deepEqual(await store.transaction(compare, [put('/x'), { delete: '/a' }]), {
        succeeded: false,
        revision: 1,
      });
    }
    assert.equal(await store.get('/x'), undefined);
    assert.ok(await store.get('/a'));
    assert.equal((await store.transaction([{ key: '/a', modRevision: 1 }], [put('/x')])).succeeded, true);
  });

  it('lets one of many racing transactions win, in one group commit', async () => {
    const racers = Array.from({ length: 500 }, (_, index) =>
      store.transaction(
        [{ key: '/claim', modRevision: 0 }],
        [put('/claim', `${index}`), put(`/by/${index}`)],
      ),
    );
    const won = (await Promise.all(racers)).filter(({ succeeded }) => succeeded);
    assert.equal(won.length, 1);
    assert.equal((await store.range('/by/')).entries.length, 1);
  });

  it('commits many concurrent small transactions together', async () => {
    const started = performance.now();
    await Promise.all(
      Array.from({ length: 5000 }, (_, index) => store.transaction([], [put(`/k/${index}`)])),
    );
    const grouped = performance.now() - started;
    const one = performance.now();
    for (let index = 0; index < 20; index++) await store.transaction([], [put(`/s/${index}`)]);
    const alone = (performance.now() - one) / 20;
    assert.ok(grouped < alone * 5000 * 0.5, `5000 took ${grouped} ms, one alone takes ${alone} ms`);
    assert.equal((await store.range('/k/')).entries.length, 5000);
  });

  it('shows later changes to a watcher, in order, one batch per transaction, only under its prefix', async () => {
    await store.transaction([], [put('/n/1')]);
    const seen: WatchBatch[] = [];
    const watch = await store.watch('/n/', 1, (batch) => seen.push(batch));
    await Promise.all([
      store.transaction([], [put('/n/2'), put('/other'), { delete: '/n/1' }]),
      store.transaction([], [put('/other')]),
      store.transaction([], [put('/n/3')]),
    ]);
    assert.deepEqual(
      seen.map(({ revision, changes }) => [revision, changes.map(({ key, value }) => [key, value?.length])]),
      [
        [1, [['/n/1', 4]]],
        [
          2,
          [
            ['/n/2', 4],
            ['/n/1', undefined],
          ],
        ],
        [4, [['/n/3', 4]]],
      ],
    );
    watch.close();
    await store.transaction([], [put('/n/4')]);
    assert.equal(seen.length, 3);
  });

  it('has shown a change to the watchers when its transaction resolves', async () => {
    let last = 0;
    await store.watch('/', 1, ({ revision }) => {
      last = revision;
    });
    for (let index = 0; index < 20; index++) {
      assert.equal((await store.transaction([], [put('/a')])).revision, last);
    }
  });

  it('says so when a revision is no longer kept', async () => {
    for (let index = 0; index < 25; index++) await store.transaction([], [put('/a')]);
    await assert.rejects(
      store.watch('/', 1, () => {}),
      (error: CompactedError) => {
        assert.ok(error instanceof CompactedError);
        assert.ok(error.oldest > 1 && error.oldest <= 16, `${error.oldest}`);
        return true;
      },
    );
    const seen: number[] = [];
    await store.watch('/', 20, ({ revision }) => seen.push(revision));
    assert.deepEqual(seen, [20, 21, 22, 23, 24, 25]);
    await store.close();
    store = await openEmbeddedStore(directory);
    await assert.rejects(
      store.watch('/', 25, () => {}),
      CompactedError,
    );
    await store.watch('/', 26, () => {});
  });

  it('keeps data and revision over a reopen', async () => {
    await store.transaction([], [put('/a'), put('/b')]);
    await store.transaction([], [{ delete: '/b' }]);
    await store.close();
    store = await openEmbeddedStore(directory);
    assert.deepEqual(
      (await store.range('/')).entries.map(({ key, modRevision }) => [key, modRevision]),
      [['/a', 1]],
    );
    assert.equal((await store.transaction([], [put('/c')])).revision, 3);
  });

  it('drops keys with their lease: expired, revoked, or left behind by a process that ended', async () => {
    const expiring = await store.grantLease(0.15);
    const revoked = await store.grantLease(60);
    const left = await store.grantLease(60);
    await store.transaction(
      [],
      [
        { ...put('/expiring'), lease: expiring },
        { ...put('/revoked'), lease: revoked },
        { ...put('/left'), lease: left },
        { ...put('/detached'), lease: revoked },
        put('/stays'),
      ],
    );
    await store.transaction([], [put('/detached')]);
    for (let count = 0; count < 3; count++) {
      await new Promise((resolve) => setTimeout(resolve, 80));
      await store.keepAlive(expiring);
    }
    assert.ok(await store.get('/expiring'), 'kept alive');
    await store.revokeLease(revoked);
    assert.equal(await store.get('/revoked'), undefined);
    const gone = new Promise(
      (resolve) => void store.watch('/expiring', 1, ({ changes }) => changes[0]?.value || resolve(0)),
    );
    await gone;
    await assert.rejects(store.keepAlive(expiring), /not there/);
    await assert.rejects(store.transaction([], [{ ...put('/x'), lease: expiring }]), /not there/);
    await store.close();
    store = await openEmbeddedStore(directory);
    assert.deepEqual(
      (await store.range('/')).entries.map(({ key }) => key),
      ['/detached', '/stays'],
    );
  });

  it('refuses keys and transactions that it could not keep', async () => {
    for (const key of ['', '/a\n', '/ä', `/${'x'.repeat(1024)}`]) {
      await assert.rejects(store.transaction([], [put(key)]), TypeError);
    }
    await assert.rejects(store.transaction([], [put('/a'), { delete: '/a' }]), TypeError);
    await store.transaction([], [put(`/${'x'.repeat(1023)}`)]);
  });

  it('refuses calls after close', async () => {
    await store.close();
    await assert.rejects(store.transaction([], [put('/a')]), /is closed/);
    await assert.rejects(store.get('/a'), /is closed/);
  });

  it('behaves as a map with revisions would (property)', async () => {
    const key = fc.constantFrom('/a', '/b', '/c', '/d');
    const step = fc.record({
      compare: fc.option(fc.record({ key, offset: fc.integer({ min: -1, max: 0 }) })),
      puts: fc.uniqueArray(key, { maxLength: 3 }),
      deletes: fc.uniqueArray(key, { maxLength: 2 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        await store.transaction(
          [],
          ['/a', '/b', '/c', '/d'].map((each) => ({ delete: each })),
        );
        let { revision } = await store.range('');
        const model = new Map<string, { modRevision: number; version: number }>();
        for (const { compare, puts, deletes } of steps) {
          const mod = compare ? (model.get(compare.key)?.modRevision ?? 0) + compare.offset : 0;
          const holds = !compare || compare.offset === 0;
          const removing = deletes.filter((each) => !puts.includes(each));
          const result = await store.transaction(compare ? [{ key: compare.key, modRevision: mod }] : [], [
            ...puts.map((each) => put(each)),
            ...removing.map((each) => ({ delete: each })),
          ]);
          assert.equal(result.succeeded, holds);
          if (holds && (puts.length > 0 || removing.some((each) => model.has(each)))) revision++;
          assert.equal(result.revision, revision);
          if (!holds) continue;
          for (const each of puts) {
            model.set(each, { modRevision: revision, version: (model.get(each)?.version ?? 0) + 1 });
          }
          for (const each of removing) model.delete(each);
        }
        const entries = (await store.range('')).entries.map(({ key: name, modRevision, version }) => [
          name,
          { modRevision, version },
        ]);
        assert.deepEqual(
          entries,
          [...model].toSorted(([a], [b]) => (a < b ? -1 : 1)),
        );
      }),
      { numRuns: 20 },
    );
  });
});
