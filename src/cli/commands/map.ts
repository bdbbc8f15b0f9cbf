import type { Command } from 'commander';
import type { BtfValue } from '../../agent/datapath/btf.ts';
import { examples, settingsOf, whole, writeRows } from '../command.ts';
import { EXIT, Failure, usage } from '../failure.ts';
import type { Entry } from '../inspect/annotate.ts';
import type { NameBook } from '../inspect/name-book.ts';
import { keyValues, write, writeJson } from '../output.ts';

interface DumpOptions {
  vni?: number;
  network?: string;
  all?: boolean;
}

/** The heavy half of these commands: the addon, the tables of the ABI. */
async function load() {
  const [
    { annotate, FILTERABLE, flatten, KEY_FIELD, numberOf, readSlots, vniOf },
    { NameBook },
    { PinnedMaps },
  ] = await Promise.all([
    import('../inspect/annotate.ts'),
    import('../inspect/name-book.ts'),
    import('../inspect/pinned-maps.ts'),
  ]);
  return { annotate, FILTERABLE, flatten, KEY_FIELD, NameBook, numberOf, PinnedMaps, readSlots, vniOf };
}

/** A member's number with its meaning behind it: `2 (demonet)`. */
function cell(entry: Entry, member: string, value: BtfValue | undefined): string {
  const text = value === undefined ? '' : String(value as string | number);
  const name = entry.names[member];
  if (name === undefined) return text;
  return text === '' ? name : `${text} (${name})`;
}

/** Columns and rows of entries; names that stand for no member (program, reason of counters) come first. */
function tabulate(entries: Entry[], flatten: (value: Entry['key']) => [string, BtfValue][]) {
  const rows = entries.map((entry) => new Map([...flatten(entry.key), ...flatten(entry.value)]));
  const members = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  const extra = [...new Set(entries.flatMap((entry) => Object.keys(entry.names)))].filter(
    (n) => !members.includes(n),
  );
  const head = [...extra, ...members];
  return {
    head,
    rows: entries.map((entry, i) => head.map((member) => cell(entry, member, rows[i]!.get(member)))),
  };
}

/** `vni=demonet mac=…` → a key as the decoder shows it: names become numbers and addresses. */
async function parseKey(map: string, words: string[], book: NameBook): Promise<BtfValue> {
  const { KEY_FIELD, numberOf } = await load();
  const { Program, Reason } = await import('../../agent/datapath/abi.ts');
  const only = KEY_FIELD[map];
  const pairs = words.map((text): [string, string] => {
    const at = text.indexOf('=');
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
    if (only !== undefined && words.length === 1) return [only, text];
    throw usage(`${text} is no part of a key: give field=value, such as vni=2 mac=02:00:00:aa:bb:cc`);
  });
  const translated = pairs.map(([field, text]): [string, string | number] => {
    if (field === 'vni' || field === 'router') return [field, book.requireVni(text)];
    if (field === 'ifindex') return [field, book.ifindexOf(text) ?? text];
    if (field === 'address') return [field, book.addressOf(text) ?? text];
    if (field === 'program') return [field, numberOf(Program, text) ?? text];
    if (field === 'reason') return [field, numberOf(Reason, text) ?? text];
    return [field, text];
  });
  const key: { [field: string]: BtfValue } = {};
  for (const [field, value] of translated) {
    const [outer, inner] = field.split('.') as [string, string | undefined];
    key[outer] = inner === undefined ? value : { ...(key[outer] as object), [inner]: value };
  }
  if (map === 'counters' && typeof key.program === 'number' && typeof key.reason === 'number') {
    return key.program * Reason.MAX + key.reason;
  }
  if (only === undefined) return key;
  const wrong = Object.keys(key).find((field) => field !== only);
  if (wrong !== undefined || key[only] === undefined)
    throw usage(`map ${map} has the key ${only}, not ${wrong}`);
  return key[only];
}

async function listMaps(_options: unknown, command: Command): Promise<void> {
  const settings = settingsOf(command);
  const { PinnedMaps } = await load();
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const list = maps.requireNames().map((name) => {
    const map = maps.open(name);
    const one = {
      name,
      type: map.type,
      entries: map.count() ?? null,
      max_entries: map.maxEntries,
      key: map.keyType,
      value: map.valueType,
      memory: map.memory() ?? null,
    };
    map.close();
    return one;
  });
  const head = ['name', 'type', 'entries', 'max', 'key', 'value', 'memory'];
  const rows = list.map((m) => [m.name, m.type, m.entries ?? '-', m.max_entries, m.key, m.value, m.memory]);
  await writeRows(settings, 'maps', list, head, rows);
}

async function dumpMap(name: string, options: DumpOptions, command: Command): Promise<void> {
  const settings = settingsOf(command);
  const { PinnedMaps, NameBook, annotate, flatten, readSlots, vniOf, FILTERABLE } = await load();
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const book = await NameBook.read(settings.stateDirectory);
  const vni = options.network === undefined ? options.vni : book.requireVni(options.network);
  const map = maps.open(name);
  if (!map.listable) {
    throw usage(
      `cannot dump map ${name}: a ring buffer has no entries; drops are in "fistpath network events NETWORK"`,
    );
  }
  if (vni !== undefined && !FILTERABLE.includes(name)) {
    throw usage(
      `cannot filter map ${name}: its entries belong to no network; ${FILTERABLE.join(', ')} can be filtered`,
    );
  }
  const slots = readSlots(maps);
  const entries = map
    .rows(options.all !== true)
    .map((row) => annotate(name, row, book, slots))
    .filter((entry) => vni === undefined || vniOf(name, entry, slots) === vni);
  map.close();
  const { head, rows } = tabulate(entries, flatten);
  if (settings.output === 'json' || head.length > 0) {
    if (settings.output === 'json') writeJson({ map: name, entries });
    else await writeRows(settings, name, entries, head, rows);
  } else if (settings.output === 'pretty') {
    process.stderr.write(`fistpath: map ${name} has no such entries\n`);
  }
}

async function lookupInMap(
  name: string,
  words: string[],
  _options: unknown,
  command: Command,
): Promise<void> {
  const settings = settingsOf(command);
  const { PinnedMaps, NameBook, annotate, flatten, readSlots } = await load();
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const book = await NameBook.read(settings.stateDirectory);
  const map = maps.open(name);
  if (!map.listable) throw usage(`cannot look up in map ${name}: a ring buffer has no keys`);
  const key = await parseKey(name, words, book);
  let row: ReturnType<typeof map.lookup>;
  try {
    row = map.lookup(key);
  } catch (error) {
    if (error instanceof RangeError)
      throw usage(`cannot look up ${words.join(' ')} in map ${name}: ${error.message}`);
    throw error;
  }
  map.close();
  if (row === undefined) throw new Failure(`no entry ${words.join(' ')} in map ${name}`, EXIT.notFound);
  const entry = annotate(name, row, book, readSlots(maps));
  if (settings.output === 'json') return writeJson(entry);
  const { head, rows } = tabulate([entry], flatten);
  const pairs = head.map((member, i): [string, unknown] => [member, rows[0]![i]]);
  const width = Math.max(12, ...head.map((member) => member.length));
  write(keyValues(pairs, { simple: settings.output === 'simple', width }));
}

export function addMapCommands(program: Command): void {
  const group = program
    .command('map')
    .description("The fast path's maps, read from the kernel (no daemon needed)");
  examples(group, ['fistpath map list', 'fistpath map dump fdb --network demonet']);

  const list = group
    .command('list')
    .description('Lists the pinned maps: type, fill, the types of keys and values, bytes of kernel memory.')
    .action(listMaps);
  examples(list, ['fistpath map list', 'fistpath map list --bpf-directory /sys/fs/bpf/other']);

  const dump = group
    .command('dump')
    .description(
      "Shows a map's entries with the names of networks, nodes and devices. Per-CPU values are summed.",
    )
    .argument('<map>', 'name of the map, as map list shows it')
    .option('--vni <number>', 'only entries of this VXLAN network id', whole(0, 0xffffff))
    .option('--network <network>', 'the same by name or uuid')
    .option('--all', 'entries of arrays that are all zero, too')
    .action(dumpMap);
  examples(dump, [
    'fistpath map dump fdb --network demonet',
    'fistpath map dump nexthops --json',
    'fistpath map dump port_counters',
  ]);

  const lookup = group
    .command('lookup')
    .description('Shows one entry. Networks, nodes and devices may be given by name.')
    .argument('<map>', 'name of the map')
    .argument('<key...>', 'the key as field=value pairs; a key of one field by its value alone')
    .action(lookupInMap);
  examples(lookup, [
    'fistpath map lookup fdb vni=2 mac=02:00:00:aa:bb:cc',
    'fistpath map lookup ports ifindex=p-c051356d58fe',
    'fistpath map lookup nexthops sf-2',
    'fistpath map lookup counters program=port reason=unknown-mac',
    'fistpath map lookup routers demonet',
  ]);
}
