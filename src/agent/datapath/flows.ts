/** The cached NAT decisions, as far as user space has to do with them. The programs write them, nobody else. */
import type { BpfMap } from '#addon';
import { Flow, Router } from './abi.ts';
import { type MirroredMap, viewOf } from './mirror.ts';

export class Flows {
  readonly map: BpfMap;
  readonly #routers: MirroredMap;
  readonly #expiryNs: bigint;
  #lastGeneration: number;

  /**
   * @param routers the map of that name, with a network's entry in the group of its VNI
   * @param expiryNs without the kernel's word for so long a flow does not count
   */
  constructor(map: BpfMap, routers: MirroredMap, expiryNs: bigint) {
    this.map = map;
    this.#routers = routers;
    this.#expiryNs = expiryNs;
    const { count, values } = map.entries();
    const view = viewOf(values);
    const seen = routers.groups().map((vni) => this.generationOf(vni));
    for (let i = 0; i < count; i++) seen.push(Flow.read(view, i * Flow.size).generation);
    this.#lastGeneration = seen.reduce((most, each) => Math.max(most, each), 0);
  }

  /**
   * A number that no flow carries, whichever network's it is: neither one of this process, nor one that an earlier
   * process's routers or flows had.
   */
  nextGeneration(): number {
    return ++this.#lastGeneration;
  }

  /** In force; 0, which no flow has, without a router. */
  generationOf(vni: number): number {
    for (const value of this.#routers.entries(vni).values()) return Router.read(viewOf(value), 0).generation;
    return 0;
  }

  /** Deletes what counts no longer. One that is confirmed at this very moment is learned again. */
  sweep(): { removed: number; left: number } {
    const { count, keys, values } = this.map.entries();
    const { keySize } = this.map.info;
    const oldest = process.hrtime.bigint() - this.#expiryNs;
    const generations = new Map(this.#routers.groups().map((vni) => [vni, this.generationOf(vni)]));
    const view = viewOf(values);
    const dead: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const { learned_ns, vni, generation } = Flow.read(view, i * Flow.size);
      if (learned_ns >= oldest && generations.get(vni) === generation) continue;
      dead.push(keys.subarray(i * keySize, (i + 1) * keySize));
    }
    const removed = dead.length === 0 ? 0 : this.map.deleteBatch(Buffer.concat(dead), dead.length);
    return { removed, left: count - removed };
  }
}
