/**
 * Who may send: two nftables tables, both called fistpath. They hold in both datapath modes; the fast path
 * refuses the same packets earlier.
 *
 * `bridge`: what a port sends bears its interface's own MAC and IPv4. It allows what it knows and drops the
 * rest, since IPv6, VLAN 0 and LLC/SNAP were ways round other systems' guards. A frame tagged with a VLAN of the
 * guests' own is let through by its MAC alone: our bridges don't know VLANs, nor do guests that did not ask.
 *
 * `ip`: tunnel packets come from a member of the mesh of that VNI; the kernel's VXLAN device takes them from
 * anybody. VNIs that are not ours are not our business. And local users other than root can't forge them.
 */
import type { Guard, SetElements } from './actual.ts';
import { valueAt } from './actual.ts';
import type { WantedNetwork } from './desired.ts';
import { networkNames } from './names.ts';

export type Family = keyof Guard;

const SENDER_TABLE = `
table bridge fistpath {
	set ports { type ifname; }
	set routers { type ifname; }
	set macs { typeof iifname . ether saddr; }
	set addresses { typeof iifname . ip saddr; }
	chain sender {
		type filter hook prerouting priority -300; policy accept;
		iifname != @ports accept
		iifname . ether saddr != @macs counter drop comment "source MAC"
		iifname @routers accept
		ether type 8021q vlan id 0 counter drop comment "VLAN 0"
		ether type 8021q accept
		ether type arp arp htype != 1 counter drop comment "ARP form"
		ether type arp arp ptype != ip counter drop comment "ARP form"
		ether type arp arp hlen != 6 counter drop comment "ARP form"
		ether type arp arp plen != 4 counter drop comment "ARP form"
		ether type arp iifname . arp saddr ether != @macs counter drop comment "ARP sender"
		ether type arp arp operation request arp saddr ip 0.0.0.0 accept comment "probe, RFC 5227"
		ether type arp arp saddr ip 0.0.0.0 counter drop comment "ARP sender"
		ether type arp iifname . arp saddr ip @addresses accept
		ether type arp counter drop comment "ARP sender"
		ether type ip ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 iifname . ip saddr @addresses accept comment "DHCP client"
		ether type ip ip saddr 0.0.0.0 counter drop comment "IPv4 source"
		ether type ip iifname . ip saddr @addresses accept
		ether type ip counter drop comment "IPv4 source"
		ether type ip6 accept
		counter drop comment "EtherType"
	}
}`;

/** The VNI is 24 bits, 96 bits behind the start of the UDP header: 8 bytes UDP, 4 bytes VXLAN flags (RFC 7348, 5). */
const tunnelTable = (port: number) => `
table ip fistpath {
	set networks { typeof @th,96,24; }
	set mesh { typeof ip saddr . @th,96,24; }
	chain input {
		type filter hook input priority raw; policy accept;
		udp dport ${port} @th,96,24 @networks ip saddr . @th,96,24 != @mesh counter drop comment "no member"
	}
	chain output {
		type filter hook output priority raw; policy accept;
		udp dport ${port} meta skuid > 0 counter drop comment "forged by a local user"
	}
}`;

/** Text of a table, without elements. */
export function tableText(family: Family, vxlanPort: number): string {
  return family === 'bridge' ? SENDER_TABLE : tunnelTable(vxlanPort);
}

/** An element and the networks that it is there for. */
export interface Element {
  set: string;
  text: string;
  network: string;
}

/** The elements that the guard of one network consists of. */
export function guardElements(network: WantedNetwork): Record<Family, Element[]> {
  const { uuid, vni, router, routed } = network;
  const bridge: [string, string][] = [];
  for (const { ifname, mac, ipv4 } of network.ports) {
    bridge.push(['ports', ifname], ['macs', `${ifname} . ${mac}`]);
    // 0.0.0.0 for DHCP. An interface without IPv4 may send none.
    if (ipv4 !== '') bridge.push(['addresses', `${ifname} . ${ipv4}`], ['addresses', `${ifname} . 0.0.0.0`]);
    for (const address of routed) bridge.push(['addresses', `${ifname} . ${address}`]);
  }
  if (router) {
    const { routerOuter } = networkNames(vni);
    bridge.push(['ports', routerOuter], ['routers', routerOuter], ['macs', `${routerOuter} . ${router.mac}`]);
  }
  const ip: [string, string][] = [['networks', `${vni}`]];
  for (const peer of network.peers) ip.push(['mesh', `${peer} . ${vni}`]);
  const element = ([set, text]: [string, string]): Element => ({ set, text, network: uuid });
  return { bridge: bridge.map(element), ip: ip.map(element) };
}

/** nft knows interface names as strings. */
function quoted(text: string): string {
  return text.replace(/^[a-z][^ ]*/, '"$&"');
}

export function elementLine(verb: 'add' | 'delete', family: Family, set: string, text: string): string {
  return `${verb} element ${family} fistpath ${set} { ${quoted(text)} }`;
}

/** Lines that put a table in place of whatever is there, in one transaction with its elements. */
export function replaceTableLines(family: Family, vxlanPort: number, elements: readonly Element[]): string[] {
  const table = `${family} fistpath`;
  return [
    `add table ${table}`,
    `delete table ${table}`,
    tableText(family, vxlanPort),
    ...elements.map(({ set, text }) => elementLine('add', family, set, text)),
  ];
}

export interface GuardDifference {
  missing: Element[];
  /** Elements that nobody wants. */
  surplus: { set: string; text: string }[];
}

export function guardDifference(wanted: readonly Element[], actual: SetElements): GuardDifference {
  const texts = new Map<string, Set<string>>();
  for (const { set, text } of wanted) valueAt(texts, set, () => new Set()).add(text);
  const surplus: { set: string; text: string }[] = [];
  for (const [set, elements] of actual) {
    for (const text of elements) if (!texts.get(set)?.has(text)) surplus.push({ set, text });
  }
  return { missing: wanted.filter(({ set, text }) => !actual.get(set)?.has(text)), surplus };
}
