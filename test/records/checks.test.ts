import assert from 'node:assert/strict';
import fc from 'fast-check';
import { fistpath } from '#proto';
import { checkEntryName, domainOf, isHostName, isLabel } from '../../src/records/hostname.ts';
import { formatMac, parseMac } from '../../src/records/mac.ts';
import {
  formatAddress,
  overlaps,
  parseAddress,
  parseBlock,
  parseNetblock,
  parsePool,
} from '../../src/records/netblock.ts';
import { revise } from '../../src/records/revise.ts';
import { checkTransition, mayBecome, stateName } from '../../src/records/states.ts';
import { checkMetadataKey, checkName } from '../../src/records/text.ts';

const { INITIAL, CREATED, DELETE_WAIT, DELETED, ERROR } = fistpath.State;

const malformed = (message: RegExp) => ({ code: 'malformed', message });

describe('netblocks', () => {
  it('takes /8 to /29 of addresses that guests can have', () => {
    assert.deepEqual(parseNetblock('192.168.0.0/24'), { first: 0xc0a80000, last: 0xc0a800ff, prefix: 24 });
    assert.deepEqual(parseNetblock('10.0.0.0/8'), { first: 0x0a000000, last: 0x0affffff, prefix: 8 });
    assert.equal(parseNetblock('10.1.2.8/29').last - parseNetblock('10.1.2.8/29').first, 7);
  });

  for (const [text, why] of [
    ['192.168.0.0/30', /too small/],
    ['192.168.0.1/32', /too small/],
    ['11.0.0.0/7', /host bits/],
    ['8.0.0.0/7', /too big/],
    ['192.168.0.5/24', /host bits set: did you mean 192.168.0.0\/24/],
    ['192.168.0.0', /prefix length/],
    ['10.0.0.0/08', /prefix length/],
    ['010.0.0.0/24', /no IPv4 CIDR/],
    ['10.0.0/24', /no IPv4 CIDR/],
    ['10.0.0.0/33', /no IPv4 CIDR/],
    ['10.0.0.0/24/8', /no IPv4 CIDR/],
    ['fd00::/64', /no IPv4 CIDR/],
    ['', /no IPv4 CIDR/],
    [' 10.0.0.0/24', /no IPv4 CIDR/],
    ['0.0.0.0/8', /this network/],
    ['127.0.0.0/24', /loopback/],
    ['169.254.0.0/16', /link-local/],
    ['224.0.0.0/24', /multicast/],
    ['255.255.255.0/24', /reserved/],
  ] as const) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseNetblock(text), malformed(why)));
  }

  it('takes pools down to /30, of the same addresses', () => {
    assert.deepEqual(parsePool('10.10.0.4/30'), { first: 0x0a0a0004, last: 0x0a0a0007, prefix: 30 });
    assert.throws(() => parsePool('10.10.0.4/31'), malformed(/30 is the smallest pool/));
    assert.throws(() => parsePool('127.0.0.0/24'), malformed(/loopback/));
    assert.throws(() => parsePool('10.0.0.0/7'), malformed(/./));
  });

  it('reads every address as it writes it, and no other form of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (address) => {
        assert.equal(parseAddress(formatAddress(address)), address);
      }),
    );
    for (const text of ['10.0.0.01', '10.0.0', '0x0a.0.0.1', '10.0.0.1/24', '10.0.0.256', 'none', '']) {
      assert.throws(() => parseAddress(text), malformed(/no IPv4 address/), text);
    }
  });

  it('overlap is symmetric, and means a common address', () => {
    const block = fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 24, max: 29 }))
      .map(([last, prefix]) => {
        const first = last & (256 - 2 ** (32 - prefix)) & 255;
        return parseBlock(`10.0.0.${first}/${prefix}`);
      });
    fc.assert(
      fc.property(block, block, (a, b) => {
        const common = Array.from({ length: 256 }, (_, index) => 0x0a000000 + index).some(
          (address) => address >= a.first && address <= a.last && address >= b.first && address <= b.last,
        );
        assert.equal(overlaps(a, b), common);
        assert.equal(overlaps(b, a), common);
      }),
    );
  });
});

describe('MAC addresses', () => {
  it('reads unicast addresses of either case as six bytes', () => {
    assert.deepEqual([...parseMac('02:00:00:AA:bb:0c')], [2, 0, 0, 0xaa, 0xbb, 0x0c]);
    assert.equal(formatMac(parseMac('02:00:00:AA:bb:0c')), '02:00:00:aa:bb:0c');
  });

  for (const text of [
    '01:00:5e:00:00:01',
    'ff:ff:ff:ff:ff:ff',
    '00:00:00:00:00:00',
    '2:0:0:a:b:c',
    '02-00-00-aa-bb-cc',
    '02:00:00:aa:bb',
    '02:00:00:aa:bb:cc:dd',
    '02:00:00:aa:bb:gg',
    '',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseMac(text), { code: 'malformed' }));
  }
});

describe('names', () => {
  it('takes what can be printed on one line', () => {
    for (const name of ['demonet', 'a b', 'Zürich', '名前', 'x'.repeat(255)])
      assert.equal(checkName('name', name), name);
  });

  for (const name of [
    '',
    '  ',
    'a\nb',
    'a\0',
    'a\u001b[31m',
    'a\u0085',
    'a\u2028b',
    'a\u202eb',
    'a\ud800',
    'x'.repeat(256),
  ]) {
    it(`refuses ${JSON.stringify(name).slice(0, 40)}`, () => {
      assert.throws(() => checkName('network name', name), malformed(/^network name/));
    });
  }

  it('refuses metadata keys with a meaning in JavaScript', () => {
    assert.throws(() => checkMetadataKey('__proto__'), { code: 'malformed' });
    assert.equal(checkMetadataKey('constructor'), 'constructor');
  });
});

describe('host names', () => {
  it('are labels of RFC 1123, and nothing that means something to a configuration file', () => {
    for (const label of ['a', '0', 'A-b', 'x'.repeat(63)]) assert.ok(isLabel(label), label);
    const bad = [
      '',
      '-a',
      'a-',
      'a_b',
      'a b',
      'a.b',
      'a\n',
      'a,b',
      'a=b',
      '#a',
      'ä',
      '*',
      '__proto__',
      'x'.repeat(64),
    ];
    for (const label of bad) assert.ok(!isLabel(label), label);
    assert.ok(isHostName('a.b-c.d'));
    for (const name of ['', '.', 'a.', '.a', 'a..b', `${'x.'.repeat(126)}yz`])
      assert.ok(!isHostName(name), name);
  });

  it("are below the namespace's domain, or complete", () => {
    assert.equal(domainOf('Demo', 'internal'), 'demo.internal');
    assert.equal(domainOf('a tenant', 'internal'), 'internal');
    assert.equal(checkEntryName('WWW', 'demo.internal'), 'www');
    assert.equal(checkEntryName('db.Example.org.', 'demo.internal'), 'db.example.org.');
    for (const name of ['', '.', 'a_b', 'a b', 'a\naddress=/x/', 'a..', '*.a', 'x'.repeat(64)])
      assert.throws(() => checkEntryName(name, 'demo.internal'), malformed(/^DNS entry .* is no host name/));
    assert.throws(() => checkEntryName(`${'x.'.repeat(122)}y`, 'demo.internal'), malformed(/253/));
  });
});

describe('states', () => {
  it('allow the ways of an object, and nothing back from the dead', () => {
    const allowed = [
      [INITIAL, CREATED],
      [INITIAL, ERROR],
      [INITIAL, DELETE_WAIT],
      [CREATED, DELETE_WAIT],
      [CREATED, ERROR],
      [ERROR, CREATED],
      [ERROR, DELETE_WAIT],
      [DELETE_WAIT, DELETED],
    ];
    for (const from of [INITIAL, CREATED, ERROR, DELETE_WAIT, DELETED]) {
      for (const to of [INITIAL, CREATED, ERROR, DELETE_WAIT, DELETED]) {
        const expected = from === to || allowed.some(([a, b]) => a === from && b === to);
        assert.equal(mayBecome(from, to), expected, `${stateName(from)} → ${stateName(to)}`);
      }
    }
    assert.throws(() => checkTransition('network x', DELETED, CREATED), {
      code: 'conflict',
      message: "network x is deleted and can't become created",
    });
  });

  it('are written as clients know them', () => {
    assert.equal(stateName(DELETE_WAIT), 'delete-wait');
  });
});

describe('revise', () => {
  it('leaves the old version alone and keeps the fields at their default', () => {
    const before = fistpath.Network.create({ uuid: 'u', version: 3, metadata: { a: 'b' } });
    const after = revise('network', before, { state: CREATED });
    assert.equal(before.state, INITIAL);
    assert.deepEqual(
      [after.uuid, after.version, after.state, after.vxid, after.metadata],
      ['u', 4, CREATED, 0, { a: 'b' }],
    );
  });
});
