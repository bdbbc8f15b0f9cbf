/** Builds frames for the lab's tests: just enough Ethernet, IPv4, UDP, ARP and VXLAN. All lengths in bytes. */

export function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

export function ipv4Bytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** The Internet checksum (RFC 1071); 0 over bytes that hold a right one. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export interface Ends {
  sourceMac: string;
  destinationMac: string;
  source: string;
  destination: string;
}

export function ethernet(destination: string, source: string, type: number, payload: Uint8Array): Buffer {
  const header = Buffer.concat([macBytes(destination), macBytes(source), Buffer.alloc(2)]);
  header.writeUInt16BE(type, 12);
  return Buffer.concat([header, payload]);
}

export interface Ipv4Fields {
  id?: number;
  ttl?: number;
  tos?: number;
  /** Flags and offset as in the header: 0x4000 do not fragment, 0x2000 more fragments, offset in units of 8. */
  fragment?: number;
  /** Padded by the caller to a multiple of 4. */
  options?: Uint8Array;
}

export function ipv4(
  source: string,
  destination: string,
  protocol: number,
  payload: Uint8Array,
  fields: Ipv4Fields = {},
): Buffer {
  const options = fields.options ?? new Uint8Array();
  const header = Buffer.alloc(20 + options.length);
  header[0] = 0x40 | (header.length / 4);
  header[1] = fields.tos ?? 0;
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(fields.id ?? 1, 4);
  header.writeUInt16BE(fields.fragment ?? 0, 6);
  header[8] = fields.ttl ?? 64;
  header[9] = protocol;
  ipv4Bytes(source).copy(header, 12);
  ipv4Bytes(destination).copy(header, 16);
  header.set(options, 20);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** With checksum 0: none. */
export function udp(sourcePort: number, destinationPort: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

/** What UDP and TCP checksums cover beside the segment (RFC 9293, 3.1). */
export function pseudoHeader(source: string, destination: string, protocol: number, length: number): Buffer {
  const rest = Buffer.from([0, protocol, length >> 8, length & 0xff]);
  return Buffer.concat([ipv4Bytes(source), ipv4Bytes(destination), rest]);
}

/** A UDP datagram with its checksum. */
export function checkedUdp(
  ends: Ends,
  sourcePort: number,
  destinationPort: number,
  payload: Uint8Array,
): Buffer {
  const datagram = udp(sourcePort, destinationPort, payload);
  const { source, destination } = ends;
  const sum = checksum(Buffer.concat([pseudoHeader(source, destination, 17, datagram.length), datagram]));
  datagram.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  return datagram;
}

/** type 8: request, 0: reply. */
export function icmpEcho(type: number, identifier: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header[0] = type;
  header.writeUInt16BE(identifier, 4);
  header.writeUInt16BE(1, 6);
  const message = Buffer.concat([header, payload]);
  message.writeUInt16BE(checksum(message), 2);
  return message;
}

/** A UDP frame between two ends; 64 bytes or more. */
export function udpFrame(
  ends: Ends,
  destinationPort: number,
  payload: Uint8Array,
  fields?: Ipv4Fields,
): Buffer {
  const packet = ipv4(ends.source, ends.destination, 17, udp(40000, destinationPort, payload), fields);
  const frame = ethernet(ends.destinationMac, ends.sourceMac, 0x0800, packet);
  return frame.length >= 64 ? frame : Buffer.concat([frame, Buffer.alloc(64 - frame.length)]);
}

/** operation: 1 request, 2 reply. */
export function arp(
  operation: number,
  sender: { mac: string; ip: string },
  target: { mac: string; ip: string },
): Buffer {
  return Buffer.concat([
    Buffer.from([0, 1, 8, 0, 6, 4, 0, operation]),
    macBytes(sender.mac),
    ipv4Bytes(sender.ip),
    macBytes(target.mac),
    ipv4Bytes(target.ip),
  ]);
}

/** A tunnel packet's UDP payload (RFC 7348, 5). */
export function vxlan(vni: number, inner: Uint8Array): Buffer {
  const header = Buffer.alloc(8);
  header[0] = 0x08;
  header.writeUInt32BE(vni * 256, 4);
  return Buffer.concat([header, inner]);
}
