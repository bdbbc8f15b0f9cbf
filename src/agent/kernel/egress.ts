/**
 * The egress bridge, through which the routers of this node reach the uplink. When there is none, we make it, with the
 * uplink as its only other port; a bridge without our alias is the operator's, and nothing of it changes but our
 * routers' ports. Pure.
 */
import type { Actual, ActualLink } from './actual.ts';
import type { Wanted, WantedNetwork } from './desired.ts';
import type { LinkConfig, WantedLink } from './links.ts';
import { aliasOf, EGRESS, networkNames } from './names.ts';
import type { Operation } from './operations.ts';
import { ownerOf } from './owner.ts';

export interface Egress {
  /** Device that routers' outside ends are ports of. */
  bridge: string;
  /** Of the uplink, layer 3 bytes. */
  mtu: number;
  /** Our bridge; null: the operator's. */
  link: WantedLink | null;
  /** Behind the bridge's creation. */
  operations: Operation[];
}

/**
 * @returns a text: why no network of this node can have NAT, and what to do
 */
export function egressOf(wanted: Wanted, actual: Actual, { uplink, underlay }: LinkConfig): Egress | string {
  if (uplink === null) return 'it has NAT, but this node has no uplink: set "uplink" in its configuration';
  const device = actual.links.get(uplink.device);
  if (!device)
    return `uplink device ${uplink.device} does not exist: correct uplink.device in the configuration`;
  const found = actual.links.get(uplink.bridge);
  const networks = [...wanted.networks.values()].filter(({ router }) => router?.nat).map(({ uuid }) => uuid);
  const egress = { bridge: uplink.bridge, mtu: device.mtu };

  if (found && ownerOf(found, actual.pending) === undefined) {
    if (found.kind !== 'bridge') {
      return `device ${uplink.bridge} is no bridge: name another one in uplink.bridge of the configuration`;
    }
    if (!found.up) return `egress bridge ${uplink.bridge} is down, and not fistpath's: bring it up`;
    return { ...egress, link: null, operations: [] };
  }

  const own = (link: ActualLink | undefined) => link && ownerOf(link, actual.pending) !== undefined;
  if (device.master !== null && !own(actual.links.get(device.master))) {
    return `uplink device ${uplink.device} is a port of ${device.master}: if that is a bridge towards the outside, name it in uplink.bridge of the configuration`;
  }
  if (device.kind === 'bridge') {
    return `uplink device ${uplink.device} is a bridge itself: name it in uplink.bridge of the configuration, and the NIC that is its port in uplink.device`;
  }
  if (device.master === null && actual.uplinkAddresses.length > 0) {
    const what = uplink.device === underlay.device ? 'is the mesh device, too, and carries' : 'carries';
    return `uplink device ${uplink.device} ${what} ${actual.uplinkAddresses.join(' and ')}, which a port of a bridge can't use: make a bridge with it yourself, move its addresses there, and name the bridge in uplink.bridge of the configuration`;
  }
  const step = { step: 'create egress bridge' };
  const operations: Operation[] = [];
  if (device.master !== uplink.bridge || !found) {
    operations.push({
      tool: 'ip',
      line: `link set dev ${device.name} master ${uplink.bridge}`,
      networks,
      ...step,
    });
  }
  if (!device.up) operations.push({ tool: 'ip', line: `link set dev ${device.name} up`, networks, ...step });
  // An uplink that the configuration named before.
  for (const { name, master } of actual.links.values()) {
    if (master === uplink.bridge && name !== device.name && !/^phy-[0-9a-f]+-o$/.test(name)) {
      operations.push({ tool: 'ip', line: `link set dev ${name} nomaster`, networks, removes: true });
    }
  }
  return { ...egress, link: bridgeLink(uplink.bridge, device.mtu, networks), operations };
}

function bridgeLink(name: string, mtu: number, users: string[]): WantedLink {
  return {
    name,
    network: EGRESS,
    users,
    alias: aliasOf(EGRESS),
    mtu,
    master: null,
    up: true,
    what: 'egress bridge',
    create: `link add name ${name} mtu ${mtu} type bridge stp_state 0 mcast_snooping 0`,
    correct: () => null,
    mismatch: ({ kind }) => (kind === 'bridge' ? null : 'it is no bridge'),
    namespace: null,
    inner: null,
  };
}

/** Static entries of the routers' outside ends: lines for `bridge -batch`. @param fdb without what goes with devices */
export function egressForwarding(
  networks: readonly WantedNetwork[],
  bridge: string,
  fdb: Actual['fdb'],
): Operation[] {
  const entries = fdb.bridge.get(bridge);
  const operations: Operation[] = [];
  for (const { uuid, vni, router } of networks) {
    if (!router?.nat) continue;
    const { physicalOuter } = networkNames(vni);
    const mac = router.nat.outside;
    const entry = entries?.get(mac);
    if (entry?.ifname !== physicalOuter || entry.state !== 'static') {
      operations.push({
        tool: 'bridge',
        line: `fdb replace ${mac} dev ${physicalOuter} master static`,
        networks: [uuid],
      });
    }
    for (const [other, { ifname, state }] of entries ?? []) {
      if (ifname === physicalOuter && state === 'static' && other !== mac) {
        const line = `fdb del ${other} dev ${physicalOuter} master`;
        operations.push({ tool: 'bridge', line, networks: [uuid], removes: true });
      }
    }
  }
  return operations;
}
