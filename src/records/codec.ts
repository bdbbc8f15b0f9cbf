import { fistpath } from '#proto';
import type { TableName } from './keys.ts';

/** What the records of each table decode to. */
export interface RecordOf {
  network: fistpath.Network;
  instance: fistpath.Instance;
  interface: fistpath.Interface;
  node: fistpath.Node;
  namespace: fistpath.Namespace;
  address: fistpath.Reservation;
  /** uuid of the owner. */
  vxid: string;
  mac: string;
}

type Codec<T> = { encode(record: T): Uint8Array; decode(bytes: Uint8Array): T };

interface Message<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

const message = <T>(type: Message<T>): Codec<T> => ({
  encode: (record) => type.encode(record).finish(),
  decode: (bytes) => type.decode(bytes),
});
const text: Codec<string> = {
  encode: (record) => Buffer.from(record),
  decode: (bytes) => Buffer.from(bytes).toString(),
};

const CODECS: { [T in TableName]: Codec<RecordOf[T]> } = {
  network: message<fistpath.Network>(fistpath.Network),
  instance: message<fistpath.Instance>(fistpath.Instance),
  interface: message<fistpath.Interface>(fistpath.Interface),
  node: message<fistpath.Node>(fistpath.Node),
  namespace: message<fistpath.Namespace>(fistpath.Namespace),
  address: message<fistpath.Reservation>(fistpath.Reservation),
  vxid: text,
  mac: text,
};

export function encodeRecord<T extends TableName>(table: T, record: RecordOf[T]): Uint8Array {
  return CODECS[table].encode(record);
}

/** Throws when the bytes are no such record. */
export function decodeRecord<T extends TableName>(table: T, bytes: Uint8Array): RecordOf[T] {
  return CODECS[table].decode(bytes);
}
