import { fistpath } from '#proto';
import type { RecordOf } from './codec.ts';

const TYPES = {
  network: fistpath.Network,
  instance: fistpath.Instance,
  interface: fistpath.Interface,
  node: fistpath.Node,
  namespace: fistpath.Namespace,
};

/** A record's next version: records are never changed in place. */
export function revise<T extends keyof typeof TYPES>(
  table: T,
  record: RecordOf[T],
  changes: Partial<RecordOf[T]>,
): RecordOf[T] {
  const create = TYPES[table].create as (fields: object) => RecordOf[T];
  // Fields at their default are not the object's own: the type's prototype has them.
  return create(Object.assign({}, record, changes, { version: record.version + 1 }));
}
