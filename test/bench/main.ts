import { parseArgs } from 'node:util';
import { measureDatapath } from './datapath.ts';
import { measureNat } from './nat.ts';
import type { Row } from './rows.ts';

const SECTIONS: Record<string, (rounds: number, log: (text: string) => void) => Promise<Row[]>> = {
  datapath: measureDatapath,
  nat: measureNat,
};

const USAGE = `Usage: npm run bench [-- SECTION …] [--rounds N] [--json]

Measures the fast path against the kernel fallback, interleaved in one run, and prints medians with their spread.
Sections: ${Object.keys(SECTIONS).join(', ')} (all unless told). --rounds: 5 unless told. --json: one document, no progress.
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const rounds = Number(values.rounds);
  const unknown = positionals.find((section) => SECTIONS[section] === undefined);
  if (unknown !== undefined || !Number.isInteger(rounds) || rounds < 1) {
    console.error(
      `bench: ${unknown === undefined ? '--rounds takes a number' : `no section ${unknown}`}\n\n${USAGE}`,
    );
    return 2;
  }
  if (process.getuid!() !== 0) throw new Error('must run as root: it makes network namespaces');

  const rows: Row[] = [];
  const log = values.json ? () => undefined : (text: string) => console.error(text);
  for (const section of positionals.length > 0 ? positionals : Object.keys(SECTIONS)) {
    rows.push(...(await SECTIONS[section]!(rounds, log)));
  }
  if (values.json) console.log(JSON.stringify({ rows }, null, 2));
  else print(rows);
  return 0;
}

function print(rows: readonly Row[]): void {
  const lines = [['section', 'measure', 'mode', 'median', 'min', 'max', 'unit', 'ratio']];
  for (const each of rows) {
    const numbers = [each.median, each.min, each.max].map((value) => value.toLocaleString('en'));
    lines.push([each.section, each.measure, each.mode, ...numbers, each.unit, each.ratio?.toFixed(2) ?? '']);
  }
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  for (const line of lines) {
    const cells = line.map((cell, i) =>
      i >= 3 && i !== 6 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!),
    );
    console.log(cells.join('  ').trimEnd());
  }
  console.log(
    `\n${rows[0]?.rounds ?? 0} interleaved rounds; ratio: to the kernel fallback, median of the rounds' ratios.`,
  );
}

main().then(
  (code) => process.exit(code),
  (error: Error & { code?: string }) => {
    console.error(`bench: ${error.message}`);
    process.exit(error.code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1);
  },
);
