import assert from 'node:assert/strict';
import { frameOf, type PacketOptions } from './flows.ts';
import { encapsulate, toHex } from './frames.ts';
import { type Row, table } from './harness.ts';
import { type Flow, flowKey } from './maps.ts';
import type { Reason } from './model.ts';
import { back, C, layer3, out, passes, payloadFor, same, toRouter } from './nat-rows.ts';
import { DEVICES, FROM_PEER, MAC, VNI } from './places.ts';

describe('NAT from the tunnel', () => {
  const wrap = (frame: Uint8Array, vni: number = VNI.first): Uint8Array =>
    encapsulate(frame, { ...FROM_PEER, vni });
  const through = (row: Row, vni?: number): Row => ({ ...row, frame: wrap(row.frame, vni) });
  const sent = (name: string, flow: Flow, reason: Reason, rest: Parameters<typeof passes>[5] = {}): Row =>
    through(passes(name, flow, reason, MAC.remote, MAC.router, rest));
  const both: Row[] = [
    sent('UDP by the gateway', out('remoteUdp'), 'TO_UPLINK', {
      ports: { 'usage 2 sent': [1, layer3] },
      flows: { [`flow ${flowKey(out('remoteUdp').key)}`]: [1, layer3] },
    }),
    sent('echo request', out('remoteEcho'), 'TO_UPLINK'),
    sent('UDP from a floating address', out('remoteFloatingUdp'), 'TO_UPLINK'),
    sent('UDP checksum 0 stays 0', out('remoteUdp'), 'TO_UPLINK', { options: { unsummed: true } }),
    sent('UDP checksum that becomes 0 is 0xffff', out('remoteUdp'), 'TO_UPLINK', {
      options: { payload: payloadFor(out('remoteUdp'), 0xffff, true) },
    }),
    sent("UDP to a neighbour's floating address", out('insideUdp'), 'TO_PORT'),
    sent('UDP to its own floating address', out('selfRemote'), 'TO_TUNNEL'),
    sent('UDP to a floating address of network 2, on another node', out('betweenNodes'), 'TO_TUNNEL', {
      last: C.betweenNodes![1]!,
      hops: 2,
      options: { tos: 0xb8, id: 77 },
    }),
    {
      name: 'TCP: the kernel merges it first',
      frame: wrap(frameOf(out('remoteTcp'), MAC.remote, MAC.router)),
      reason: 'TCP',
      flows: {},
    },
    {
      ...through(
        passes(
          '1501 bytes to an uplink of 1500',
          out('largeRemoteUdp'),
          'TO_UPLINK',
          MAC.remoteLarge,
          MAC.largeRouter,
          { options: { payload: new Uint8Array(1473) } },
        ),
        VNI.largest,
      ),
      reason: 'FLOW_TOO_BIG',
      out: (got, frame) => assert.equal(toHex(got), toHex(frame.subarray(50))),
    },
    through(
      passes(
        '1500 bytes to an uplink of 1500',
        out('largeRemoteUdp'),
        'TO_UPLINK',
        MAC.remoteLarge,
        MAC.largeRouter,
        {
          options: { payload: new Uint8Array(1472) },
        },
      ),
      VNI.largest,
    ),
  ];
  /** Out of the tunnel and to the router's own veth. */
  const toRouterUnpacked = (name: string, flow: Flow, reason: Reason, options?: PacketOptions): Row => {
    const frame = frameOf(flow, MAC.remote, MAC.router, options);
    return {
      name,
      frame: wrap(frame),
      reason,
      out: same(frame),
      ports: { 'slot 3 received': [1, frame.length + 50] },
    };
  };
  describe('underlay_tc', () => {
    table('underlay_tc', DEVICES.unknown, [
      ...both,
      toRouterUnpacked(
        'no flow',
        {
          ...out('remoteUdp'),
          key: { ...out('remoteUdp').key, tuple: { ...out('remoteUdp').key.tuple, sourcePort: 9 } },
        },
        'NO_FLOW',
      ),
      toRouterUnpacked('TTL 1', out('remoteUdp'), 'TTL', { ttl: 1 }),
      toRouterUnpacked('its turn', out('dueRemote'), 'REFRESH'),
      sent('the next one is not', out('dueRemote'), 'TO_UPLINK'),
    ]);
  });
  describe('underlay_xdp', () => {
    table('underlay_xdp', DEVICES.unknown, [
      ...both,
      {
        name: 'no flow, and a router that takes nothing from XDP',
        frame: wrap(frameOf({ ...out('remoteUdp'), key: back('remoteUdp').key }, MAC.remote, MAC.router)),
        reason: 'NO_XDP',
      },
      through(
        {
          ...toRouterUnpacked('its turn', out('dueLarge'), 'REFRESH'),
          frame: frameOf(out('dueLarge'), MAC.remoteLarge, MAC.largeRouter),
          out: same(frameOf(out('dueLarge'), MAC.remoteLarge, MAC.largeRouter)),
          ports: undefined,
          flows: { [`due ${flowKey(out('dueLarge').key)}`]: [-1, 0] },
        },
        VNI.largest,
      ),
      {
        name: 'an egress bridge that takes nothing from XDP',
        frame: wrap(frameOf(out('twinUdp'), MAC.guestB, MAC.secondRouter), VNI.second),
        reason: 'FLOW_UNREACHABLE',
        out: (got, frame) => assert.equal(toHex(got), toHex(frame.subarray(50))),
      },
    ]);
  });
  describe('tunnel', () => {
    table('tunnel', DEVICES.vxlan1, [
      passes('TCP by the gateway', out('remoteTcp'), 'TO_UPLINK', MAC.remote, MAC.router),
      passes("TCP to a neighbour's floating address", out('insideRemote'), 'TO_PORT', MAC.remote, MAC.router),
      passes(
        'TCP to a floating address of network 2',
        out('betweenRemote'),
        'TO_PORT',
        MAC.remote,
        MAC.router,
        {
          last: C.betweenRemote![1]!,
          hops: 2,
        },
      ),
      toRouter('FIN', frameOf(out('remoteTcp'), MAC.remote, MAC.router, { flags: 0x11 }), 'TCP_FLAGS', {
        ports: { 'slot 3 received': [1, frameOf(out('remoteTcp'), MAC.remote, MAC.router).length] },
      }),
    ]);
  });
});
