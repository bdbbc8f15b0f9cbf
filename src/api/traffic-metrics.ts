// What interfaces and networks sent and received, in Prometheus' text format. Written by hand: with one row per
// interface and kind, a registry that is filled anew for every scrape would be most of the work.
import type { Traffic, TrafficTotals, UsageNumbers } from '../controller/operations.ts';

interface Family {
  name: string;
  help: string;
  of: (totals: TrafficTotals) => { sent: Traffic; received: Traffic };
  unit: keyof Traffic;
}

const all = ({ sent, received }: TrafficTotals) => ({ sent, received });
const outside = ({ sentOutside, receivedOutside }: TrafficTotals) => ({
  sent: sentOutside,
  received: receivedOutside,
});

function families(object: string): Family[] {
  return (['packets', 'bytes'] as const).flatMap((unit): Family[] => {
    const [counted, layer3] = unit === 'packets' ? ['Packets', 'Packets'] : ['Bytes', 'Layer 3 bytes'];
    return [
      {
        name: `fistpath_${object}_${unit}_total`,
        help: `${counted} sent and received by instances, at their ports.`,
        of: all,
        unit,
      },
      {
        name: `fistpath_${object}_outside_${unit}_total`,
        help: `${layer3} that instances exchanged with the outside, at the network node.`,
        of: outside,
        unit,
      },
    ];
  });
}

function rows<T extends TrafficTotals>(object: string, list: T[], labels: (one: T) => string): string[] {
  return families(object).flatMap(({ name, help, of, unit }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} counter`,
    ...list.flatMap((one) => {
      const { sent, received } = of(one);
      const label = labels(one);
      return [
        `${name}{${label},direction="sent"} ${sent[unit]}`,
        `${name}{${label},direction="received"} ${received[unit]}`,
      ];
    }),
  ]);
}

function flowTableRows(tables: UsageNumbers['flowTables']): string[] {
  const gauge = (name: string, help: string, of: 'used' | 'capacity') => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...tables.map((table) => `${name}{node="${table.node}"} ${table[of]}`),
  ];
  return [
    ...gauge('fistpath_node_flows', 'Cached NAT decisions, two for each connection.', 'used'),
    ...gauge('fistpath_node_flows_capacity', 'As many can be cached; then the oldest go.', 'capacity'),
  ];
}

/** Labels of interfaces and networks are uuids only: these numbers are read without a token. */
export function trafficMetrics({ interfaces, networks, flowTables }: UsageNumbers): string {
  const lines = [
    ...rows(
      'interface',
      interfaces,
      (one) => `interface="${one.interface}",instance="${one.instance}",network="${one.network}"`,
    ),
    ...rows('network', networks, (one) => `network="${one.network}"`),
    ...flowTableRows(flowTables),
  ];
  return `${lines.join('\n')}\n`;
}
