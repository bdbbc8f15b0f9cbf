/**
 * Writes the maps of the program under test. Layouts are written here once more, from abi.h, so that a generated codec
 * is checked and not trusted.
 */
import type { BpfMap, BpfObject } from '#addon';
import { set16, set32, setMac } from './frames.ts';
import type { FdbEntry, Flow, FlowKey, Maps, Tuple } from './maps.ts';

/** Writes a struct: host order is little-endian here (abi.h's __be fields use the setters of frames.ts). */
export function struct(size: number, write: (bytes: Uint8Array, view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(size);
  write(bytes, new DataView(bytes.buffer));
  return bytes;
}

const u32 = (value: number): Uint8Array => struct(4, (_, v) => v.setUint32(0, value, true));
export const be32 = (value: number): Uint8Array => struct(4, (b) => set32(b, 0, value));

function fdbEntry(e: FdbEntry): Uint8Array {
  return struct(16, (b, v) => {
    v.setUint32(0, e.ifindex, true);
    set32(b, 4, e.remote);
    v.setUint32(8, e.slot, true);
    v.setUint16(12, e.mtu, true);
    v.setUint16(14, (e.peer ? 1 : 0) | (e.xdp ? 2 : 0) | (e.router ? 4 : 0), true);
  });
}

function tuple(b: Uint8Array, at: number, t: Tuple): void {
  set32(b, at, t.source);
  set32(b, at + 4, t.destination);
  set16(b, at + 8, t.sourcePort);
  set16(b, at + 10, t.destinationPort);
}

export const flowKeyBytes = ({ vni, protocol, tuple: t }: FlowKey): Uint8Array =>
  struct(20, (b, v) => {
    v.setUint32(0, vni, true);
    tuple(b, 4, t);
    b[16] = protocol;
  });

/** When a flow that is due, or expired, was last passed or learned: more than the limits below ago. */
const LONG_AGO_NS = 10_000_000_000_000n;
/** Long enough that nothing changes by itself during a test. */
export const REFRESH_NS = 3_000_000_000_000n;
export const EXPIRY_NS = 6_000_000_000_000n;
const OUTSIDE = 1;
const HAIRPIN = 2;

/** Times are relative to now; a machine that is young has wrapped ones, which count all the same. */
const flowBytes = (flow: Flow): Uint8Array =>
  struct(72, (b, v) => {
    const now = process.hrtime.bigint();
    const time = (old: boolean | undefined): bigint => BigInt.asUintN(64, old ? now - LONG_AGO_NS : now);
    v.setBigUint64(0, time(flow.expired), true);
    v.setBigUint64(8, time(flow.due), true);
    v.setBigUint64(16, BigInt(flow.packets), true);
    v.setBigUint64(24, BigInt(flow.bytes), true);
    tuple(b, 32, flow.tuple);
    v.setUint32(44, flow.vni, true);
    v.setUint32(48, flow.generation, true);
    v.setUint32(52, flow.account, true);
    v.setUint16(56, (flow.outside ? OUTSIDE : 0) | (flow.hairpin ? HAIRPIN : 0), true);
    setMac(b, 58, flow.destinationMac);
    setMac(b, 64, flow.sourceMac);
  });

export function fill(object: BpfObject, maps: Maps): void {
  const write = (name: string, rows: Iterable<[Uint8Array, Uint8Array]>): void => {
    if (!object.maps.includes(name)) return;
    const map = object.map(name);
    for (const [key, value] of rows) map.update(key, value);
  };
  const vniAnd = (key: string): [number, string] => {
    const [vni, rest] = key.split('/') as [string, string];
    return [Number(vni), rest];
  };
  const vniAndAddress = (key: string): Uint8Array => {
    const [vni, address] = vniAnd(key);
    return struct(8, (b, v) => {
      v.setUint32(0, vni, true);
      set32(b, 4, Number(address));
    });
  };
  write(
    'ports',
    [...maps.ports].map(([ifindex, p]) => [
      u32(ifindex),
      struct(24, (b, v) => {
        v.setUint32(0, p.vni, true);
        v.setUint32(4, p.slot, true);
        set32(b, 8, p.ipv4);
        v.setUint16(12, p.mtu, true);
        v.setUint16(14, p.router ? 1 : 0, true);
        setMac(b, 16, p.mac);
      }),
    ]),
  );
  write(
    'fdb',
    [...maps.fdb].map(([key, entry]) => {
      const [vni, mac] = vniAnd(key);
      const bytes = struct(12, (b, v) => {
        v.setUint32(0, vni, true);
        setMac(b, 4, mac);
      });
      return [bytes, fdbEntry(entry)];
    }),
  );
  write(
    'networks',
    [...maps.networks].map(([vni, n]) => [
      u32(vni),
      struct(8, (_, v) => {
        v.setUint32(0, n.vxlanIfindex, true);
        v.setUint16(4, n.mtu, true);
      }),
    ]),
  );
  write(
    'tunnels',
    [...maps.tunnels].map(([ifindex, vni]) => [u32(ifindex), u32(vni)]),
  );
  write(
    'members',
    [...maps.members].map((key) => [vniAndAddress(key), u32(0)]),
  );
  write(
    'routed',
    [...maps.routed].map((key) => [vniAndAddress(key), u32(0)]),
  );
  write(
    'accounts',
    [...maps.accounts].map(([key, slot]) => [vniAndAddress(key), u32(slot)]),
  );
  write(
    'routers',
    [...maps.routers].map(([vni, r]) => [
      u32(vni),
      struct(12, (_, v) => {
        v.setUint32(0, r.generation, true);
        v.setUint32(4, r.egress, true);
        v.setUint16(8, r.mtu, true);
        v.setUint16(10, (r.xdp ? 1 : 0) | (r.underlayXdp ? 2 : 0), true);
      }),
    ]),
  );
  write(
    'gateways',
    [...maps.gateways].map(([mac, g]) => [
      struct(8, (b) => setMac(b, 0, mac)),
      struct(8, (_, v) => {
        v.setUint32(0, g.vni, true);
        v.setUint32(4, { inside: 0, outside: 1, node: 2 }[g.side], true);
      }),
    ]),
  );
  write(
    'nexthops',
    [...maps.nexthops].map(([address, n]) => [
      be32(address),
      struct(20, (b, v) => {
        v.setUint32(0, n.ifindex, true);
        v.setUint16(4, n.mtu, true);
        setMac(b, 6, n.destination);
        setMac(b, 12, n.source);
      }),
    ]),
  );
}

/** Sets every flow to what the model has. */
export function writeFlows(map: BpfMap, maps: Maps): void {
  for (const flow of maps.flows.values()) map.update(flowKeyBytes(flow.key), flowBytes(flow));
}
