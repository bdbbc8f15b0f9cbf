/** What is needed inside namespaces, where the outside can't see: one process per namespace, once. */
import type { Actual, InnerLink } from './actual.ts';
import type { WantedLink } from './links.ts';
import type { InnerSetup, InnerState, Operation } from './operations.ts';
import type { InnerDevice } from './ports/port.ts';

/** Changes exactly when the inner device has to be made again. */
export function identityOf({ device, mac, address }: InnerDevice): string {
  return `${device} ${mac} ${address}`;
}

/** @param done what was remembered, @param looked what was seen, if somebody went inside to look */
function isReady(
  link: WantedLink,
  inner: InnerDevice,
  ifindex: number | undefined,
  done: InnerState | undefined,
  looked: InnerLink | undefined,
): boolean {
  if (done === undefined || done.ifindex !== ifindex || done.mtu !== link.mtu) return false;
  if (looked === undefined) return true;
  const { mac, mtu, up, addresses } = looked;
  return up && mac === inner.mac && mtu === link.mtu && (!inner.address || addresses.includes(inner.address));
}

export function innerOperations(
  links: ReadonlyMap<string, WantedLink>,
  actual: Actual,
  created: ReadonlySet<string>,
): Operation[] {
  const setups = new Map<string, { setup: InnerSetup; networks: Set<string>; step: string | undefined }>();
  for (const link of links.values()) {
    const { inner } = link;
    if (inner === null) continue;
    const ifindex = created.has(link.name) ? undefined : actual.links.get(link.name)?.ifindex;
    const looked = actual.inner.get(inner.namespace)?.get(inner.device);
    const done = created.has(link.name) ? undefined : actual.claims.get(inner.namespace)?.[link.name];
    if (isReady(link, inner, ifindex, done, looked)) continue;

    const router = inner.namespace === link.network;
    let entry = setups.get(inner.namespace);
    if (entry === undefined) {
      const setup = {
        namespace: inner.namespace,
        router,
        devices: [],
        lines: ['link set dev lo up'],
        ready: {},
      };
      const step = router ? `${created.has(link.name) ? 'create' : 'repair'} ${link.what}` : undefined;
      entry = { setup, networks: new Set(), step };
      setups.set(inner.namespace, entry);
    }
    entry.networks.add(link.network);
    entry.setup.devices.push(inner.device);
    entry.setup.lines.push(
      `link set dev ${inner.device} address ${inner.mac} mtu ${link.mtu} alias ${link.alias}`,
      ...(inner.address ? [`addr replace ${inner.address} brd + dev ${inner.device}`] : []),
      ...(inner.also ? [inner.also] : []),
      `link set dev ${inner.device} up`,
    );
    // The index is known when the device exists; the executor fills it in.
    entry.setup.ready[link.name] = { ifindex: ifindex ?? 0, identity: identityOf(inner), mtu: link.mtu };
  }
  return [...setups.values()].map(
    ({ setup, networks, step }): Operation => ({
      tool: 'inner',
      setup,
      networks: [...networks],
      ...(step && { step }),
    }),
  );
}
