import { join } from 'node:path';
import { compileTool } from './compile.ts';
import { type Output, type ProcessId, type RunOptions, run, tryRun, until } from './process.ts';
import { repository } from './repository.ts';
import type { LabNode } from './topology.ts';

/** The network interface of every guest, inside its namespace. */
export const GUEST_DEVICE = 'eth0';

/** Asks for an address once, MTU included; prints what it was told. */
export const DHCP_CLIENT = [
  'udhcpc',
  ...['-i', GUEST_DEVICE, '-O', 'mtu', '-f', '-n', '-q'],
  ...['-s', join(repository, 'test', 'lab', 'udhcpc.sh')],
];

export interface GuestAddress {
  mac: string;
  /** Without the prefix; empty: none. */
  ipv4: string;
  prefix: number;
  mtu: number;
}

/** A namespace on a node that plays an instance. */
export class Guest {
  readonly node: LabNode;
  /** Name of the namespace: the instance's uuid. */
  readonly namespace: string;
  readonly address: GuestAddress;
  /** The port's device on the node. */
  readonly port: string;

  constructor(node: LabNode, namespace: string, port: string, address: GuestAddress) {
    this.node = node;
    this.namespace = namespace;
    this.port = port;
    this.address = address;
  }

  run(command: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.node.enter(command, this.namespace), options);
  }

  tryRun(command: readonly string[], options?: RunOptions): Promise<Output> {
    return tryRun(this.node.enter(command, this.namespace), options);
  }

  start(label: string, command: readonly string[]): ProcessId {
    return this.node.start(label, command, { namespace: this.namespace });
  }
}

/** Gives a node's persistent tap a guest: a namespace with an `eth0` that a small program joins to the tap. */
export async function startTapGuest(guest: Guest): Promise<void> {
  const { node, namespace, port, address } = guest;
  const program = await compileTool('lab/tapguest');
  await node.run(['ip', 'netns', 'add', namespace]);
  node.start(`tapguest-${port}`, [program, port, `/run/netns/${namespace}`, GUEST_DEVICE]);
  await until(
    `${GUEST_DEVICE} of guest ${namespace} is there (see ${node.logOf(`tapguest-${port}`)})`,
    async () => (await guest.tryRun(['ip', 'link', 'show', GUEST_DEVICE])).code === 0,
  );
  const setAddress = address.ipv4
    ? `address add ${address.ipv4}/${address.prefix} brd + dev ${GUEST_DEVICE}`
    : '';
  await guest.run(['sh', '-ec', `echo 1 > /proc/sys/net/ipv6/conf/${GUEST_DEVICE}/disable_ipv6`]);
  await guest.run(['ip', '-batch', '-'], {
    input: `link set lo up\nlink set ${GUEST_DEVICE} address ${address.mac} mtu ${address.mtu} up\n${setAddress}\n`,
  });
}
