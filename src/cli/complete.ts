/** What can come next on a half-typed command line. */
import type { Command, Option } from 'commander';
import { ApiClient } from './api-client.ts';
import type { Instance, Network, Node } from './api-types.ts';
import type { Settings } from './settings.ts';

/** A shell waits for this at every Tab. */
const API_PATIENCE_MS = 1500;

function optionsOf(command: Command): Option[] {
  const own = command.options.filter((option) => !option.hidden);
  return command.parent === null ? own : [...own, ...optionsOf(command.parent)];
}

function takesValue(option: Option | undefined): boolean {
  return option !== undefined && (option.required || option.optional);
}

/** `-n, --network <network@address>` → `network` */
function valueName(option: Option): string {
  return /<([a-z]+)/.exec(option.flags)?.[1] ?? '';
}

/** Names of live objects of a kind: the name of the argument that they stand for. */
async function namesOf(kind: string, settings: Settings): Promise<string[]> {
  const api = new ApiClient(settings, API_PATIENCE_MS);
  const list = <T>(path: string) => api.request<T[]>(`complete ${kind}`, 'GET', path);
  switch (kind) {
    case 'network':
      return (await list<Network>('/networks')).map(({ name }) => name);
    case 'instance':
      return (await list<Instance>('/instances')).map(({ name }) => name);
    case 'interface':
      return (await list<Instance>('/instances')).flatMap(({ interfaces }) =>
        interfaces.map(({ uuid }) => uuid),
      );
    case 'node':
      return (await list<Node>('/nodes')).map(({ name }) => name);
    case 'map': {
      const { PinnedMaps } = await import('./inspect/pinned-maps.ts');
      return (await PinnedMaps.at(settings.bpfDirectory)).names();
    }
    default:
      return [];
  }
}

/** Where a command line has led to: the command, its arguments so far, and an option that waits for its value. */
function walk(program: Command, words: string[]) {
  let command = program;
  let given = 0;
  let waiting: Option | undefined;
  for (const word of words) {
    if (waiting !== undefined) {
      waiting = undefined;
    } else if (word.startsWith('-')) {
      const option = optionsOf(command).find((each) => each.short === word || each.long === word);
      waiting = takesValue(option) ? option : undefined;
    } else {
      const next = command.commands.find((each) => each.name() === word);
      if (next === undefined) given++;
      else command = next;
    }
  }
  return { command, given, waiting };
}

/** Everything that can stand in place of the last word. Empty when nothing is known or nobody answers. */
export async function candidates(program: Command, words: string[], settings: Settings): Promise<string[]> {
  const current = words.at(-1) ?? '';
  const { command, given, waiting } = walk(program, words.slice(0, -1));
  let all: string[] = [];
  if (waiting !== undefined) {
    all = waiting.argChoices ?? (await namesOf(valueName(waiting), settings).catch(() => []));
  } else if (current.startsWith('-')) {
    all = optionsOf(command).flatMap(({ long }) => long ?? []);
  } else if (command.commands.length > 0) {
    all = command.commands.map((each) => each.name()).filter((name) => !name.startsWith('_'));
  } else {
    const { registeredArguments } = command;
    const last = registeredArguments.at(-1);
    const argument = registeredArguments[given] ?? (last?.variadic ? last : undefined);
    // The name of something new is for the user to choose.
    const choosing = command.name() !== 'create' && argument !== undefined;
    if (choosing) all = argument.argChoices ?? (await namesOf(argument.name(), settings).catch(() => []));
  }
  return [...new Set(all.filter((name) => name.startsWith(current)))].sort();
}
