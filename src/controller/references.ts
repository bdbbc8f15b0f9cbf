import { fistpath } from '#proto';
import type { RecordOf } from '../records/codec.ts';
import { RequestError } from '../records/errors.ts';
import type { Context } from './context.ts';
import type { Caller } from './operations.ts';

export const ADMIN = 'system';

export function isAdmin(caller: Caller): boolean {
  return caller.namespace === ADMIN;
}

export function mustBeAdmin(caller: Caller, what: string): void {
  if (!isAdmin(caller)) throw new RequestError('unauthorized', `only namespace ${ADMIN} may ${what}`);
}

/** Whether the caller may see and act in a namespace: its own, one that trusts it, or any for the admin. */
export function mayActIn(context: Context, caller: Caller, namespace: string): boolean {
  if (isAdmin(caller) || caller.namespace === namespace) return true;
  return context.cache.get('namespace', namespace)?.trust.includes(caller.namespace) ?? false;
}

/** The namespace of a new object; RequestError unless the caller may create there and it exists. */
export function namespaceFor(context: Context, caller: Caller, asked: string | null | undefined): string {
  const namespace = asked ?? caller.namespace;
  if (namespace !== caller.namespace) mustBeAdmin(caller, 'create in another namespace');
  const record = context.cache.get('namespace', namespace);
  if (!record || record.state === fistpath.State.DELETED) {
    throw new RequestError('not-found', `namespace ${JSON.stringify(namespace)} is not there`);
  }
  return namespace;
}

/**
 * The network or instance that a uuid, or a name that is unique in the caller's namespace, means. A deleted one is
 * found by uuid, and by a name that nothing else has or had: clients poll after a delete by the name they know.
 * RequestError 'not-found' (also for what the caller may not see), 'malformed' when ambiguous.
 */
export function find<T extends 'network' | 'instance'>(
  context: Context,
  caller: Caller,
  table: T,
  reference: string,
): RecordOf[T] {
  const byUuid = context.cache.get(table, reference);
  if (byUuid && mayActIn(context, caller, byUuid.namespace)) return byUuid;
  const named = context.cache.named(table, caller.namespace, reference);
  const live = named.filter(({ state }) => state !== fistpath.State.DELETED);
  if (live.length > 1) {
    const uuids = live.map(({ uuid }) => uuid).join(', ');
    throw new RequestError(
      'malformed',
      `${table} ${JSON.stringify(reference)} may be any of ${uuids}: give the uuid`,
    );
  }
  const found = live[0] ?? (named.length === 1 ? named[0] : undefined);
  if (found) return found;
  throw new RequestError('not-found', `${table} ${JSON.stringify(reference)} is not there`);
}

export function findInterface(context: Context, caller: Caller, uuid: string): RecordOf['interface'] {
  const found = context.cache.get('interface', uuid);
  const instance = found && context.cache.get('instance', found.instance);
  if (found && instance && mayActIn(context, caller, instance.namespace)) return found;
  throw new RequestError('not-found', `interface ${JSON.stringify(uuid)} is not there`);
}

export function findNode(context: Context, name: string): RecordOf['node'] {
  const node = context.cache.get('node', name);
  if (!node) throw new RequestError('not-found', `node ${JSON.stringify(name)} is not there`);
  return node;
}
