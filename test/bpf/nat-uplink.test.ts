import { frameOf, type PacketOptions, packetOfTuple, translatedFrameOf } from './flows.ts';
import { concat, ETHERTYPE, ethernet, ipv4 } from './frames.ts';
import { type Row, staysVerifiable, table } from './harness.ts';
import { type Flow, flowKey } from './maps.ts';
import type { Reason } from './model.ts';
import { back, edited, layer3, length, passes, payloadFor, same, summed } from './nat-rows.ts';
import { ADDRESS, DEVICES, MAC } from './places.ts';

describe('NAT from the outside', () => {
  const to = (flow: Flow, router: string = MAC.outside, options?: PacketOptions): Uint8Array =>
    frameOf(flow, MAC.beyond, router, options);
  const answer = (name: string, flow: string, reason: Reason, rest: Parameters<typeof passes>[5] = {}): Row =>
    passes(name, back(flow), reason, MAC.beyond, MAC.outside, rest);
  const kernels = (name: string, frame: Uint8Array, reason: Reason, rest: Partial<Row> = {}): Row => ({
    name,
    frame,
    reason,
    ports: {},
    flows: {},
    ...rest,
  });
  const rows: Row[] = [
    answer('UDP to a guest of this node', 'udp', 'TO_PORT', {
      ports: { 'slot 2 received': [1, length], 'usage 1 received': [1, layer3] },
      flows: { [`flow ${flowKey(back('udp').key)}`]: [1, layer3] },
    }),
    {
      ...answer('UDP with padding, which does not count', 'udp', 'TO_PORT'),
      frame: concat(to(back('udp')), new Uint8Array(6)),
      out: same(concat(translatedFrameOf(back('udp')), new Uint8Array(6))),
      ports: { 'slot 2 received': [1, length + 6], 'usage 1 received': [1, layer3] },
    },
    answer('echo reply', 'echo', 'TO_PORT'),
    answer('UDP to a floating address', 'floatingUdp', 'TO_PORT'),
    answer('echo reply to a floating address', 'floatingEcho', 'TO_PORT'),
    answer('echo request to a floating address', 'floatingAsked', 'TO_PORT'),
    answer('to a routed address', 'routedUdp', 'TO_PORT'),
    answer('UDP to another node', 'remoteUdp', 'TO_TUNNEL', { ports: { 'usage 2 received': [1, layer3] } }),
    answer('echo reply to another node', 'remoteEcho', 'TO_TUNNEL'),
    answer('UDP to a floating address on another node', 'remoteFloatingUdp', 'TO_TUNNEL'),
    answer('UDP checksum 0 stays 0', 'udp', 'TO_PORT', { options: { unsummed: true } }),
    answer('UDP checksum that becomes 0 is 0xffff', 'udp', 'TO_PORT', {
      options: { payload: payloadFor(back('udp'), 0xffff, true) },
    }),
    passes("network 2's answer", back('twinUdp'), 'TO_TUNNEL', MAC.beyond, MAC.secondOutside),

    kernels("another router's", to(back('otherRouter')), 'NO_FLOW'),
    kernels(
      'unsolicited UDP',
      ethernet(
        MAC.outside,
        MAC.beyond,
        ETHERTYPE.ipv4,
        packetOfTuple(17, { ...back('udp').key.tuple, destinationPort: 40999 }),
      ),
      'NO_FLOW',
    ),
    kernels('an answer of network 1, to the MAC of network 2', to(back('udp'), MAC.secondOutside), 'NO_FLOW'),
    kernels("to the inside MAC of a router: nobody's out here", to(back('udp'), MAC.router), 'UNKNOWN_MAC'),
    kernels('to the node itself', to(back('udp'), MAC.bridge), 'UNKNOWN_MAC'),
    kernels('to a stranger', to(back('udp'), MAC.stranger), 'UNKNOWN_MAC'),
    kernels('broadcast', to(back('udp'), 'ffffffffffff'), 'UNKNOWN_MAC'),
    kernels('TTL 1', to(back('udp'), MAC.outside, { ttl: 1 }), 'TTL'),
    kernels('older generation', to(back('oldGeneration')), 'STALE_FLOW'),
    kernels('expired', to(back('expired')), 'STALE_FLOW'),
    kernels('to a MAC that no one has', to(back('unknownMac')), 'FLOW_UNREACHABLE'),
    kernels('to a node whose next hop is not resolved', to(back('unresolved')), 'FLOW_UNREACHABLE'),
    kernels('a bad IPv4 checksum', edited(to(back('udp')), 24, to(back('udp'))[24]! ^ 1), 'IP_MALFORMED'),
    kernels(
      'half a UDP header',
      ethernet(
        MAC.outside,
        MAC.beyond,
        ETHERTYPE.ipv4,
        ipv4({ source: ADDRESS.server, destination: ADDRESS.gateway, protocol: 17 }, new Uint8Array(7)),
      ),
      'PROTOCOL',
    ),
    kernels('a fragment', summed(edited(to(back('udp')), 20, 0x20)), 'FRAGMENT'),
    kernels('1501 bytes', to(back('udp'), MAC.outside, { payload: new Uint8Array(1473) }), 'FLOW_TOO_BIG'),
  ];
  const tcOnly: Row[] = [
    answer('TCP', 'tcp', 'TO_PORT'),
    answer('TCP to a floating address', 'floatingTcp', 'TO_PORT'),
    answer('TCP to another node', 'remoteTcp', 'TO_TUNNEL', { options: { tos: 0xba, id: 4711 } }),
    passes("network 2's answer to its port", back('twinTcp'), 'TO_PORT', MAC.beyond, MAC.secondOutside),
    kernels('SYN', to(back('floatingTcp'), MAC.outside, { flags: 2 }), 'TCP_FLAGS'),
    kernels('RST', to(back('tcp'), MAC.outside, { flags: 4 }), 'TCP_FLAGS'),
    kernels('its turn', to(back('due')), 'REFRESH', {
      flows: { [`due ${flowKey(back('due').key)}`]: [-1, 0] },
    }),
    answer('the next one is not', 'due', 'TO_PORT'),
    answer('to a port that takes nothing from XDP', 'bare', 'TO_PORT'),
  ];
  const xdpOnly: Row[] = [
    kernels('GRO comes first', to(back('tcp')), 'TCP'),
    // Twice: the turn is for TC to take, which comes next.
    kernels('its turn', to(back('due')), 'REFRESH'),
    kernels('its turn still', to(back('due')), 'REFRESH'),
    kernels('to a port that takes nothing from XDP', to(back('bare')), 'FLOW_UNREACHABLE'),
    kernels(
      'from an underlay that takes nothing from XDP',
      to(back('largeRemoteUdp'), MAC.largeOutside),
      'FLOW_UNREACHABLE',
    ),
  ];
  describe('uplink_tc', () => {
    table('uplink_tc', DEVICES.uplink, [...rows, ...tcOnly]);
    staysVerifiable('uplink_tc', { instructions: 2200, verified: 250_000 });
  });
  describe('uplink_xdp', () => {
    table('uplink_xdp', DEVICES.uplink, [...rows, ...xdpOnly]);
    staysVerifiable('uplink_xdp', { instructions: 2200, verified: 20_000 });
  });
});
