/** The links of a network, as they should be: how each is created, and what of an existing one is wrong. */
import type { ActualLink } from './actual.ts';
import type { WantedNetwork } from './desired.ts';
import { aliasOf, networkNames } from './names.ts';
import { netnsPort } from './ports/netns.ts';
import type { InnerDevice, PortKind } from './ports/port.ts';
import { tapPort } from './ports/tap.ts';
import { routerSettings } from './settings.ts';

export type PortKindName = 'tap' | 'netns';
export const portKinds: Record<PortKindName, PortKind> = { tap: tapPort, netns: netnsPort };

export interface LinkConfig {
  underlay: { device: string; address: string };
  vxlanPort: number;
  portKind: PortKindName;
  /** The way outside of networks with NAT; null: this node has none. */
  uplink: { device: string; bridge: string } | null;
}

export interface WantedLink {
  name: string;
  network: string;
  /** Networks that need it, when that is not its own alone. */
  users?: string[];
  alias: string;
  mtu: number;
  /** Bridge that it is a port of. */
  master: string | null;
  /** Its bridge sends it nothing but what is known to be behind it, and broadcasts. */
  quiet?: true;
  /** null: whoever uses it decides. */
  up: true | null;
  /** What the events call it. */
  what: string;
  /** Line of an `ip` batch that creates it, down. */
  create: string;
  /** Line of an `ip` batch that corrects its other settings, or null when they are right. */
  correct(actual: ActualLink): string | null;
  /** Why an existing link can only be replaced, or null. */
  mismatch(actual: ActualLink): string | null;
  /** Namespace that its other end is in. */
  namespace: string | null;
  inner: InnerDevice | null;
  /** Underlay address that joins the mesh when it is created: the node's own. */
  joins?: string;
}

/** Without spanning tree a port forwards at once; without snooping a group needs no querier. Times in 1/100 s. */
const BRIDGE_SETTINGS: [string, number][] = [
  ['stp_state', 0],
  ['mcast_snooping', 0],
  ['vlan_filtering', 0],
  ['ageing_time', 30_000],
];

/**
 * In the order in which the events of the July 2020 release name them.
 * @param egress where NAT leads; null: nowhere for now, and the physical veth of a network with NAT is not among them
 */
export function wantedLinks(
  network: WantedNetwork,
  config: LinkConfig,
  egress: { bridge: string; mtu: number } | null,
): WantedLink[] {
  const { uuid, vni, mtu, router } = network;
  const names = networkNames(vni);
  const base = { network: uuid, mtu, namespace: null, inner: null, up: true as const, correct: () => null };

  const bridge: WantedLink = {
    ...base,
    name: names.bridge,
    alias: aliasOf(uuid),
    master: null,
    what: 'vxlan bridge',
    create: `link add name ${names.bridge} mtu ${mtu} type bridge stp_state 0 mcast_snooping 0`,
    correct({ info }) {
      const settings = BRIDGE_SETTINGS.filter(
        ([key, value]) => info[key] !== undefined && info[key] !== value,
      );
      return settings.length === 0
        ? null
        : `link set dev ${names.bridge} type bridge ${settings.flat().join(' ')}`;
    },
    mismatch: ({ kind }) => (kind === 'bridge' ? null : 'it is no bridge'),
  };

  const { device, address } = config.underlay;
  const vxlan: WantedLink = {
    ...base,
    name: names.vxlan,
    alias: aliasOf(uuid),
    master: names.bridge,
    what: 'vxlan interface',
    joins: address,
    create:
      `link add name ${names.vxlan} mtu ${mtu} type vxlan id ${vni} local ${address} dev ${device} ` +
      `dstport ${config.vxlanPort} nolearning ttl 64`,
    mismatch({ kind, info }) {
      if (kind !== 'vxlan') return 'it is no VXLAN device';
      const wanted = {
        id: vni,
        local: address,
        link: device,
        port: config.vxlanPort,
        learning: false,
        ttl: 64,
      };
      const wrong = Object.entries(wanted).filter(([key, value]) => info[key] !== value);
      return wrong.length === 0 ? null : wrong.map(([key, value]) => `${key} is not ${value}`).join(', ');
    },
  };

  const veth = (
    outer: string,
    inner: string,
    size: number,
    mac: string | null,
  ): Pick<WantedLink, 'name' | 'alias' | 'mtu' | 'namespace' | 'create' | 'mismatch'> => ({
    ...{ name: outer, alias: aliasOf(uuid), mtu: size, namespace: uuid },
    create:
      `link add name ${outer} mtu ${size} type veth ` +
      `peer name ${inner} netns ${uuid} ${mac === null ? '' : `address ${mac} `}mtu ${size}`,
    mismatch({ kind, peerNamespace }) {
      if (kind !== 'veth') return 'it is no veth';
      return peerNamespace === uuid ? null : 'its other end is elsewhere';
    },
  });
  const routerLinks: WantedLink[] = [];
  if (router) {
    const { routerOuter, routerInner, physicalOuter, physicalInner } = names;
    const { nat } = router;
    const translates = egress === null ? 'none' : 'nat';
    const settings = routerSettings(names, nat === null ? 'idle' : translates);
    routerLinks.push({
      ...base,
      ...veth(routerOuter, routerInner, mtu, router.mac),
      master: names.bridge,
      what: 'router veth',
      inner: {
        ...{ namespace: uuid, device: routerInner, mac: router.mac, settings },
        address: `${router.address}/${network.prefix}`,
        ...(nat === null && { also: `link set dev ${physicalInner} mtu ${mtu}` }),
      },
    });
    if (nat === null) {
      const physical = { ...base, ...veth(physicalOuter, physicalInner, mtu, null), what: 'physical veth' };
      routerLinks.push({ ...physical, master: null, up: null });
    } else if (egress !== null) {
      routerLinks.push({
        ...base,
        ...veth(physicalOuter, physicalInner, egress.mtu, nat.outside),
        master: egress.bridge,
        quiet: true,
        what: 'physical veth',
        inner: {
          ...{ namespace: uuid, device: physicalInner, mac: nat.outside, settings },
          ...{ address: null, nat: { ...nat, names } },
        },
      });
    }
  }

  const kind = portKinds[config.portKind];
  const ports = network.ports.map((port): WantedLink => {
    const inner = kind.inner(port, network.prefix);
    return {
      ...base,
      name: port.ifname,
      alias: aliasOf(uuid, port.interface),
      master: names.bridge,
      what: 'port',
      create: kind.create(port, mtu),
      mismatch: (actual) => kind.mismatch(port, actual),
      namespace: inner?.namespace ?? null,
      inner,
    };
  });
  return [vxlan, bridge, ...routerLinks, ...ports];
}
