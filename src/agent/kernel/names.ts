/** Names of everything that a network is on a node. They all fit the kernel's 15 characters. */

/** Begins each of our links' ifalias; a link without it is somebody else's. */
const ALIAS_PREFIX = 'fistpath:';

export interface NetworkNames {
  vxlan: string;
  bridge: string;
  /** Router veth: outside (bridge) and inside (namespace) end. */
  routerOuter: string;
  routerInner: string;
  /** Physical veth, the link to the outside world. */
  physicalOuter: string;
  physicalInner: string;
}

/** Device names of a network; vni in lower-case hex without padding, so that 24 bits fit. */
export function networkNames(vni: number): NetworkNames {
  const x = vni.toString(16);
  return {
    vxlan: `vxlan-${x}`,
    bridge: `br-vxlan-${x}`,
    routerOuter: `veth-${x}-o`,
    routerInner: `veth-${x}-i`,
    physicalOuter: `phy-${x}-o`,
    physicalInner: `phy-${x}-i`,
  };
}

/** Device of an interface on its node: `p-` and the first 12 hex digits of the interface's uuid. */
export function portName(interfaceUuid: string): string {
  return `p-${interfaceUuid.replaceAll('-', '').slice(0, 12)}`;
}

export function aliasOf(network: string, interfaceUuid?: string): string {
  return ALIAS_PREFIX + network + (interfaceUuid === undefined ? '' : `:${interfaceUuid}`);
}

/** Network uuid of a link's ifalias, or undefined when the link is not ours. */
export function networkOfAlias(alias: string): string | undefined {
  return alias.startsWith(ALIAS_PREFIX) ? alias.slice(ALIAS_PREFIX.length).split(':')[0] : undefined;
}

/** MAC of a router's outside end, from that of its inside end (02:…): the same with first byte 06. */
export function outsideMac(routerMac: Uint8Array): Uint8Array {
  return Uint8Array.of(0x06, ...routerMac.subarray(1));
}

/** Stands for a network in the ifalias of the egress bridge that we made; an operator's has none. */
export const EGRESS = 'egress';

/** `02:00:00:e0:b7:9e` */
export function macText(mac: Uint8Array): string {
  return Buffer.from(mac)
    .toString('hex')
    .replace(/..(?!$)/g, '$&:');
}

export function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
