import assert from 'node:assert/strict';
import { BpfObject, type Btf, type BtfType } from '#addon';
import { compile } from './support.ts';

function named(btf: Btf, kind: string, name: string): BtfType {
  const type = btf.find((candidate) => candidate.kind === kind && candidate.name === name);
  assert.ok(type, `${kind} ${name}`);
  return type;
}

describe('addon: BTF', () => {
  const object = new BpfObject(compile('basic'));
  before(() => object.load());
  after(() => object.close());

  it('begins with void, and each type has its own index as id', () => {
    const btf = object.btf();
    assert.deepEqual(btf[0], { id: 0, kind: 'void', name: 'void', size: 0 });
    btf.forEach((type, id) => {
      assert.equal(type.id, id);
    });
  });

  it('describes the key and value of a live map, network order and bit fields included', () => {
    const map = object.map('rows');
    const btf = map.btf();
    assert.ok(btf);
    const key = btf[map.info.btfKeyTypeId]!;
    assert.deepEqual([key.kind, key.name, key.size], ['struct', 'key', 8]);
    const address = key.members!.find((member) => member.name === 'address')!;
    assert.equal(address.bitOffset, 32);
    assert.equal(btf[address.type]!.name, '__be32');

    const value = btf[map.info.btfValueTypeId]!;
    assert.deepEqual(
      value.members!.map((member) => [member.name, member.bitOffset, member.bitSize]),
      [
        ['mac', 0, 0],
        ['small', 48, 4],
        ['large', 52, 12],
        ['colour', 64, 0],
      ],
    );
    const mac = btf[value.members![0]!.type]!;
    assert.deepEqual([mac.kind, mac.length], ['array', 6]);
    assert.equal(btf[mac.type!]!.name, '__u8');
  });

  it('knows enums, integers and constants of the object', () => {
    const btf = object.btf();
    const colour = named(btf, 'enum', 'colour');
    assert.equal(colour.size, 4);
    assert.deepEqual(colour.values!.slice(0, 2), [
      { name: 'RED', value: 1 },
      { name: 'GREEN', value: 2 },
    ]);
    const blue = colour.values![2]!;
    assert.equal(blue.value, colour.signed ? -3 : 2 ** 32 - 3);
    assert.equal(named(btf, 'int', 'int').signed, true);
    assert.equal(named(btf, 'int', 'unsigned int').signed, false);
    const constants = named(btf, 'datasec', '.rodata').members!;
    assert.deepEqual(constants.map((member) => member.name).sort(), ['octets', 'verdict', 'wide']);
  });

  it('is undefined for a map without BTF', () => {
    const plain = new BpfObject(compile('layout'));
    plain.load();
    assert.equal(plain.map('rows').info.btfId, 0);
    assert.equal(plain.map('rows').btf(), undefined);
  });
});
