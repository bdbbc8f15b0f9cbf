import { GUEST_DEVICE, Guest, type GuestAddress } from './guest.ts';
import { type LabNode, UNDERLAY_DEVICE } from './topology.ts';

export interface PlainNetwork {
  vni: number;
  /** Underlay addresses of the other members: broadcasts go there. */
  peers: readonly string[];
  guest: GuestAddress;
}

/**
 * Puts a network on a node that runs no fistpath: a learning VXLAN device, a bridge and one namespace guest,
 * as an administrator would make them by hand. The guest's namespace is called `plain-<vni>`.
 */
export async function joinPlainly(node: LabNode, network: PlainNetwork): Promise<Guest> {
  const { vni, peers, guest } = network;
  const namespace = `plain-${vni}`;
  const port = `plain-${vni}`;
  await node.shell('for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$f" ] || echo 0 > "$f"; done');
  await node.run(['ip', 'netns', 'add', namespace]);
  await node.run(['ip', '-batch', '-'], {
    input: `link add vx${vni} mtu ${guest.mtu} type vxlan id ${vni} dstport 4789 local ${node.address} dev ${UNDERLAY_DEVICE}
link add br${vni} mtu ${guest.mtu} type bridge mcast_snooping 0
link set vx${vni} master br${vni} up
link add ${port} mtu ${guest.mtu} type veth peer name ${GUEST_DEVICE} mtu ${guest.mtu} address ${guest.mac} netns ${namespace}
link set ${port} master br${vni} up
link set br${vni} up
`,
  });
  await node.run(['bridge', '-batch', '-'], {
    input: peers
      .map((peer) => `fdb append 00:00:00:00:00:00 dev vx${vni} dst ${peer} self permanent\n`)
      .join(''),
  });
  const result = new Guest(node, namespace, port, guest);
  await result.run(['ip', '-batch', '-'], {
    input: `link set lo up\naddress add ${guest.ipv4}/${guest.prefix} dev ${GUEST_DEVICE}\nlink set ${GUEST_DEVICE} up\n`,
  });
  return result;
}
