/**
 * Reads and writes map keys and values by the types that the live map carries, so that what is shown is
 * what the kernel holds, whichever version of this program wrote it. For people and inspection; the
 * datapath itself uses the generated abi.ts.
 *
 * Conventions, all visible in BTF: `__be16` is a number in network order, `__be32` an IPv4 address in
 * network order (the ABI has no other use for it), six bytes named `mac` or `…_mac` are a MAC address,
 * members named `pad` are left out.
 */
import { endianness } from 'node:os';
import type { Btf, BtfMember, BtfType } from '#addon';

/** A decoded value: plain JSON. Integers beyond 2^53-1 are decimal text. */
export type BtfValue = number | string | boolean | BtfValue[] | { [member: string]: BtfValue };

const HOST_IS_LITTLE = endianness() === 'LE';

type Form =
  | { kind: 'integer' | 'boolean' | 'address'; size: number; signed: boolean; little: boolean }
  | { kind: 'enum'; size: number; signed: boolean; little: boolean; names: { name: string; value: number }[] }
  | { kind: 'mac' }
  | { kind: 'array'; element: number; elementSize: number; length: number }
  | { kind: 'struct'; type: BtfType };

function typeAt(btf: Btf, id: number): BtfType {
  const type = btf[id];
  if (type === undefined) throw new Error(`BTF has no type ${id}; it has ${btf.length}`);
  return type;
}

/** Follows typedefs and qualifiers, and says whether one of them meant network byte order. */
function resolve(btf: Btf, id: number): { type: BtfType; networkOrder: boolean } {
  let type = typeAt(btf, id);
  let networkOrder = false;
  while (['typedef', 'const', 'volatile', 'restrict', 'type_tag'].includes(type.kind)) {
    networkOrder ||= /^__be(16|32|64)$/.test(type.name);
    type = typeAt(btf, type.type ?? 0);
  }
  return { type, networkOrder };
}

/** Bytes of a value of this type. */
export function sizeOf(btf: Btf, id: number): number {
  const { type } = resolve(btf, id);
  return type.kind === 'array' ? (type.length ?? 0) * sizeOf(btf, type.type ?? 0) : type.size;
}

/** The type's name as C writes it: `struct fdb_key`, `__u32`. */
export function typeName(btf: Btf, id: number): string {
  const type = typeAt(btf, id);
  if (type.kind === 'array') return `${typeName(btf, type.type ?? 0)}[${type.length}]`;
  return ['struct', 'union', 'enum'].includes(type.kind) ? `${type.kind} ${type.name}` : type.name;
}

/** A struct's members without padding; undefined for any other type. */
export function membersOf(btf: Btf, id: number): BtfMember[] | undefined {
  const { type } = resolve(btf, id);
  return type.kind === 'struct' ? (type.members ?? []).filter((member) => member.name !== 'pad') : undefined;
}

function formOf(btf: Btf, id: number, member: string): Form {
  const { type, networkOrder } = resolve(btf, id);
  const little = HOST_IS_LITTLE && !networkOrder;
  const signed = type.signed ?? false;
  if (type.kind === 'int' && [1, 2, 4, 8].includes(type.size)) {
    if (type.name === '_Bool') return { kind: 'boolean', size: type.size, signed, little };
    const address = networkOrder && type.size === 4;
    return { kind: address ? 'address' : 'integer', size: type.size, signed, little };
  }
  if (type.kind === 'enum' || type.kind === 'enum64') {
    return { kind: 'enum', size: type.size, signed, little, names: type.values ?? [] };
  }
  if (type.kind === 'array') {
    const element = type.type ?? 0;
    const elementSize = sizeOf(btf, element);
    if (type.length === 6 && elementSize === 1 && /(^|_)mac$/.test(member)) return { kind: 'mac' };
    return { kind: 'array', element, elementSize, length: type.length ?? 0 };
  }
  if (type.kind === 'struct' || type.kind === 'union') return { kind: 'struct', type };
  throw new Error(`${member || 'a value'} is a ${type.kind} of ${type.size} bytes, which has no plain form`);
}

function readInteger(view: DataView, at: number, size: number, signed: boolean, little: boolean): bigint {
  let value = 0n;
  for (let i = 0; i < size; i++) {
    value = (value << 8n) | BigInt(view.getUint8(at + (little ? size - 1 - i : i)));
  }
  return signed ? BigInt.asIntN(size * 8, value) : value;
}

function writeInteger(view: DataView, at: number, size: number, little: boolean, value: bigint): void {
  for (let i = 0; i < size; i++) {
    view.setUint8(at + (little ? i : size - 1 - i), Number((value >> BigInt(8 * i)) & 0xffn));
  }
}

function plainNumber(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

function readBits(view: DataView, at: number, member: BtfMember): number | string {
  const first = Math.floor(member.bitOffset / 8);
  const shift = member.bitOffset % 8;
  const bytes = Math.ceil((shift + member.bitSize) / 8);
  const raw = readInteger(view, at + first, bytes, false, HOST_IS_LITTLE);
  const low = HOST_IS_LITTLE ? shift : bytes * 8 - shift - member.bitSize;
  return plainNumber((raw >> BigInt(low)) & ((1n << BigInt(member.bitSize)) - 1n));
}

function decodeAt(btf: Btf, id: number, name: string, view: DataView, at: number): BtfValue {
  const form = formOf(btf, id, name);
  switch (form.kind) {
    case 'integer':
      return plainNumber(readInteger(view, at, form.size, form.signed, form.little));
    case 'boolean':
      return readInteger(view, at, form.size, false, form.little) !== 0n;
    case 'address':
      return [0, 1, 2, 3].map((i) => view.getUint8(at + i)).join('.');
    case 'enum': {
      const value = Number(readInteger(view, at, form.size, form.signed, form.little));
      return form.names.find((known) => known.value === value)?.name ?? value;
    }
    case 'mac':
      return [0, 1, 2, 3, 4, 5]
        .map((i) =>
          view
            .getUint8(at + i)
            .toString(16)
            .padStart(2, '0'),
        )
        .join(':');
    case 'array':
      return Array.from({ length: form.length }, (_, i) =>
        decodeAt(btf, form.element, '', view, at + i * form.elementSize),
      );
    case 'struct': {
      const members = (form.type.members ?? []).filter((member) => member.name !== 'pad');
      return Object.fromEntries(
        members.map((member) => [
          member.name,
          member.bitSize > 0
            ? readBits(view, at, member)
            : decodeAt(btf, member.type, member.name, view, at + member.bitOffset / 8),
        ]),
      );
    }
  }
}

function viewOf(btf: Btf, id: number, bytes: Uint8Array): DataView {
  const size = sizeOf(btf, id);
  if (bytes.length < size) {
    throw new RangeError(`${typeName(btf, id)} has ${size} bytes, only ${bytes.length} are there`);
  }
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes in the kernel's layout → plain JSON. Longer bytes are accepted (per-CPU values are padded). */
export function decode(btf: Btf, id: number, bytes: Uint8Array): BtfValue {
  return decodeAt(btf, id, '', viewOf(btf, id, bytes), 0);
}

function parseBytes(text: string, pattern: RegExp, radix: number, limit: number): number[] | undefined {
  const bytes = pattern.test(text)
    ? text.split(/[:.]/).map((part) => Number.parseInt(part, radix))
    : undefined;
  return bytes?.every((byte) => byte <= limit) ? bytes : undefined;
}

/** Six bytes of `02:00:00:aa:bb:cc`, or undefined. */
export function parseMac(text: string): number[] | undefined {
  return parseBytes(text, /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i, 16, 255);
}

function parseAddress(text: string): number[] | undefined {
  return parseBytes(text, /^(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}$/, 10, 255);
}

function encodeAt(btf: Btf, id: number, name: string, view: DataView, at: number, given: BtfValue): void {
  const form = formOf(btf, id, name);
  const refusal = (expected: string) =>
    new RangeError(`${name || 'the value'}: ${JSON.stringify(given)} is no ${expected}`);
  const text = typeof given === 'object' ? '' : String(given);
  const setBytes = (bytes: number[] | undefined, expected: string) => {
    if (bytes === undefined) throw refusal(expected);
    for (const [i, byte] of bytes.entries()) view.setUint8(at + i, byte);
  };
  switch (form.kind) {
    case 'integer':
    case 'enum': {
      const named =
        form.kind === 'enum' ? form.names.find((known) => known.name === given)?.value : undefined;
      const bits = form.size * 8;
      if (named === undefined && !/^-?(0x[0-9a-f]+|[0-9]+)$/i.test(text)) throw refusal('number');
      const value =
        named !== undefined ? BigInt(named) : text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
      const fits = form.signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
      if (fits !== value) throw refusal(`number of ${bits} bits`);
      writeInteger(view, at, form.size, form.little, value);
      return;
    }
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw refusal('boolean');
      writeInteger(view, at, form.size, form.little, text === 'true' ? 1n : 0n);
      return;
    case 'address':
      setBytes(parseAddress(text), 'IPv4 address');
      return;
    case 'mac':
      setBytes(parseMac(text), 'MAC address');
      return;
    case 'array':
      if (!Array.isArray(given) || given.length !== form.length) throw refusal(`list of ${form.length}`);
      for (const [i, element] of given.entries()) {
        encodeAt(btf, form.element, '', view, at + i * form.elementSize, element);
      }
      return;
    case 'struct': {
      if (typeof given !== 'object' || Array.isArray(given)) throw refusal('set of members');
      const members = (form.type.members ?? []).filter((member) => member.name !== 'pad');
      const names = members.map((member) => member.name);
      const unknown = Object.keys(given).find((key) => !names.includes(key));
      if (unknown !== undefined)
        throw new RangeError(`struct ${form.type.name} has no ${unknown}, it has ${names.join(', ')}`);
      for (const member of members) {
        const value = given[member.name];
        if (value === undefined)
          throw new RangeError(
            `struct ${form.type.name} needs ${names.join(', ')}: ${member.name} is missing`,
          );
        if (member.bitSize > 0) throw new RangeError(`${member.name} is a bit field, which can't be written`);
        encodeAt(btf, member.type, member.name, view, at + member.bitOffset / 8, value);
      }
    }
  }
}

/**
 * The opposite of decode(): plain JSON → bytes in the kernel's layout, padding zero. Numbers may be given as
 * text. Throws a RangeError that names the member and what it should be.
 */
export function encode(btf: Btf, id: number, value: BtfValue): Uint8Array {
  const bytes = new Uint8Array(sizeOf(btf, id));
  encodeAt(btf, id, '', new DataView(bytes.buffer), 0, value);
  return bytes;
}
