/** What interfaces exchanged with the outside by the fast path. */
import { existsSync } from 'node:fs';
import { BpfMap } from '#addon';
import { Account, AccountKey, Usage } from './abi.ts';
import { viewOf } from './mirror.ts';
import { Pins } from './pins.ts';
import { bytes, ipv4Text, U32 } from './tables.ts';

export interface OutsideTraffic {
  sent: { packets: number; bytes: number };
  received: { packets: number; bytes: number };
}

/** The sum over all CPUs. */
function total(value: Uint8Array): OutsideTraffic {
  const view = viewOf(value);
  const sum = { sent: { packets: 0, bytes: 0 }, received: { packets: 0, bytes: 0 } };
  for (let at = 0; at < value.byteLength; at += Usage.size) {
    const one = Usage.read(view, at);
    for (const way of ['sent', 'received'] as const) {
      sum[way].packets += Number(one[way].packets);
      sum[way].bytes += Number(one[way].bytes);
    }
  }
  return sum;
}

/**
 * By VNI and the interface's address, from the pinned maps, so also while the fast path is off. Wire packets;
 * layer 3 bytes, as nftables counts them. Numbers only grow while the address is in use and the maps are pinned.
 * Empty where nothing is pinned. Throws a BpfError when the maps can't be read.
 */
export function readOutsideUsage(bpfDirectory: string): Map<number, Map<string, OutsideTraffic>> {
  const networks = new Map<number, Map<string, OutsideTraffic>>();
  const pins = new Pins(bpfDirectory);
  if (!existsSync(pins.map('accounts')) || !existsSync(pins.map('usage'))) return networks;
  const accounts = BpfMap.open(pins.map('accounts'), { readOnly: true });
  const usage = BpfMap.open(pins.map('usage'), { readOnly: true });
  try {
    const { count, keys, values } = accounts.entries();
    for (let i = 0; i < count; i++) {
      const { vni, address } = AccountKey.read(viewOf(keys), i * AccountKey.size);
      const { slot } = Account.read(viewOf(values), i * Account.size);
      const value = usage.lookup(bytes(U32, slot));
      if (value === undefined) continue;
      const network = networks.get(vni) ?? new Map<string, OutsideTraffic>();
      network.set(ipv4Text(address), total(value));
      networks.set(vni, network);
    }
  } finally {
    accounts.close();
    usage.close();
  }
  return networks;
}
