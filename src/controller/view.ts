import type { fistpath } from '#proto';
import type { RecordOf } from '../records/codec.ts';
import { FLOATING } from '../records/keys.ts';
import { isLive } from '../records/states.ts';
import type { Cache, Change } from './cache.ts';
import type { Context } from './context.ts';
import { chooseRouter, desiredNetwork, type Placed } from './desired.ts';

/** One network as it should be on each of its members, from the cached records. Empty: on no node. */
export function viewNetwork(
  { cache, dnsDomain }: Pick<Context, 'cache' | 'dnsDomain'>,
  uuid: string,
  router = findRouter(cache),
): Map<string, fistpath.NodeNetwork> {
  const network = cache.get('network', uuid);
  if (!network || !isLive(network)) return new Map();
  const placed: Placed[] = [];
  for (const record of cache.interfacesOf(uuid)) {
    if (!isLive(record)) continue;
    const instance = cache.get('instance', record.instance);
    const node = cache.get('node', instance?.node ?? '');
    if (instance && node) placed.push({ interface: record, node, name: instance.name });
  }
  const floating = cache.get('network', FLOATING);
  return desiredNetwork({ network, placed, router, floating, dnsDomain });
}

export function findRouter(cache: Cache): fistpath.Node | undefined {
  return chooseRouter(cache.all('node'));
}

/** Networks that a node is a member of, or may be: those that have to be looked at when all of it is wanted. */
export function networksOf(cache: Cache, node: string): Set<string> {
  const networks = new Set<string>();
  if (findRouter(cache)?.name === node) {
    for (const { uuid } of cache.all('network')) networks.add(uuid);
    return networks;
  }
  for (const instance of cache.instancesOn(node)) {
    if (!isLive(instance)) continue;
    for (const uuid of instance.interfaces) networks.add(cache.get('interface', uuid)!.network);
  }
  return networks;
}

/** Networks whose desired state a change of records may alter. */
export function networksTouchedBy(cache: Cache, changes: readonly Change[]): Set<string> {
  const touched = new Set<string>();
  for (const { table, id, before, after } of changes) {
    if (table === 'network') touched.add(id);
    if (table === 'interface') {
      for (const record of [before, after]) if (record) touched.add(record.network);
    }
    if (table === 'instance' && before && before.node !== after?.node) {
      for (const uuid of before.interfaces) {
        const network = cache.get('interface', uuid)?.network;
        if (network) touched.add(network);
      }
    }
    if (table === 'node' && differsOnTheWire(before, after)) {
      if (before?.networkNode || after?.networkNode)
        for (const { uuid } of cache.all('network')) touched.add(uuid);
      else for (const network of networksOf(cache, id)) touched.add(network);
    }
  }
  return touched;
}

function differsOnTheWire(
  before: RecordOf['node'] | undefined,
  after: RecordOf['node'] | undefined,
): boolean {
  return before?.address !== after?.address || before?.networkNode !== after?.networkNode;
}
