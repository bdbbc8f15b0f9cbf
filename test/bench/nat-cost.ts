/*
 * Nanoseconds per packet of the programs where NAT is done, on the network node. Arguments: one JSON document, the
 * NatCosts below. Prints { measure: nanoseconds }. With `learnAt`: of the program learn, in that network namespace.
 */
import { ethernet, ipv4, udp, vxlan } from '../lab/packet.ts';
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

interface Inside {
  mac: string;
  ipv4: string;
  /** UDP source port of the connection that it has with the server. */
  port: number;
}

export interface NatCosts {
  vni: number;
  underlayDevice: string;
  uplinkDevice: string;
  /** Underlay addresses. */
  here: string;
  there: string;
  /** near has its port on this node, far is on another one. */
  near: Inside & { device: string };
  far: Inside;
  routerMac: string;
  outsideMac: string;
  gateway: string;
  server: { mac: string; ipv4: string; port: number };
  /** Names of the router's two devices in this namespace, where packets leave. */
  learnAt?: { inside: string; outside: string };
}

const costs = JSON.parse(process.argv[2]!) as NatCosts;
const { near, far, server, here, gateway } = costs;
const REMOTE_MAC = '02:00:00:00:00:fd';
const payload = Buffer.alloc(22);

function outwards(inside: Inside): Buffer {
  const packet = ipv4(inside.ipv4, server.ipv4, 17, udp(inside.port, server.port, payload));
  return ethernet(costs.routerMac, inside.mac, 0x0800, packet);
}

function inwards(inside: Inside): Buffer {
  const packet = ipv4(server.ipv4, gateway, 17, udp(server.port, inside.port, payload));
  return ethernet(costs.outsideMac, server.mac, 0x0800, packet);
}

async function fastPath(): Promise<Case[]> {
  const [port, underlay, uplink] = ['port', 'underlay', 'uplink'].map((name) => load(name, here)) as [
    ReturnType<typeof load>,
    ReturnType<typeof load>,
    ReturnType<typeof load>,
  ];
  const mesh = linkOf(costs.underlayDevice);
  const outside = linkOf(costs.uplinkDevice).ifindex;
  const arriving = ethernet(
    mesh.address,
    REMOTE_MAC,
    0x0800,
    ipv4(costs.there, here, 17, udp(50000, 4789, vxlan(costs.vni, outwards(far)))),
  );
  const device = linkOf(near.device).ifindex;
  return [
    ...(await emptyCases(arriving, mesh.ifindex)),
    {
      measure: 'port: NAT, to the uplink',
      program: port.program('port'),
      device,
      frame: outwards(near),
      expect: REDIRECT,
    },
    {
      measure: 'underlay_tc: tunnel, NAT, to the uplink',
      program: underlay.program('underlay_tc'),
      device: mesh.ifindex,
      frame: arriving,
      expect: REDIRECT,
    },
    {
      measure: 'underlay_xdp: tunnel, NAT, to the uplink',
      program: underlay.program('underlay_xdp'),
      frame: arriving,
      expect: XDP_REDIRECT,
    },
    {
      measure: 'uplink_tc: NAT, to a port',
      program: uplink.program('uplink_tc'),
      device: outside,
      frame: inwards(near),
      expect: REDIRECT,
    },
    {
      measure: 'uplink_tc: NAT, to the tunnel',
      program: uplink.program('uplink_tc'),
      device: outside,
      frame: inwards(far),
      expect: REDIRECT,
    },
    {
      measure: 'uplink_xdp: NAT, to the tunnel',
      program: uplink.program('uplink_xdp'),
      frame: inwards(far),
      expect: XDP_REDIRECT,
    },
  ];
}

function learning(at: { inside: string; outside: string }): Case[] {
  const [inside, outside] = [linkOf(at.inside), linkOf(at.outside)];
  const packet = ipv4(gateway, server.ipv4, 17, udp(far.port, server.port, payload));
  return [
    {
      measure: 'learn: a connection that is known',
      program: load('learn', here).program('learn'),
      device: outside.ifindex,
      ingress: inside.ifindex,
      frame: ethernet(server.mac, outside.address, 0x0800, packet),
      expect: NEXT,
    },
  ];
}

const cases = costs.learnAt === undefined ? await fastPath() : learning(costs.learnAt);
console.log(JSON.stringify(measureCases(cases)));
process.exit(0);
