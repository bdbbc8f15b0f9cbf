import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { fistpath } from '#proto';
import { dnsmasqFiles } from '../../src/agent/services/dnsmasq-files.ts';

const PLACE = { directory: '/var/lib/fistpath/dnsmasq/x', servers: ['8.8.8.8', '9.9.9.9'] };
const UUID = '00000000-0000-4000-8000-00000000d001';
const MAC = Uint8Array.of(2, 0, 0, 0xe0, 0xb7, 0x9e);

function network(
  router: Partial<fistpath.IRouter> = {},
  fields: Partial<fistpath.INodeNetwork> = {},
): fistpath.INodeNetwork {
  return {
    ...{ uuid: UUID, name: 'n', vni: 0x2a, netblock: '192.168.16.0/20', mtu: 1450 },
    router: {
      ...{ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), address: '192.168.16.1', dhcp: true, dns: true },
      nat: { gateway: '10.10.0.9', pool: '10.10.0.0/24', nextHop: '10.10.0.1' },
      domain: 'banana.internal',
      leases: [{ interface: UUID, mac: MAC, ipv4: '192.168.17.4', name: 'web' }],
      ...router,
    },
    ...fields,
  };
}

const lines = (text: string) => text.trimEnd().split('\n');
const files = (...fields: Parameters<typeof network>) => dnsmasqFiles(network(...fields), PLACE);
const refused = (pattern: RegExp, ...fields: Parameters<typeof network>) =>
  assert.throws(() => files(...fields), pattern);

describe("dnsmasq's files", () => {
  it('says all of a network with both services', () => {
    const { configuration, hosts, names } = files({
      dnsEntries: [
        { name: 'db', value: '192.168.17.9' },
        { name: 'www.example.com.', value: '198.51.100.7' },
      ],
    });
    assert.equal(hosts, '02:00:00:e0:b7:9e,192.168.17.4,web.banana.internal\n');
    assert.deepEqual(lines(names), [
      '192.168.17.4 web.banana.internal web',
      '192.168.17.9 db.banana.internal',
      '198.51.100.7 www.example.com',
    ]);
    const all = lines(configuration);
    for (const line of [
      'interface=veth-2a-i',
      'user=dnsmasq',
      'server=8.8.8.8',
      'server=9.9.9.9',
      'local=/banana.internal/',
      'dhcp-range=192.168.16.0,static,255.255.240.0,1h',
      'dhcp-option=option:router,192.168.16.1',
      'dhcp-option=option:dns-server,192.168.16.1',
      'dhcp-option-force=option:mtu,1450',
      'domain=banana.internal',
    ])
      assert.ok(all.includes(line), `${line} in\n${configuration}`);
  });

  it('leaves out what is not wanted', () => {
    const dhcp = files({ dns: false });
    assert.match(dhcp.configuration, /^port=0$/m);
    assert.match(dhcp.configuration, /^dhcp-option=option:dns-server,8.8.8.8,9.9.9.9$/m);
    assert.doesNotMatch(dhcp.configuration, /^(server|addn-hosts|local)=/m);
    const dns = files({ dhcp: false });
    assert.doesNotMatch(dns.configuration, /^(dhcp|port)/m);
    const isolated = files({ nat: null });
    assert.doesNotMatch(isolated.configuration, /^server=/m, 'no way to any name server');
  });

  it('is the same text for the same record', () => {
    assert.deepEqual(files(), files());
  });

  it('keeps names from being words of dnsmasq', () => {
    for (const name of ['ignore', 'infinite', '12h', '5']) {
      const leases = [{ interface: UUID, mac: MAC, ipv4: '192.168.17.4', name }];
      assert.match(files({ leases }).hosts, new RegExp(`,${name}\\.banana\\.internal\n$`));
      assert.equal(files({ leases, domain: '' }).hosts, '02:00:00:e0:b7:9e,192.168.17.4\n');
    }
  });

  it('refuses what can not be right, and says what', () => {
    const lease = (change: fistpath.ILease) => ({
      leases: [{ interface: UUID, mac: MAC, ipv4: '192.168.17.4', name: 'web', ...change }],
    });
    refused(/name "a\\nuser=root" of 192.168.17.4 is no host name/, lease({ name: 'a\nuser=root' }));
    refused(/no host name/, lease({ name: 'a,ignore' }));
    refused(/no host name/, lease({ name: '-a' }));
    refused(/not IPv4/, lease({ ipv4: '192.168.17.4,set:x' }));
    refused(/192.168.32.4 is not in netblock/, lease({ ipv4: '192.168.32.4' }));
    refused(/192.168.16.0 is not in netblock/, lease({ ipv4: '192.168.16.0' }));
    refused(/no station's/, lease({ mac: MAC.subarray(1) }));
    refused(/two leases have 192.168.17.4/, {
      leases: [...lease({}).leases, { ...lease({}).leases[0]!, mac: Uint8Array.of(2, 0, 0, 0, 0, 9) }],
    });
    refused(/domain "a\\nb" is no domain name/, { domain: 'a\nb' });
    refused(/router address/, { address: '192.168.16.1/20' });
    refused(/DNS entry "a b" is no host name/, { dnsEntries: [{ name: 'a b', value: '1.2.3.4' }] });
    refused(/DNS entry "\." is no host name/, { dnsEntries: [{ name: '.', value: '1.2.3.4' }] });
    refused(/value "1.2.3.4 x" of DNS entry a/, { dnsEntries: [{ name: 'a', value: '1.2.3.4 x' }] });
    refused(/relative, but there is no domain/, {
      domain: '',
      dnsEntries: [{ name: 'a', value: '1.2.3.4' }],
    });
    refused(/MTU 67 is out of range/, {}, { mtu: 67 });
    refused(/uuid/, {}, { uuid: '../x' });
    assert.throws(
      () => dnsmasqFiles(network(), { ...PLACE, servers: ['::1'] }),
      /dns_servers .* is not IPv4/,
    );
    assert.throws(
      () => dnsmasqFiles(network(), { ...PLACE, directory: '/a b' }),
      /choose a plain state_directory/,
    );
  });

  it('lets no text of a record begin a line of its own', () => {
    const known = new Set(
      lines(files({ leases: [], domain: '' }).configuration).map((line) => line.split('=')[0]),
    );
    known.add('domain').add('local');
    const text = fc.oneof(
      fc.string(),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('a\nb=c', 'a\r', 'x#', '"', '\\'),
    );
    const field = fc.constantFrom('name', 'domain', 'entry', 'value');
    fc.assert(
      fc.property(field, text, (which, hostile) => {
        const given = { name: 'web', domain: 'a.b', entry: 'db', value: '1.2.3.4', [which]: hostile };
        const leases = [{ interface: UUID, mac: MAC, ipv4: '192.168.17.4', name: given.name }];
        const dnsEntries = [{ name: given.entry, value: given.value }];
        let made: ReturnType<typeof files>;
        try {
          made = files({ domain: given.domain, leases, dnsEntries });
        } catch {
          return; // refused whole
        }
        for (const line of lines(made.configuration)) assert.ok(known.has(line.split('=')[0]!), line);
        assert.match(made.hosts, /^[0-9a-f:]{17},[0-9.]+(,[\w.-]+)?\n$/);
        assert.match(made.names, /^([0-9.]+( [\w.-]+){1,2}\n)*$/);
      }),
      { numRuns: 2000 },
    );
  });
});
