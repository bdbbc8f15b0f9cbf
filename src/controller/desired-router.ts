/** What the network node is told of a network's router: a pure function of the records. */
import { fistpath } from '#proto';
import { domainOf, isLabel } from '../records/hostname.ts';
import { formatAddress, gatewayOf, parseAddress, parseBlock } from '../records/netblock.ts';
import type { NetworkRecords, Placed } from './desired.ts';

/** `live`: the interfaces that are neither deleted nor on their way out. */
export function desiredRouter(
  { network, floating, dnsDomain }: NetworkRecords,
  live: readonly Placed[],
): fistpath.Router {
  const leases = live.filter((each) => each.interface.ipv4 !== '').map((each) => lease(each));
  const dnsEntries = Object.entries(network.provideDns ? network.dnsEntries : {})
    .map(([name, value]) => fistpath.DnsEntry.create({ name, value }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return fistpath.Router.create({
    mac: network.routerMac,
    address: formatAddress(gatewayOf(parseBlock(network.netblock))),
    nat: floating && desiredNat(network, floating, live),
    dhcp: network.provideDhcp,
    dns: network.provideDns,
    leases: sortByAddress(leases, ({ ipv4 }) => ipv4),
    dnsEntries,
    domain: domainOf(network.namespace, dnsDomain),
  });
}

/** A new list in the order of IPv4 addresses as numbers. */
export function sortByAddress<T>(items: readonly T[], addressOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, address: parseAddress(addressOf(item)) }))
    .sort((a, b) => a.address - b.address)
    .map(({ item }) => item);
}

function desiredNat(
  network: fistpath.Network,
  floating: fistpath.Network,
  live: readonly Placed[],
): fistpath.Nat | null {
  // A network that was made while there was no pool waits for its gateway.
  if (!network.provideNat || network.floatingGateway === '') return null;
  const floats = live
    .filter((each) => each.interface.floating !== '' && each.interface.ipv4 !== '')
    .map(({ interface: { floating, ipv4 } }) => fistpath.Float.create({ floating, ipv4 }));
  return fistpath.Nat.create({
    gateway: network.floatingGateway,
    pool: floating.netblock,
    nextHop: formatAddress(gatewayOf(parseBlock(floating.netblock))),
    floats: sortByAddress(floats, ({ floating }) => floating),
  });
}

function lease({ interface: { uuid, mac, ipv4 }, name }: Placed): fistpath.Lease {
  return fistpath.Lease.create({
    interface: uuid,
    mac,
    ipv4,
    name: isLabel(name) ? name.toLowerCase() : '',
  });
}
