/** What numbers in maps mean to people: networks, nodes and ports from the agent's names file, devices from the kernel. */
import { type Names, readNames } from '../../agent/names.ts';
import { run } from '../../agent/process.ts';
import { EXIT, Failure } from '../failure.ts';

export interface Link {
  ifindex: number;
  ifname: string;
  address?: string;
}

/** All links of this network namespace; empty where `ip` can't tell. */
async function readLinks(): Promise<Link[]> {
  try {
    return JSON.parse((await run('ip', ['-j', 'link', 'show'])).stdout) as Link[];
  } catch {
    return [];
  }
}

/** What the agent wrote, as far as it did: an older one knows nothing of NAT. */
export type NameSources = Partial<Names>;

type NetworkName = Names['networks'][string];
export type NatNames = NonNullable<NetworkName['nat']>;

export class NameBook {
  readonly #names: NameSources;
  readonly #links: Link[];

  constructor(names: NameSources, links: Link[]) {
    this.#names = names;
    this.#links = links;
  }

  static async read(stateDirectory: string): Promise<NameBook> {
    return new NameBook(readNames(stateDirectory) ?? {}, await readLinks());
  }

  get node(): string | undefined {
    return this.#names.node;
  }

  network(vni: number): NetworkName | undefined {
    return this.#names.networks?.[vni];
  }

  /** Networks whose NAT is on this node, by VNI. */
  natNetworks(): { vni: number; uuid: string; name: string; nat: NatNames }[] {
    return Object.entries(this.#names.networks ?? {}).flatMap(([vni, { uuid, name, nat }]) =>
      nat ? [{ vni: Number(vni), uuid, name, nat }] : [],
    );
  }

  nodeAt(address: string): string | undefined {
    return this.#names.nodes?.[address];
  }

  addressOf(node: string): string | undefined {
    return Object.entries(this.#names.nodes ?? {}).find(([, name]) => name === node)?.[0];
  }

  device(ifindex: number): string | undefined {
    return this.#links.find((link) => link.ifindex === ifindex)?.ifname;
  }

  ifindexOf(device: string): number | undefined {
    return this.#links.find((link) => link.ifname === device)?.ifindex;
  }

  port(device: string): { interface: string; instance: string; network: string } | undefined {
    return this.#names.ports?.[device];
  }

  /** The VNI of a network given by name, uuid or number; undefined when this node knows no such name. */
  vni(reference: string): number | undefined {
    const known = Object.entries(this.#names.networks ?? {});
    const found = known.filter(([, { name, uuid }]) => uuid === reference || name === reference);
    if (found.length > 1) {
      const uuids = found.map(([, { uuid }]) => uuid).join(', ');
      throw new Failure(`more than one network is named ${reference}: give a uuid (${uuids})`, EXIT.usage);
    }
    if (found.length === 1) return Number(found[0]![0]);
    return /^[0-9]+$/.test(reference) ? Number(reference) : undefined;
  }

  /** The same, and a Failure when there is none. */
  requireVni(reference: string): number {
    const vni = this.vni(reference);
    if (vni !== undefined) return vni;
    const names = Object.values(this.#names.networks ?? {}).map(({ name }) => name);
    const known =
      names.length > 0
        ? `it knows ${names.join(', ')}`
        : 'it knows no names at all (is --state-directory right?)';
    throw new Failure(
      `no network ${reference} on this node: ${known}; --vni takes the number`,
      EXIT.notFound,
    );
  }
}
