/** One line of the answer of `npm run bench -- SECTION --json`. */
export interface Row {
  section: string;
  measure: string;
  /** "kernel", "ebpf", or the hook of a program. */
  mode: string;
  unit: string;
  median: number;
  min: number;
  max: number;
  /** To the kernel fallback of the same run: the median of the rounds' ratios. null: the kernel has no counterpart. */
  ratio: number | null;
  rounds: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Three significant digits: more would be noise. */
function round(value: number): number {
  return Number(value.toPrecision(3));
}

/** One measure in one mode: a value for each round. `baseline` has the kernel fallback's values, round by round. */
export function row(
  section: string,
  measure: string,
  mode: string,
  unit: string,
  values: readonly number[],
  baseline?: readonly number[],
): Row {
  return {
    section,
    measure,
    mode,
    unit,
    median: round(median(values)),
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
    ratio: baseline === undefined ? null : round(median(values.map((value, i) => value / baseline[i]!))),
    rounds: values.length,
  };
}
