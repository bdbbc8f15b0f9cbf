import { RequestError } from './errors.ts';

const FORMAT = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** "02:00:00:aa:bb:cc" as 6 bytes; RequestError 'malformed' unless it is a unicast address in that form. */
export function parseMac(text: string): Uint8Array {
  if (!FORMAT.test(text)) {
    throw new RequestError(
      'malformed',
      `${JSON.stringify(text)} is no MAC address such as 02:00:00:aa:bb:cc`,
    );
  }
  const mac = Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
  if (mac[0]! & 1)
    throw new RequestError('malformed', `MAC ${text} is a multicast address: no interface can have it`);
  if (mac.every((byte) => byte === 0))
    throw new RequestError('malformed', `MAC ${text} is no interface's address`);
  return mac;
}

export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
