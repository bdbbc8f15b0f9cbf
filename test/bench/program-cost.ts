/*
 * Nanoseconds per packet of the programs between guests. Arguments: one JSON document, the Costs below. Prints
 * { measure: nanoseconds }.
 */
import { ethernet, ipv4, udp, udpFrame, vxlan } from '../lab/packet.ts';
import {
  type Case,
  emptyCases,
  linkOf,
  load,
  measureCases,
  NEXT,
  REDIRECT,
  XDP_REDIRECT,
} from './test-run.ts';

export interface Costs {
  vni: number;
  underlayDevice: string;
  here: { address: string; port: string; mac: string; ipv4: string };
  neighbour: { mac: string; ipv4: string };
  remote: { address: string; mac: string; ipv4: string };
}

const costs = JSON.parse(process.argv[2]!) as Costs;
const { here, neighbour, remote, vni } = costs;

const payload = Buffer.alloc(22);
/** Outer MACs: a frame for another station is no packet for us. */
const underlayMac = linkOf(costs.underlayDevice).address;
const REMOTE_MAC = '02:00:00:00:00:fd';
const inner = (from: { mac: string; ipv4: string }, to: { mac: string; ipv4: string }) =>
  udpFrame(
    { sourceMac: from.mac, destinationMac: to.mac, source: from.ipv4, destination: to.ipv4 },
    9,
    payload,
  );
const outer = (data: Uint8Array) =>
  ethernet(underlayMac, REMOTE_MAC, 0x0800, ipv4(remote.address, here.address, 17, udp(50000, 4789, data)));

const port = load('port', here.address).program('port');
const tunnel = load('tunnel', here.address).program('tunnel');
const underlay = load('underlay', here.address);
const [underlayTc, underlayXdp] = [underlay.program('underlay_tc'), underlay.program('underlay_xdp')];
const devices = {
  port: linkOf(here.port).ifindex,
  underlay: linkOf(costs.underlayDevice).ifindex,
  tunnel: linkOf(`vxlan-${vni.toString(16)}`).ifindex,
};
const arriving = outer(vxlan(vni, inner(remote, here)));
const unrelated = udpFrame(
  {
    sourceMac: REMOTE_MAC,
    destinationMac: underlayMac,
    source: remote.address,
    destination: here.address,
  },
  9,
  payload,
);

const cases: Case[] = [
  ...(await emptyCases(inner(here, remote), devices.port)),
  {
    measure: 'port: to the tunnel',
    program: port,
    device: devices.port,
    frame: inner(here, remote),
    expect: REDIRECT,
  },
  {
    measure: 'port: to a port of this node',
    program: port,
    device: devices.port,
    frame: inner(here, neighbour),
    expect: REDIRECT,
  },
  {
    measure: 'tunnel: to a port',
    program: tunnel,
    device: devices.tunnel,
    frame: inner(remote, here),
    expect: REDIRECT,
  },
  {
    measure: 'underlay_tc: to a port',
    program: underlayTc,
    device: devices.underlay,
    frame: arriving,
    expect: REDIRECT,
  },
  {
    measure: 'underlay_tc: not a tunnel packet',
    program: underlayTc,
    device: devices.underlay,
    frame: unrelated,
    expect: NEXT,
  },
  { measure: 'underlay_xdp: to a port', program: underlayXdp, frame: arriving, expect: XDP_REDIRECT },
];

console.log(JSON.stringify(measureCases(cases)));
process.exit(0);
