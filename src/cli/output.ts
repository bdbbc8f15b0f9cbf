/** How results are written: the layouts of the original's document for people, CSV and JSON for programs. */
import { stripVTControlCharacters } from 'node:util';

export type Cell = unknown;

export function write(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function writeJson(value: unknown): void {
  write(JSON.stringify(value, null, 4));
}

function nested(value: unknown): string {
  return typeof value === 'string' ? `'${value.replace(/[\\']/g, '\\$&')}'` : pythonText(value);
}

/** A value as the original, a Python program, prints it: None, True, `[{'base': 'cirros', 'bus': None}]`. */
export function pythonText(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(nested).join(', ')}]`;
  if (typeof value === 'object') {
    const members = Object.entries(value).map(([key, member]) => `${nested(key)}: ${nested(member)}`);
    return `{${members.join(', ')}}`;
  }
  return String(value as string | number);
}

/** `key         : value` lines; in simple output `key:value`. */
export function keyValues(
  pairs: [string, unknown][],
  { simple = false, indent = 0, width = 12 }: { simple?: boolean; indent?: number; width?: number } = {},
): string {
  const line = ([key, value]: [string, unknown]) =>
    simple
      ? `${key}:${pythonText(value)}`
      : `${' '.repeat(indent)}${key.padEnd(width)}: ${pythonText(value)}`.trimEnd();
  return pairs.map(line).join('\n');
}

/** Comma-separated lines under a header. Values with commas, quotes or line breaks are quoted (RFC 4180). */
export function csv(head: string[], rows: Cell[][]): string {
  const field = (value: Cell) => {
    const text = pythonText(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...rows].map((row) => row.map(field).join(',')).join('\n');
}

/**
 * A boxed table with centred cells. The original's table writer puts an odd blank to the right of text of odd
 * length and to the left of text of even length; ours is made to do the same by one leading blank.
 */
export async function table(
  head: string[],
  rows: Cell[][],
  align?: ('left' | 'center' | 'right')[],
): Promise<string> {
  const { default: Table } = await import('cli-table3');
  const texts = [head, ...rows].map((row) => row.map(pythonText));
  const length = (text: string) =>
    Math.max(...text.split('\n').map((line) => stripVTControlCharacters(line).length));
  const widths = head.map((_, column) => Math.max(...texts.map((row) => length(row[column] ?? ''))));
  const nudged = texts.map((row, index) =>
    row.map((text, column) => {
      const centred = index === 0 || (align?.[column] ?? 'center') === 'center';
      const even = length(text) % 2 === 0;
      return centred && even && (widths[column]! - length(text)) % 2 === 1 ? ` ${text}` : text;
    }),
  );
  const line = { mid: '-', left: '+', right: '+', cross: '+' };
  const boxed = new Table({
    colAligns: head.map((_, column) => align?.[column] ?? 'center'),
    style: { head: [], border: [], compact: true },
    chars: {
      top: line.mid,
      'top-mid': line.cross,
      'top-left': line.left,
      'top-right': line.right,
      bottom: line.mid,
      'bottom-mid': line.cross,
      'bottom-left': line.left,
      'bottom-right': line.right,
      left: '|',
      'left-mid': line.left,
      mid: line.mid,
      'mid-mid': line.cross,
      right: '|',
      'right-mid': line.right,
      middle: '|',
    },
  });
  boxed.push(
    ...nudged.map((row, index) =>
      index === 0 ? row.map((content) => ({ content, hAlign: 'center' as const })) : row,
    ),
  );
  const lines = boxed.toString().split('\n');
  lines.splice(2, 0, lines[0]!);
  return lines.join('\n');
}

/** `2020-07-31 23:39:52.771882`, in UTC. */
export function time(seconds: number): string {
  const micros = Math.round(seconds * 1e6);
  const iso = new Date(Math.floor(micros / 1000)).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)}${String(micros % 1000).padStart(3, '0')}`;
}
