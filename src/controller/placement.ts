import { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';
import type { Context } from './context.ts';
import { findNode } from './references.ts';
import type { Draft } from './writer.ts';

const { CREATED } = fistpath.State;

/** Decides on which node an instance runs. */
export class Placement {
  readonly #context: Context;
  /** Instances per node that changes on their way to the store have placed. */
  readonly #placed = new Map<string, number>();

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * The node asked for, or the hypervisor with the fewest instances. RequestError 'not-found' for an unknown node,
   * 'conflict' for one that takes no instances, 'no-capacity' for one that does not answer, or when there is none.
   */
  place(draft: Draft, asked: string | null | undefined): string {
    const node = asked == null ? this.#leastLoaded() : this.#asked(asked);
    draft.expect('node', node.name);
    this.#placed.set(node.name, (this.#placed.get(node.name) ?? 0) + 1);
    draft.onSettled(() => this.#placed.set(node.name, this.#placed.get(node.name)! - 1));
    return node.name;
  }

  #asked(name: string): fistpath.Node {
    const node = findNode(this.#context, name);
    if (!node.hypervisor) {
      throw new RequestError('conflict', `node ${name} is no hypervisor: it takes no instances`);
    }
    if (node.state !== CREATED) {
      throw new RequestError(
        'no-capacity',
        `node ${name} is missing: its agent does not answer. Choose another node`,
      );
    }
    return node;
  }

  #leastLoaded(): fistpath.Node {
    const candidates = [...this.#context.cache.all('node')].filter(
      ({ hypervisor, state }) => hypervisor && state === CREATED,
    );
    const loads = candidates.map((node) => ({ node, load: this.#load(node.name) }));
    const best = loads.reduce<(typeof loads)[number] | undefined>(
      (least, next) =>
        least && (least.load < next.load || (least.load === next.load && least.node.name < next.node.name))
          ? least
          : next,
      undefined,
    );
    if (!best)
      throw new RequestError(
        'no-capacity',
        'no hypervisor answers: start an agent, or see `fistpath node list`',
      );
    return best.node;
  }

  #load(node: string): number {
    return this.#context.cache.liveInstancesOn(node) + (this.#placed.get(node) ?? 0);
  }
}
