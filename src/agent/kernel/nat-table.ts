/**
 * NAT as netfilter does it: the table `ip fistpath` of a router's namespace.
 *
 * One address stands for one instance both ways: what comes in for a floating address goes to its instance, and the
 * instance leaves as it; everybody else leaves as the gateway. Who may pass is a list of what is allowed, with a policy
 * that drops: what comes from outside without having been asked for never enters.
 *
 * The rules are made once; what changes with every instance and address are elements of sets, so that the counters
 * of the others go on. Rules name devices, not indexes: they are there before the devices are.
 */
import { blockText } from './addresses.ts';
import type { NetworkNames } from './names.ts';
import type { WantedNat } from './wanted-nat.ts';

/** What a namespace has in force, or may have: enough to tell what has to go. */
export interface NatRecord {
  /** What changes the rules or the routes. */
  rules: string;
  gateway: string;
  /** Length of the pool's mask, which is the gateway's. */
  prefix: number;
  floats: Record<string, string>;
  routed: string[];
  /** Address → interface. */
  leases: Record<string, string>;
}

/** The table without its elements. */
export function natTable(nat: WantedNat, names: NetworkNames, ftpHelper: boolean): string {
  const inside = `"${names.routerInner}"`;
  const outside = `"${names.physicalInner}"`;
  const netblock = blockText(nat.netblock);
  const ftp = `
	ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
	chain helpers {
		type filter hook prerouting priority mangle; policy accept;
		tcp dport 21 ct state new ct helper set "ftp"
	}`;
  return `
table ip fistpath {
	map floats { type ipv4_addr : ipv4_addr; }
	map senders { type ipv4_addr : ipv4_addr; }
	set routed { type ipv4_addr; }
	set sent { type ipv4_addr; counter; }
	set received { type ipv4_addr; counter; }
	chain forged {
		type filter hook prerouting priority raw; policy accept;
		iifname ${outside} ip saddr ${netblock} counter drop comment "ours, from outside"
	}${ftpHelper ? ftp : ''}
	chain destination {
		type nat hook prerouting priority dstnat; policy accept;
		dnat to ip daddr map @floats
	}
	chain own {
		type nat hook output priority -100; policy accept;
		dnat to ip daddr map @floats
	}
	chain source {
		type nat hook postrouting priority srcnat; policy accept;
		oifname ${outside} snat to ip saddr map @senders
		oifname ${outside} ip saddr ${netblock} snat to ${nat.gateway}
		iifname ${inside} oifname ${inside} ct status dnat snat to ip saddr map @senders
		iifname ${inside} oifname ${inside} ct status dnat snat to ${nat.gateway}
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		iifname ${inside} oifname ${inside} ip daddr @routed accept comment "answered on a shorter way"
		ct state invalid counter drop
		ct state established,related accept
		iifname ${inside} oifname ${outside} ip saddr ${netblock} accept
		iifname ${inside} oifname ${outside} ip saddr @routed accept
		iifname ${inside} oifname ${inside} ct status dnat accept
		iifname ${outside} oifname ${inside} ct status dnat accept
		iifname ${outside} oifname ${inside} ip daddr @routed accept
		counter comment "not asked for"
	}
	chain account {
		type filter hook forward priority filter + 10; policy accept;
		oifname ${outside} ip saddr @sent
		iifname ${outside} ip daddr @received
	}
	chain input {
		type filter hook input priority filter; policy drop;
		ct state invalid counter drop
		ct state established,related accept
		iifname lo accept
		icmp type echo-request accept
		iifname ${inside} udp dport { 53, 67 } accept
		iifname ${inside} tcp dport 53 accept
		counter comment "not asked for"
	}
}`;
}

/** @param rules text that changes with the table's and the routes' */
export function natRecord(nat: WantedNat, rules: string): NatRecord {
  return {
    rules,
    gateway: nat.gateway,
    prefix: nat.pool.prefix,
    floats: Object.fromEntries(nat.floats),
    routed: nat.routed,
    leases: Object.fromEntries(nat.leases),
  };
}

/** Elements that belong to a record, by set; with what follows a key in a map, and what tells the element's owner. */
type Elements = Map<string, Map<string, string>>;

function elementsOf(record: NatRecord): Elements {
  const floats = Object.entries(record.floats);
  const leases = new Map(Object.entries(record.leases));
  return new Map([
    ['floats', new Map(floats)],
    ['senders', new Map(floats.map(([floating, ipv4]) => [ipv4, floating]))],
    ['routed', new Map(record.routed.map((address) => [address, '']))],
    ['sent', leases],
    ['received', leases],
  ]);
}

const isMap = (set: string) => set === 'floats' || set === 'senders';

/** The elements as parseTable tells them. */
export function natElements(record: NatRecord): Map<string, Set<string>> {
  return new Map(
    [...elementsOf(record)].map(([set, rows]) => [
      set,
      new Set([...rows].map(([key, value]) => (isMap(set) ? `${key} : ${value}` : key))),
    ]),
  );
}

function line(verb: 'add' | 'delete', set: string, rows: [string, string][]): string[] {
  if (rows.length === 0) return [];
  const texts = rows.map(([key, value]) => (verb === 'add' && isMap(set) ? `${key} : ${value}` : key));
  return [`${verb} element ip fistpath ${set} { ${texts.join(', ')} }`];
}

/** Puts the table in place of whatever is there, in one transaction. */
export function replaceNatLines(table: string, record: NatRecord): string[] {
  const elements = [...elementsOf(record)].flatMap(([set, rows]) => line('add', set, [...rows]));
  return ['add table ip fistpath', 'delete table ip fistpath', table, ...elements];
}

/** Takes the table from one record to another with the same rules; an element of another owner begins anew. */
export function updateNatLines(from: NatRecord, to: NatRecord): string[] {
  const before = elementsOf(from);
  return [...elementsOf(to)].flatMap(([set, rows]) => {
    const old = before.get(set)!;
    const gone = [...old].filter(([key, value]) => rows.get(key) !== value);
    const fresh = [...rows].filter(([key, value]) => old.get(key) !== value);
    return [...line('delete', set, gone), ...line('add', set, fresh)];
  });
}

/** Takes the table away. */
export const REMOVE_NAT_LINES = ['add table ip fistpath', 'delete table ip fistpath'];

/** Lines for `conntrack -R` that forget every connection that a record allowed and the new one does not. */
export function staleLines(from: readonly NatRecord[], to: NatRecord): string[] {
  const lines = new Set<string>();
  for (const record of from) {
    if (record.gateway !== to.gateway) lines.add(`-D --reply-dst ${record.gateway}`);
    for (const [floating, ipv4] of Object.entries(record.floats)) {
      if (to.floats[floating] === ipv4) continue;
      lines.add(`-D --orig-dst ${floating}`).add(`-D --reply-dst ${floating}`);
    }
    for (const [ipv4, owner] of Object.entries(record.leases)) {
      if (to.leases[ipv4] === owner) continue;
      lines.add(`-D --orig-src ${ipv4}`).add(`-D --reply-src ${ipv4}`);
    }
    for (const address of record.routed) {
      if (to.routed.includes(address)) continue;
      lines.add(`-D --orig-src ${address}`).add(`-D --orig-dst ${address}`);
    }
  }
  return [...lines];
}
