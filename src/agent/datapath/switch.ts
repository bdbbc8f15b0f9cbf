/**
 * Whether this node runs its fast path: follows what is wanted, tells what is in force and why, and lets the
 * node stay on the kernel path when the fast path can't be had.
 */
import type { Logger } from 'pino';
import { inNamespace } from '#addon';
import type { fistpath } from '#proto';
import type { Config } from '../../config.ts';
import type { NetworkResult } from '../kernel/kernel.ts';
import { macText } from '../kernel/names.ts';
import { readUnderlay } from '../underlay.ts';
import { type Event, Program, Reason } from './abi.ts';
import { detachAll, FastPath } from './fastpath.ts';
import { ipv4Text } from './tables.ts';

export type Mode = 'ebpf' | 'kernel';

export interface SwitchOptions {
  config: Config;
  log: Logger;
  onStatus: (status: fistpath.IDatapathStatus) => void;
  onEvent: (event: fistpath.IEvent) => void;
  /** Why this kernel's NAT can't be followed; injected by tests. */
  natRefusal?: () => string | undefined;
}

/** Of this process's own namespace; undefined: there is no such device. */
async function ifindexOf(ifname: string): Promise<number | undefined> {
  return inNamespace('/proc/self/ns/net', { verb: 'ifindex', ifname }).catch(() => undefined);
}

function reasonName(number: number): string {
  const name = Object.entries(Reason).find(([, value]) => value === number)?.[0] ?? `reason ${number}`;
  return name.toLowerCase().replaceAll('_', ' ');
}

/** What an earlier process may have attached without a pin, where the kernel has no TCX. */
function possibleNames(results: ReadonlyMap<string, NetworkResult>, underlay: number | undefined): string[] {
  const devices = [...results.values()].flatMap((result) => result.devices ?? []);
  return [
    ...(underlay === undefined ? [] : [`underlay-tc-${underlay}`]),
    ...devices.map(({ vxlanIfindex }) => `tunnel-${vxlanIfindex}`),
    ...devices.flatMap(({ ports }) => ports.map(({ ifindex }) => `port-${ifindex}`)),
  ];
}

export class DatapathSwitch {
  readonly #options: SwitchOptions;
  #wanted: Mode | undefined;
  #fastPath: FastPath | undefined;
  /** Nothing of the fast path is attached, whoever attached it. */
  #off = false;
  #failure = '';
  /** By network: entries that found no room. */
  readonly #problems = new Map<string, string>();
  #said = '';
  /** uuid and VNI of the networks that are here. */
  readonly #vnis = new Map<string, number>();

  constructor(options: SwitchOptions) {
    this.#options = options;
  }

  /** True when that is news: a full pass is due. */
  want(mode: Mode): boolean {
    const news = mode !== this.#wanted;
    this.#wanted = mode;
    return news;
  }

  /** Says the status again, to a controller that may not know it. */
  repeatStatus(): void {
    this.#said = '';
  }

  /** After the kernel path: the same networks for the fast path. `retry`: what failed may not fail again. */
  async apply(
    wanted: ReadonlyMap<string, fistpath.INodeNetwork>,
    results: ReadonlyMap<string, NetworkResult>,
    everything: boolean,
  ): Promise<{ writes: number; retry: boolean }> {
    for (const [uuid, { devices }] of results) if (devices) this.#vnis.set(uuid, devices.vni);
    const before = this.#failure;
    let writes = 0;
    try {
      if (this.#wanted === 'kernel') await this.#switchOff(results);
      else writes = await this.#applyFastPath(wanted, results, everything);
      this.#failure = '';
    } catch (error) {
      this.#failure = (error as Error).message;
      const { log } = (error as { log?: string }) ?? {};
      this.#options.log.error(
        { error: this.#failure, verifier: log },
        'fast path is off: the kernel path carries on',
      );
      await this.#switchOff(results);
    }
    for (const uuid of this.#vnis.keys()) if (!wanted.has(uuid)) this.#vnis.delete(uuid);
    this.#say();
    return { writes, retry: this.#failure !== '' && this.#failure !== before };
  }

  /** Routes or neighbours changed. Rejects when they can't be read. */
  async nexthopsChanged(): Promise<void> {
    await this.#fastPath?.refreshNexthops();
  }

  /** How full the table of flows is; undefined: NAT is the kernel's alone, or another node's. */
  get flowTable(): FastPath['flowTable'] {
    return this.#fastPath?.flowTable;
  }

  close(): void {
    this.#fastPath?.close();
    this.#fastPath = undefined;
  }

  async #applyFastPath(
    wanted: ReadonlyMap<string, fistpath.INodeNetwork>,
    results: ReadonlyMap<string, NetworkResult>,
    everything: boolean,
  ): Promise<number> {
    const fastPath = this.#fastPath ?? this.#switchOn();
    this.#fastPath = fastPath;
    this.#off = false;
    const before = fastPath.writes;
    for (const uuid of this.#problems.keys()) if (!wanted.has(uuid)) this.#problems.delete(uuid);
    for (const [uuid, vni] of this.#vnis) {
      // What the kernel path is not sure of, the fast path can't be.
      if (!wanted.has(uuid)) fastPath.remove(vni);
      else if (results.has(uuid) && !results.get(uuid)?.devices) fastPath.remove(vni, true);
    }
    if (everything) {
      const here = new Set(this.#vnis.values());
      for (const vni of fastPath.networks()) if (!here.has(vni)) fastPath.remove(vni);
    }
    const underlay = await readUnderlay(this.#options.config.underlay);
    const { uplink } = this.#options.config;
    const translates = [...wanted.values()].some(({ router }) => router?.nat);
    fastPath.prepareNat(translates && uplink ? await ifindexOf(uplink.device) : undefined, underlay.ifindex);
    for (const [uuid, { devices }] of results) {
      const network = wanted.get(uuid);
      if (!network || !devices) continue;
      this.#problems.delete(uuid);
      try {
        await fastPath.apply({ wanted: network, devices });
      } catch (error) {
        // The network's other packets are the kernel's; the fast path of other networks goes on.
        this.#problems.set(uuid, `network ${network.name} (${uuid}): ${(error as Error).message}`);
      }
    }
    await fastPath.refreshNexthops();
    fastPath.attachUnderlay(underlay.ifindex);
    if (everything) fastPath.sweep();
    return fastPath.writes - before;
  }

  #switchOn(): FastPath {
    const { config } = this.#options;
    return new FastPath(
      {
        bpfDirectory: config.bpf_directory,
        underlayAddress: config.underlay.address,
        vxlanPort: config.vxlan_port,
        underlayHook: config.underlay_hook,
        uplinkHook: config.uplink_hook,
        mapSizes: config.map_sizes,
        networkNode: config.network_node,
        flowRefreshSeconds: config.flow_refresh_seconds,
        natRefusal: this.#options.natRefusal,
      },
      (event) => this.#hear(event),
    );
  }

  async #switchOff(results: ReadonlyMap<string, NetworkResult>): Promise<void> {
    this.#problems.clear();
    if (this.#off) return;
    try {
      if (this.#fastPath) this.#fastPath.switchOff();
      else detachAll(this.#options.config.bpf_directory, possibleNames(results, await this.#underlay()));
      this.#off = true;
    } catch (error) {
      this.#options.log.error(
        { error: (error as Error).message },
        'the fast path could not be taken away completely',
      );
    }
    this.close();
  }

  /** Ifindex of the underlay device, if it can be read. */
  async #underlay(): Promise<number | undefined> {
    return readUnderlay(this.#options.config.underlay).then(
      ({ ifindex }) => ifindex,
      () => undefined,
    );
  }

  #hear(event: Event): void {
    const network = [...this.#vnis].find(([, vni]) => vni === event.vni)?.[0];
    const message = `${reasonName(event.reason)}: ${macText(event.src_mac)} (${ipv4Text(event.source)}) to ${macText(event.dst_mac)} (${ipv4Text(event.destination)})`;
    this.#options.log.warn({ vni: event.vni, ifindex: event.ifindex }, message);
    if (network === undefined) return;
    const program = Object.entries(Program).find(([, value]) => value === event.program)?.[0] ?? '';
    this.#options.onEvent({
      timestamp: Date.now() / 1000,
      objectType: 'network',
      objectUuid: network,
      operation: 'drop',
      phase: '',
      message,
      type: 'audit',
      extra: { program: program.toLowerCase(), ifindex: String(event.ifindex) },
    });
  }

  #natStatus(): { nat: string; natReason: string } {
    const { network_node, uplink } = this.#options.config;
    if (!network_node) return { nat: '', natReason: '' };
    let natReason = this.#fastPath?.natRefusal ?? '';
    if (!this.#fastPath) natReason = 'the fast path is off';
    else if (!uplink) natReason = 'no uplink is configured on this node: set uplink.device';
    return { nat: natReason === '' ? 'ebpf' : 'kernel', natReason };
  }

  #say(): void {
    const on = this.#fastPath !== undefined;
    const config = this.#options.config;
    const configured =
      config.datapath === 'kernel' ? 'the configuration of this node says datapath: kernel' : '';
    const status: fistpath.IDatapathStatus = {
      mode: on ? 'ebpf' : 'kernel',
      reason: this.#failure || configured,
      underlayHook: this.#fastPath?.underlayHook ?? '',
      ...this.#natStatus(),
      problems: [...this.#problems.values(), ...(this.#fastPath?.problems ?? [])],
    };
    const text = JSON.stringify(status);
    if (text === this.#said) return;
    this.#said = text;
    this.#options.onStatus(status);
  }
}
