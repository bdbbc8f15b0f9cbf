// Each way of asking wrongly: right status, a text that helps, and nothing half-created. Over the real controller.
import assert from 'node:assert/strict';
import type { Answer } from './call.ts';
import { call } from './call.ts';
import { instanceOn, type Real, realServer } from './real.ts';

describe('bad input', () => {
  let real: Real;

  /** Everything in the store but events, whose keys say when somebody asked. */
  async function records(): Promise<string[]> {
    const { entries } = await real.store.range('/fistpath/1/records/');
    return entries.map((entry) => `${entry.key} ${entry.modRevision}`);
  }

  /** Asks, expects a refusal, and checks that no record was made or touched. */
  async function refused(
    status: number,
    text: RegExp,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<void> {
    const before = await records();
    const answer = await real.ask(method, path, body);
    expectError(answer, status, text);
    assert.deepEqual(await records(), before, 'records changed');
  }

  function expectError(answer: Answer, status: number, text: RegExp): void {
    assert.equal(answer.status, status, answer.text);
    assert.deepEqual(Object.keys(answer.json), ['error', 'status']);
    assert.equal(answer.json.status, status);
    assert.match(answer.json.error, text);
    assert.match(String(answer.headers['content-type']), /^application\/json/);
  }

  before(async () => {
    real = await realServer();
    const network = await real.ask('POST', '/networks', { name: 'net', netblock: '192.168.7.0/24' });
    assert.equal(network.status, 200, network.text);
    const nic = { network_uuid: 'net', address: '192.168.7.9', macaddress: '02:00:00:00:00:09' };
    const made = await real.ask('POST', '/instances', instanceOn(nic));
    assert.equal(made.status, 200, made.text);
  });
  after(() => real.close());

  const network = (netblock: unknown) => ({ name: 'n', netblock });
  const nic = (more: object) => instanceOn({ network_uuid: 'net', ...more });

  it('malformed or too small netblocks', async () => {
    for (const netblock of [
      ...['', 'x', '192.168.0.0', '192.168.0.0/33', '192.168.0.0/-1', '192.168.0/24', '192.168.0.256/24'],
      ...[
        '192.168.0.0/30',
        '192.168.0.1/32',
        '192.168.0.5/24',
        '010.0.0.0/24',
        '2001:db8::/64',
        '10.0.0.0/024',
      ],
      ...[
        '127.0.0.0/24',
        '224.0.0.0/24',
        '0.0.0.0/24',
        '0.0.0.0/0',
        '10.0.0.0/24 ',
        '10.0.0.0/255.255.255.0',
      ],
    ]) {
      await refused(400, /netblock|"|\//, 'POST', '/networks', network(netblock));
    }
    for (const netblock of [null, 5, [], {}, true]) {
      await refused(400, /^netblock must be string$/, 'POST', '/networks', network(netblock));
    }
    await refused(400, /^netblock is missing$/, 'POST', '/networks', { name: 'n' });
  });

  it('overlap with the floating pool', async () => {
    for (const netblock of ['10.10.0.0/24', '10.10.0.128/25', '10.0.0.0/8']) {
      await refused(
        400,
        /overlaps 10\.10\.0\.0\/24, the pool of floating addresses/,
        'POST',
        '/networks',
        network(netblock),
      );
    }
  });

  it('an explicit address that is taken, and one out of range', async () => {
    await refused(409, /192\.168\.7\.9/, 'POST', '/instances', nic({ address: '192.168.7.9' }));
    await refused(409, /192\.168\.7\.1\b/, 'POST', '/instances', nic({ address: '192.168.7.1' }));
    for (const address of ['192.168.8.9', '10.0.0.1', '255.255.255.255']) {
      await refused(400, new RegExp(address.replaceAll('.', '\\.')), 'POST', '/instances', nic({ address }));
    }
    for (const address of ['x', '192.168.7', '192.168.7.256', '192.168.007.008', '::1', '']) {
      await refused(400, /address/i, 'POST', '/instances', nic({ address }));
    }
    const second = {
      ...nic({}),
      network: [{ network_uuid: 'net' }, { network_uuid: 'net', address: '192.168.7.9' }],
    };
    await refused(409, /192\.168\.7\.9/, 'POST', '/instances', second);
  });

  it('malformed MACs, and one that is taken', async () => {
    for (const macaddress of [
      'x',
      '02:00:00:00:00',
      '02-00-00-00-00-01',
      '02:00:00:00:00:0g',
      '01:00:5e:00:00:01',
      'ff:ff:ff:ff:ff:ff',
      '00:00:00:00:00:00',
      '',
    ]) {
      await refused(400, /MAC|mac/, 'POST', '/instances', nic({ macaddress }));
    }
    await refused(409, /02:00:00:00:00:09/, 'POST', '/instances', nic({ macaddress: '02:00:00:00:00:09' }));
  });

  it('unknown networks and nodes', async () => {
    await refused(404, /no-such-net/, 'POST', '/instances', instanceOn({ network_uuid: 'no-such-net' }));
    await refused(404, /no-such-node/, 'POST', '/instances', { ...nic({}), placed_on: 'no-such-node' });
    for (const path of ['', '/interfaces', '/addresses', '/events', '/metadata']) {
      await refused(404, /no-such-net/, 'GET', `/networks/no-such-net${path}`);
    }
    await refused(404, /no-such-net/, 'DELETE', '/networks/no-such-net');
    for (const path of ['', '/interfaces', '/events', '/metadata']) {
      await refused(404, /no-such-inst/, 'GET', `/instances/no-such-inst${path}`);
    }
    for (const path of ['', '/events', '/metadata']) {
      await refused(404, /no-such-nic/, 'GET', `/interfaces/no-such-nic${path}`);
      await refused(404, /no-such-node/, 'GET', `/nodes/no-such-node${path}`);
    }
    await refused(404, /no-such-node/, 'PUT', '/nodes/no-such-node/datapath', { mode: 'kernel' });
    await refused(404, /no-such-node/, 'DELETE', '/nodes/no-such-node');
    await refused(404, /nowhere/, 'GET', '/networks/net', { namespace: 'nowhere' });
    await refused(404, /nowhere/, 'POST', '/networks', { ...network('10.0.0.0/24'), namespace: 'nowhere' });
  });

  it('placement on a missing node', async () => {
    const before = await records();
    const answer = await real.ask('POST', '/instances', { ...nic({}), placed_on: 'sf-lost' });
    assert.ok([409, 507].includes(answer.status), answer.text);
    assert.match(answer.json.error, /sf-lost/);
    assert.deepEqual(await records(), before);
  });

  it('names with control characters, of every object that has one', async () => {
    for (const name of [
      'a\nb',
      'a\u0000b',
      '\u001b[31m',
      'a\u0085',
      'a\u2028b',
      '\ud800',
      'x\u202ey',
      'x\u200by',
    ]) {
      await refused(
        400,
        /^name must be valid text without control or invisible characters/,
        'POST',
        '/networks',
        {
          name,
          netblock: '10.0.0.0/24',
        },
      );
      await refused(400, /^name must/, 'POST', '/instances', { ...nic({}), name });
      await refused(
        400,
        /^network\[0\]\.network_uuid must/,
        'POST',
        '/instances',
        instanceOn({ network_uuid: name }),
      );
      await refused(400, /^placed_on must/, 'POST', '/instances', { ...nic({}), placed_on: name });
      await refused(400, /^key must/, 'POST', '/networks/net/metadata', { key: name, value: 'v' });
    }
    for (const name of ['', 'a'.repeat(256)]) {
      await refused(400, /^name must (not )?have/, 'POST', '/networks', { name, netblock: '10.0.0.0/24' });
    }
    await refused(400, /^network must/, 'GET', '/networks/a%0Ab');
    await refused(400, /^key must/, 'PUT', '/networks/net/metadata/a%00b', { value: 'v' });
    await refused(400, /metadata.*control or invisible characters/, 'POST', '/instances', {
      ...nic({}),
      metadata: { 'a\nb': 'c' },
    });
  });

  it('wrong types, missing arguments, numbers out of range', async () => {
    const cases: [object, RegExp][] = [
      [{ cpus: '1' }, /^cpus must be integer$/],
      [{ cpus: 0 }, /^cpus must be >= 1$/],
      [{ cpus: 1.5 }, /^cpus must be integer$/],
      [{ memory: 1e12 }, /^memory must be <= /],
      [{ network: {} }, /^network must be array$/],
      [{ network: [{}] }, /^network\[0\]\.network_uuid is missing$/],
      [
        { network: Array.from({ length: 65 }, () => ({ network_uuid: 'net' })) },
        /^network must not have more than 64/,
      ],
      [{ disk: [{ size: 'x' }] }, /^disk\[0\]\.size must/],
      [{ disk: null }, /^disk must be array$/],
      [{ metadata: { a: 5 } }, /^metadata\.a must be string$/],
      [{ video: 'cirrus' }, /^video must be either object or null$/],
      [{ name: undefined }, /^name is missing$/],
    ];
    for (const [wrong, text] of cases)
      await refused(400, text, 'POST', '/instances', { ...nic({}), ...wrong });
    for (const vxid of [0, -1, 2 ** 24, 1.5, '2']) {
      await refused(400, /^vxid must/, 'POST', '/networks', { ...network('10.0.0.0/24'), vxid });
    }
    await refused(400, /^mode must be one of ebpf, kernel$/, 'PUT', '/nodes/sf-1/datapath', { mode: 'fast' });
    await refused(400, /^limit must/, 'GET', '/networks/net/events', { limit: -1 });
    await refused(400, /^limit must/, 'GET', '/networks/net/events?limit=1;2');
    await refused(400, /^all must be boolean$/, 'GET', '/networks?all=true&all=false');
    await refused(400, /^value must be string$/, 'PUT', '/networks/net/metadata/k', { value: { a: 1 } });
  });

  it('a vxid that is taken', async () => {
    const taken = (await real.ask('GET', '/networks/net')).json.vxid as number;
    await refused(409, new RegExp(`\\b${taken}\\b`), 'POST', '/networks', {
      ...network('10.0.0.0/24'),
      vxid: taken,
    });
  });

  it('what is no JSON object', async () => {
    for (const body of [
      '{',
      '[]',
      '[1]',
      '"text"',
      '5',
      'true',
      '{"name":"n",}',
      "{'name':'n'}",
      'NaN',
      '\ufeff{',
      '{"__proto__":{"x":1}}',
      '{"a":{"constructor":{"prototype":{}}}}',
      `${'['.repeat(100_000)}`,
    ]) {
      await refused(400, /the body (must be|is not)/, 'POST', '/networks', body);
    }
    await refused(400, /not valid UTF-8/, 'POST', '/networks', Buffer.from([0x22, 0xff, 0x22]));
    assert.equal(({} as Record<string, unknown>).x, undefined);
  });

  it('bodies that are too large, with a length and without', async () => {
    await refused(413, /^the body is too large$/, 'POST', '/instances', {
      ...nic({}),
      user_data: 'x'.repeat(1 << 20),
    });
    const before = await records();
    const chunked = await call(real, 'POST', '/networks', 'x'.repeat((1 << 20) + 1), {
      ...real.as('system'),
      'Transfer-Encoding': 'chunked',
      'Content-Length': '',
    }).catch((error: NodeJS.ErrnoException) => error);
    if (!(chunked instanceof Error)) assert.ok([400, 413].includes(chunked.status), chunked.text);
    assert.deepEqual(await records(), before);
    await refused(400, /^user_data must not have more/, 'POST', '/instances', {
      ...nic({}),
      user_data: 'x'.repeat(600_000),
    });
  });

  it('delete of a network in use names who uses it', async () => {
    const { json: instances } = await real.ask('GET', '/instances');
    await refused(403, new RegExp(`${instances[0].uuid}|${instances[0].name}`), 'DELETE', '/networks/net');
    assert.equal((await real.ask('GET', '/networks/net')).json.state, 'initial');
  });

  it('a full network is 507', async () => {
    assert.equal(
      (await real.ask('POST', '/networks', { name: 'small', netblock: '10.7.0.0/29' })).status,
      200,
    );
    for (let i = 0; i < 5; i++) {
      const answer = await real.ask('POST', '/instances', instanceOn({ network_uuid: 'small' }));
      assert.equal(answer.status, 200, answer.text);
    }
    await refused(507, /small|10\.7\.0\.0\/29/, 'POST', '/instances', instanceOn({ network_uuid: 'small' }));
    const none = await real.ask('POST', '/instances', instanceOn({ network_uuid: 'small', address: 'none' }));
    assert.deepEqual([none.status, none.json.interfaces?.[0].ipv4], [200, null]);
  });

  it('paths and methods that do not exist', async () => {
    for (const [method, path] of [
      ['GET', '/nowhere'],
      ['PUT', '/networks'],
      ['POST', '/instances/inst/poweroff'],
      ['GET', '/networks/net/nothing'],
      ['PATCH', '/networks/net'],
      ['GET', '//networks'],
      ['GET', '/networks/../nodes/x/y'],
    ] as const) {
      await refused(404, /^there is no /, method, path);
    }
    await refused(400, /./, 'GET', '/networks/%zz');
    await refused(400, /./, 'GET', `/networks/${'a'.repeat(300)}`);
  });
});
