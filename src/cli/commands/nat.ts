import type { Command } from 'commander';
import { examples, settingsOf, writeRows } from '../command.ts';
import type { NatRow } from '../inspect/nat.ts';

const HEAD = [
  'network',
  'where',
  'gateway',
  'next hop',
  'floating',
  'routed',
  'flows',
  'conntrack',
  'tcp ports',
  'udp ports',
  'icmp ids',
];

/** The kernel's neighbour states (ip-neighbour(8)), as an answer to "does it answer?". */
function answers(state: string | null): string {
  if (state === null) return 'not asked yet';
  if (['failed', 'incomplete'].includes(state)) return 'does not answer';
  return ['stale', 'delay', 'probe'].includes(state) ? 'answered' : 'answers';
}

function cells(row: NatRow): unknown[] {
  const used = (protocol: string) => (row.ports_used ? `${row.ports_used[protocol]} of 65536` : '-');
  const floats = Object.entries(row.floats).map(([floating, ipv4]) => `${floating} = ${ipv4}`);
  return [
    row.network,
    row.where,
    row.gateway,
    `${row.next_hop} (${answers(row.next_hop_state)})`,
    floats.join('; ') || '-',
    row.routed.join('; ') || '-',
    row.flows,
    row.connections ?? '-',
    used('tcp'),
    used('udp'),
    used('icmp'),
  ];
}

async function showNat(options: { network?: string }, command: Command): Promise<void> {
  const settings = settingsOf(command);
  const [{ readNat }, { NameBook }, { PinnedMaps }] = await Promise.all([
    import('../inspect/nat.ts'),
    import('../inspect/name-book.ts'),
    import('../inspect/pinned-maps.ts'),
  ]);
  const book = await NameBook.read(settings.stateDirectory);
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const vni = options.network === undefined ? undefined : book.requireVni(options.network);
  const notes: string[] = [];
  const rows = await readNat(maps, book, vni, (note) => notes.push(note));
  if (rows.length === 0)
    notes.push(
      options.network === undefined
        ? 'no network with NAT has its router on this node'
        : `network ${options.network} has no NAT on this node`,
    );
  await writeRows(settings, 'networks', rows, HEAD, rows.map(cells));
  for (const note of notes) process.stderr.write(`fistpath: note: ${note}\n`);
}

export function addNatCommands(program: Command): void {
  const group = program.command('nat').description('NAT of the networks whose router is on this node');
  examples(group, ['fistpath nat status']);
  const status = group
    .command('status')
    .summary('gateways, next hops, floating addresses, connections')
    .description(
      'Shows for each network with NAT who translates (ebpf: the fast path, with the kernel behind it), its gateway, its next hop and whether that answers, its floating and routed addresses, the connections in the fast path and in conntrack, and the ports of the gateway that they hold. Works without a daemon.',
    )
    .option('--network <network>', 'only this one')
    .action(showNat);
  examples(status, ['fistpath nat status', 'fistpath nat status --network demonet --json']);
}
