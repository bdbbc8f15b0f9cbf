import type { PortKind } from './port.ts';

/** A veth whose other end is `eth<order>` in a namespace named by the instance's uuid. */
export const netnsPort: PortKind = {
  peer: true,
  xdp: true, // the inner end has GRO on, hence NAPI
  create: (port, mtu) =>
    `link add name ${port.ifname} mtu ${mtu} type veth ` +
    `peer name eth${port.order} netns ${port.instance} address ${port.mac} mtu ${mtu}`,
  mismatch(port, { kind, peerNamespace }) {
    if (kind !== 'veth') return 'it is no veth';
    return peerNamespace === port.instance ? null : 'its other end is elsewhere';
  },
  inner: (port, prefix) => ({
    namespace: port.instance,
    device: `eth${port.order}`,
    mac: port.mac,
    address: port.ipv4 === '' ? null : `${port.ipv4}/${prefix}`,
  }),
};
