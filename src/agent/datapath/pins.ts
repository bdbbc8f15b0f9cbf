import { mkdirSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { Abi } from './abi.ts';

/** Magic number of bpffs in statfs(2): linux/magic.h, BPF_FS_MAGIC. */
const BPF_FS_MAGIC = 0xcafe4a11;

/** Where everything of one node is pinned. */
export class Pins {
  readonly maps: string;
  readonly links: string;

  constructor(directory: string) {
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

  /** Names of all pinned links: underlay, port-<ifindex>, tunnel-<ifindex>. */
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
