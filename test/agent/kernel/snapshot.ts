import type { Node } from './node.ts';

interface Link {
  ifname: string;
  ifalias?: string;
  mtu: number;
  flags: string[];
  address: string;
  master?: string;
  addr_info?: { local: string }[];
  linkinfo?: {
    info_kind?: string;
    info_data?: Record<string, unknown>;
    info_slave_data?: { learning?: boolean; flood?: boolean };
  };
}

interface Row {
  mac: string;
  ifname: string;
  dst?: string;
  state: string;
}

const SETTINGS = [
  'id',
  'local',
  'link',
  'port',
  'learning',
  'ttl',
  'stp_state',
  'mcast_snooping',
  'vnet_hdr',
];

const SCRIPT = `
ip -j -d link; echo; echo ====
bridge -j fdb; echo; echo ====
nft -s list ruleset; echo ====
for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo "$f $(cat $f)"; done
cat /proc/sys/net/bridge/bridge-nf-call-iptables
ls /run/state/netns
for n in $(ls /run/netns); do
  echo ====
  echo $n
  nsenter --net=/run/netns/$n sh -c '
    nft -s list ruleset; ip route; ip neigh show proxy
    grep -s . /proc/sys/net/ipv4/ip_forward /proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal
    cd /proc/sys/net/ipv4
    for n in $(cd conf; ls -d *-i all default); do
      grep -s . conf/$n/rp_filter conf/$n/send_redirects conf/$n/arp_ignore conf/$n/accept_redirects neigh/$n/proxy_delay
    done; echo ----; ip -j addr'
done`;

/** Sets are listed in no order. */
function rulesInOrder(rules: string): string[] {
  const inOrder = (list: string) => list.split(',').map((each) => each.trim());
  return rules
    .replace(/elements = \{([^}]*)\}/g, (_, list: string) => inOrder(list).sort().join())
    .split('\n');
}

/** What a node has, without what differs from one making to the next (indexes, random MACs, counters); sorted. */
export async function snapshot(node: Node): Promise<string[]> {
  const { stdout } = await node.tryRun('sh', '-c', SCRIPT);
  const [links = '', fdb = '', rules = '', settings = '', ...namespaces] = stdout.split('====\n');
  const lines = settings.split('\n');
  for (const link of JSON.parse(links) as Link[]) {
    const { info_kind: kind, info_data: data = {}, info_slave_data: slave } = link.linkinfo ?? {};
    const up = link.flags.includes('UP');
    const details = SETTINGS.map((key) => data[key]);
    lines.push(
      JSON.stringify([
        link.ifname,
        link.ifalias,
        link.mtu,
        up,
        link.master,
        slave?.learning,
        slave?.flood,
        kind,
        details,
      ]),
    );
  }
  for (const row of JSON.parse(fdb) as Row[]) {
    if (row.state === 'static') lines.push(JSON.stringify([row.mac, row.ifname, row.dst]));
  }
  lines.push(...rulesInOrder(rules));
  for (const text of namespaces) {
    const [name = '', ...rest] = text.split('\n');
    const [settings = '', inner = ''] = rest.join('\n').split('----\n');
    lines.push(...rulesInOrder(settings).map((line) => `${name} ${line}`));
    for (const { ifname, mtu, flags, address, addr_info = [] } of JSON.parse(inner) as Link[]) {
      const mac = ifname.startsWith('phy-') && !address.startsWith('06:00:00:00:') ? '' : address;
      lines.push(
        JSON.stringify([
          name,
          ifname,
          mtu,
          flags.includes('UP'),
          mac,
          addr_info.map(({ local }) => local).sort(),
        ]),
      );
    }
  }
  return lines.sort();
}
