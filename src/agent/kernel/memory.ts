/** What the agent has to remember of its own work, as files in the state directory: the kernel can't tell. */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Actual, Guard } from './actual.ts';
import { type Family, tableText } from './guard.ts';
import type { InnerState } from './operations.ts';

type GuardPrint = Record<Family, string>;

/** The file's text, or undefined when there is none. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A torn file (power cut) is as good as none: what it held is found out or done again. */
function parsed<T>(text: string | undefined, otherwise: T): T {
  try {
    return text === undefined ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

export class Memory {
  readonly #directory: string;
  readonly #vxlanPort: number;

  constructor(stateDirectory: string, vxlanPort: number) {
    this.#directory = stateDirectory;
    this.#vxlanPort = vxlanPort;
    for (const name of ['netns', 'batch'])
      mkdirSync(join(stateDirectory, name), { recursive: true, mode: 0o755 });
  }

  #write(name: string, value: unknown): void {
    const path = join(this.#directory, name);
    writeFileSync(`${path}.new`, JSON.stringify(value));
    renameSync(`${path}.new`, path);
  }

  #read(name: string): string | undefined {
    return textOf(join(this.#directory, name));
  }

  /** Path for a tool's input file. */
  batchFile(name: string): string {
    return join(this.#directory, 'batch', name);
  }

  /** Namespaces that we made. */
  claims(): Actual['claims'] {
    const claims: Actual['claims'] = new Map();
    for (const name of readdirSync(join(this.#directory, 'netns'))) {
      if (!name.endsWith('.new'))
        claims.set(name, parsed<Record<string, InnerState>>(this.#read(`netns/${name}`), {}));
    }
    return claims;
  }

  claim(namespace: string, devices: Record<string, InnerState>): void {
    this.#write(`netns/${namespace}`, devices);
  }

  release(namespace: string): void {
    rmSync(join(this.#directory, 'netns', namespace), { force: true });
  }

  /** Links that were about to be created. */
  pending(): Set<string> {
    return new Set(parsed<string[]>(this.#read('pending-links.json'), []));
  }

  setPending(links: readonly string[]): void {
    this.#write('pending-links.json', links);
  }

  /**
   * Whether a table's structure is the one that nft showed when we made it from the text that we would make it from
   * now. (nft does not show what it was given, and shows it differently from version to version.)
   */
  isOurGuard(family: Family, structure: string): boolean {
    return (
      parsed<Partial<GuardPrint>>(this.#read('guard.json'), {})[family] === this.#print(family, structure)
    );
  }

  rememberGuard(structures: Record<keyof Guard, string>): void {
    const print = (family: Family) => this.#print(family, structures[family]);
    this.#write('guard.json', { ip: print('ip'), bridge: print('bridge') } satisfies GuardPrint);
  }

  #print(family: Family, structure: string): string {
    return createHash('sha256').update(tableText(family, this.#vxlanPort)).update(structure).digest('hex');
  }
}
