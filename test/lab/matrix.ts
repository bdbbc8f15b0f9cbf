import { arp, type Ends, ethernet, ipv4, udp, udpFrame } from './packet.ts';

/** What a frame of the matrix is about, and its bytes; each carries MAGIC and its number. */
export interface Case {
  name: string;
  frame: Buffer;
}

/** Found in every frame of the matrix, and in nothing that a guest's own stack sends first. */
export const MAGIC = 'fistpath#';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const IPV4 = 0x0800;
const ARP = 0x0806;
const IPV6 = 0x86dd;
const UNSPECIFIED_PORT = 9;
const [ICMP, IGMP, TCP, UDP, GRE, ICMPV6, SCTP] = [1, 2, 6, 17, 47, 58, 132];

/** The payload that marks a frame, `length` bytes or as short as can be. */
function marked(name: string, length = 0): Buffer {
  const mark = Buffer.from(`${MAGIC}${name}#`);
  return mark.length >= length ? mark : Buffer.concat([mark, Buffer.alloc(length - mark.length, 0x5a)]);
}

function ipv6(next: number, payload: Uint8Array, length = payload.length): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(length, 4);
  header[6] = next;
  header[7] = 64;
  Buffer.from('fe800000000000000000000000000001', 'hex').copy(header, 8);
  Buffer.from('fe800000000000000000000000000002', 'hex').copy(header, 24);
  return Buffer.concat([header, payload]);
}

function tcpSegment(flags: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(40000, 0);
  header.writeUInt16BE(UNSPECIFIED_PORT, 2);
  header[12] = 0x50;
  header[13] = flags;
  header.writeUInt16BE(1000, 14);
  return Buffer.concat([header, payload]);
}

/**
 * Frames from one guest to another MAC: sizes, protocols, fragments, options, tags, neighbour discovery, malformed
 * ones and ones with a false sender. `mtu` in layer 3 bytes; `label` goes into every mark.
 */
export function matrix(label: string, ends: Ends, mtu: number): Case[] {
  const { sourceMac, destinationMac, source, destination } = ends;
  const cases: Case[] = [];
  const add = (name: string, make: (payload: Buffer) => Buffer): void => {
    const full = `${label} ${name}`;
    cases.push({ name: full, frame: make(marked(full)) });
  };
  const ether = (type: number, payload: Uint8Array): Buffer =>
    ethernet(destinationMac, sourceMac, type, payload);
  const packet = (protocol: number, payload: Uint8Array, fields?: Parameters<typeof ipv4>[4]): Buffer =>
    ether(IPV4, ipv4(source, destination, protocol, payload, fields));

  for (const length of [64, 65, 127, 128, 512, 1300, 1500, 4000, mtu - 28]) {
    add(`udp ${length}`, (mark) =>
      packet(
        UDP,
        udp(
          40000,
          UNSPECIFIED_PORT,
          Buffer.concat([mark, Buffer.alloc(Math.max(0, length - mark.length), 1)]),
        ),
      ),
    );
  }
  add('udp port 4789', (mark) => packet(UDP, udp(40000, 4789, mark)));
  add('udp port 67', (mark) => packet(UDP, udp(68, 67, mark)));
  add('trailing bytes', (mark) =>
    Buffer.concat([packet(UDP, udp(1, UNSPECIFIED_PORT, mark)), Buffer.alloc(30, 7)]),
  );
  for (const flags of [0x02, 0x10, 0x04, 0x11])
    add(`tcp flags ${flags}`, (mark) => packet(TCP, tcpSegment(flags, mark)));
  for (const protocol of [ICMP, IGMP, GRE, SCTP, 255])
    add(`protocol ${protocol}`, (mark) => packet(protocol, mark));
  for (const tos of [1, 2, 3, 0xb8])
    add(`tos ${tos}`, (mark) => packet(UDP, udp(1, UNSPECIFIED_PORT, mark), { tos }));
  for (const ttl of [0, 1, 255])
    add(`ttl ${ttl}`, (mark) => packet(UDP, udp(1, UNSPECIFIED_PORT, mark), { ttl }));
  for (const fragment of [0x4000, 0x2000, 0x2001, 0x0004, 0x8000]) {
    add(`fragment ${fragment.toString(16)}`, (mark) =>
      packet(UDP, udp(1, UNSPECIFIED_PORT, mark), { fragment }),
    );
  }
  add('options', (mark) =>
    packet(UDP, udp(1, UNSPECIFIED_PORT, mark), { options: Buffer.from([7, 4, 4, 0]) }),
  );
  add('header too short', (mark) => edited(packet(UDP, udp(1, 9, mark)), 14, 0x44));
  add('version 5', (mark) => edited(packet(UDP, udp(1, 9, mark)), 14, 0x55));
  add('total length too long', (mark) => edited(packet(UDP, udp(1, 9, mark)), 16, 0x7f));
  add('total length too short', (mark) => edited(edited(packet(UDP, udp(1, 9, mark)), 16, 0), 17, 10));
  add('wrong header checksum', (mark) => edited(packet(UDP, udp(1, 9, mark)), 24, 0xff));

  for (const next of [TCP, UDP, ICMPV6, 0, 43, 44, 59, 60]) {
    add(`ipv6 next header ${next}`, (mark) =>
      ether(IPV6, ipv6(next, next === UDP ? udp(1, 9, mark) : tcpSegment(2, mark))),
    );
  }
  add('ipv6 length too long', (mark) => ether(IPV6, ipv6(UDP, udp(1, 9, mark), 2000)));
  add('ipv6 large', (mark) =>
    ether(IPV6, ipv6(UDP, udp(1, 9, Buffer.concat([mark, Buffer.alloc(3000, 2)])))),
  );
  add('neighbour solicitation', (mark) =>
    ethernet(
      '33:33:ff:00:00:02',
      sourceMac,
      IPV6,
      ipv6(ICMPV6, Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), mark])),
    ),
  );

  const us = { mac: sourceMac, ip: source };
  const them = { mac: '00:00:00:00:00:00', ip: destination };
  const padded = (message: Buffer, mark: Buffer): Buffer => Buffer.concat([message, mark]);
  add('arp request', (mark) => ethernet(BROADCAST, sourceMac, ARP, padded(arp(1, us, them), mark)));
  add('arp unicast request', (mark) => ether(ARP, padded(arp(1, us, them), mark)));
  add('arp reply', (mark) => ether(ARP, padded(arp(2, us, { mac: destinationMac, ip: destination }), mark)));
  add('arp gratuitous', (mark) =>
    ethernet(BROADCAST, sourceMac, ARP, padded(arp(1, us, { ...us, mac: them.mac }), mark)),
  );
  add('arp probe', (mark) =>
    ethernet(BROADCAST, sourceMac, ARP, padded(arp(1, { ...us, ip: '0.0.0.0' }, them), mark)),
  );

  const broadcastUdp = (to: string, mark: Buffer): Buffer =>
    ethernet(to, sourceMac, IPV4, ipv4(source, '255.255.255.255', UDP, udp(1, UNSPECIFIED_PORT, mark)));
  add('broadcast', (mark) => broadcastUdp(BROADCAST, mark));
  add('multicast', (mark) => broadcastUdp('01:00:5e:00:00:fb', mark));
  add('unknown unicast', (mark) => broadcastUdp('02:00:00:00:de:ad', mark));
  add('to itself', (mark) => broadcastUdp(sourceMac, mark));
  add('dhcp discover', (mark) =>
    ethernet(BROADCAST, sourceMac, IPV4, ipv4('0.0.0.0', '255.255.255.255', UDP, udp(68, 67, mark))),
  );

  const tagged = (tag: number, mark: Buffer): Buffer =>
    ether(
      0x8100,
      Buffer.concat([Buffer.from([tag >> 8, tag & 0xff]), packet(UDP, udp(1, 9, mark)).subarray(12)]),
    );
  for (const tag of [0, 1, 42]) add(`vlan ${tag}`, (mark) => tagged(tag, mark));
  add('service vlan', (mark) =>
    ether(0x88a8, Buffer.concat([Buffer.from([0, 5]), packet(UDP, udp(1, 9, mark)).subarray(12)])),
  );
  for (const type of [0x88cc, 0x8847, 0x22f0])
    add(`ethertype ${type.toString(16)}`, (mark) => ether(type, mark));
  add('llc snap', (mark) => {
    const inside = Buffer.concat([
      Buffer.from('aaaa030000000800', 'hex'),
      packet(UDP, udp(1, 9, mark)).subarray(14),
    ]);
    return ether(inside.length, inside);
  });

  add('false mac', (mark) => udpFrame({ ...ends, sourceMac: '02:00:00:00:be:ef' }, 9, mark));
  add('false ipv4', (mark) => udpFrame({ ...ends, source: '192.168.0.250' }, 9, mark));
  add('false zero ipv4', (mark) => udpFrame({ ...ends, source: '0.0.0.0' }, 9, mark));
  add('false arp mac', (mark) =>
    ethernet(BROADCAST, sourceMac, ARP, padded(arp(1, { ...us, mac: '02:00:00:00:be:ef' }, them), mark)),
  );
  add('false arp ip', (mark) =>
    ethernet(BROADCAST, sourceMac, ARP, padded(arp(1, { ...us, ip: '192.168.0.250' }, them), mark)),
  );
  return cases;
}

function edited(frame: Buffer, offset: number, value: number): Buffer {
  const copy = Buffer.from(frame);
  copy[offset] = value;
  return copy;
}

/** The mark in a captured frame, or undefined when it is none of the matrix. */
export function markOf(bytes: Buffer): string | undefined {
  const at = bytes.indexOf(MAGIC);
  if (at < 0) return undefined;
  const text = bytes.subarray(at + MAGIC.length).toString('latin1');
  return text.slice(0, text.indexOf('#'));
}
