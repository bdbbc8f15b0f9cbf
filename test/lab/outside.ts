/*
 * What is beyond the network node's uplink: a router, and one server behind it.
 *
 *   … uplink0 ── out0, 10.10.0.1 [outside] far0, 198.51.100.254 ── eth0, 198.51.100.1 [server]
 */
import { compileTool } from './compile.ts';
import { GUEST_DEVICE, Guest } from './guest.ts';
import { type ProcessId, until } from './process.ts';
import type { LabNode } from './topology.ts';

export const UPLINK_DEVICE = 'uplink0';
/** Of the router outside, towards the network node. */
export const OUTSIDE_DEVICE = 'out0';
export const FLOATING_POOL = '10.10.0.0/24';
/** First address of the pool: the next hop of every network with NAT. */
export const NEXT_HOP = '10.10.0.1';
const SERVER = 'server';
const SERVER_PORT = 'far0';
export const SERVER_ADDRESS = '198.51.100.1';
/** Where the echo server answers, TCP and UDP. */
export const ECHO_PORT = 7;

/** Joins the outside to a device that is made on `node`; the server's link has an MTU of 1500. */
export async function joinOutside(
  outside: LabNode,
  node: LabNode,
  device: string,
  mtu: number,
): Promise<void> {
  await outside.shell(
    `echo 1 > /proc/sys/net/ipv4/ip_forward
    ip link add ${OUTSIDE_DEVICE} mtu ${mtu} type veth peer name ${device} mtu ${mtu} netns ${node.holder.pid}
    ip address add ${NEXT_HOP}/24 dev ${OUTSIDE_DEVICE}
    ip netns add ${SERVER}
    ip link add ${SERVER_PORT} type veth peer name ${GUEST_DEVICE} netns ${SERVER}
    ip address add 198.51.100.254/24 dev ${SERVER_PORT}
    ip link set ${OUTSIDE_DEVICE} up; ip link set ${SERVER_PORT} up
    ip -n ${SERVER} link set lo up; ip -n ${SERVER} link set ${GUEST_DEVICE} up
    ip -n ${SERVER} address add ${SERVER_ADDRESS}/24 dev ${GUEST_DEVICE}
    ip -n ${SERVER} route add default via 198.51.100.254`,
  );
  await node.shell(
    `echo 1 > /proc/sys/net/ipv6/conf/${device}/disable_ipv6
    ip link set ${device} up`,
  );
}

/** The server outside, as if it were a guest. */
export function serverOf(outside: LabNode): Guest {
  return new Guest(outside, SERVER, SERVER_PORT, {
    mac: '',
    ipv4: SERVER_ADDRESS,
    prefix: 24,
    mtu: 1500,
  });
}

/** Starts natserver.c in a guest, or in the server outside. */
export async function startEcho(guest: Guest, port = ECHO_PORT): Promise<ProcessId> {
  const process = guest.start(`echo-${guest.namespace}-${port}`, [
    await compileTool('lab/natserver'),
    String(port),
  ]);
  const open = `sport = :${port}`;
  await until('the echo server listens', async () => (await guest.run(['ss', '-Hltn', open])) !== '');
  return process;
}
