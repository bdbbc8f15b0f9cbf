/**
 * Next hops: for every peer's underlay address the device and Ethernet header towards it, taken from the
 * kernel's own routes and neighbours, and followed as they change.
 *
 * The neighbours are marked `managed` (NTF_MANAGED, Linux 5.16), so that the kernel keeps them resolved although
 * the fast path's packets never ask for them. A peer that is not resolved has no entry: the kernel path takes
 * its packets, and resolves it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { run } from '../process.ts';
import { Nexthop } from './abi.ts';
import { type Entries, keyOf } from './mirror.ts';
import { Be32, bytes, ipv4Number } from './tables.ts';

export interface Route {
  dst: string;
  gateway?: string;
  dev: string;
  /** Of the route, or what a router on the way has told. */
  metrics?: { mtu?: number }[];
}

export interface Neighbour {
  dst: string;
  dev: string;
  lladdr?: string;
  state: string[];
  managed?: null;
}

export interface Link {
  ifindex: number;
  ifname: string;
  address: string;
  mtu: number;
}

/** States in which a neighbour's address may be used (linux/neighbour.h, NUD_VALID). */
const USABLE = new Set(['REACHABLE', 'STALE', 'DELAY', 'PROBE', 'PERMANENT', 'NOARP']);

/** Whom a route's packets are handed to, and on which device. */
function via({ gateway, dst, dev }: Route): string {
  return `${gateway ?? dst} ${dev}`;
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}

/** The nexthops map's entries: a pure function of what the kernel says. */
export function nexthopEntries(routes: Route[], neighbours: Neighbour[], links: Link[]): Entries {
  const linkOf = new Map(links.map((link) => [link.ifname, link]));
  const neighbourOf = new Map(neighbours.map((each) => [`${each.dst} ${each.dev}`, each]));
  const entries = new Map<string, Uint8Array>();
  for (const route of routes) {
    const link = linkOf.get(route.dev);
    const neighbour = neighbourOf.get(via(route));
    if (link === undefined || neighbour?.lladdr === undefined || !USABLE.has(neighbour.state[0] ?? ''))
      continue;
    entries.set(
      keyOf(bytes(Be32, ipv4Number(route.dst))),
      bytes(Nexthop, {
        ifindex: link.ifindex,
        mtu: Math.min(link.mtu, ...(route.metrics ?? []).map(({ mtu }) => mtu ?? link.mtu)),
        dst_mac: macBytes(neighbour.lladdr),
        src_mac: macBytes(link.address),
      }),
    );
  }
  return entries;
}

/**
 * Asks the kernel, in at most five processes whatever the number of peers.
 * @param address this node's on the underlay, from which its tunnel packets come: rules may go by it
 */
export async function readNexthops(address: string, peers: ReadonlySet<string>): Promise<Entries> {
  if (peers.size === 0) return new Map();
  // An unreachable peer fails its own line only.
  const answer = await run('ip', ['-json', '-force', '-batch', '-'], {
    input: [...peers].map((peer) => `route get ${peer} from ${address}\n`).join(''),
    mayFail: true,
  });
  const routes = answer.stdout
    .split('\n')
    .filter((line) => line.startsWith('['))
    .flatMap((line) => JSON.parse(line) as Route[]);
  const neighbours = async () =>
    JSON.parse((await run('ip', ['-json', 'neigh', 'show'])).stdout || '[]') as Neighbour[];
  const links = JSON.parse((await run('ip', ['-json', 'link', 'show'])).stdout) as Link[];

  const known = await neighbours();
  const managed = new Set(known.filter((n) => n.managed === null).map((n) => `${n.dst} ${n.dev}`));
  const unmanaged = routes.filter((route) => !managed.has(via(route)));
  if (unmanaged.length === 0) return nexthopEntries(routes, known, links);
  await run('ip', ['-force', '-batch', '-'], {
    input: unmanaged
      .map((route) => `neigh replace ${route.gateway ?? route.dst} dev ${route.dev} managed\n`)
      .join(''),
    mayFail: true,
  });
  return nexthopEntries(routes, await neighbours(), links);
}

/** Calls back, at most every 50 ms, when a route, a neighbour or a link of this namespace changed. */
export class KernelWatch {
  readonly #onChange: (what: 'link' | 'route') => void;
  readonly #pending = new Set<'link' | 'route'>();
  #timer: NodeJS.Timeout | undefined;
  #child: ChildProcess | undefined;
  #closed = false;

  constructor(onChange: (what: 'link' | 'route') => void) {
    this.#onChange = onChange;
    this.#start();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#child?.kill();
  }

  #start(): void {
    if (this.#closed) return;
    // `label` puts [LINK], [ROUTE] or [NEIGH] in front of each line. It ends with us, however we do.
    const command = ['--pdeathsig', 'TERM', 'ip', 'monitor', 'label', 'link', 'route', 'neigh'];
    const child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      if (text.includes('[LINK]')) this.#note('link');
      if (text.includes('[NEIGH]') || text.includes('[ROUTE]')) this.#note('route');
    });
    const again = () => {
      setTimeout(() => {
        this.#start();
        // What happened meanwhile is not known.
        this.#note('link');
        this.#note('route');
      }, 1000).unref();
    };
    child.on('error', again).on('exit', again);
  }

  #note(what: 'link' | 'route'): void {
    if (this.#closed) return;
    this.#pending.add(what);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      for (const each of this.#pending) this.#onChange(each);
      this.#pending.clear();
    }, 50);
  }
}
