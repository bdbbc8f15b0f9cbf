import type { Command } from 'commander';
import type { ApiFailure } from '../api-client.ts';
import { connect, examples, writeRows } from '../command.ts';
import { EXIT, type Failure } from '../failure.ts';
import type { BridgeEntry, FastEntries, FdbRow, KernelEntries, Sources } from '../inspect/fdb-compare.ts';
import type { NameBook } from '../inspect/name-book.ts';
import type { PinnedMaps } from '../inspect/pinned-maps.ts';
import { writeJson } from '../output.ts';
import type { Settings } from '../settings.ts';

/** Inspection must not hang on a controller that does not answer. */
const API_PATIENCE_MS = 3000;

async function readKernel(vni: number): Promise<KernelEntries> {
  const [{ run }, { networkNames }, { kernelEntries }] = await Promise.all([
    import('../../agent/process.ts'),
    import('../../agent/kernel/names.ts'),
    import('../inspect/fdb-compare.ts'),
  ]);
  const { vxlan, bridge } = networkNames(vni);
  const lines = JSON.parse((await run('bridge', ['-j', 'fdb', 'show'])).stdout) as BridgeEntry[];
  return kernelEntries(lines, vxlan, bridge);
}

async function readFastPath(maps: PinnedMaps, vni: number, book: NameBook): Promise<FastEntries | undefined> {
  const { FdbFlag } = await import('../../agent/datapath/abi.ts');
  const rows = maps.rowsOf('fdb');
  if (rows === undefined) return undefined;
  const entries = new Map<string, string>();
  const routers = new Set<string>();
  for (const { key, value } of rows) {
    const { vni: owner, mac } = key as { vni: number; mac: string };
    const { ifindex, remote, flags } = value as { ifindex: number; remote: string; flags: number };
    if (owner !== vni) continue;
    entries.set(mac, ifindex === 0 ? remote : (book.device(ifindex) ?? `device ${ifindex}, gone`));
    if ((flags & FdbFlag.FDB_ROUTER) !== 0) routers.add(mac);
  }
  const members = (maps.rowsOf('members') ?? []).map(({ key }) => key as { vni: number; address: string });
  const peers = new Set(members.filter((m) => m.vni === vni).map(({ address }) => address));
  return { entries, peers, routers };
}

interface Gathered {
  vni: number;
  name: string;
  sources: Sources;
  notes: string[];
}

async function gather(settings: Settings, reference: string): Promise<Gathered> {
  const [{ NameBook }, { PinnedMaps }, { attachments }, { askWanted }, { ApiClient }, { hostname }] =
    await Promise.all([
      import('../inspect/name-book.ts'),
      import('../inspect/pinned-maps.ts'),
      import('../inspect/attachments.ts'),
      import('../inspect/fdb-wanted.ts'),
      import('../api-client.ts'),
      import('node:os'),
    ]);
  const notes: string[] = [];
  const book = await NameBook.read(settings.stateDirectory);
  const here = settings.node ?? book.node ?? hostname();
  const answer = await askWanted(new ApiClient(settings, API_PATIENCE_MS), reference, here).catch(
    (error: Failure) => {
      // A network that this node still has but nobody wants any more: every entry is one too many.
      if ((error as ApiFailure).status === 404 && book.vni(reference) !== undefined) {
        notes.push(`the API knows no network ${reference}: nothing of it is wanted`);
        return {
          wanted: { entries: new Map(), peers: new Set<string>() },
          vni: book.vni(reference)!,
          name: reference,
        };
      }
      if ((error as ApiFailure).status === 404) throw error;
      notes.push(
        `what is wanted is not known, kernel and fast path are compared with each other: ${error.message}`,
      );
      return undefined;
    },
  );
  const vni = answer?.vni ?? book.requireVni(reference);
  const kernel = await readKernel(vni).catch((error: Error) => {
    notes.push(`the kernel's entries are not known: ${error.message}`);
    return undefined;
  });
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const fast = await readFastPath(maps, vni, book);
  const compareFast =
    fast !== undefined && (await attachments(settings.bpfDirectory)).some(({ hook }) => hook === 'underlay');
  if (fast === undefined) notes.push(`the fast path has no maps in ${maps.directory}: it is not compared`);
  else if (!compareFast) notes.push('the fast path is switched off: its entries are shown, not compared');
  return {
    vni,
    name: answer?.name ?? book.network(vni)?.name ?? reference,
    sources: { wanted: answer?.wanted, kernel, fast, compareFast },
    notes,
  };
}

function cells(row: FdbRow, book: (address: string) => string): string[] {
  const place = (location: string | null) => (location === null ? '-' : book(location));
  const who = row.kind === 'peer' ? `node ${book(row.key)}` : row.who;
  return [row.key, who || '-', place(row.wanted), place(row.kernel), place(row.fast), row.difference ?? ''];
}

async function showFdb(reference: string, _options: unknown, command: Command): Promise<void> {
  const { settings } = connect(command);
  const { compareFdb } = await import('../inspect/fdb-compare.ts');
  const { NameBook } = await import('../inspect/name-book.ts');
  const { vni, name, sources, notes } = await gather(settings, reference);
  const rows = compareFdb(sources);
  const differing = rows.filter((row) => row.difference !== null).length;
  if (settings.output === 'json') {
    writeJson({ network: name, vni, equal: differing === 0, notes, entries: rows });
  } else {
    const { createColors } = (await import('picocolors')).default;
    const colors = createColors(process.stdout.isTTY === true && !process.env.NO_COLOR);
    const book = await NameBook.read(settings.stateDirectory);
    const named = (address: string) => {
      const node = book.nodeAt(address);
      return node === undefined ? address : `${address} (${node})`;
    };
    const head = ['mac', 'who', 'wanted', 'kernel', 'fast path', 'difference'];
    const texts = rows.map((row) => {
      const line = cells(row, named);
      return row.difference === null ? line : [...line.slice(0, 5), colors.red(line[5]!)];
    });
    await writeRows(settings, 'entries', rows, head, texts);
    for (const note of notes) process.stderr.write(`fistpath: note: ${note}\n`);
    if (differing > 0)
      process.stderr.write(`fistpath: network ${name}: ${differing} of ${rows.length} entries differ\n`);
  }
  if (differing > 0) process.exitCode = EXIT.failure;
}

export function addFdbCommands(program: Command): void {
  const group = program
    .command('fdb')
    .description('Forwarding entries: wanted, in the kernel, in the fast path');
  examples(group, ['fistpath fdb show demonet']);
  const show = group
    .command('show')
    .description(
      "Shows one network's forwarding entries on this node side by side: what the records want, what the kernel has, what the fast path has. Differences are marked, and end with exit code 1. Works without a daemon; what is wanted is then not known.",
    )
    .argument('<network>', 'name, uuid or VXLAN network id')
    .action(showFdb);
  examples(show, [
    'fistpath fdb show demonet',
    'fistpath fdb show demonet --json | jq ".entries[] | select(.difference)"',
  ]);
}
