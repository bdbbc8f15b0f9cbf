/**
 * The programs in the kernel: loading them around the pinned maps, and their attachments.
 *
 * Each attachment is a pinned link, so it outlives this process. At start every pinned link gets the newly
 * loaded program by bpf_link_update: no packet is lost, and no hook is ever empty in between. A pinned link
 * whose device is gone answers ENOLINK (or ifindex 0) and is made anew. Kernels without TCX (before 6.6) get
 * a clsact filter with our handle and priority instead; what NAT needs is for TCX alone.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { BpfLink, BpfMap, BpfObject, type BpfProgram, detachTc, inNamespace, queryTc } from '#addon';
import type { Pins } from './pins.ts';
import { capacityOf, REPLACEABLE } from './sizes.ts';
import { Be16, Be32, bytes, ipv4Number, U64 } from './tables.ts';

const OBJECTS = new URL('../../../bpf/out/', import.meta.url);

/** Marks our clsact filters; any other handle or priority belongs to somebody else. */
const TC_HANDLE = 0xf157;
const TC_PRIORITY = 49157;

export type Hook = 'tc' | 'xdp';

export interface ProgramsConfig {
  underlayAddress: string;
  vxlanPort: number;
  /** map_sizes of the configuration. */
  mapSizes: Record<string, number>;
  /** Packets enter and leave the virtual networks here. */
  networkNode: boolean;
  /** A flow's packet is shown to the kernel this often. */
  flowRefreshSeconds: number;
}

/** A flow that the kernel has not confirmed for so long does not count. Refreshed, it is confirmed five times as often. */
export function flowExpiryNs(refreshSeconds: number): bigint {
  return BigInt(Math.round(refreshSeconds * 5e9));
}

/** Finds bpf/out from src/ as well as from dist/src/. */
function readObject(name: string): Uint8Array {
  const built = new URL(`${name}.bpf.o`, OBJECTS);
  return readFileSync(
    existsSync(built) ? built : new URL(`../../../../bpf/out/${name}.bpf.o`, import.meta.url),
  );
}

export class Programs {
  readonly #pins: Pins;
  readonly #config: ProgramsConfig;
  readonly #objects: BpfObject[] = [];
  readonly #port: BpfProgram;
  readonly #tunnel: BpfProgram;
  readonly #underlay: Record<Hook, BpfProgram>;
  #nat: { uplink: Record<Hook, BpfProgram>; learn: BpfProgram } | undefined;
  #tcx = true;

  /** Loads all programs but those of NAT; maps are adopted from their pins, or created and pinned. The error carries the verifier log. */
  constructor(pins: Pins, config: ProgramsConfig) {
    this.#pins = pins;
    this.#config = config;
    for (const map of REPLACEABLE) this.#removeUnlessOfSize(map);
    try {
      this.#port = this.#load('port').program('port');
      this.#tunnel = this.#load('tunnel').program('tunnel');
      const underlay = this.#load('underlay');
      this.#underlay = { tc: underlay.program('underlay_tc'), xdp: underlay.program('underlay_xdp') };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Loads what follows the kernel's NAT, once. Throws as the constructor does; without it all else works. */
  loadNat(): void {
    if (this.#nat) return;
    const learn = this.#load('learn').program('learn');
    const uplink = this.#load('uplink');
    this.#nat = {
      uplink: { tc: uplink.program('uplink_tc'), xdp: uplink.program('uplink_xdp') },
      learn,
    };
  }

  /** An own handle on a pinned map; the caller closes it. */
  openMap(name: string): BpfMap {
    return BpfMap.open(this.#pins.map(name));
  }

  /** False when it was attached already; so do the others. */
  attachPort(ifindex: number): boolean {
    return this.#attachTc(`port-${ifindex}`, this.#port, ifindex);
  }

  attachTunnel(ifindex: number): boolean {
    return this.#attachTc(`tunnel-${ifindex}`, this.#tunnel, ifindex);
  }

  /** The new hook is in place before another one that was used until now is left. */
  attachUnderlay(ifindex: number, hook: Hook): boolean {
    const { tc, xdp } = this.#underlay;
    const attached =
      hook === 'tc'
        ? this.#attachTc(`underlay-tc-${ifindex}`, tc, ifindex)
        : this.#attachLink(`underlay-xdp-${ifindex}`, xdp, () => xdp.attachXdp(ifindex, 'native'));
    this.detach(`underlay-${hook === 'tc' ? 'xdp' : 'tc'}-${ifindex}`);
    return attached;
  }

  /** After loadNat(). XDP leaves TCP to TC, so that is there in any case. */
  attachUplink(ifindex: number, hook: Hook): boolean {
    const { tc, xdp } = this.#nat!.uplink;
    if (hook === 'tc') return this.#attachTcx(`uplink-tc-${ifindex}`, tc, ifindex);
    return this.#attachLink(`uplink-xdp-${ifindex}`, xdp, () => xdp.attachXdp(ifindex, 'native'));
  }

  /**
   * After loadNat(). Attaches where packets leave a router's namespace. A namespace that was made again has new
   * devices: the pinned link of the old one is dead.
   */
  async attachLearn(namespace: string, ifname: string): Promise<boolean> {
    const { learn } = this.#nat!;
    const name = learnPin(ifname);
    if (this.#adoptLink(name, learn)) return false;
    const pin = this.#pins.link(name);
    await inNamespace(namespace, { verb: 'attachTcx', program: learn, ifname, direction: 'egress', pin });
    return true;
  }

  /** Every attachment of this node, by the name of its pin. */
  attached(): string[] {
    return this.#pins.linkNames();
  }

  /** Takes an attachment away; nothing happens when it is not there. */
  detach(name: string): void {
    detachPinned(this.#pins, name);
  }

  close(): void {
    for (const object of this.#objects) object.close();
  }

  #load(name: string): BpfObject {
    const { mapSizes, networkNode, flowRefreshSeconds, vxlanPort, underlayAddress } = this.#config;
    const object = new BpfObject(readObject(name), { pinDirectory: this.#pins.maps });
    this.#objects.push(object);
    object.setRodata('vxlan_port', bytes(Be16, vxlanPort));
    object.setRodata('underlay_address', bytes(Be32, ipv4Number(underlayAddress)));
    object.setRodata('flow_refresh_ns', bytes(U64, BigInt(Math.round(flowRefreshSeconds * 1e9))));
    object.setRodata('flow_expiry_ns', bytes(U64, flowExpiryNs(flowRefreshSeconds)));
    for (const map of object.maps) {
      const size = capacityOf(map, mapSizes, networkNode);
      if (size !== undefined) object.setMaxEntries(map, size);
    }
    object.load();
    return object;
  }

  #removeUnlessOfSize(name: string): void {
    const path = this.#pins.map(name);
    if (!existsSync(path)) return;
    const map = BpfMap.open(path);
    const { maxEntries } = map.info;
    map.close();
    const { mapSizes, networkNode } = this.#config;
    if (maxEntries !== capacityOf(name, mapSizes, networkNode)) rmSync(path);
  }

  #attachTc(name: string, program: BpfProgram, ifindex: number): boolean {
    if (this.#tcx) {
      try {
        return this.#attachTcx(name, program, ifindex);
      } catch (error) {
        const { code, syscall } = error as { code?: string; syscall?: string };
        if (code !== 'EINVAL' || syscall !== 'bpf_link_create') throw error;
        this.#tcx = false;
      }
    }
    const present = queryTc(ifindex, 'ingress', TC_HANDLE, TC_PRIORITY);
    if (present === program.info.id) return false;
    program.attachTc(ifindex, 'ingress', TC_HANDLE, TC_PRIORITY, present !== 0);
    return true;
  }

  #attachTcx(name: string, program: BpfProgram, ifindex: number): boolean {
    return this.#attachLink(name, program, () => program.attachTcx(ifindex, 'ingress'));
  }

  #attachLink(name: string, program: BpfProgram, create: () => BpfLink): boolean {
    if (this.#adoptLink(name, program)) return false;
    const link = create();
    link.pin(this.#pins.link(name));
    link.close();
    return true;
  }

  /** Gives the pinned link our program. False when there is none, or its device is gone: then it was removed. */
  #adoptLink(name: string, program: BpfProgram): boolean {
    const path = this.#pins.link(name);
    if (!existsSync(path)) return false;
    const link = BpfLink.open(path);
    try {
      if (link.info.ifindex !== 0) {
        if (link.info.programId !== program.info.id) link.update(program);
        return true;
      }
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOLINK') throw error;
    } finally {
      link.close();
    }
    this.#pins.unlink(name);
    return false;
  }
}

/** Device names are unique on a node, inside its router namespaces too: they carry the VNI. */
export function learnPin(ifname: string): string {
  return `learn-${ifname}`;
}

/** Detaches a pinned link, or the clsact filter that stands in for it, and removes the pin. */
export function detachPinned(pins: Pins, name: string): void {
  const path = pins.link(name);
  if (existsSync(path)) {
    const link = BpfLink.open(path);
    try {
      link.detach();
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOLINK') throw error;
    } finally {
      link.close();
    }
    pins.unlink(name);
    return;
  }
  const ifindex = Number(name.slice(name.lastIndexOf('-') + 1));
  if (
    /^(port|tunnel|underlay-tc)-/.test(name) &&
    ifindex > 0 &&
    queryTc(ifindex, 'ingress', TC_HANDLE, TC_PRIORITY) !== 0
  ) {
    detachTc(ifindex, 'ingress', TC_HANDLE, TC_PRIORITY);
  }
}
