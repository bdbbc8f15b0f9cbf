/** What dnsmasq of one network is told, as the texts of its files: a pure function of the network's record. */
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import type { fistpath } from '#proto';
import { formatAddress, parseAddress, parseBlock } from '../../records/netblock.ts';
import { macText, networkNames } from '../kernel/names.ts';

export interface DnsmasqFiles {
  /** Its configuration; a change needs a restart. */
  configuration: string;
  /** Static leases, re-read by SIGHUP. */
  hosts: string;
  /** DNS names, re-read by SIGHUP. */
  names: string;
}

export interface DnsmasqPlace {
  /** Of this network's files. */
  directory: string;
  /** Name servers that it asks, or that guests are told of where it serves no names. */
  servers: readonly string[];
}

export const FILES = {
  configuration: 'dnsmasq.conf',
  hosts: 'hosts',
  names: 'names',
  leases: 'leases',
  pid: 'pid',
} as const;

/** The account that Debian's dnsmasq-base makes. */
const USER = 'dnsmasq';
const LEASE_TIME = '1h';
/** RFC 1123, 2.1 */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
/** A namespace's name is part of the domain, and may have an underscore. */
const DOMAIN_LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const LONGEST_NAME = 253;
/** Nothing that a line of dnsmasq's configuration could take for quoting, a comment or an end. */
const PATH = /^\/[A-Za-z0-9/._+@=-]+$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

function isName(text: string, label: RegExp): boolean {
  return text.length <= LONGEST_NAME && text.split('.').every((part) => label.test(part));
}

function checkedMac(lease: fistpath.ILease): string {
  const { mac } = lease;
  check(mac?.length === 6 && ((mac[0] as number) & 1) === 0, `the MAC of ${lease.ipv4} is no station's`);
  return macText(mac);
}

export interface StaticLease {
  mac: string;
  ipv4: string;
  /** Empty: none. */
  name: string;
}

/** Whether a node's network wants dnsmasq at all. */
export function wantsDnsmasq(network: fistpath.INodeNetwork): boolean {
  return Boolean(network.router?.dhcp || network.router?.dns);
}

/** The leases of a network, each string checked. Throws an Error that says what is wrong. */
export function staticLeases(network: fistpath.INodeNetwork): StaticLease[] {
  const block = parseBlock(network.netblock ?? '');
  const seen = new Set<string>();
  return (network.router?.leases ?? []).map((lease) => {
    const { ipv4 = '', name = '' } = lease as { ipv4?: string; name?: string };
    check(isIPv4(ipv4), `address ${JSON.stringify(ipv4)} of a lease is not IPv4`);
    const address = parseAddress(ipv4);
    check(address > block.first && address < block.last, `${ipv4} is not in netblock ${network.netblock}`);
    check(name === '' || LABEL.test(name), `name ${JSON.stringify(name)} of ${ipv4} is no host name`);
    const mac = checkedMac(lease);
    for (const each of [ipv4, mac]) {
      check(!seen.has(each), `two leases have ${each}`);
      seen.add(each);
    }
    return { mac, ipv4, name };
  });
}

/** @returns `name` and, where it is relative, the domain */
function entryName(name: string, domain: string): string {
  const absolute = name.endsWith('.');
  check(absolute || domain !== '', `DNS entry ${JSON.stringify(name)} is relative, but there is no domain`);
  const full = absolute ? name.slice(0, -1) : `${name}.${domain}`;
  // What the domain adds was checked as the domain.
  check(isName(absolute ? full : name, LABEL), `DNS entry ${JSON.stringify(name)} is no host name`);
  check(full.length <= LONGEST_NAME, `DNS entry ${full} is longer than ${LONGEST_NAME} characters`);
  return full;
}

/**
 * The files of a network that wants dnsmasq. Every string of the record is checked before it is in a line: a newline
 * in a name would be a line of configuration.
 * @throws Error that says which string is wrong; then nothing of the network's files may be written
 */
export function dnsmasqFiles(network: fistpath.INodeNetwork, place: DnsmasqPlace): DnsmasqFiles {
  const { directory, servers } = place;
  const router = network.router!;
  const { dhcp, dns, nat } = router;
  const [vni, mtu, domain, address] = [
    network.vni ?? 0,
    network.mtu ?? 0,
    router.domain ?? '',
    router.address ?? '',
  ];
  check(UUID.test(network.uuid ?? ''), `"${network.uuid}" is not a lower-case uuid`);
  check(
    PATH.test(directory),
    `${directory} can't be in dnsmasq's configuration: choose a plain state_directory`,
  );
  check(Number.isInteger(vni) && vni >= 1 && vni < 1 << 24, `vxid ${vni} is out of range`);
  check(Number.isInteger(mtu) && mtu >= 68 && mtu <= 65535, `MTU ${mtu} is out of range`);
  check(isIPv4(address), `router address ${JSON.stringify(address)} is not IPv4`);
  check(domain === '' || isName(domain, DOMAIN_LABEL), `domain ${JSON.stringify(domain)} is no domain name`);
  for (const server of servers) {
    check(isIPv4(server), `dns_servers of the node's configuration: ${JSON.stringify(server)} is not IPv4`);
  }
  const block = parseBlock(network.netblock ?? '');
  const leases = staticLeases(network);
  const path = (file: keyof typeof FILES) => join(directory, FILES[file]);

  const lines = [
    `# Network ${network.uuid}. Made by fistpathd, which makes it again.`,
    `user=${USER}`,
    'group=nogroup',
    `pid-file=${path('pid')}`,
    `interface=${networkNames(vni).routerInner}`,
    'except-interface=lo',
    'bind-interfaces',
    'no-resolv',
    'no-hosts',
    ...(domain === '' ? [] : [`domain=${domain}`]),
    ...(dns
      ? [
          `addn-hosts=${path('names')}`,
          'domain-needed',
          'bogus-priv',
          ...(domain === '' ? [] : [`local=/${domain}/`]),
          // Without a way outside there is nobody to ask: the answer comes at once, not after time-outs.
          ...(nat ? servers.map((server) => `server=${server}`) : []),
        ]
      : ['port=0']),
  ];
  if (dhcp) {
    const mask = formatAddress((-1 << (32 - block.prefix)) >>> 0);
    lines.push(
      `dhcp-range=${formatAddress(block.first)},static,${mask},${LEASE_TIME}`,
      `dhcp-hostsfile=${path('hosts')}`,
      `dhcp-leasefile=${path('leases')}`,
      // One for every address of the biggest netblock: who gets one is in the records.
      `dhcp-lease-max=${1 << 24}`,
      'dhcp-authoritative',
      // A guest has no say in names, and is known by its MAC, which the port's guard holds it to.
      'dhcp-ignore-names',
      'dhcp-ignore-clid',
      'quiet-dhcp',
      `dhcp-option=option:router,${address}`,
      `dhcp-option=${['option:dns-server', ...(dns ? [address] : servers)].join(',')}`,
      // Told unasked: a client that does not ask would send what does not fit.
      `dhcp-option-force=option:mtu,${mtu}`,
    );
  }

  // With its domain no name looks like one of dnsmasq's own words (ignore, infinite, 12h).
  const hosts = leases.map(({ mac, ipv4, name }) =>
    [mac, ipv4, ...(name && domain ? [`${name}.${domain}`] : [])].join(','),
  );
  // The first name of an address is the one that it resolves to, so leases go before entries.
  const names = leases
    .filter(({ name }) => name !== '')
    .map(({ ipv4, name }) => [ipv4, ...(domain ? [`${name}.${domain}`] : []), name].join(' '));
  for (const { name, value } of router.dnsEntries ?? []) {
    check(isIPv4(value ?? ''), `value ${JSON.stringify(value)} of DNS entry ${name} is not IPv4`);
    names.push(`${value} ${entryName(name ?? '', domain)}`);
  }
  const text = (all: string[]) => all.map((line) => `${line}\n`).join('');
  return { configuration: text(lines), hosts: text(hosts), names: text(names) };
}
