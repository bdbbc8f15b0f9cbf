import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { Abi } from './abi.ts';

/** Magic number of bpffs in statfs(2): linux/magic.h, BPF_FS_MAGIC. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Where everything of one node is pinned. */
export class Pins {
  readonly #directory: string;
  readonly maps: string;
  readonly links: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.maps = join(directory, `maps-${Abi.VERSION}`);
    this.links = join(directory, 'links');
  }

  map(name: string): string {
    return join(this.maps, name);
  }

  link(name: string): string {
    return join(this.links, name);
  }

  /** Makes the directories; an Error that tells the cure when they are not on a bpffs. */
  create(): void {
    try {
      mkdirSync(this.maps, { recursive: true, mode: 0o750 });
      mkdirSync(this.links, { recursive: true, mode: 0o750 });
    } catch (error) {
      throw new Error(`${this.maps} can't be made (${(error as Error).message}): ${cure(this.maps)}`);
    }
    if (statfsSync(this.maps).type !== BPF_FS_MAGIC) {
      rmSync(this.maps, { recursive: true, force: true });
      throw new Error(`${this.maps} is on no bpffs: ${cure(this.maps)}`);
    }
  }

  /**
   * Removes the maps of other versions of the layout, which nobody uses once every attachment runs our programs.
   * Returns how many versions there were.
   */
  removeOtherVersions(): number {
    if (!existsSync(this.#directory)) return 0;
    const others = readdirSync(this.#directory)
      .filter((name) => /^maps-[0-9]+$/.test(name))
      .map((name) => join(this.#directory, name))
      .filter((path) => path !== this.maps);
    for (const path of others) rmSync(path, { recursive: true, force: true });
    return others.length;
  }

  /** Names of all pinned links: underlay-<hook>-<ifindex>, uplink-<hook>-<ifindex>, port-<ifindex>, tunnel-<ifindex>, learn-<device>. */
  linkNames(): string[] {
    try {
      return readdirSync(this.links);
    } catch {
      return [];
    }
  }

  unlink(name: string): void {
    rmSync(this.link(name), { force: true });
  }
}

function cure(path: string): string {
  const mounted = readFileSync('/proc/self/mounts', 'utf8').includes(' bpf ');
  return mounted
    ? `choose a bpf_directory below a mounted bpffs instead of ${path}`
    : 'mount one with `mount -t bpf bpf /sys/fs/bpf`';
}
