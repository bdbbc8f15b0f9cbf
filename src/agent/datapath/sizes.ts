/** How many entries each map has room for, and by which field of the configuration an operator changes that. */

/** Maps that grow with what another one is sized for. */
const SIZED_BY: Record<string, string> = {
  port_counters: 'ports',
  tunnels: 'networks',
  routers: 'networks',
  gateways: 'networks',
  usage: 'accounts',
};

/** What bpf/maps.h says, too: there is no telling whether a pinned map has the object's own size. */
const DEFAULTS: Record<string, number> = { flows: 262_144, accounts: 65_536 };

/**
 * Caches and counters that only a network node fills. Another capacity makes them anew instead of refusing what is
 * pinned, so that a node can take over or hand over the network node's work.
 */
export const REPLACEABLE = ['flows', 'usage'];

/** Field below map_sizes. */
export function sizeField(map: string): string {
  return SIZED_BY[map] ?? map;
}

/**
 * max_entries of a map, or undefined: as the program's object says.
 * @param sizes map_sizes of the configuration
 * @param networkNode memory for the caches of NAT is only taken there: an LRU's is taken at once
 */
export function capacityOf(
  map: string,
  sizes: Record<string, number>,
  networkNode: boolean,
): number | undefined {
  if (REPLACEABLE.includes(map) && !networkNode) return 1;
  const field = sizeField(map);
  const size = sizes[field] ?? DEFAULTS[field];
  // A router has a MAC on either side, and the egress bridge has one.
  return map === 'gateways' && size !== undefined ? 2 * size + 1 : size;
}
