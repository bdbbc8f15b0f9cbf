import { isIPv4 } from 'node:net';
import { type Command, InvalidArgumentError } from 'commander';
import type { Tuple } from '../../agent/datapath/abi.ts';
import { examples, settingsOf, whole, writeRows } from '../command.ts';
import { EXIT, Failure, usage } from '../failure.ts';
import type { FlowDirection, FlowRow } from '../inspect/flow-rows.ts';
import type { Entry, Filter, Pair } from '../inspect/flows.ts';
import type { NameBook } from '../inspect/name-book.ts';
import type { PinnedMaps } from '../inspect/pinned-maps.ts';
import { keyValues, write, writeJson } from '../output.ts';
import type { Settings } from '../settings.ts';

interface Selection {
  network?: string;
  address?: string;
}

const HEAD = [
  'network',
  'protocol',
  'original',
  'rewritten',
  'packets',
  'back',
  'bytes',
  'bytes back',
  'age',
  'refreshed',
  'generation',
  'conntrack',
];

function parseAddress(text: string): string {
  if (!isIPv4(text)) throw new InvalidArgumentError('Give an IPv4 address, such as 192.168.0.100.');
  return text;
}

/** The heavy half of these commands: the addon, the tables of the ABI. */
async function load(settings: Settings) {
  const [
    { busiest, readFlows, removeFlows },
    { PROTOCOLS, pairUp },
    { connectionText, readConnections },
    { NameBook },
    { PinnedMaps },
  ] = await Promise.all([
    import('../inspect/flow-rows.ts'),
    import('../inspect/flows.ts'),
    import('../inspect/conntrack.ts'),
    import('../inspect/name-book.ts'),
    import('../inspect/pinned-maps.ts'),
  ]);
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const book = await NameBook.read(settings.stateDirectory);
  const flows = { busiest, readFlows, removeFlows, PROTOCOLS, pairUp };
  return { maps, book, ...flows, connectionText, readConnections };
}

async function filterOf({ network, address }: Selection, book: NameBook): Promise<Filter> {
  const { ipv4Number } = await import('../../agent/datapath/tables.ts');
  return {
    ...(network === undefined ? {} : { vni: book.requireVni(network) }),
    ...(address === undefined ? {} : { address: ipv4Number(address) }),
  };
}

function noted(text: string): void {
  process.stderr.write(`fistpath: note: ${text}\n`);
}

async function describe(pairs: Pair[], maps: PinnedMaps, book: NameBook): Promise<FlowRow[]> {
  const { askConntrack, flowRow, readGenerations } = await import('../inspect/flow-rows.ts');
  const known = await askConntrack(
    pairs.map(({ there }) => there.value.vni),
    book,
    noted,
  );
  const generations = readGenerations(maps);
  return pairs.map((pair) => flowRow(pair, generations, known, book));
}

function sideText(
  protocol: string,
  { source, source_port, destination, destination_port }: FlowDirection['original'],
) {
  const to = protocol === 'icmp' ? destination : `${destination}:${destination_port}`;
  return `${source}:${source_port} > ${to}`;
}

function generationText(row: FlowRow): string {
  const old = !row.there.current || row.back?.current === false;
  return `${row.there.generation} (${old ? 'old' : 'current'})`;
}

function conntrackText({ conntrack }: FlowRow): string {
  if (conntrack === null) return 'not asked';
  if (conntrack === false) return 'unknown to it';
  const { state, timeout, replied } = conntrack;
  return `${state ?? (replied ? 'replied' : 'unreplied')} ${timeout} s`;
}

const secondsText = (value: number | null | undefined) =>
  value === null || value === undefined ? '-' : `${value.toFixed(1)} s`;

/** Of two directions the one that the kernel saw last. */
function freshest(row: FlowRow, of: (one: FlowDirection) => number | null): number | null {
  const values = [row.there, row.back].flatMap((one) => (one === null ? [] : (of(one) ?? [])));
  return values.length === 0 ? null : Math.min(...values);
}

function cells(row: FlowRow): unknown[] {
  const { there, back, protocol } = row;
  return [
    row.network,
    protocol,
    sideText(protocol, there.original),
    sideText(protocol, there.rewritten),
    there.packets,
    back?.packets ?? '-',
    there.bytes,
    back?.bytes ?? '-',
    secondsText(freshest(row, (one) => one.age)),
    secondsText(freshest(row, (one) => one.refreshed)),
    generationText(row),
    conntrackText(row),
  ];
}

async function listFlows(options: Selection & { limit: number }, command: Command): Promise<void> {
  const settings = settingsOf(command);
  const { readFlows, busiest, maps, book } = await load(settings);
  const { pairs, total } = busiest(readFlows(maps, await filterOf(options, book)), options.limit);
  const rows = await describe(pairs, maps, book);
  if (settings.output === 'json') return writeJson({ flows: rows, total });
  await writeRows(settings, 'flows', rows, HEAD, rows.map(cells));
  if (total > rows.length) noted(`the busiest ${rows.length} of ${total} flows; --limit 0 shows all`);
}

function directionPairs(protocol: string, title: string, one: FlowDirection | null): [string, unknown][] {
  if (one === null) return [[title, 'not cached: that direction is the kernel’s']];
  return [
    [title, sideText(protocol, one.original)],
    ['rewritten', sideText(protocol, one.rewritten)],
    ['to', one.to],
    ['packets', one.packets],
    ['bytes', one.bytes],
    ['age', secondsText(one.age)],
    ['refreshed', secondsText(one.refreshed)],
    ['generation', `${one.generation} (${one.current ? 'current' : 'old: its packets are the kernel’s'})`],
  ];
}

/** `192.168.0.100:40000` or only the address. */
function parseEnd(text: string): { address: string; port: number | undefined } {
  const [, address, port] = /^([0-9.]+)(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  if (address === undefined || !isIPv4(address) || Number(port ?? 0) > 65535)
    throw usage(`${text} is no end of a connection: give ADDRESS or ADDRESS:PORT (of ICMP the identifier)`);
  return { address, port: port === undefined ? undefined : Number(port) };
}

type Ends = Record<'source' | 'destination', ReturnType<typeof parseEnd>>;

/** Whether a packet of this tuple goes from one end to the other. */
async function fitting(ends: Ends, protocol: string): Promise<(tuple: Tuple) => boolean> {
  const { ipv4Number } = await import('../../agent/datapath/tables.ts');
  const [source, destination] = [ipv4Number(ends.source.address), ipv4Number(ends.destination.address)];
  // Of ICMP the second port is the type of message.
  const to = protocol === 'icmp' ? undefined : ends.destination.port;
  return (tuple) =>
    tuple.source === source &&
    tuple.destination === destination &&
    (ends.source.port ?? tuple.source_port) === tuple.source_port &&
    (to ?? tuple.destination_port) === tuple.destination_port;
}

/** What the kernel knows of a connection that is not cached, for the person who misses it. */
async function whyNot(
  settings: Settings,
  protocol: string,
  fits: (tuple: Tuple) => boolean,
): Promise<string> {
  const { book, PROTOCOLS, readConnections, connectionText } = await load(settings);
  const told: string[] = [];
  for (const { uuid, name } of book.natNetworks()) {
    const connections = await readConnections(uuid).catch(() => []);
    const found = connections.find(
      (one) => PROTOCOLS[one.protocol] === protocol && (fits(one.original) || fits(one.reply)),
    );
    if (found !== undefined) told.push(`conntrack of network ${name} has it (${connectionText(found)})`);
  }
  return told.length > 0
    ? `${told.join(', ')}: the kernel carries it`
    : 'conntrack of no network here has it either';
}

async function showFlow(
  protocol: string,
  from: string,
  to: string,
  options: Selection,
  command: Command,
): Promise<void> {
  const settings = settingsOf(command);
  const ends = { source: parseEnd(from), destination: parseEnd(to) };
  const { readFlows, pairUp, PROTOCOLS, maps, book } = await load(settings);
  const fits = await fitting(ends, protocol);
  const filter = await filterOf({ ...options, address: ends.source.address }, book);
  const pairs = pairUp(readFlows(maps, filter)).filter(
    ({ there, back }) =>
      PROTOCOLS[there.key.protocol] === protocol &&
      (back === undefined ? [there] : [there, back]).some(
        ({ key, value }) => fits(key.tuple) || fits(value.tuple),
      ),
  );
  if (pairs.length === 0)
    throw new Failure(
      `no flow ${protocol} ${from} to ${to} in the fast path; ${await whyNot(settings, protocol, fits)}`,
      EXIT.notFound,
    );
  const rows = await describe(pairs, maps, book);
  if (settings.output === 'json') return writeJson({ flows: rows });
  const simple = settings.output === 'simple';
  for (const [i, row] of rows.entries()) {
    if (i > 0) write('');
    const head: [string, unknown][] = [
      ['network', `${row.network} (${row.vni})`],
      ['protocol', row.protocol],
      ['conntrack', conntrackText(row)],
    ];
    write(keyValues(head, { simple }));
    write(keyValues(directionPairs(row.protocol, 'original', row.there), { simple }));
    write(keyValues(directionPairs(row.protocol, 'back', row.back), { simple }));
  }
}

async function flushFlows(options: Selection, command: Command): Promise<void> {
  const settings = settingsOf(command);
  const { readFlows, removeFlows, maps, book } = await load(settings);
  const found: Entry[] = readFlows(maps, await filterOf(options, book));
  const removed = await maps.change('flows', (map) => removeFlows(map, found));
  if (settings.output === 'json') writeJson({ removed });
  else write(`${removed} entries removed`);
}

function addSelection(command: Command): Command {
  return command
    .option('--network <network>', 'only those that the router of this network decided')
    .option('--address <address>', 'only those with this address, before or after translation', parseAddress);
}

export function addFlowCommands(program: Command): void {
  const group = program
    .command('flow')
    .description('Cached NAT decisions, read from the kernel (no daemon needed)');
  examples(group, ['fistpath flow list --network demonet', 'fistpath flow flush --address 192.168.0.100']);

  const list = addSelection(group.command('list'))
    .summary('the connections that the fast path translates')
    .description(
      'Lists the connections that the fast path translates, the busiest first: the packet as it comes and as it leaves, packets and (layer 3) bytes of both directions, how long ago the kernel forwarded a packet of it (age) and was last shown one by the fast path (refreshed), and what conntrack knows. A connection that is missing here is the kernel’s.',
    )
    .option('--limit <number>', 'at most so many; 0: all', whole(0), 100)
    .action(listFlows);
  examples(list, [
    'fistpath flow list --network demonet --limit 20',
    'fistpath flow list --address 10.10.0.7 --json | jq ".flows[].conntrack"',
  ]);

  const show = group
    .command('show')
    .summary('one connection, both directions')
    .description(
      'Shows one connection by the source and destination of a packet of it, before or after translation, in either direction. When the fast path does not have it, says what conntrack knows.',
    )
    .argument('<protocol>', 'tcp, udp or icmp')
    .argument('<source>', 'ADDRESS or ADDRESS:PORT (of ICMP the identifier)')
    .argument('<destination>', 'ADDRESS or ADDRESS:PORT')
    .option('--network <network>', 'only of this network')
    .action(showFlow);
  examples(show, ['fistpath flow show tcp 192.168.0.100:40000 198.51.100.1:80']);

  const flush = addSelection(group.command('flush'))
    .summary('forget cached decisions')
    .description(
      'Removes cached decisions, all of them unless told which. No connection is lost: the kernel decides about the next packets, and they are cached again.',
    )
    .action(flushFlows);
  examples(flush, ['fistpath flow flush', 'fistpath flow flush --network demonet']);
}
