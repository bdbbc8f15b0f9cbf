import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Btf } from '#addon';
import { type BtfValue, decode, encode, membersOf, sizeOf, typeName } from '../../src/agent/datapath/btf.ts';

const int = (id: number, name: string, size: number, signed = false) => ({
  id,
  kind: 'int',
  name,
  size,
  signed,
});
const typedef = (id: number, name: string, type: number) => ({ id, kind: 'typedef', name, size: 0, type });
const member = (name: string, type: number, bitOffset: number, bitSize = 0) => ({
  name,
  type,
  bitOffset,
  bitSize,
});

/** The shape that libbpf gives: `__be32` is a typedef of `__u32`, which is a typedef of `unsigned int`. */
const BTF: Btf = [
  { id: 0, kind: 'void', name: 'void', size: 0 },
  int(1, 'unsigned char', 1),
  int(2, 'unsigned short', 2),
  int(3, 'unsigned int', 4),
  int(4, 'unsigned long long', 8),
  int(5, 'int', 4, true),
  int(6, '_Bool', 1),
  typedef(7, '__u32', 3),
  typedef(8, '__be32', 7),
  typedef(9, '__u16', 2),
  typedef(10, '__be16', 9),
  typedef(11, '__u8', 1),
  { id: 12, kind: 'array', name: '', size: 0, type: 11, length: 6 },
  {
    id: 13,
    kind: 'struct',
    name: 'fdb_key',
    size: 12,
    members: [member('vni', 7, 0), member('mac', 12, 32), member('pad', 9, 80)],
  },
  {
    id: 14,
    kind: 'enum',
    name: 'reason',
    size: 4,
    values: [
      { name: 'REASON_ARP', value: 5 },
      { name: 'REASON_TCP', value: 20 },
    ],
  },
  {
    id: 15,
    kind: 'struct',
    name: 'traffic',
    size: 16,
    members: [member('packets', 4, 0), member('bytes', 4, 64)],
  },
  { id: 16, kind: 'array', name: '', size: 0, type: 15, length: 2 },
  {
    id: 17,
    kind: 'struct',
    name: 'everything',
    size: 64,
    members: [
      member('source', 8, 0),
      member('ethertype', 10, 32),
      member('raw', 12, 48),
      member('why', 14, 96),
      member('delta', 5, 128),
      member('on', 6, 160),
      member('sent', 16, 192),
      member('src_mac', 12, 448),
    ],
  },
  {
    id: 18,
    kind: 'struct',
    name: 'bits',
    size: 4,
    members: [member('low', 3, 0, 3), member('mid', 3, 3, 10)],
  },
  { id: 19, kind: 'const', name: '', size: 0, type: 13 },
  { id: 20, kind: 'ptr', name: '', size: 8, type: 3 },
];

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'));

describe('BTF decoder', () => {
  it('reads host order, MAC text and leaves padding out', () => {
    assert.deepEqual(decode(BTF, 13, hex('02000000 020000aabbcc ffff')), {
      vni: 2,
      mac: '02:00:00:aa:bb:cc',
    });
    assert.deepEqual(decode(BTF, 19, hex('ffffff00 0200000000ff 0000')), {
      vni: 16777215,
      mac: '02:00:00:00:00:ff',
    });
  });

  it('reads network order, enums by name, signed numbers, booleans, arrays and nested structs', () => {
    const bytes = hex(
      '0a02010c 0800 010203040506 14000000 feffffff 01 000000' +
        '0100000000000000 ffffffffffffff7f 0300000000000000 0400000000000000 0200000000ff 0000',
    );
    assert.deepEqual(decode(BTF, 17, bytes), {
      source: '10.2.1.12',
      ethertype: 0x0800,
      raw: [1, 2, 3, 4, 5, 6],
      why: 'REASON_TCP',
      delta: -2,
      on: true,
      sent: [
        { packets: 1, bytes: '9223372036854775807' },
        { packets: 3, bytes: 4 },
      ],
      src_mac: '02:00:00:00:00:ff',
    });
  });

  it('reads scalars, unknown enum values and bit fields', () => {
    assert.equal(decode(BTF, 7, hex('39300000')), 12345);
    assert.equal(decode(BTF, 8, hex('c0a80001')), '192.168.0.1');
    assert.equal(decode(BTF, 10, hex('12b5')), 4789);
    assert.equal(decode(BTF, 14, hex('63000000')), 99);
    assert.deepEqual(decode(BTF, 18, hex('2d010000')), { low: 5, mid: 37 });
  });

  it('refuses what is too short and what has no plain form, by name', () => {
    assert.throws(() => decode(BTF, 13, hex('02000000')), /struct fdb_key has 12 bytes, only 4 are there/);
    assert.throws(() => decode(BTF, 20, hex('0000000000000000')), /ptr/);
    assert.throws(() => decode(BTF, 99, hex('00')), /BTF has no type 99/);
  });

  it('names types as C does and knows their sizes', () => {
    assert.equal(typeName(BTF, 13), 'struct fdb_key');
    assert.equal(typeName(BTF, 8), '__be32');
    assert.equal(sizeOf(BTF, 16), 32);
    assert.deepEqual(
      membersOf(BTF, 13)?.map((m) => m.name),
      ['vni', 'mac'],
    );
    assert.equal(membersOf(BTF, 7), undefined);
  });

  it('writes what it reads, for any key', () => {
    const key = fc.record({
      vni: fc.integer({ min: 0, max: 0xffffffff }),
      mac: fc.uint8Array({ minLength: 6, maxLength: 6 }),
    });
    fc.assert(
      fc.property(key, ({ vni, mac }) => {
        const value = { vni, mac: [...mac].map((byte) => byte.toString(16).padStart(2, '0')).join(':') };
        const bytes = encode(BTF, 13, value);
        assert.equal(bytes.length, 12);
        assert.deepEqual(decode(BTF, 13, bytes), value);
      }),
    );
    const address = fc.ipV4();
    fc.assert(fc.property(address, (text) => assert.equal(decode(BTF, 8, encode(BTF, 8, text)), text)));
    const bytes = fc.uint8Array({ minLength: 64, maxLength: 64 });
    fc.assert(
      fc.property(bytes, (given) => {
        const value = decode(BTF, 17, given) as { [name: string]: BtfValue };
        assert.deepEqual(decode(BTF, 17, encode(BTF, 17, value)), value);
      }),
    );
  });

  it('refuses a value that does not fit, naming the member', () => {
    const refused: [number, BtfValue, RegExp][] = [
      [13, { vni: '2' }, /struct fdb_key needs vni, mac: mac is missing/],
      [13, { vni: 2, mac: '02:00', x: 1 }, /struct fdb_key has no x, it has vni, mac/],
      [13, { vni: 2, mac: '02:00:00:aa:bb' }, /mac: "02:00:00:aa:bb" is no MAC address/],
      [13, { vni: 4294967296, mac: '02:00:00:aa:bb:cc' }, /vni: 4294967296 is no number of 32 bits/],
      [13, { vni: 'two', mac: '02:00:00:aa:bb:cc' }, /vni: "two" is no number/],
      [8, '10.0.0.256', /"10.0.0.256" is no IPv4 address/],
      [8, '010.0.0.1', /is no IPv4 address/],
      [16, [], /is no list of 2/],
    ];
    for (const [type, value, message] of refused) assert.throws(() => encode(BTF, type, value), message);
  });
});
