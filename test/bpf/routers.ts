/**
 * In a namespace of its own: two networks with the same netblock, each with a real router that does NAT with nftables
 * and conntrack, and an outside beyond the egress bridge.
 *
 *   guest1 10.0.0.10 ─┐
 *                     ├ br1 ─ veth-1-o/i ─ router1 ─ phy-1-i/o ─┐
 *   guest2 10.0.0.11 ─┘                                          ├ br-egress ─ outside 10.10.0.1, 198.51.100.1
 *   twin   10.0.0.10 ── br2 ─ veth-2-o/i ─ router2 ─ phy-2-i/o ─┘
 *
 * guest1 has a floating address in network 1, twin has one in network 2; guest2 leaves as the gateway.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const colons = (mac: string): string => mac.match(/../g)!.join(':');

export const GUESTS = {
  guest1: { network: 1, mac: '020000000010', address: '10.0.0.10' },
  guest2: { network: 1, mac: '020000000011', address: '10.0.0.11' },
  twin: { network: 2, mac: '020000000010', address: '10.0.0.10' },
} as const;

export interface RouterSpec {
  vni: 1 | 2;
  inside: string;
  outside: string;
  gateway: string;
  /** Floating → inside. */
  floats: Record<string, string>;
}

export const ROUTERS: RouterSpec[] = [
  {
    vni: 1,
    inside: '0200000000fe',
    outside: '0600000000fe',
    gateway: '10.10.0.2',
    floats: { '10.10.0.50': '10.0.0.10' },
  },
  {
    vni: 2,
    inside: '0200000000fd',
    outside: '0600000000fd',
    gateway: '10.10.0.3',
    floats: { '10.10.0.60': '10.0.0.10' },
  },
];
export const OUTSIDE_MAC = '0a00000000cc';
export const BRIDGE_MAC = '0a00000000bb';

export const sh = (script: string): string =>
  execFileSync('bash', ['-ec', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
export const within = (namespace: string, script: string): string =>
  sh(`ip netns exec ${namespace} ${script}`);

const namespace = (name: string): string => `
  ip netns add ${name}
  ip -n ${name} link set lo up`;

/** A veth pair: one end named `near` here, on a bridge, the other in a namespace. */
const cable = (near: string, bridge: string, name: string, device: string, mac: string): string => `
  ip link add ${near} mtu 1500 type veth peer name ${device} mtu 1500 netns ${name}
  ip link set ${near} addrgenmode none master ${bridge} up
  ip -n ${name} link set ${device} addrgenmode none address ${colons(mac)} up`;

const bridge = (name: string): string => `
  ip link add ${name} type bridge mcast_snooping 0 forward_delay 0
  ip link set ${name} addrgenmode none up`;

function router({ vni, inside, outside, gateway, floats }: RouterSpec): string {
  const name = `router${vni}`;
  const pairs = Object.entries(floats);
  const [veth, phy] = [`veth-${vni}-i`, `phy-${vni}-i`];
  return `
    ${bridge(`br${vni}`)}
    ${namespace(name)}
    ${cable(`veth-${vni}-o`, `br${vni}`, name, veth, inside)}
    ${cable(`phy-${vni}-o`, 'br-egress', name, phy, outside)}
    ip -n ${name} address add 10.0.0.1/24 dev ${veth}
    ip -n ${name} address add ${gateway}/24 dev ${phy}
    ${pairs.map(([floating]) => `ip -n ${name} address add ${floating}/32 dev ${phy}`).join('\n')}
    ip -n ${name} route add default via 10.10.0.1
    ip netns exec ${name} sysctl -qw net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_tcp_be_liberal=1 \
      net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.${veth}.send_redirects=0
    ip netns exec ${name} nft -f - <<'END'
    table ip fistpath {
      map in { type ipv4_addr : ipv4_addr; elements = { ${pairs.map(([f, i]) => `${f} : ${i}`).join(', ')} }; }
      map out { type ipv4_addr : ipv4_addr; elements = { ${pairs.map(([f, i]) => `${i} : ${f}`).join(', ')} }; }
      ct helper ftp { type "ftp" protocol tcp; }
      chain helpers { type filter hook prerouting priority -150; tcp dport 21 ct helper set "ftp"; }
      chain prerouting { type nat hook prerouting priority -100; dnat to ip daddr map @in; }
      chain postrouting {
        type nat hook postrouting priority 100
        oifname "${phy}" snat to ip saddr map @out
        oifname "${phy}" snat to ${gateway}
        iifname "${veth}" oifname "${veth}" ct status dnat snat to ip saddr map @out
        iifname "${veth}" oifname "${veth}" ct status dnat snat to ${gateway}
      }
    }
END`;
}

/** Makes all of it, with more floating addresses of network 1. */
export function createRouters(moreFloats: Record<string, string> = {}): void {
  sh(`
    mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns; }
    mount -t sysfs sysfs /sys
    mount -t bpf bpf /sys/fs/bpf
    ip link set lo up
    ${bridge('br-egress')}
    ip link set br-egress address ${colons(BRIDGE_MAC)}
    ip address add 10.10.0.254/24 dev br-egress
    for f in /proc/sys/net/bridge/bridge-nf-call-iptables; do if [ -e $f ]; then echo 0 >$f; fi; done
    ${namespace('outside')}
    ${cable('u0', 'br-egress', 'outside', 'eth0', OUTSIDE_MAC)}
    ip -n outside address add 10.10.0.1/24 dev eth0
    ip -n outside address add 198.51.100.1/32 dev lo
    ${ROUTERS.map((one) => router(one.vni === 1 ? { ...one, floats: { ...one.floats, ...moreFloats } } : one)).join('\n')}
    ${Object.entries(GUESTS)
      .map(
        ([name, { network, mac, address }]) => `
          ${namespace(name)}
          ${cable(`p-${name}`, `br${network}`, name, 'eth0', mac)}
          ip -n ${name} address add ${address}/24 dev eth0
          ip -n ${name} route add default via 10.0.0.1`,
      )
      .join('\n')}`);
}

/** Drives session.py. */
export class Sessions {
  readonly #child = spawn('/usr/bin/python3', [fileURLToPath(new URL('session.py', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 90_000,
  });
  readonly #answers = createInterface(this.#child.stdout)[Symbol.asyncIterator]();

  /** See session.py. */
  async ask(...command: unknown[]): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`session.py ended at ${JSON.stringify(command)}`);
    const { result, error } = JSON.parse(value) as { result: unknown; error?: string };
    if (error !== undefined) throw new Error(error);
    return result;
  }

  close(): void {
    this.#child.stdin.end();
  }
}
