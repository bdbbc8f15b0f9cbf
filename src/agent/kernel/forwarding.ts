/**
 * Static forwarding entries: every MAC that is known is in the tunnel's table and in the bridge's, so that known
 * unicast is never flooded and nothing ages out that the fast path serves (the bridge does not see it any more).
 */
import type { Fdb } from './actual.ts';
import type { WantedNetwork } from './desired.ts';
import { networkNames } from './names.ts';
import type { Operation } from './operations.ts';

/** A VXLAN device sends what it does not know to every address of this entry. */
const FLOOD = '00:00:00:00:00:00';

/**
 * @param fdb as it is, without the entries that go with devices that are replaced
 * @returns lines for `bridge -batch`
 */
export function forwardingOperations(network: WantedNetwork, fdb: Fdb): Operation[] {
  const { vxlan, bridge, routerOuter } = networkNames(network.vni);
  const operations: Operation[] = [];
  const add = (line: string, mesh?: Operation['mesh']) => {
    operations.push({
      tool: 'bridge',
      line: `fdb ${line}`,
      networks: [network.uuid],
      ...(line.startsWith('del') && { removes: true }),
      ...(mesh && { mesh }),
    });
  };

  const tunnel = fdb.tunnel.get(vxlan) ?? new Map<string, Set<string>>();
  const flood = tunnel.get(FLOOD) ?? new Set<string>();
  for (const address of flood) {
    if (network.peers.includes(address)) continue;
    add(`del ${FLOOD} dev ${vxlan} dst ${address} self`, { operation: 'remove mesh elements', address });
  }
  for (const address of network.peers) {
    if (flood.has(address)) continue;
    add(`append ${FLOOD} dev ${vxlan} dst ${address} self static`, {
      operation: 'add mesh elements',
      address,
    });
  }

  for (const [mac, addresses] of tunnel) {
    if (mac === FLOOD) continue;
    const wanted = network.remotes.get(mac);
    // One that only moved is replaced below, without a gap.
    const moved = wanted !== undefined && addresses.size === 1;
    for (const address of addresses) {
      if (address !== wanted && !moved) add(`del ${mac} dev ${vxlan} dst ${address} self`);
    }
  }
  for (const [mac, node] of network.remotes) {
    if (!tunnel.get(mac)?.has(node)) add(`replace ${mac} dev ${vxlan} dst ${node} self static`);
  }

  const places = new Map<string, string>();
  for (const mac of network.remotes.keys()) places.set(mac, vxlan);
  for (const port of network.ports) places.set(port.mac, port.ifname);
  if (network.router) places.set(network.router.mac, routerOuter);
  const entries = fdb.bridge.get(bridge);
  for (const [mac, { ifname, state }] of entries ?? []) {
    // Permanent ones are the devices' own MACs; learned ones age out.
    if (state === 'static' && !places.has(mac)) add(`del ${mac} dev ${ifname} master`);
  }
  for (const [mac, ifname] of places) {
    const entry = entries?.get(mac);
    if (entry?.ifname !== ifname || entry.state !== 'static')
      add(`replace ${mac} dev ${ifname} master static`);
  }
  return operations;
}

/** The table without what goes with devices that are deleted, created again or moved to another bridge. */
export function forwardingWithout(fdb: Fdb, devices: ReadonlySet<string>): Fdb {
  const bridge: Fdb['bridge'] = new Map();
  for (const [name, entries] of fdb.bridge) {
    if (!devices.has(name))
      bridge.set(name, new Map([...entries].filter(([, entry]) => !devices.has(entry.ifname))));
  }
  return { bridge, tunnel: new Map([...fdb.tunnel].filter(([name]) => !devices.has(name))) };
}
