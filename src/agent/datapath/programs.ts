/**
 * The programs in the kernel: loading them around the pinned maps, and their attachments.
 *
 * Each attachment is a pinned link, so it outlives this process. At start every pinned link gets the newly
 * loaded program by bpf_link_update: no packet is lost, and no hook is ever empty in between. A pinned link
 * whose device is gone answers ENOLINK (or ifindex 0) and is made anew. Kernels without TCX (before 6.6) get
 * a clsact filter with our handle and priority instead.
 */
import { existsSync, readFileSync } from 'node:fs';
import { BpfLink, BpfMap, BpfObject, type BpfProgram, detachTc, queryTc } from '#addon';
import type { Pins } from './pins.ts';
import { Be32, bytes, ipv4Number } from './tables.ts';

const OBJECTS = new URL('../../../bpf/out/', import.meta.url);

/** Marks our clsact filters; any other handle or priority belongs to somebody else. */
const TC_HANDLE = 0xf157;
const TC_PRIORITY = 49157;

export type UnderlayHook = 'tc' | 'xdp';

export interface ProgramsConfig {
  underlayAddress: string;
  vxlanPort: number;
  /** max_entries by map name. */
  mapSizes: Record<string, number>;
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
  readonly #objects: BpfObject[] = [];
  readonly #port: BpfProgram;
  readonly #tunnel: BpfProgram;
  readonly #underlay: Record<UnderlayHook, BpfProgram>;
  #tcx = true;

  /** Loads all programs; maps are adopted from their pins, or created and pinned. The error carries the verifier log. */
  constructor(pins: Pins, config: ProgramsConfig) {
    this.#pins = pins;
    const vxlanPort = new Uint8Array(2);
    new DataView(vxlanPort.buffer).setUint16(0, config.vxlanPort, false);
    const load = (name: string) => {
      const object = new BpfObject(readObject(name), { pinDirectory: pins.maps });
      this.#objects.push(object);
      object.setRodata('vxlan_port', vxlanPort);
      object.setRodata('underlay_address', bytes(Be32, ipv4Number(config.underlayAddress)));
      for (const map of object.maps) {
        const size =
          config.mapSizes[map === 'port_counters' ? 'ports' : map === 'tunnels' ? 'networks' : map];
        if (size !== undefined) object.setMaxEntries(map, size);
      }
      object.load();
    };
    try {
      for (const name of ['port', 'tunnel', 'underlay']) load(name);
    } catch (error) {
      this.close();
      throw error;
    }
    const [port, tunnel, underlay] = this.#objects as [BpfObject, BpfObject, BpfObject];
    this.#port = port.program('port');
    this.#tunnel = tunnel.program('tunnel');
    this.#underlay = { tc: underlay.program('underlay_tc'), xdp: underlay.program('underlay_xdp') };
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
  attachUnderlay(ifindex: number, hook: UnderlayHook): boolean {
    const { tc, xdp } = this.#underlay;
    const attached =
      hook === 'tc'
        ? this.#attachTc(`underlay-tc-${ifindex}`, tc, ifindex)
        : this.#attachLink(`underlay-xdp-${ifindex}`, xdp, () => xdp.attachXdp(ifindex, 'native'));
    this.detach(`underlay-${hook === 'tc' ? 'xdp' : 'tc'}-${ifindex}`);
    return attached;
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

  #attachTc(name: string, program: BpfProgram, ifindex: number): boolean {
    if (this.#tcx) {
      try {
        return this.#attachLink(name, program, () => program.attachTcx(ifindex, 'ingress'));
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

  #attachLink(name: string, program: BpfProgram, create: () => BpfLink): boolean {
    const path = this.#pins.link(name);
    if (existsSync(path)) {
      const link = BpfLink.open(path);
      try {
        if (link.info.ifindex !== 0) {
          if (link.info.programId !== program.info.id) link.update(program);
          return false;
        }
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOLINK') throw error;
      } finally {
        link.close();
      }
      this.#pins.unlink(name);
    }
    const link = create();
    link.pin(path);
    link.close();
    return true;
  }
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
    !name.startsWith('underlay-xdp') &&
    ifindex > 0 &&
    queryTc(ifindex, 'ingress', TC_HANDLE, TC_PRIORITY) !== 0
  ) {
    detachTc(ifindex, 'ingress', TC_HANDLE, TC_PRIORITY);
  }
}
