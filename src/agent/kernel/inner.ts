/** What is needed inside namespaces, where the outside can't see: one process per namespace that changes. */
import type { Actual, InnerLink, InnerView } from './actual.ts';
import type { WantedLink } from './links.ts';
import { natChange } from './nat-inner.ts';
import { REMOVE_NAT_LINES } from './nat-table.ts';
import type { InnerSetup, InnerState, NatState, Operation } from './operations.ts';
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

function deviceLines({ mtu, alias }: WantedLink, { device, mac, address, also }: InnerDevice): string[] {
  return [
    `link set dev ${device} address ${mac} mtu ${mtu} alias ${alias}`,
    ...(address ? [`addr replace ${address} brd + dev ${device}`] : []),
    ...(also ? [also] : []),
    `link set dev ${device} up`,
  ];
}

interface Gathered {
  setup: InnerSetup;
  networks: Set<string>;
  steps: Set<string>;
}

export interface InnerPlan {
  /** To be remembered before anything is changed. */
  begin: Operation[];
  inside: Operation[];
  /** When the devices outside are up. */
  announce: Operation[];
}

export function innerOperations(
  links: ReadonlyMap<string, WantedLink>,
  actual: Actual,
  created: ReadonlySet<string>,
): InnerPlan {
  const plan: InnerPlan = { begin: [], inside: [], announce: [] };
  const setups = new Map<string, Gathered>();
  const gather = (namespace: string, network: string): Gathered => {
    let entry = setups.get(namespace);
    if (entry === undefined) {
      const setup: InnerSetup = {
        namespace,
        devices: [],
        settings: [],
        nft: [],
        gone: [],
        lines: ['link set dev lo up'],
        stale: [],
        ready: {},
      };
      entry = { setup, networks: new Set(), steps: new Set() };
      setups.set(namespace, entry);
    }
    entry.networks.add(network);
    return entry;
  };

  for (const link of links.values()) {
    const { inner, namespace } = link;
    if (namespace === null) continue;
    const claim = actual.claims.get(namespace);
    const done = claim?.[link.name];
    if (inner === null) {
      // NAT was switched off: the outside end is made again, and what it did is forgotten.
      if (done?.nat === undefined) continue;
      const { setup, steps } = gather(namespace, link.network);
      setup.nft.push(...REMOVE_NAT_LINES);
      setup.stale.push('-F');
      setup.ready[link.name] = null;
      steps.add('delete nat');
      continue;
    }
    const ifindex = created.has(link.name) ? undefined : actual.links.get(link.name)?.ifindex;
    const view = actual.inner.get(namespace);
    const looked = view?.links.get(inner.device);
    const ready =
      ifindex !== undefined && isReady(link, inner, ifindex, done, looked) && settingsAreRight(inner, view);
    // Routes go with devices: when one side was not ready, the other's are made again.
    const fresh = !ready || setups.has(namespace);
    const change = inner.nat ? natChange(inner.nat, actual.ftpHelper, done?.nat, view, fresh) : null;
    if (ready && change === null) continue;

    const { setup, steps } = gather(namespace, link.network);
    // The index is known when the device exists; the kernel fallback fills it in.
    const state = { ifindex: ifindex ?? 0, identity: identityOf(inner), mtu: link.mtu };
    setup.ready[link.name] = state;
    if (!ready) {
      setup.devices.push(inner.device);
      setup.settings = inner.settings ?? [];
      setup.lines.push(...deviceLines(link, inner));
      if (namespace === link.network)
        steps.add(`${created.has(link.name) ? 'create' : 'repair'} ${link.what}`);
    }
    if (change === null) continue;
    const { nft, gone, lines, stale, replaced, begun, record } = change;
    plan.begin.push({
      tool: 'claim',
      namespace,
      devices: { ...claim, [link.name]: { ...state, ...done, nat: begun } },
      networks: [link.network],
    });
    setup.nft.push(...nft);
    setup.gone.push(...gone);
    setup.lines.push(...lines);
    setup.stale.push(...stale);
    if (replaced) setup.learns = link.name;
    setup.ready[link.name] = { ...state, nat: { structure: done?.nat?.structure ?? '', records: [record] } };
    for (const step of natSteps(done?.nat, replaced)) steps.add(step);
    if (change.announce.length > 0) {
      const { device } = inner;
      plan.announce.push({
        tool: 'announce',
        namespace,
        device,
        addresses: change.announce,
        networks: [link.network],
      });
    }
  }
  for (const { setup, networks, steps } of setups.values()) {
    plan.inside.push({ tool: 'inner', setup, networks: [...networks], steps: [...steps] });
  }
  return plan;
}

function settingsAreRight({ settings = [] }: InnerDevice, view: InnerView | undefined): boolean {
  // Those of conntrack are not there before it is needed.
  return (
    view === undefined || settings.every(([path, value]) => (view.settings.get(path) ?? value) === value)
  );
}

function natSteps(state: NatState | undefined, replaced: boolean): string[] {
  if (state === undefined) return ['enable virtual routing', 'enable nat'];
  return [replaced ? 'repair nat' : 'update nat'];
}
