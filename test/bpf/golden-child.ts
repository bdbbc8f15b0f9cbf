/** In a namespace of its own: `port` on live veth devices, scapy on their other ends. Prints GoldenResult[]. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createVeth, request } from './child.ts';
import { ipv4Address } from './frames.ts';
import { fdbKey, withoutNat } from './maps.ts';
import { Subject } from './subject.ts';

export interface GoldenCase {
  vni: number;
  family: 4 | 6;
  protocol: 'udp' | 'tcp' | 'icmp';
  /** Layer 3 bytes of the inner packet. */
  length: number;
  tos: number;
  id: number;
  /** Tells flows apart: part of the ports. */
  flow: number;
}

export interface GoldenRequest {
  cases: GoldenCase[];
  /** Of the outer header: this node's and the other's, in dotted form. */
  underlay: string;
  remote: string;
}

export interface GoldenResult {
  got: string;
  expected: string;
  sourcePort: number;
}

const MTU = 8950;
const [guestMac, remoteMac] = ['020000000001', '020000000002'];

const colons = (mac: string): string => mac.match(/../g)!.join(':');
const { cases, underlay, remote } = request<GoldenRequest>();
const wire = 100;
createVeth('wire', 'wire-far', wire, 9000);
const maps = withoutNat({
  vxlanPort: 4789,
  underlayAddress: ipv4Address(underlay),
  underlayMac: '0a0000000001',
  ports: new Map(),
  fdb: new Map(),
  networks: new Map(),
  tunnels: new Map(),
  members: new Set(),
  nexthops: new Map([
    [ipv4Address(remote), { ifindex: wire, mtu: 9000, destination: '0a0000000002', source: '0a0000000001' }],
  ]),
});
const devices: Record<string, string> = {};
for (const [order, vni] of [...new Set(cases.map((one) => one.vni))].entries()) {
  const name = `g${vni}`;
  devices[vni] = `${name}-far`;
  const ipv4 = ipv4Address('10.0.0.1');
  const ifindex = wire + 1 + order;
  createVeth(name, `${name}-far`, ifindex, MTU);
  maps.ports.set(ifindex, { vni, slot: 1, ipv4, mtu: MTU, router: false, mac: guestMac });
  const to = { ifindex: 0, remote: ipv4Address(remote), slot: 0, mtu: MTU, peer: false, xdp: false };
  maps.fdb.set(fdbKey(vni, remoteMac), to);
}
const subject = new Subject('port', maps);
const links = [...maps.ports.keys()].map((ifindex) => subject.program.attachTcx(ifindex, 'ingress'));

const input = {
  cases,
  devices,
  wire: 'wire-far',
  source: '10.0.0.1',
  destination: '10.0.0.2',
  guestMac: colons(guestMac),
  remoteMac: colons(remoteMac),
  underlayMac: colons('0a0000000001'),
  nextHopMac: colons('0a0000000002'),
  underlay,
  remote,
  port: maps.vxlanPort,
};
const script = fileURLToPath(new URL('golden.py', import.meta.url));
const output = execFileSync('/usr/bin/python3', [script], {
  input: JSON.stringify(input),
  maxBuffer: 1 << 26,
});
for (const link of links) link.close();
subject.close();
process.stdout.write(output);
