/**
 * One network's forwarding entries three times: wanted (from the records), in the kernel (bridge and tunnel
 * device) and in the fast path's maps. Pure: nothing here reads anything.
 *
 * A location is a device of this node, or another node's underlay address.
 */

export interface Wanted {
  /** MAC → location, and whose it is. */
  entries: Map<string, { location: string; who: string }>;
  /** Underlay addresses of the other members. */
  peers: Set<string>;
  /** The router's MAC. */
  router?: string;
}

export interface KernelEntries {
  entries: Map<string, string>;
  /** Destinations of the flood list. */
  peers: Set<string>;
}

export interface FastEntries {
  entries: Map<string, string>;
  /** Addresses that may send tunnel packets of this network. */
  peers: Set<string>;
  /** MACs that are marked as a router: what goes there may be a flow of NAT. */
  routers?: Set<string>;
}

export interface FdbRow {
  kind: 'mac' | 'peer';
  /** MAC, or the peer's underlay address. */
  key: string;
  who: string;
  wanted: string | null;
  kernel: string | null;
  fast: string | null;
  /** What differs, for people; null when all that was compared agrees. */
  difference: string | null;
}

export interface Sources {
  /** Undefined: not known, not compared. */
  wanted?: Wanted;
  kernel?: KernelEntries;
  fast?: FastEntries;
  /** False: the fast path's entries are shown, but not compared: it is switched off. */
  compareFast: boolean;
}

/** A bridge's line of `bridge -j fdb show`. */
export interface BridgeEntry {
  mac: string;
  ifname: string;
  flags?: string[];
  master?: string;
  dst?: string;
  state?: string;
}

const FLOOD = '00:00:00:00:00:00';

/**
 * Entries of one network in the kernel. A remote MAC needs two: one in the bridge that names the tunnel device,
 * one in the tunnel device that names the node. What the kernel learned by itself and the devices' own MACs
 * are not counted.
 */
export function kernelEntries(lines: BridgeEntry[], vxlan: string, bridge: string): KernelEntries {
  const tunnel = new Map<string, string>();
  const bridged = new Map<string, string>();
  const peers = new Set<string>();
  for (const line of lines) {
    if (line.ifname === vxlan && line.dst !== undefined && line.master === undefined) {
      if (line.mac === FLOOD) peers.add(line.dst);
      else if (line.state !== '') tunnel.set(line.mac, line.dst);
    } else if (line.master === bridge && line.state === 'static') {
      bridged.set(line.mac, line.ifname);
    }
  }
  const entries = new Map<string, string>();
  for (const mac of new Set([...tunnel.keys(), ...bridged.keys()])) {
    const [device, node] = [bridged.get(mac), tunnel.get(mac)];
    if (device === vxlan) entries.set(mac, node ?? `${vxlan}, without a node`);
    else if (device !== undefined)
      entries.set(mac, node === undefined ? device : `${device}, and tunnel to ${node}`);
    else entries.set(mac, `${node}, not in the bridge`);
  }
  return { entries, peers };
}

function difference(
  wanted: string | null,
  actual: [string, string | null][],
  knowsWanted: boolean,
): string | null {
  if (knowsWanted) {
    const wrong = actual.filter(([, location]) => location !== wanted);
    const told = wrong.map(([name, location]) => {
      if (location === null) return `${name}: missing`;
      return wanted === null ? `${name}: not wanted` : `${name}: ${location} instead of ${wanted}`;
    });
    return told.join('; ') || null;
  }
  const places = new Set(actual.map(([, location]) => location));
  if (places.size <= 1) return null;
  return actual.map(([name, location]) => `${name}: ${location ?? 'missing'}`).join('; ');
}

/** All rows, MACs first, in order. */
export function compareFdb(sources: Sources): FdbRow[] {
  const { wanted, kernel, fast } = sources;
  const row = (kind: 'mac' | 'peer', key: string, who: string, places: (string | null)[]): FdbRow => {
    const [want = null, inKernel = null, inFast = null] = places;
    const actual: [string, string | null][] = [];
    if (kernel !== undefined) actual.push(['kernel', inKernel]);
    if (fast !== undefined && sources.compareFast) actual.push(['fast path', inFast]);
    return {
      kind,
      key,
      who,
      wanted: want,
      kernel: inKernel,
      fast: inFast,
      difference: difference(want, actual, wanted !== undefined),
    };
  };
  const keys = (of: 'entries' | 'peers') =>
    [...new Set([wanted, kernel, fast].flatMap((source) => [...(source?.[of].keys() ?? [])]))].sort();
  const macs = keys('entries').map((mac) => {
    const want = wanted?.entries.get(mac);
    const places = [want?.location ?? null, kernel?.entries.get(mac) ?? null, fast?.entries.get(mac) ?? null];
    const marked = fast?.routers?.has(mac) ?? false;
    const found = row('mac', mac, want?.who ?? (marked ? 'router' : ''), places);
    if (!marked || !sources.compareFast || wanted === undefined || wanted.router === mac) return found;
    const wrong = 'fast path: taken for the router';
    return { ...found, difference: [found.difference ?? [], wrong].flat().join('; ') };
  });
  const peers = keys('peers').map((address) => {
    const places = [wanted, kernel, fast].map((source) => (source?.peers.has(address) ? 'member' : null));
    return row('peer', address, '', places);
  });
  return [...macs, ...peers];
}
