/** What every command needs: its settings, the examples in its help, the numbers in its arguments. */
import { type Command, InvalidArgumentError } from 'commander';
import { ApiClient } from './api-client.ts';
import { csv, table, write, writeJson } from './output.ts';
import { type GlobalOptions, readSettings, type Settings } from './settings.ts';

/** Settings of a command that is being run. */
export function settingsOf(command: Command): Settings {
  return readSettings(command.optsWithGlobals<GlobalOptions>());
}

export function connect(command: Command): { settings: Settings; api: ApiClient } {
  const settings = settingsOf(command);
  return { settings, api: new ApiClient(settings) };
}

/** Adds examples to a command's help. */
export function examples(command: Command, lines: string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`);
}

/** A commander argument parser for whole numbers. */
export function whole(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = Number(text);
    if (/^[0-9]+$/.test(text) && value >= minimum && value <= maximum) return value;
    const upTo = maximum === Number.MAX_SAFE_INTEGER ? 'up' : `to ${maximum}`;
    throw new InvalidArgumentError(`It must be a whole number from ${minimum} ${upTo}.`);
  };
}

/** A name or uuid as one segment of a path. */
export function segment(reference: string): string {
  // URL parsers on the way would read these two as directions.
  if (reference === '.' || reference === '..') return reference.replaceAll('.', '%2e');
  return encodeURIComponent(reference);
}

/** Prints rows in the output that was asked for; JSON as `{"<name>": objects}`. */
export async function writeRows(
  settings: Settings,
  name: string,
  objects: unknown[],
  head: string[],
  rows: unknown[][],
): Promise<void> {
  if (settings.output === 'json') writeJson({ [name]: objects });
  else if (settings.output === 'simple') write(csv(head, rows));
  else write(await table(head, rows));
}
