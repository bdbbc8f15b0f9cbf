// What the clients of 2020 and of 2024 put on the wire, byte for byte, and what they need back.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { KEY, type Real, realServer } from './real.ts';
import { forge } from './tokens.ts';

const COMMON =
  'Host: localhost:13000\r\nUser-Agent: Mozilla/5.0 (Ubuntu; Linux x86_64) Shaken Fist/0.2.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n';

interface Reply {
  status: number;
  type: string;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: clients look into many shapes
  json: any;
}

/** Sends one request on a connection of its own and reads one reply by its Content-Length, as python-requests does. */
function exchange(port: number, bytes: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const [head, ...rest] = text.split('\r\n\r\n');
      const body = rest.join('\r\n\r\n');
      const length = /^content-length: (\d+)/im.exec(head ?? '')?.[1];
      if (rest.length === 0 || (length !== undefined && body.length < Number(length))) return;
      socket.destroy();
      resolve({
        status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]),
        type: /^content-type: (.*)$/im.exec(head ?? '')?.[1] ?? '',
        text: body,
        json: body.startsWith('<') ? undefined : JSON.parse(body),
      });
    });
    socket.on('error', reject);
    socket.setTimeout(5000, () => reject(new Error(`no whole reply: ${text}`)));
  });
}

describe('existing clients', () => {
  let real: Real;
  before(async () => {
    real = await realServer();
  });
  after(() => real.close());

  /** 2020: `json.dumps(data)` always goes out, with a Content-Type only where there is data. */
  function old(method: string, path: string, token: string | undefined, data?: object): Promise<Reply> {
    const body = JSON.stringify(data ?? null)
      .replaceAll('":', '": ')
      .replaceAll(',"', ', "');
    const authorization = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`;
    const type =
      data === undefined || Object.keys(data).length === 0 ? '' : 'Content-Type: application/json\r\n';
    return exchange(
      real.port,
      `${method} ${path} HTTP/1.1\r\n${COMMON}${authorization}${type}Content-Length: ${body.length}\r\n\r\n${body}`,
    );
  }

  /** 2024: indented JSON where there is data, and nothing where there is none. */
  function newer(method: string, path: string, token: string | undefined, data?: object): Promise<Reply> {
    const body = data === undefined ? '' : JSON.stringify(data, null, 4);
    const authorization = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`;
    const type = data === undefined ? '' : 'Content-Type: application/json\r\n';
    const length = data === undefined && method === 'GET' ? '' : `Content-Length: ${body.length}\r\n`;
    return exchange(
      real.port,
      `${method} ${path} HTTP/1.1\r\n${COMMON}${authorization}${type}${length}\r\n${body}`,
    );
  }

  it('2020: network create, show, events; instance create, show, delete; network delete', async () => {
    const { json: auth } = await old('POST', '/auth', undefined, { namespace: 'system', key: KEY });
    const token = auth.access_token as string;
    const network = await old('POST', '/networks', token, {
      netblock: '192.168.0.0/24',
      provide_dhcp: false,
      provide_nat: false,
      name: 'demonet',
    });
    assert.equal(network.status, 200, network.text);
    for (const field of [
      'uuid',
      'name',
      'vxid',
      'vxlan_id',
      'netblock',
      'provide_dhcp',
      'provide_nat',
      'namespace',
      'state',
    ]) {
      assert.notEqual(network.json[field], undefined, field);
    }
    const { uuid } = network.json as { uuid: string };
    assert.equal((await old('GET', `/networks/${uuid}`, token)).json.uuid, uuid);
    assert.deepEqual((await old('GET', `/networks/${uuid}/metadata`, token)).json, {});
    const events = (await old('GET', `/networks/${uuid}/events`, token)).json as Record<string, unknown>[];
    for (const field of ['timestamp', 'fqdn', 'operation', 'phase', 'duration', 'message']) {
      assert.ok(field in (events[0] as object), field);
    }
    assert.deepEqual([events[0]?.operation, events[0]?.phase], ['api', 'create']);
    const all = (await old('GET', '/networks', token, { all: true })).json as { uuid: string }[];
    assert.ok(all.some((entry) => entry.uuid === uuid));

    const instance = await old('POST', '/instances', token, {
      name: 'inst-on-sf-2',
      cpus: 1,
      memory: 1024,
      network: [{ network_uuid: uuid, address: null, macaddress: null, model: 'virtio' }],
      disk: [{ size: '8', base: 'cirros', bus: null, type: 'disk' }],
      ssh_key: null,
      user_data: null,
      namespace: null,
      video: { model: 'cirrus', memory: 16384 },
      placed_on: 'sf-2',
    });
    assert.equal(instance.status, 200, instance.text);
    assert.deepEqual(instance.json.disk_spec, [{ base: 'cirros', bus: null, size: 8, type: 'disk' }]);
    assert.equal(instance.json.node, 'sf-2');
    const inst = instance.json.uuid as string;
    const nics = (await old('GET', `/instances/${inst}/interfaces`, token)).json as { uuid: string }[];
    assert.equal(nics.length, 1);
    assert.equal((await old('GET', `/interfaces/${nics[0]?.uuid}`, token)).json.instance_uuid, inst);
    assert.equal(
      (await old('POST', `/instances/${inst}/metadata`, token, { key: 'k', value: 'v' })).text,
      'null',
    );
    assert.equal((await old('DELETE', `/instances/${inst}/metadata/k`, token)).text, 'null');
    assert.equal((await old('DELETE', `/instances/${inst}`, token)).status, 200);
    const after = await old('GET', `/instances/${inst}`, token);
    assert.match(after.json.state as string, /^delete(d|-wait)$/);
    assert.equal((await old('DELETE', `/networks/${uuid}`, token)).status, 200);
  });

  it('2020: the four bytes null without Content-Type, on every method', async () => {
    const token = real.as('system').authorization.slice('Bearer '.length);
    for (const [method, path, status] of [
      ['GET', '/nodes', 200],
      ['POST', '/networks', 400],
      ['PUT', '/nodes/sf-1/datapath', 400],
      ['DELETE', '/networks/nothing', 404],
    ] as const) {
      const reply = await old(method, path, token);
      assert.equal(reply.status, status, `${method} ${path}: ${reply.text}`);
      assert.match(reply.type, /^application\/json/);
    }
  });

  it('2024: capabilities, probe, token; network and instance with every field; events; delete', async () => {
    const page = await newer('GET', '/', undefined);
    assert.equal(page.status, 200);
    assert.ok(page.text.includes('events-by-type') && page.text.includes('node-get'));
    const { json: auth } = await newer('POST', '/auth', undefined, { namespace: 'system', key: KEY });
    const token = auth.access_token as string;
    const network = await newer('POST', '/networks', token, {
      name: 'newnet',
      namespace: null,
      netblock: '192.168.1.0/24',
      provide_dhcp: true,
      provide_dns: false,
      provide_nat: true,
    });
    assert.equal(network.status, 200, network.text);
    assert.ok('floating_gateway' in network.json);
    const { uuid } = network.json as { uuid: string };
    assert.equal((await newer('GET', '/networks/newnet', token, { namespace: 'system' })).json.uuid, uuid);
    const elsewhere = await newer('DELETE', '/networks/newnet', token, { namespace: 'demo' });
    assert.equal(elsewhere.status, 404, 'a name is looked up in the namespace given');
    const wrong = await newer('DELETE', `/networks/${uuid}`, token, { namespace: 'demo' });
    assert.equal(wrong.status, 404, 'and so is a uuid');

    const instance = await newer('POST', '/instances', token, {
      configdrive: 'openstack-disk',
      cpus: 1,
      disk: [{ base: 'cirros', bus: null, size: 8, type: 'disk' }],
      memory: 1024,
      metadata: { tags: 'a' },
      name: 'new-inst',
      namespace: null,
      network: [
        {
          network_uuid: 'newnet',
          address: 'none',
          macaddress: '02:00:00:11:22:33',
          model: 'virtio',
          float: false,
        },
      ],
      nvram_template: null,
      placed_on: 'sf-3',
      secure_boot: false,
      side_channels: ['sf-agent'],
      ssh_key: null,
      uefi: false,
      user_data: null,
      video: { memory: 16384, model: 'cirrus', vdi: 'spice' },
    });
    assert.equal(instance.status, 200, instance.text);
    assert.deepEqual(instance.json.side_channels, ['sf-agent']);
    assert.deepEqual(instance.json.metadata, { tags: 'a' });
    assert.deepEqual(
      [instance.json.interfaces[0].ipv4, instance.json.interfaces[0].macaddr],
      [null, '02:00:00:11:22:33'],
    );
    const inst = instance.json.uuid as string;
    const events = await newer('GET', `/instances/${inst}/events`, token, { event_type: null, limit: 100 });
    assert.equal(events.status, 200);
    assert.ok(
      events.json.every(
        (event: { message: unknown; extra: unknown }) => typeof event.message === 'string' && event.extra,
      ),
    );
    assert.equal(
      (
        await newer('PUT', `/interfaces/${instance.json.interfaces[0].uuid}/metadata/k`, token, {
          value: 'v',
        })
      ).text,
      'null',
    );
    const addresses = (await newer('GET', '/networks/newnet/addresses', token)).json as {
      address: string;
      user: string[];
    }[];
    assert.ok(addresses.find((entry) => entry.address === '192.168.1.1'));
    const gone = await newer('DELETE', `/instances/${inst}`, token, { namespace: 'system' });
    assert.equal(gone.json.uuid, inst, 'the client polls by this uuid');
    const all = await newer('DELETE', '/networks', token, {
      clean_wait: false,
      confirm: true,
      namespace: 'system',
    });
    assert.ok(Array.isArray(all.json), all.text);
  });

  it('a client with an expired token gets 401, authenticates once, and repeats the call', async () => {
    const past = Math.floor(Date.now() / 1000) - 1000;
    const stale = forge({ sub: 'system', iss: 'fistpath', iat: past, exp: past + 900 });
    const refused = await old('GET', '/nodes', stale);
    assert.deepEqual([refused.status, refused.json.status], [401, 401]);
    const { json } = await old('POST', '/auth', undefined, { namespace: 'system', key: KEY });
    const token = json.access_token as string;
    assert.equal((await old('GET', '/nodes', token)).status, 200);
  });

  it('a wrong key is 401, and does not say which part was wrong', async () => {
    const key = await old('POST', '/auth', undefined, { namespace: 'system', key: 'hunter2' });
    const namespace = await old('POST', '/auth', undefined, { namespace: 'no-such-namespace', key: KEY });
    assert.deepEqual([key.status, namespace.status], [401, 401]);
    assert.equal(key.text.replace('system', 'X'), namespace.text.replace('no-such-namespace', 'X'));
    assert.equal(key.text.includes('hunter2'), false);
  });
});
