import type { Command } from 'commander';
import type { Node } from '../api-types.ts';
import { connect, examples, segment } from '../command.ts';
import { Failure } from '../failure.ts';
import type { Attachment } from '../inspect/attachments.ts';
import type { Features } from '../inspect/features.ts';
import type { NameBook } from '../inspect/name-book.ts';
import { csv, keyValues, table, write, writeJson } from '../output.ts';
import type { Settings } from '../settings.ts';

/** Status must not hang on a controller that does not answer. */
const API_PATIENCE_MS = 2000;

interface Status {
  node: string;
  api: string;
  /** In force here, by what is attached. */
  datapath: 'ebpf' | 'kernel';
  wanted: string | null;
  reason: string | null;
  problems: string[];
  bpf_directory: string;
  features: Features;
  /** Where NAT is done, by what is attached; null: no network with NAT is here. */
  nat: 'ebpf' | 'kernel' | null;
  nat_reason: string | null;
  attachments: (Omit<Attachment, 'device'> & { device: string | null; network: string | null })[];
  maps: { name: string; entries: number | null; max_entries: number; fill: number | null }[];
}

async function askNode(settings: Settings, node: string): Promise<{ api: string; node?: Node }> {
  const { ApiClient } = await import('../api-client.ts');
  const api = new ApiClient(settings, API_PATIENCE_MS);
  try {
    const found = await api.request<Node>(`show node ${node}`, 'GET', `/nodes/${segment(node)}`);
    return { api: `${settings.apiUrl} answers`, node: found };
  } catch (error) {
    if (error instanceof Failure) return { api: error.message };
    throw error;
  }
}

async function readStatus(settings: Settings): Promise<Status> {
  const [{ attachments }, { readFeatures }, { NameBook }, { PinnedMaps }, { hostname }, { natRefusal }] =
    await Promise.all([
      import('../inspect/attachments.ts'),
      import('../inspect/features.ts'),
      import('../inspect/name-book.ts'),
      import('../inspect/pinned-maps.ts'),
      import('node:os'),
      import('../../agent/datapath/capability.ts'),
    ]);
  const book = await NameBook.read(settings.stateDirectory);
  const name = settings.node ?? book.node ?? hostname();
  const [answer, links] = await Promise.all([askNode(settings, name), attachments(settings.bpfDirectory)]);
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const features = readFeatures();
  const { datapath } = answer.node ?? {};
  const attached = links.some(({ hook, problem }) => hook === 'underlay' && problem === undefined);
  const problems = [
    ...(datapath?.problems ?? []),
    ...links.filter(({ problem }) => problem !== undefined).map(({ pin, problem }) => `${pin}: ${problem}`),
  ];
  if (!features.bpffs) problems.push('no bpffs is mounted: mount -t bpf bpf /sys/fs/bpf');
  if (!features.tcx)
    problems.push(
      'this kernel has no TCX: TC programs are clsact filters, which are not listed here (tc filter show)',
    );
  return {
    node: name,
    api: answer.api,
    // Without TCX there are no links to see: what the agent says is all there is.
    datapath: attached || (!features.tcx && datapath?.mode === 'ebpf') ? 'ebpf' : 'kernel',
    wanted: datapath?.wanted ?? null,
    reason: datapath?.reason ?? (attached ? null : 'no program is attached to the underlay'),
    problems,
    bpf_directory: settings.bpfDirectory,
    ...natOf(links, book, features, natRefusal(), datapath),
    features,
    attachments: links.map((link) => {
      const device = link.device ?? book.device(link.ifindex) ?? null;
      const uuid = device === null ? undefined : book.port(device)?.network;
      const [, hex] = /^(?:vxlan|veth|phy)-([0-9a-f]+)/.exec(device ?? '') ?? [];
      const vni = hex === undefined ? undefined : Number.parseInt(hex, 16);
      const network = vni === undefined ? (uuid === undefined ? undefined : book.vni(uuid)) : vni;
      return {
        ...link,
        device,
        network: network === undefined ? null : (book.network(network)?.name ?? null),
      };
    }),
    maps: maps.names().map((each) => {
      const map = maps.open(each);
      const entries = map.type.endsWith('array') ? undefined : map.count();
      const row = {
        name: each,
        entries: entries ?? null,
        max_entries: map.maxEntries,
        fill: entries === undefined ? null : entries / map.maxEntries,
      };
      map.close();
      return row;
    }),
  };
}

/** Where NAT is done and why: from what is attached; the reason from the agent's own words where the API has them. */
function natOf(
  links: Attachment[],
  book: NameBook,
  features: Features,
  refusal: string | undefined,
  told: Node['datapath'],
): Pick<Status, 'nat' | 'nat_reason'> {
  if (book.natNetworks().length === 0 && !told?.nat) return { nat: null, nat_reason: null };
  const attached = (hook: string) => links.some((link) => link.hook === hook && link.problem === undefined);
  if (attached('learn') && attached('uplink')) return { nat: 'ebpf', nat_reason: null };
  const absent = features.conntrack ? undefined : 'this kernel has no bpf_skb_ct_lookup';
  const missing = refusal ?? absent ?? 'programs learn and uplink are not both attached';
  return { nat: 'kernel', nat_reason: told?.nat_reason ?? told?.reason ?? missing };
}

function yes(value: boolean): string {
  return value ? 'yes' : 'no';
}

async function showStatus(_options: unknown, command: Command): Promise<void> {
  const { settings } = connect(command);
  const status = await readStatus(settings);
  if (settings.output === 'json') return writeJson(status);
  const simple = settings.output === 'simple';
  const { features } = status;
  const draw = (head: string[], rows: unknown[][]) => (simple ? csv(head, rows) : table(head, rows));
  write(
    keyValues(
      [
        ['node', status.node],
        ['api', status.api],
        ['datapath', status.datapath],
        ['wanted', status.wanted ?? 'not known'],
        ['reason', status.reason ?? 'as wanted'],
        ...(status.nat === null ? [] : [['nat', status.nat] as [string, unknown]]),
        ...(status.nat_reason === null ? [] : [['nat reason', status.nat_reason] as [string, unknown]]),
        ...status.problems.map((problem): [string, unknown] => ['problem', problem]),
        ['kernel', features.kernel],
        ['btf', yes(features.btf)],
        ['tcx', yes(features.tcx)],
        ['conntrack', yes(features.conntrack)],
        ['bpffs', yes(features.bpffs)],
        ['pins', status.bpf_directory],
      ],
      { simple },
    ),
  );
  write('');
  const links = status.attachments.map((a) => [
    a.hook,
    a.kind,
    a.device ?? '-',
    a.network ?? '-',
    a.programId,
  ]);
  write(await draw(['program', 'hook', 'device', 'network', 'program id'], links));
  write('');
  const maps = status.maps.map((m) => [
    m.name,
    m.entries ?? '-',
    m.max_entries,
    m.fill === null ? '-' : `${(m.fill * 100).toFixed(1)} %`,
  ]);
  write(await draw(['map', 'entries', 'max', 'full'], maps));
}

export function addStatusCommand(program: Command): void {
  const status = program
    .command('status')
    .summary('which datapath this node runs, and why')
    .description(
      'Shows which datapath this node runs and why, where NAT is done, which programs are attached where, how full the maps are and what the kernel offers. Works without a daemon.',
    )
    .action(showStatus);
  examples(status, ['fistpath status', 'fistpath status --json | jq .datapath']);
}
