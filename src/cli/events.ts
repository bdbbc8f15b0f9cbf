import type { Command } from 'commander';
import type { Event } from './api-types.ts';
import { connect, examples, segment, writeRows } from './command.ts';
import { time } from './output.ts';

const HEAD = ['timestamp', 'node', 'operation', 'phase', 'duration', 'message'];

/** Adds `events` to a group of commands about one kind of object ("network"; "networks" in paths). */
export function addEvents(group: Command, kind: string): void {
  const events = group
    .command('events')
    .summary(`what happened to one ${kind}`)
    .description(
      `Shows what happened to one ${kind}, oldest first, with the node, the duration in seconds and what was said.`,
    )
    .argument(`<${kind}>`, `name or uuid of the ${kind}`)
    .action(async (reference: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const list = await api.request<Event[]>(
        `show the events of ${kind} ${reference}`,
        'GET',
        `/${kind}s/${segment(reference)}/events`,
      );
      const rows = list.map((event) => [
        time(event.timestamp),
        event.fqdn,
        event.operation,
        event.phase,
        event.duration,
        event.message,
      ]);
      await writeRows(settings, 'events', list, HEAD, rows);
    });
  examples(events, [
    `fistpath ${kind} events ${kind === 'network' ? 'demonet' : kind === 'node' ? 'sf-2' : 'inst-on-sf-2'}`,
  ]);
}
