/** A router's NAT as it should be: the record's, checked. Every text of it reaches nft, ip or conntrack. */
import { isIPv4 } from 'node:net';
import type { fistpath } from '#proto';
import { type Block, contains, isHost, overlap, parseBlock } from './addresses.ts';
import { check } from './check.ts';
import { macText, outsideMac } from './names.ts';

export interface WantedNat {
  /** MAC of the router's outside end. */
  outside: string;
  netblock: Block;
  /** Address that the network's instances leave as. */
  gateway: string;
  pool: Block;
  nextHop: string;
  /** Floating address → address of the instance. */
  floats: Map<string, string>;
  /** Addresses of the pool that instances have as their own; sorted. */
  routed: string[];
  /** Address of each interface, wherever it is → interface: whose traffic is counted, and forgotten with it. */
  leases: Map<string, string>;
}

function checkLeases(leases: readonly fistpath.ILease[], netblock: Block): Map<string, string> {
  const checked = new Map<string, string>();
  for (const { ipv4, interface: id } of leases) {
    const address = ipv4 ?? '';
    check(/^[0-9a-f-]{36}$/.test(id ?? ''), `interface "${id}" of a lease is no uuid`);
    check(isIPv4(address), `address "${address}" of interface ${id} is not IPv4`);
    check(contains(netblock, address), `address ${address} of interface ${id} is not in the netblock`);
    check(!checked.has(address), `interfaces ${checked.get(address)} and ${id} have the same address`);
    checked.set(address, id!);
  }
  return checked;
}

/** @throws Refused */
export function wantedNat(
  nat: fistpath.INat,
  router: fistpath.IRouter,
  netblock: Block,
  routed: readonly string[],
): WantedNat {
  const pool = parseBlock(nat.pool ?? '');
  check(pool !== undefined, `floating pool "${nat.pool}" is malformed`);
  check(!overlap(pool, netblock), `its netblock overlaps the floating pool ${nat.pool}`);
  const taken = new Map<string, string>();
  const take = (address: string | null | undefined, what: string): string => {
    check(isIPv4(address ?? ''), `${what} "${address}" is not IPv4`);
    check(isHost(pool, address!), `${what} ${address} is no host's address of the floating pool ${nat.pool}`);
    check(!taken.has(address!), `${what} ${address} is its ${taken.get(address!)}, too`);
    taken.set(address!, what);
    return address!;
  };
  const nextHop = take(nat.nextHop, 'next hop');
  const gateway = take(nat.gateway, 'floating gateway');

  const floats = new Map<string, string>();
  const owners = new Set<string>();
  for (const { floating, ipv4 } of nat.floats ?? []) {
    const address = take(floating, 'floating address');
    check(isIPv4(ipv4 ?? ''), `address "${ipv4}" behind floating address ${address} is not IPv4`);
    check(
      contains(netblock, ipv4!),
      `address ${ipv4} behind floating address ${address} is not in the netblock`,
    );
    check(!owners.has(ipv4!), `address ${ipv4} has two floating addresses`);
    owners.add(ipv4!);
    floats.set(address, ipv4!);
  }
  for (const address of routed) take(address, 'routed address');
  const leases = checkLeases(router.leases ?? [], netblock);
  return {
    outside: macText(outsideMac(router.mac!)),
    netblock,
    gateway,
    pool,
    nextHop,
    floats,
    routed: [...routed],
    leases,
  };
}
