/** What each node should look like: a pure function of the records. */
import { fistpath } from '#proto';
import { FLOATING } from '../records/keys.ts';
import { isLive } from '../records/states.ts';
import { desiredRouter, sortByAddress } from './desired-router.ts';

/** An interface and the node that its instance is placed on. */
export interface Placed {
  interface: fistpath.Interface;
  node: fistpath.Node;
  /** Of the instance. */
  name: string;
}

/** The records that decide about one network. */
export interface NetworkRecords {
  network: fistpath.Network;
  placed: readonly Placed[];
  /** The network node, when one is known. */
  router: fistpath.Node | undefined;
  /** The floating network, when there is one. */
  floating: fistpath.Network | undefined;
  dnsDomain: string;
}

/**
 * One network as it should be on each of its members, by node name. Members are the network node and the nodes with
 * an interface on it, those that don't answer included: they still forward. No members: a dead network, which exists
 * nowhere, and the floating network, which has no mesh. Lists are sorted, so that equal records give equal results.
 */
export function desiredNetwork(records: NetworkRecords): Map<string, fistpath.NodeNetwork> {
  const { network, placed, router } = records;
  if (!isLive(network) || network.uuid === FLOATING) return new Map();
  const live = placed.filter((each) => isLive(each.interface)).sort(byInterface);
  const members = new Map<string, fistpath.Node>();
  if (router) members.set(router.name, router);
  for (const { node } of live) members.set(node.name, node);

  const routed = sortByAddress(network.routed, (address) => address);
  const desired = new Map<string, fistpath.NodeNetwork>();
  for (const node of members.values()) {
    const elsewhere = live
      .filter((each) => each.node.name !== node.name)
      .map((each) => ({ mac: each.interface.mac, node: each.node.address }));
    if (router && router.name !== node.name) elsewhere.push({ mac: network.routerMac, node: router.address });
    const peers = [...members.values()]
      .map(({ address }) => address)
      .filter((address) => address !== node.address);
    const isRouter = router?.name === node.name;
    desired.set(
      node.name,
      fistpath.NodeNetwork.create({
        uuid: network.uuid,
        name: network.name,
        vni: network.vxid,
        netblock: network.netblock,
        mtu: network.mtu,
        peers: peers.sort(),
        remoteMacs: elsewhere.map((remote) => fistpath.RemoteMac.create(remote)),
        ports: live.filter((each) => each.node.name === node.name).map((each) => port(each.interface)),
        router: isRouter ? desiredRouter(records, live) : null,
        routed,
      }),
    );
  }
  return desired;
}

/** The network node: should several nodes say that they are, the first by name is, so that all agree on one. */
export function chooseRouter(nodes: Iterable<fistpath.Node>): fistpath.Node | undefined {
  let chosen: fistpath.Node | undefined;
  for (const node of nodes) {
    if (node.networkNode && (!chosen || node.name < chosen.name)) chosen = node;
  }
  return chosen;
}

function port({ uuid, instance, mac, ipv4, order }: fistpath.Interface): fistpath.Port {
  return fistpath.Port.create({ interface: uuid, instance, mac, ipv4, order });
}

function byInterface(a: Placed, b: Placed): number {
  return a.interface.uuid < b.interface.uuid ? -1 : 1;
}
