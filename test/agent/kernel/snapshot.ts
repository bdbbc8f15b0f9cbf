import type { Node } from './node.ts';

interface Link {
  ifname: string;
  ifalias?: string;
  mtu: number;
  flags: string[];
  master?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: Record<string, unknown>;
    info_slave_data?: { learning?: boolean };
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
  'type',
  'vnet_hdr',
];

/** What a node has, without what differs from one making to the next (indexes, random MACs, counters, order). */
export async function snapshot(node: Node): Promise<string[]> {
  const links = JSON.parse(await node.run('ip -j -d link')) as Link[];
  const rows = JSON.parse(await node.run('bridge -j fdb')) as Row[];
  const lines = links.map((link) => {
    const data = link.linkinfo?.info_data ?? {};
    const settings = SETTINGS.map((key) => data[key]);
    const learning = link.linkinfo?.info_slave_data?.learning;
    const up = link.flags.includes('UP');
    return JSON.stringify([
      link.ifname,
      link.ifalias,
      link.mtu,
      up,
      link.master,
      learning,
      link.linkinfo?.info_kind,
      settings,
    ]);
  });
  for (const row of rows)
    if (row.state === 'static') lines.push(JSON.stringify([row.mac, row.ifname, row.dst]));
  const rules = await node.run('nft -s list ruleset');
  // Sets are listed in no order.
  lines.push(
    ...rules
      .replace(/elements = \{([^}]*)\}/g, (_, list: string) =>
        list
          .split(',')
          .map((each) => each.trim())
          .sort()
          .join(),
      )
      .split('\n'),
  );
  for (const name of (await node.run('ls /run/netns')).split('\n').filter(Boolean).sort()) {
    const inner = JSON.parse(await node.run(`@${name} ip -j addr`)) as (Link & {
      address: string;
      addr_info: { local: string }[];
    })[];
    for (const { ifname, mtu, flags, address, addr_info } of inner) {
      const mac = ifname.startsWith('phy-') ? '' : address;
      lines.push(
        JSON.stringify([name, ifname, mtu, flags.includes('UP'), mac, addr_info.map(({ local }) => local)]),
      );
    }
    lines.push(`${name} ip_forward ${await node.run(`@${name} cat /proc/sys/net/ipv4/ip_forward`)}`);
  }
  for (const { ifname } of links.filter((link) => link.ifalias)) {
    lines.push(
      `${ifname} disable_ipv6 ${await node.run(`cat /proc/sys/net/ipv6/conf/${ifname}/disable_ipv6`)}`,
    );
  }
  lines.push(`netfilter ${await node.run('cat /proc/sys/net/bridge/bridge-nf-call-iptables')}`);
  lines.push(`claims ${await node.run('ls /run/state/netns')}`);
  return lines;
}
