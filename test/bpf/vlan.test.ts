import assert from 'node:assert/strict';
import { inChild } from './child.ts';
import { concat, ETHERTYPE, encapsulate, ethernet, ipv4, toHex, udp } from './frames.ts';
import type { LiveReport, LiveRequest } from './live-child.ts';
import type { ProgramName, Reason } from './model.ts';
import { ADDRESS, DEVICES, FROM_PEER, MAC } from './places.ts';
import { isReason } from './subject.ts';

const packet = (source: number): Uint8Array =>
  ipv4({ source, destination: ADDRESS.guestA, protocol: 17 }, udp(1, 2, new Uint8Array(40)));
const toGuestA = (source: string, address: number): Uint8Array =>
  ethernet(MAC.guestA, source, ETHERTYPE.ipv4, packet(address));

/** The frame with a tag: type, priority and VLAN id. */
function tagged(frame: Uint8Array, type: number, tci: number): Uint8Array {
  const tag = new Uint8Array([type >> 8, type & 255, tci >> 8, tci & 255]);
  return concat(frame.subarray(0, 12), tag, frame.subarray(12));
}

const fromGuestB = toGuestA(MAC.guestB, ADDRESS.guestB);
const tunnelled = encapsulate(fromGuestB, FROM_PEER);

/** How often each reason was given to frames on a live device, where the kernel takes the (outer) tag off before TC. */
async function reasons(
  program: ProgramName,
  ifindex: number,
  frames: Uint8Array[],
): Promise<[string, number][]> {
  const request: LiveRequest = { program, ifindex, frames: frames.map(toHex) };
  const { totals } = await inChild<LiveReport>('live-child.ts', request, 60);
  return totals.filter(([key]) => isReason(key)).map(([key, [packets]]) => [key, packets]);
}

const only = (reason: Reason, packets: number): [string, number][] => [[reason, packets]];

describe('VLAN tags, in the bytes and beside them', () => {
  const tags: [number, number][] = [
    [ETHERTYPE.vlan, 0], // priority tag: VLAN 0
    [ETHERTYPE.vlan, 5],
    [ETHERTYPE.vlan, 0xe001],
    [ETHERTYPE.qinq, 5],
  ];

  it('without a tag the same frames are forwarded', async () => {
    assert.deepEqual(await reasons('port', DEVICES.guestB, [fromGuestB]), only('TO_PORT', 1));
    assert.deepEqual(await reasons('tunnel', DEVICES.vxlan1, [fromGuestB]), only('TO_PORT', 1));
    for (const program of ['underlay_tc', 'underlay_xdp'] as const)
      assert.deepEqual(await reasons(program, DEVICES.unknown, [tunnelled]), only('TO_PORT', 1));
  });

  it('a guest: never forwarded, once or twice tagged', async () => {
    const frames = tags.flatMap(([type, tci]) => {
      const one = tagged(fromGuestB, type, tci);
      return [one, tagged(one, type, 7)];
    });
    assert.deepEqual(await reasons('port', DEVICES.guestB, frames), only('ETHERTYPE', frames.length));
    assert.deepEqual(await reasons('tunnel', DEVICES.vxlan1, frames), only('ETHERTYPE', frames.length));
  });

  it("a guest with another's MAC: dropped all the same", async () => {
    const frames = tags.map(([type, tci]) => tagged(toGuestA(MAC.stranger, ADDRESS.guestB), type, tci));
    assert.deepEqual(await reasons('port', DEVICES.guestB, frames), only('SPOOFED_MAC', frames.length));
  });

  it('a tagged tunnel packet is none for us', async () => {
    const frames = tags.map(([type, tci]) => tagged(tunnelled, type, tci));
    for (const program of ['underlay_tc', 'underlay_xdp'] as const)
      assert.deepEqual(await reasons(program, DEVICES.unknown, frames), only('NOT_VXLAN', frames.length));
  });
});
