import type { Operation } from './operations.ts';

/** A piece of work on a network, for its events. */
export interface Step {
  operation: string;
  /** Seconds since the epoch. */
  start: number;
  /** Seconds, from the first command of the step to the end of the last batch that held one; none: no work of its own. */
  duration?: number;
  message?: string;
}

/** Steps of one stage are done at once; they are told in the order in which the July 2020 release did them. */
const ORDER = [
  'create vxlan interface',
  'create vxlan bridge',
  'create netns',
  'create router veth',
  'create physical veth',
  'enable virtual routing',
  'enable nat',
  'add mesh elements',
];

function place(operation: string): number {
  const index = ORDER.indexOf(operation);
  return index < 0 ? ORDER.length : index;
}

/** Gathers steps from the operations that were done. */
export class Steps {
  readonly #steps = new Map<string, Map<string, Step & { messages: Set<string> }>>();

  /**
   * @param started of the stage, seconds since the epoch
   * @param duration of the stage, seconds
   */
  add(operations: readonly Operation[], started: number, duration: number): void {
    for (const { networks, step, steps = [], stepMessage, mesh } of operations) {
      for (const network of networks) {
        for (const name of step === undefined ? steps : [step, ...steps]) {
          const entry = this.#entry(network, name, stepMessage ?? '', started);
          entry.duration = started + duration - entry.start;
        }
        if (mesh) this.#entry(network, mesh.operation, '', started + duration).messages.add(mesh.address);
      }
    }
  }

  #entry(network: string, operation: string, message: string, start: number) {
    let steps = this.#steps.get(network);
    if (steps === undefined) {
      steps = new Map();
      this.#steps.set(network, steps);
    }
    const key = `${operation} ${message}`;
    let step = steps.get(key);
    if (step === undefined) {
      step = { operation, start, messages: new Set(message === '' ? [] : [message]) };
      steps.set(key, step);
    }
    return step;
  }

  byNetwork(): Map<string, Step[]> {
    const plain = ({ messages, ...step }: Step & { messages: Set<string> }): Step =>
      messages.size === 0 ? step : { ...step, message: [...messages].join(', ') };
    return new Map(
      [...this.#steps].map(([network, steps]) => [
        network,
        [...steps.values()].map(plain).sort((a, b) => place(a.operation) - place(b.operation)),
      ]),
    );
  }
}
