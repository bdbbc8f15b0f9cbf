// Random requests to every path: no 500, one shape of error, and never a hint of another tenant's objects.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { instanceOn, type Real, realServer } from './real.ts';

const NAME = 'secret-of-demo';

describe('random requests', () => {
  let real: Real;
  let targets: [string, string][];
  let uuids: string[];

  before(async () => {
    real = await realServer({ requestsPerSecond: 1_000_000, tokensPerMinute: 1_000_000 });
    const network = await real.askAs('demo', 'POST', '/networks', { name: NAME, netblock: '192.168.0.0/24' });
    const instance = await real.askAs('demo', 'POST', '/instances', {
      ...instanceOn({ network_uuid: NAME }),
      name: NAME,
    });
    assert.equal(instance.status, 200, instance.text);
    uuids = [network.json.uuid, instance.json.uuid, instance.json.interfaces[0].uuid];
    const document = real.app.swagger() as unknown as { paths: Record<string, object> };
    targets = Object.entries(document.paths)
      .filter(([path]) => path !== '/auth' && path !== '/metrics')
      .flatMap(([path, methods]) => Object.keys(methods).map((method): [string, string] => [method, path]));
  });
  after(() => real.close());

  const word = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(
      '',
      'none',
      'system',
      'demo',
      NAME,
      'sf-1',
      'sf-lost',
      '10.0.0.0/24',
      '10.0.0.0/8',
      '192.168.0.5',
    ),
    fc.constantFrom(
      '02:00:00:00:00:01',
      '__proto__',
      'constructor',
      'toString',
      '../..',
      '%00',
      'ebpf',
      'kernel',
    ),
  );
  const leaf = fc.oneof(
    word,
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.bigInt({ min: 0n, max: 1n << 70n }).map(Number),
  );
  const key = fc.oneof(
    fc.constantFrom(
      'name',
      'netblock',
      'cpus',
      'memory',
      'network',
      'disk',
      'network_uuid',
      'address',
      'macaddress',
    ),
    fc.constantFrom(
      'namespace',
      'all',
      'confirm',
      'limit',
      'event_type',
      'mode',
      'key',
      'value',
      'vxid',
      'placed_on',
    ),
    word,
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 5 }),
    ),
  }));
  /** Often well-formed enough to get past the schema. */
  const plausible = fc.oneof(
    fc.record(
      { name: word, netblock: word, vxid: fc.nat({ max: 5 }) },
      { requiredKeys: ['name', 'netblock'] },
    ),
    fc.record(
      {
        name: word,
        cpus: fc.nat(),
        memory: fc.nat(),
        network: fc.array(
          fc.record(
            { network_uuid: word, address: word, macaddress: word },
            { requiredKeys: ['network_uuid'] },
          ),
          { maxLength: 3 },
        ),
        disk: fc.constant([]),
        placed_on: word,
      },
      { requiredKeys: ['name', 'cpus', 'memory', 'network', 'disk'] },
    ),
    fc.record({ key: word, value: word }),
    fc.record({ value: word }),
    fc.record({ confirm: fc.boolean(), namespace: word }, { requiredKeys: [] }),
  );

  it('1,000 of them', async function () {
    this.timeout(60_000);
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.oneof(value, plausible, plausible),
        fc.array(word, { minLength: 2, maxLength: 2 }),
        fc.nat({ max: 9 }),
        async (pick, body, names, own) => {
          const [method, path] = targets[pick % targets.length] as [string, string];
          let index = 0;
          const url = path.replace(/\{\w+\}/g, () => {
            const name = own < 3 && index === 0 ? (uuids[own] as string) : (names[index] as string);
            index += 1;
            return encodeURIComponent(Buffer.from(name).toString()).replaceAll('.', '%2E');
          });
          const answer = await real.app.inject({
            method: method.toUpperCase() as 'GET',
            url,
            headers: { ...real.as('other'), 'content-type': 'application/json' },
            payload: JSON.stringify(body),
          });
          statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1);
          assert.notEqual(answer.statusCode, 500, answer.body);
          if (url === '/') return;
          const json = answer.json<{ status: number; error: string }>();
          if (answer.statusCode !== 200) {
            assert.deepEqual(Object.keys(json), ['error', 'status']);
            assert.equal(json.status, answer.statusCode);
            assert.ok(!/[\p{Cc}]/u.test(json.error), JSON.stringify(json.error));
          }
          if (!url.includes(NAME) && !JSON.stringify(body).includes(NAME))
            assert.equal(answer.body.includes(NAME), false, answer.body);
        },
      ),
      { numRuns: 1000, endOnFailure: false },
    );
    assert.ok((statuses.get(200) ?? 0) > 20, JSON.stringify([...statuses]));
    assert.ok((statuses.get(404) ?? 0) > 20, JSON.stringify([...statuses]));
    assert.equal((await real.askAs('demo', 'GET', `/networks/${uuids[0]}`)).json.state, 'initial');
    assert.equal((await real.askAs('demo', 'GET', `/instances/${uuids[1]}`)).json.state, 'initial');
  });
});
