/**
 * Where each record lives in the store. Claims (vxid, mac) hold the uuid of the owner as text: creating one with
 * "the key does not exist" is what makes a number unique.
 */
export const RECORDS = '/fistpath/1/records/';
const EVENTS = '/fistpath/1/events/';
/** The cluster's uuid, as text. */
export const CLUSTER = '/fistpath/1/cluster';
/** uuid and name of the floating network: the pool of outside addresses, vxid 0. */
export const FLOATING = 'floating';

export const TABLES = [
  'network',
  'instance',
  'interface',
  'node',
  'namespace',
  'vxid',
  'mac',
  'address',
] as const;
export type TableName = (typeof TABLES)[number];

/** Key of a record; `id` is a uuid or a name without '/'. */
export function recordKey(table: TableName, id: string): string {
  return `${RECORDS}${table}/${id}`;
}

/** Id of a network's address in table `address`; sorts by address. */
export function addressId(network: string, address: number): string {
  return `${network}/${address.toString(16).padStart(8, '0')}`;
}

export function vxidId(vxid: number): string {
  return vxid.toString(16).padStart(6, '0');
}

/** Undefined: not a key of a table that this release knows. */
export function parseRecordKey(key: string): { table: TableName; id: string } | undefined {
  if (!key.startsWith(RECORDS)) return undefined;
  const slash = key.indexOf('/', RECORDS.length);
  const table = key.slice(RECORDS.length, slash) as TableName;
  return slash > 0 && TABLES.includes(table) ? { table, id: key.slice(slash + 1) } : undefined;
}

/** Prefix of one object's events. */
export function eventPrefix(objectType: string, objectUuid: string): string {
  return `${EVENTS}${objectType}/${objectUuid}/`;
}

/** Events of one object sort by sequence. */
export function eventKey(objectType: string, objectUuid: string, sequence: number): string {
  return eventPrefix(objectType, objectUuid) + sequence.toString().padStart(12, '0');
}

export function eventSequence(key: string): number {
  return Number(key.slice(key.lastIndexOf('/') + 1));
}
