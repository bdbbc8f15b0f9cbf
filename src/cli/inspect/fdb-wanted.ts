/** What one network's forwarding entries on this node should be, asked from the API. */
import { networkNames, portName } from '../../agent/kernel/names.ts';
import type { ApiClient } from '../api-client.ts';
import type { Instance, Interface, Network, Node } from '../api-types.ts';
import { segment } from '../command.ts';
import type { Wanted } from './fdb-compare.ts';

const GONE = ['deleted', 'delete-wait'];

export interface WantedAnswer {
  vni: number;
  name: string;
  wanted: Wanted;
}

/** The same rule as the controller's: a network is on the network node and on every node with an instance on it. */
export function wantedEntries(
  here: string,
  network: Network,
  interfaces: Interface[],
  instances: Instance[],
  nodes: Node[],
): Wanted {
  const entries: Wanted['entries'] = new Map();
  const live = interfaces.filter((one) => !GONE.includes(one.state));
  const places = live.map((one) => {
    const instance = instances.find(({ uuid }) => uuid === one.instance_uuid);
    return { one, instance, node: nodes.find(({ name }) => name === instance?.node) };
  });
  const routerNode = nodes.find((node) => node.is_network_node);
  const members = new Set(
    [routerNode, ...places.map(({ node }) => node)].filter((node) => node !== undefined),
  );
  const isMember = [...members].some(({ name }) => name === here);
  if (!isMember || GONE.includes(network.state)) return { entries, peers: new Set() };
  for (const { one, instance, node } of places) {
    if (node === undefined) continue;
    const location = node.name === here ? portName(one.uuid) : node.ip;
    entries.set(one.macaddr, {
      location,
      who: `${instance?.name ?? one.instance_uuid} ${one.ipv4 ?? ''}`.trim(),
    });
  }
  if (routerNode !== undefined) {
    const location = routerNode.name === here ? networkNames(network.vxid).routerOuter : routerNode.ip;
    entries.set(network.router_mac, { location, who: 'router' });
  }
  const peers = new Set([...members].filter(({ name }) => name !== here).map(({ ip }) => ip));
  return { entries, peers, router: network.router_mac };
}

export async function askWanted(api: ApiClient, reference: string, here: string): Promise<WantedAnswer> {
  const purpose = `compare the entries of network ${reference}`;
  const network = await api.request<Network>(purpose, 'GET', `/networks/${segment(reference)}`);
  const [interfaces, instances, nodes] = await Promise.all([
    api.request<Interface[]>(purpose, 'GET', `/networks/${network.uuid}/interfaces`),
    api.request<Instance[]>(purpose, 'GET', '/instances'),
    api.request<Node[]>(purpose, 'GET', '/nodes'),
  ]);
  return {
    vni: network.vxid,
    name: network.name,
    wanted: wantedEntries(here, network, interfaces, instances, nodes),
  };
}
