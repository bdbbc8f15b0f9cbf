/** Where the fast path's programs are attached, read from the pinned links. */
import { Pins } from '../../agent/datapath/pins.ts';

/** enum bpf_link_type of linux/bpf.h. */
const LINK_TYPES: Record<number, string> = { 6: 'xdp', 11: 'tcx' };

export interface Attachment {
  pin: string;
  /** The program: port, underlay, tunnel, uplink, learn. */
  hook: string;
  /** 0: the device is gone. Of program learn a number of the router's namespace, not of the node. */
  ifindex: number;
  /** Where the pin's name tells it. */
  device?: string;
  kind: string;
  programId: number;
  problem?: string;
}

/** All of this node's attachments; on kernels without TCX those at TC hooks are filters, which have no pin. */
export async function attachments(bpfDirectory: string): Promise<Attachment[]> {
  const { BpfLink } = await import('#addon');
  const pins = new Pins(bpfDirectory);
  return pins
    .linkNames()
    .sort()
    .map((pin) => {
      const hook = pin.split('-')[0]!;
      try {
        const link = BpfLink.open(pins.link(pin));
        const { ifindex, programId, type } = link.info;
        link.close();
        const problem = ifindex === 0 ? 'its device is gone' : undefined;
        const device = hook === 'learn' ? pin.slice('learn-'.length) : undefined;
        return { pin, hook, ifindex, device, programId, kind: LINK_TYPES[type] ?? `type ${type}`, problem };
      } catch (error) {
        return { pin, hook, ifindex: 0, programId: 0, kind: '-', problem: (error as Error).message };
      }
    });
}
