import type { PortKind } from './port.ts';

/**
 * A persistent tap, opened by a virtual machine monitor. With the virtio-net header, so that the guest's
 * segmentation offload and partial checksums survive; one queue.
 */
export const tapPort: PortKind = {
  peer: false,
  xdp: true,
  create: (port) => `tuntap add dev ${port.ifname} mode tap vnet_hdr`,
  mismatch(_port, { kind, info }) {
    if (kind !== 'tun' || info.type !== 'tap') return 'it is no tap';
    if (info.vnet_hdr !== true || info.pi !== false) return 'its frames have another header';
    if (info.multi_queue === true) return 'it has several queues';
    return info.persist === true ? null : 'it is not persistent';
  },
  inner: () => null,
};
