import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { examples, settingsOf, whole } from '../command.ts';
import { EXIT, Failure } from '../failure.ts';
import type { Counters } from '../inspect/counters.ts';
import { csv, table, time, write, writeJson } from '../output.ts';
import type { Settings } from '../settings.ts';

const PROGRAM_HEAD = ['program', 'verdict', 'reason', 'packets', 'bytes'];
const PORT_HEAD = [
  'port',
  'network',
  'to port',
  'to tunnel',
  'to uplink',
  'to router',
  'to kernel',
  'dropped',
  'received',
];
const EVENT_HEAD = ['event', 'suppressed', 'lost'];

async function print(settings: Settings, counters: Counters): Promise<void> {
  if (settings.output === 'json') return writeJson(counters);
  const sections: [string[], unknown[][], ('left' | 'right')[]][] = [
    [
      PROGRAM_HEAD,
      counters.programs.map((c) => [c.program, c.verdict, c.reason, c.packets, c.bytes]),
      ['left', 'left', 'left', 'right', 'right'],
    ],
    [
      PORT_HEAD,
      counters.ports.map((p) => [
        p.device,
        p.network ?? p.vni ?? '-',
        p.sent.port.packets,
        p.sent.tunnel.packets,
        p.sent.uplink.packets,
        p.sent.router.packets,
        p.sent.kernel.packets,
        p.sent.drop.packets,
        p.received.packets,
      ]),
      ['left', 'left', ...PORT_HEAD.slice(2).map(() => 'right' as const)],
    ],
    [EVENT_HEAD, counters.events.map((e) => [e.reason, e.suppressed, e.lost]), ['left', 'right', 'right']],
  ];
  const filled = sections.filter(([, rows], i) => i < 2 || rows.length > 0);
  for (const [i, [head, rows, align]] of filled.entries()) {
    if (i > 0) write('');
    write(settings.output === 'simple' ? csv(head, rows) : await table(head, rows, align));
  }
}

async function showCounters(options: { all?: boolean; watch?: number }, command: Command): Promise<void> {
  const settings = settingsOf(command);
  const { readCounters, perSecond } = await import('../inspect/counters.ts');
  const { NameBook } = await import('../inspect/name-book.ts');
  const { PinnedMaps } = await import('../inspect/pinned-maps.ts');
  const maps = await PinnedMaps.at(settings.bpfDirectory);
  const names = maps.requireNames();
  if (!names.includes('counters')) {
    throw new Failure(`no map counters in ${maps.directory}: there are ${names.join(', ')}`, EXIT.notFound);
  }
  const read = async (all: boolean) => readCounters(maps, await NameBook.read(settings.stateDirectory), all);
  if (options.watch === undefined) return print(settings, await read(options.all ?? false));
  // Rates need the rows that were zero before, too.
  let before = { counters: await read(true), at: performance.now() };
  for (;;) {
    await sleep(options.watch * 1000);
    const now = { counters: await read(true), at: performance.now() };
    const rates = perSecond(before.counters, now.counters, (now.at - before.at) / 1000, options.all ?? false);
    before = now;
    if (process.stdout.isTTY) process.stdout.write('\x1b[H\x1b[2J');
    if (settings.output !== 'json') write(`${time(Date.now() / 1000)}: per second`);
    await print(settings, rates);
  }
}

export function addCountersCommand(program: Command): void {
  const counters = program
    .command('counters')
    .summary('what the fast path did with packets, and why')
    .description(
      'Shows what the fast path did with packets, by program, verdict and reason, and by port. Packets are wire packets: a GSO frame counts its segments. Verdict kernel is no fault: the fallback carries the packet. Verdict router: it goes to the router untranslated, and netfilter decides. Program learn only watches what routers forward.',
    )
    .option('--all', 'counters that are zero, too')
    .option('--watch <seconds>', 'every so many seconds, per second, until interrupted', whole(1, 3600))
    .action(showCounters);
  examples(counters, [
    'fistpath counters',
    'fistpath counters --watch 1',
    'fistpath counters --json | jq ".programs[] | select(.verdict == \\"drop\\")"',
  ]);
}
