/**
 * DHCP and DNS of this node's networks: one dnsmasq in each router namespace that wants one, which outlives the
 * daemon. Compares what should run with what runs, and does the difference; a second pass does nothing.
 *
 * Leases and names change by SIGHUP, all else by a restart. What a process was started with, and which lists it was
 * told to read, is kept beside its files: a daemon that comes back adopts it, or knows that it can't.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { dirname, join } from 'node:path';
import type { fistpath } from '#proto';
import type { NetworkResult, Step } from '../kernel/kernel.ts';
import { networkNames } from '../kernel/names.ts';
import { type Run, runTool } from '../kernel/run.ts';
import { type DnsmasqFiles, dnsmasqFiles, FILES, staticLeases, wantsDnsmasq } from './dnsmasq-files.ts';
import {
  commandLine,
  endProcess,
  isWorking,
  type ProcessId,
  processesByCommand,
  processState,
  requestsWait,
} from './dnsmasq-process.ts';

export interface DnsmasqConfig {
  stateDirectory: string;
  /** Name servers, IPv4. */
  servers: readonly string[];
  /** A process does not work any more: its network should be applied soon. */
  onSick: (network: string) => void;
  /** Between two looks at the processes. */
  lookMs?: number;
}

export interface DnsmasqResult {
  /** Network → what failed, why, what to do. */
  errors: Map<string, string>;
  /** Network → what was done. */
  steps: Map<string, Step[]>;
  /** Processes run. */
  processes: number;
}

/** What a process was made from; dnsmasq itself can't be asked. */
interface Made extends ProcessId {
  configuration: string;
  /** The lists that it read, or was last told to. */
  lists: string;
  /** Its sockets are bound to this device: ifindex of the router veth's outer end. */
  router: number;
}

interface Watched extends ProcessId {
  used: number;
  patience: number;
}

const LOOK_MS = 5000;
/** Looks that requests may wait while the process works, and what a look costs while it uses no CPU: two of those. */
const PATIENCE = 12;
const IDLE_COST = 6;
/** Networks that are worked on at a time. */
const PARALLEL = 4;
const RELEASE_MS = 2000;
/** Of one process; even, since they are pairs. */
const RELEASE_ARGUMENTS = 2000;
const MADE = 'process.json';

/** Leases of $1, a device: the rest, in pairs of address and MAC. */
const RELEASE_SCRIPT =
  'device=$1; shift; while [ $# -gt 0 ]; do dhcp_release "$device" "$1" "$2" || exit; shift 2; done';

const hash = (...texts: string[]) => createHash('sha256').update(texts.join('\0')).digest('hex');
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A reader sees the old text or the new one. */
function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o644 });
  renameSync(`${path}.new`, path);
}

/** dnsmasq reads its lists as a user of its own. */
function checkReadable(directory: string): void {
  for (let path = directory; ; path = dirname(path)) {
    if ((statSync(path).mode & 0o001) === 0) {
      throw new Error(`user dnsmasq can't enter ${path}, where its files are: chmod o+x ${path}`);
    }
    if (path === dirname(path)) return;
  }
}

export class Dnsmasq {
  readonly #config: DnsmasqConfig;
  readonly #directory: string;
  readonly #run: Run;
  readonly #watched = new Map<string, Watched>();
  readonly #hung = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #processes = 0;
  /** Read at most once in a pass. */
  #commands: Map<string, ProcessId[]> | undefined;

  constructor(config: DnsmasqConfig, run: Run = runTool) {
    this.#config = config;
    this.#directory = join(config.stateDirectory, 'dnsmasq');
    this.#run = (command, args) => {
      this.#processes++;
      return run(command, args);
    };
    this.#timer = setInterval(() => this.#look(), config.lookMs ?? LOOK_MS).unref();
  }

  /**
   * Makes the dnsmasq processes what `desired` says; one call at a time.
   * @param results of the kernel path: only where a network's router is as it should be can dnsmasq run
   * @param scope networks that changed or went; absent: everything, leftovers of unknown networks included
   */
  async apply(
    desired: ReadonlyMap<string, fistpath.INodeNetwork>,
    results: ReadonlyMap<string, NetworkResult>,
    scope?: ReadonlySet<string>,
  ): Promise<DnsmasqResult> {
    this.#processes = 0;
    this.#commands = undefined;
    const errors = new Map<string, string>();
    const steps = new Map<string, Step[]>();
    const tasks: (() => Promise<void>)[] = [];
    const add = (uuid: string, operation: string, work: () => Promise<boolean>) => {
      tasks.push(async () => {
        const start = Date.now() / 1000;
        const clock = performance.now();
        try {
          if (!(await work())) return;
          steps.set(uuid, [{ operation, start, duration: (performance.now() - clock) / 1000 }]);
        } catch (error) {
          errors.set(uuid, `dnsmasq of network ${uuid}: ${(error as Error).message}`);
        }
      });
    };

    for (const uuid of this.#present()) {
      const network = desired.get(uuid);
      if ((network && wantsDnsmasq(network)) || (scope && !scope.has(uuid))) continue;
      add(uuid, 'remove dhcp', () => this.#remove(uuid));
    }
    for (const [uuid, { devices }] of results) {
      const network = desired.get(uuid);
      const router = devices?.ports.find((port) => port.router);
      if (network && router && wantsDnsmasq(network))
        add(uuid, 'update dhcp', () => this.#converge(network, router.ifindex));
    }
    const worker = async () => {
      for (let task = tasks.pop(); task; task = tasks.pop()) await task();
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    return { errors, steps, processes: this.#processes };
  }

  /** Looks no more; the processes go on. */
  close(): void {
    clearInterval(this.#timer);
  }

  #present(): string[] {
    try {
      return readdirSync(this.#directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** Words of its command line: its configuration's path makes it ours, and this network's. */
  #command(uuid: string): string[] {
    return ['dnsmasq', `--conf-file=${join(this.#directory, uuid, FILES.configuration)}`];
  }

  /** Everything with our command line, known or not. */
  async #end(uuid: string): Promise<boolean> {
    this.#commands ??= processesByCommand();
    const processes = this.#commands.get(this.#command(uuid).join(' ')) ?? [];
    this.#watched.delete(uuid);
    this.#hung.delete(uuid);
    await Promise.all(processes.map(endProcess));
    return processes.length > 0;
  }

  async #remove(uuid: string): Promise<boolean> {
    const ended = await this.#end(uuid);
    rmSync(join(this.#directory, uuid), { recursive: true, force: true });
    return ended;
  }

  /** What runs, when it is what we made and works. */
  #working(uuid: string): Made | undefined {
    let made: Made;
    try {
      made = JSON.parse(textOf(join(this.#directory, uuid, MADE)) ?? 'null') ?? {};
    } catch {
      return undefined; // torn by a power cut: as good as none
    }
    if (!Number.isInteger(made.pid) || this.#hung.has(uuid)) return undefined;
    const state = processState(made.pid);
    const ours = commandLine(made.pid).join(' ') === this.#command(uuid).join(' ');
    return ours && isWorking(state) && state.started === made.started ? made : undefined;
  }

  /** Whether there was anything to do. */
  async #converge(network: fistpath.INodeNetwork, router: number): Promise<boolean> {
    const uuid = network.uuid!;
    const directory = join(this.#directory, uuid);
    const files = dnsmasqFiles(network, { directory, servers: this.#config.servers });
    const wanted = {
      configuration: hash(files.configuration),
      lists: hash(files.hosts, files.names),
      router,
    };
    let made = this.#working(uuid);
    let changed = false;
    if (made?.configuration !== wanted.configuration || made.router !== router) {
      // First what can fail: on a full disk the old process goes on.
      this.#write(directory, files);
      await this.#end(uuid);
      made = { ...(await this.#start(network)), ...wanted };
      changed = true;
    } else if (this.#write(directory, files) || made.lists !== wanted.lists) {
      process.kill(made.pid, 'SIGHUP');
      made.lists = wanted.lists;
      changed = true;
    }
    if (changed) replaceFile(join(directory, MADE), JSON.stringify(made));
    this.#watched.set(uuid, {
      ...{ pid: made.pid, started: made.started, patience: PATIENCE },
      used: processState(made.pid)?.used ?? 0,
      ...this.#sameWatch(uuid, made),
    });
    return (await this.#release(network)) || changed;
  }

  /** A pass is no sign of life: what was seen of a process that goes on stays. */
  #sameWatch(uuid: string, made: ProcessId): Watched | undefined {
    const watched = this.#watched.get(uuid);
    return watched?.pid === made.pid && watched.started === made.started ? watched : undefined;
  }

  /** Whether a list on the disk was another one. */
  #write(directory: string, files: DnsmasqFiles): boolean {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    let changed = false;
    for (const [name, text] of Object.entries(files)) {
      const path = join(directory, FILES[name as keyof DnsmasqFiles]);
      if (textOf(path) === text) continue;
      replaceFile(path, text);
      changed = true;
    }
    return changed;
  }

  async #start({ uuid }: fistpath.INodeNetwork): Promise<ProcessId> {
    const directory = join(this.#directory, uuid!);
    checkReadable(directory);
    rmSync(join(directory, FILES.pid), { force: true });
    const { code, stderr } = await this.#run('nsenter', [
      `--net=/run/netns/${uuid}`,
      ...this.#command(uuid!),
    ]);
    if (code !== 0) throw new Error(`it can't be started (exit ${code}): ${stderr.trim()}`);
    const state = processState(Number(textOf(join(directory, FILES.pid))));
    if (!state) throw new Error('it ended as soon as it was started: its messages are in the system log');
    return { pid: state.pid, started: state.started };
  }

  /** Ends leases of what is no longer in the record. Whether there were any. */
  async #release(network: fistpath.INodeNetwork): Promise<boolean> {
    if (!network.router?.dhcp) return false;
    const wanted = new Set(staticLeases(network).map(({ mac, ipv4 }) => `${mac} ${ipv4}`));
    const file = join(this.#directory, network.uuid!, FILES.leases);
    const stale = (): string[] =>
      (textOf(file) ?? '').split('\n').flatMap((line) => {
        // expiry MAC address name client-id
        const [, mac = '', address = ''] = line.split(' ');
        if (!/^[0-9a-f:]{17}$/.test(mac) || !isIPv4(address)) return [];
        return wanted.has(`${mac} ${address}`) ? [] : [address, mac];
      });
    const leases = stale();
    if (leases.length === 0) return false;
    const device = networkNames(network.vni!).routerInner;
    for (let at = 0; at < leases.length; at += RELEASE_ARGUMENTS) {
      const { code, stderr } = await this.#run('nsenter', [
        `--net=/run/netns/${network.uuid}`,
        ...['sh', '-c', RELEASE_SCRIPT, 'sh', device, ...leases.slice(at, at + RELEASE_ARGUMENTS)],
      ]);
      if (code !== 0) throw new Error(`leases can't be released: ${stderr.trim()}`);
    }
    for (let waited = 0; stale().length > 0; waited += 10) {
      if (waited >= RELEASE_MS) throw new Error(`it does not release leases ${stale().join(' ')}`);
      await pause(10);
    }
    return true;
  }

  /** Finds processes that ended, were stopped, or let requests wait. */
  #look(): void {
    for (const [uuid, watched] of this.#watched) {
      const state = processState(watched.pid);
      if (isWorking(state) && state.started === watched.started) {
        if (!requestsWait(watched.pid)) watched.patience = PATIENCE;
        else watched.patience -= state.used === watched.used ? IDLE_COST : 1;
        watched.used = state.used;
        if (watched.patience > 0) continue;
        this.#hung.add(uuid);
      }
      this.#watched.delete(uuid);
      this.#config.onSick(uuid);
    }
  }
}
