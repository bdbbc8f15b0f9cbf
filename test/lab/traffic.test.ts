import assert from 'node:assert/strict';
import { Capture, type CapturedFrame } from './capture.ts';
import type { Hook, Mode, PortKind } from './cluster.ts';
import { kernelForwarded, packetsOf, portCounters, readCounters, startWitness } from './counters.ts';
import { checksumErrors, figure, iperf3, pingLoss, useCluster } from './fixture.ts';
import { GUEST_DEVICE, type Guest } from './guest.ts';

const VARIANTS: { ports: PortKind; underlayHook: Hook }[] = [
  { ports: 'netns', underlayHook: 'tc' },
  { ports: 'tap', underlayHook: 'tc' },
  { ports: 'tap', underlayHook: 'xdp' },
];
const MODES: Mode[] = ['ebpf', 'kernel'];

/** Outer Ethernet, IPv4, UDP and VXLAN headers. */
const TUNNEL_BYTES = 50;
const VXLAN_PORT = 4789;
const ARP = 0x0806;

function isTunnelPacket(frame: CapturedFrame): boolean {
  const { bytes } = frame;
  return bytes.readUInt16BE(12) === 0x0800 && bytes[23] === 17 && bytes.readUInt16BE(36) === VXLAN_PORT;
}

function innerIsArp({ bytes }: CapturedFrame): boolean {
  return bytes.readUInt16BE(TUNNEL_BYTES + 12) === ARP;
}

function innerIsTcp({ bytes }: CapturedFrame): boolean {
  return bytes.readUInt16BE(TUNNEL_BYTES + 12) === 0x0800 && bytes[TUNNEL_BYTES + 14 + 9] === 6;
}

function isUnicast({ bytes }: CapturedFrame): boolean {
  return (bytes[TUNNEL_BYTES]! & 1) === 0;
}

for (const variant of VARIANTS) {
  describe(`traffic between ${variant.ports} guests, underlay program at ${variant.underlayHook}`, function () {
    this.timeout(30_000);
    let [here, neighbour, unrelated, remote]: Guest[] = [];
    const cluster = useCluster(variant, async () => {
      const network = await cluster.createNetwork('traffic', '192.168.0.0/24');
      here = await cluster.createGuest('here', network, 'sf-2');
      neighbour = await cluster.createGuest('neighbour', network, 'sf-2');
      unrelated = await cluster.createGuest('unrelated', network, 'sf-2');
      remote = await cluster.createGuest('remote', network, 'sf-3');
    });

    for (const mode of MODES) {
      it(`${mode}: ping, TCP and UDP between two nodes are carried by the ${mode === 'ebpf' ? 'fast path' : 'kernel'}`, async () => {
        await cluster.setMode(mode);
        const nodes = [here!.node, remote!.node] as const;
        const fast = () => Promise.all(nodes.map((node) => readCounters(cluster, node)));
        assert.equal(await pingLoss(here!, remote!.address.ipv4, 2), 0);
        for (const node of nodes) await startWitness(node);
        const before = await fast();
        const capture = await Capture.start(cluster.topology.wire, here!.node.name, undefined, 128);

        assert.equal(await pingLoss(here!, remote!.address.ipv4, 50), 0);
        assert.equal(await pingLoss(remote!, here!.address.ipv4, 50), 0);
        const tcp = await iperf3(here!, remote!, ['--bytes', '40M']);
        assert.ok(tcp.end.sum_sent!.bytes >= 40_000_000, 'iperf3 did not send everything');
        await iperf3(remote!, here!, ['--bytes', '10M']);
        const udp = await iperf3(here!, remote!, [
          '--udp',
          '--bitrate',
          '10M',
          '--length',
          '1200',
          '--time',
          '1',
        ]);
        // Not 0: on a busy machine a socket's buffer may overflow, which is no loss on the way.
        assert.ok(
          udp.end.sum!.lost_packets < udp.end.sum!.packets / 20,
          `${udp.end.sum!.lost_packets} UDP packets lost`,
        );

        const frames = (await capture.end()).filter(isTunnelPacket);
        const unicast = frames.filter((frame) => isUnicast(frame) && !innerIsArp(frame));
        assert.ok(unicast.length > 1000, `only ${unicast.length} unicast frames on the wire`);
        for (const guest of [here!, remote!]) assert.equal(await checksumErrors(guest), 0, guest.namespace);
        // What the sender's node puts on the wire still is a super-frame: nothing on its way cut it up.
        // (An XDP program at the other end of a veth takes that away from the device, not from the tunnel.)
        if (variant.underlayHook === 'tc') {
          assert.ok(
            unicast.some((frame) => frame.gso > 0 && frame.length > 20_000),
            'no super-frame on the wire',
          );
        }

        const carried = await Promise.all(nodes.map(kernelForwarded));
        const after = await fast();
        if (mode === 'kernel') {
          // How much of TCP is merged on its way depends on the machine; pings and datagrams are not.
          const single = unicast.filter((frame) => !innerIsTcp(frame)).length;
          assert.ok(single > 1000, `only ${single} pings and datagrams`);
          for (const count of carried) assert.ok(count > single, `the kernel carried only ${count}`);
          for (const i of [0, 1]) assert.deepEqual(after[i]!.programs, before[i]!.programs);
          return;
        }
        for (const [i, guest] of [here!, remote!].entries()) {
          const [was, is] = [before[i]!, after[i]!];
          const delta = (program: string, verdict: string) =>
            packetsOf(is, program, verdict) - packetsOf(was, program, verdict);
          const [portWas, portIs] = [portCounters(was, guest.port), portCounters(is, guest.port)];
          const sent = portIs.sent.tunnel.packets - portWas.sent.tunnel.packets;
          const received = portIs.received.packets - portWas.received.packets;
          assert.equal(delta('port', 'tunnel'), sent);
          assert.equal(delta('underlay', 'port') + delta('tunnel', 'port'), received);
          const share = (sent + received) / (sent + received + carried[i]!);
          figure(
            `${guest.node.name}: ${sent + received} unicast frames by the fast path, ${carried[i]} by the kernel`,
          );
          assert.ok(share >= 0.999, `the fast path of ${guest.node.name} carried only ${share}`);
          assert.ok(
            carried[i]! <= unicast.length / 1000,
            `the kernel carried ${carried[i]} of ${unicast.length}`,
          );
        }
      });
    }

    it('ebpf: pings between two guests of one node stay there', async () => {
      await cluster.setMode('ebpf');
      assert.equal(await pingLoss(here!, neighbour!.address.ipv4, 2), 0);
      const underlay = await Capture.start(cluster.topology.wire, here!.node.name);
      const bystander = await Capture.start(unrelated!.node, GUEST_DEVICE, unrelated!.namespace);
      assert.equal(await pingLoss(here!, neighbour!.address.ipv4, 200), 0);
      const onWire = (await underlay.end()).filter(isTunnelPacket);
      assert.ok(onWire.length <= 6 && onWire.every(innerIsArp), `${onWire.length} frames on the underlay`);
      assert.deepEqual(
        (await bystander.end()).filter((frame) => !frame.out).map((frame) => frame.bytes.toString('hex')),
        [],
      );
    });
  });
}
