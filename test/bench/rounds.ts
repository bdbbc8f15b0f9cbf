import type { Cluster, Mode } from '../lab/cluster.ts';
import { type Row, row } from './rows.ts';

const MODES: readonly Mode[] = ['kernel', 'ebpf'];

export interface Measure {
  unit: string;
  /** Values by the name that their rows get. */
  measure: () => Promise<Record<string, number>>;
}

/**
 * Measures the fast path against the kernel fallback, in rounds of both modes in turn.
 * `costs`: nanoseconds per packet of programs, by name, asked for once in a round, in ebpf mode.
 */
export async function inRounds(
  section: string,
  cluster: Cluster,
  measures: readonly Measure[],
  costs: () => Promise<Record<string, number>>,
  rounds: number,
  log: (text: string) => void,
): Promise<Row[]> {
  const values = new Map<string, { name: string; mode: Mode; unit: string; own: number[] }>();
  const note = (name: string, mode: Mode, unit: string, value: number) => {
    const key = `${name}\n${mode}`;
    const entry = values.get(key) ?? { name, mode, unit, own: [] };
    values.set(key, entry);
    entry.own.push(value);
    log(`  ${mode}: ${name}: ${value.toPrecision(4)}`);
  };
  for (let round = 0; round < rounds; round++) {
    log(`round ${round + 1} of ${rounds}`);
    // The order turns round, so that neither mode is always the one that comes after the other's heat.
    for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
      await cluster.setMode(mode);
      for (const { unit, measure } of measures) {
        for (const [name, value] of Object.entries(await measure())) note(name, mode, unit, value);
      }
    }
    if (round % 2 === 1) await cluster.setMode('ebpf');
    for (const [name, value] of Object.entries(await costs())) note(name, 'ebpf', 'ns/packet', value);
  }
  return [...values.values()]
    .map(({ name, mode, unit, own }) =>
      row(section, name, mode, unit, own, values.get(`${name}\nkernel`)?.own),
    )
    .toSorted((a, b) => a.measure.localeCompare(b.measure) || b.mode.localeCompare(a.mode));
}
