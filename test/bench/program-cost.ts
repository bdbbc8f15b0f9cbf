/*
 * Nanoseconds per packet of each program, by test run, on a node of the bench's cluster: the built programs are
 * loaded once more around the node's own pinned maps, so that they decide about real ports and entries.
 * Arguments: one JSON document, the Costs below. Prints { measure: nanoseconds }.
 *
 * Every value is the median of single runs: a repeated run would get its own output as input. What the empty programs
 * cost (reading the clock twice, a call) is in all the others, too.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfObject } from '#addon';
import { compileProgram } from '../lab/compile.ts';
import { ethernet, ipv4, ipv4Bytes, udp, udpFrame, vxlan } from '../lab/packet.ts';
import { repository } from '../lab/repository.ts';
import { median } from './rows.ts';

export interface Costs {
  maps: string;
  vni: number;
  underlayDevice: string;
  here: { address: string; port: string; mac: string; ipv4: string };
  neighbour: { mac: string; ipv4: string };
  remote: { address: string; mac: string; ipv4: string };
}

const RUNS = 20_000;
/** struct __sk_buff: offset of ifindex, and size. */
const SKB = { ifindex: 40, size: 192 };
const [OK, REDIRECT] = [0, 7];
const [XDP_PASS, XDP_REDIRECT] = [2, 4];

const costs = JSON.parse(process.argv[2]!) as Costs;
const { here, neighbour, remote, vni } = costs;

function linkOf(device: string): { ifindex: number; address: string } {
  const text = execFileSync('ip', ['-j', 'link', 'show', device], { encoding: 'utf8' });
  return (JSON.parse(text) as [{ ifindex: number; address: string }])[0];
}

function load(name: string): BpfObject {
  const elf = readFileSync(join(repository, 'bpf', 'out', `${name}.bpf.o`));
  const object = new BpfObject(elf, { pinDirectory: costs.maps });
  if (name !== 'tunnel') {
    object.setRodata('vxlan_port', Uint8Array.from([4789 >> 8, 4789 & 0xff]));
    object.setRodata('underlay_address', ipv4Bytes(here.address));
  }
  object.load();
  return object;
}

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

const port = load('port').program('port');
const tunnel = load('tunnel').program('tunnel');
const underlay = load('underlay');
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

const empty = new BpfObject(readFileSync(await compileProgram('bench/empty')));
empty.load();

const cases = [
  {
    measure: 'empty TC program',
    program: empty.program('empty_tc'),
    device: devices.port,
    frame: inner(here, remote),
    expect: OK,
  },
  { measure: 'empty XDP program', program: empty.program('empty_xdp'), frame: arriving, expect: XDP_PASS },
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
    expect: OK,
  },
  { measure: 'underlay_xdp: to a port', program: underlayXdp, frame: arriving, expect: XDP_REDIRECT },
];

const result: Record<string, number> = {};
for (const { measure, program, device, frame, expect } of cases) {
  const context = device === undefined ? undefined : Buffer.alloc(SKB.size);
  context?.writeUInt32LE(device!, SKB.ifindex);
  const options = context === undefined ? { data: frame } : { data: frame, context };
  const durations: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const { retval, duration } = program.testRun(options);
    if (retval !== expect) throw new Error(`${measure}: the program answered ${retval}, not ${expect}`);
    durations.push(duration);
  }
  result[measure] = median(durations);
}
console.log(JSON.stringify(result));
process.exit(0);
