/**
 * From what should be and what is, the operations that make them equal. Pure.
 *
 * The order is the safety: what a port may send and who may reach it is settled before the port comes up, and the
 * guard is taken away last. Whatever prefix of a plan was carried out, the next plan goes on from there.
 */
import { type Actual, type ActualLink, valueAt } from './actual.ts';
import type { Wanted, WantedNetwork } from './desired.ts';
import { egressForwarding, egressOf } from './egress.ts';
import { forwardingOperations, forwardingWithout } from './forwarding.ts';
import { identityOf, innerOperations } from './inner.ts';
import { type LinkConfig, type WantedLink, wantedLinks } from './links.ts';
import { EGRESS, networkNames, networkOfAlias } from './names.ts';
import type { Operation, Plan } from './operations.ts';
import { ownerOf } from './owner.ts';
import { guardOperations } from './plan-guard.ts';

/** Links that are to go are put into this group and deleted by one command: 1,000 single deletions take 29 s. */
export const DELETE_GROUP = '1718186100';
const FEW = 3;

export interface Scope {
  /** Whether a network is to be looked at. */
  has(network: string): boolean;
  /** Everything: leftovers of unknown networks are swept, too. */
  everything: boolean;
}

export function plan(wanted: Wanted, actual: Actual, scope: Scope, config: LinkConfig): Plan {
  const errors = new Map(wanted.errors);
  /** What keeps a network from being all that it should be; the rest of it is built. */
  const shortcomings = new Map<string, string>();
  const buildable: WantedNetwork[] = [];
  const links = new Map<string, WantedLink>();
  const kept = new Set<string>();
  const namespaces = new Set(wanted.badNamespaces);
  const egress = wanted.translated.size > 0 ? egressOf(wanted, actual, config) : null;
  const outside = typeof egress === 'string' ? null : egress;
  if (outside?.link) links.set(outside.link.name, outside.link);
  for (const network of wanted.networks.values()) {
    const own = wantedLinks(network, config, outside);
    for (const { namespace } of own) if (namespace !== null) namespaces.add(namespace);
    const error = foreignObject(own, actual);
    if (error !== undefined) {
      errors.set(network.uuid, `network ${network.uuid} can't be built: ${error}`);
      continue;
    }
    if (network.router?.nat && typeof egress === 'string') {
      shortcomings.set(network.uuid, `network ${network.uuid} can't reach the outside: ${egress}`);
      kept.add(networkNames(network.vni).physicalOuter);
    }
    buildable.push(network);
    if (scope.has(network.uuid)) for (const link of own) links.set(link.name, link);
  }
  // Whoever needs the egress bridge, even if it can't be had now: what there is of it stays.
  const uses = (owner: string) =>
    owner === EGRESS ? wanted.translated.size > 0 && outside === null : errors.has(owner);
  const covers = (owner: string) => owner === EGRESS || scope.has(owner);

  const removal = planRemoval(links, actual, covers, (name, owner) => uses(owner) || kept.has(name));
  const creation = planLinks(links, actual, removal.gone);
  const places = planNamespaces(links, namespaces, actual, scope, removal.gone);
  const guard = guardOperations(buildable, errors, actual, config.vxlanPort);

  const fdb = forwardingWithout(
    actual.fdb,
    new Set([...removal.gone, ...creation.created, ...creation.joined]),
  );
  const inScope = buildable.filter(({ uuid }) => scope.has(uuid));
  const forwarding = inScope.flatMap((network) => forwardingOperations(network, fdb));
  if (outside) forwarding.push(...egressForwarding(inScope, outside.bridge, fdb));
  const inner = innerOperations(links, actual, creation.created);

  const stages = [
    { name: 'claim', operations: [...places.claim, ...creation.claim, ...inner.begin] },
    { name: 'guard', operations: guard.before },
    {
      name: 'build',
      operations: [...removal.operations, ...places.build, ...creation.build, ...(outside?.operations ?? [])],
    },
    { name: 'settle', operations: settings(links, actual, creation.created) },
    { name: 'forward', operations: forwarding },
    { name: 'inside', operations: inner.inside },
    { name: 'up', operations: creation.up },
    { name: 'announce', operations: inner.announce },
    { name: 'retire', operations: guard.after },
    { name: 'release', operations: [...places.release, ...creation.release] },
  ];
  return {
    stages: stages.filter(({ operations }) => operations.length > 0),
    errors: inScopeOnly(errors, scope),
    shortcomings: inScopeOnly(shortcomings, scope),
  };
}

function inScopeOnly(errors: ReadonlyMap<string, string>, scope: Scope): Map<string, string> {
  return new Map([...errors].filter(([uuid]) => scope.has(uuid)));
}

/** What stands in a network's place and is not ours: it is left alone, and named. */
function foreignObject(links: readonly WantedLink[], actual: Actual): string | undefined {
  for (const { name, namespace } of links) {
    const link = actual.links.get(name);
    if (link && ownerOf(link, actual.pending) === undefined) {
      return `device ${name} exists and is not fistpath's (no fistpath alias): delete or rename it`;
    }
    if (namespace !== null && actual.namespaces.present.has(namespace) && !actual.claims.has(namespace)) {
      return `namespace ${namespace} exists and was not made by fistpath: delete it (ip netns del ${namespace})`;
    }
  }
  return undefined;
}

/** Whether an existing link has to make room for the wanted one. */
function mustReplace(link: WantedLink, found: ActualLink, actual: Actual): boolean {
  const owner = ownerOf(found, actual.pending);
  if (owner !== '' && found.alias !== link.alias) return true;
  if (link.mismatch(found) !== null) return true;
  if (link.namespace !== null && actual.namespaces.broken.has(link.namespace)) return true;
  const done = actual.claims.get(link.namespace ?? '')?.[link.name];
  // The outside end of a router that did NAT, and is to do none.
  if (link.inner === null) return done?.nat !== undefined && done.ifindex === found.ifindex;
  const view = actual.inner.get(link.inner.namespace);
  if (view && !view.links.has(link.inner.device)) return true;
  return done !== undefined && done.ifindex === found.ifindex && done.identity !== identityOf(link.inner);
}

interface Removal {
  gone: Set<string>;
  operations: Operation[];
}

function planRemoval(
  links: ReadonlyMap<string, WantedLink>,
  actual: Actual,
  covers: (owner: string) => boolean,
  keeps: (name: string, owner: string) => boolean,
): Removal {
  const victims: { name: string; operation: Operation }[] = [];
  for (const found of actual.links.values()) {
    const owner = ownerOf(found, actual.pending);
    if (owner === undefined) continue;
    const link = links.get(found.name);
    // A bad or blocked network keeps what it has, and nothing of another network goes in a partial pass.
    if (link ? !mustReplace(link, found, actual) : !covers(owner) || keeps(found.name, owner)) continue;
    const users = link?.users ?? [owner, link?.network ?? ''];
    const networks = [...new Set(users)].filter((uuid) => uuid !== '' && uuid !== EGRESS);
    const what = whatOf(found.name);
    const step =
      owner === '' ? {} : { step: `delete ${what}`, ...(what === 'port' && { stepMessage: found.name }) };
    victims.push({
      name: found.name,
      operation: { tool: 'ip', line: `link del dev ${found.name}`, networks, removes: true, ...step },
    });
  }

  const gone = new Set(victims.map(({ name }) => name));
  const grouped = [...actual.links.values()].filter(({ group }) => group === DELETE_GROUP);
  const strangers = grouped.filter(({ name }) => !gone.has(name));
  // Left in the group by a pass that was cut short, and wanted again since.
  const rescue = strangers
    .filter((link) => ownerOf(link, actual.pending) !== undefined)
    .map(
      (link): Operation => ({
        tool: 'ip',
        line: `link set dev ${link.name} group default`,
        networks: [],
      }),
    );
  if (victims.length <= FEW || strangers.length > rescue.length) {
    return { gone, operations: [...rescue, ...victims.map(({ operation }) => operation)] };
  }
  const marks = victims.map(
    ({ name, operation }): Operation => ({
      ...operation,
      tool: 'ip',
      line: `link set dev ${name} group ${DELETE_GROUP}`,
    }),
  );
  const all = [...new Set(victims.flatMap(({ operation }) => operation.networks))];
  const sweep: Operation = {
    tool: 'ip',
    line: `link del group ${DELETE_GROUP}`,
    networks: all,
    removes: true,
  };
  return { gone, operations: [...rescue, ...marks, sweep] };
}

/** What the events call a device. */
function whatOf(name: string): string {
  if (name.startsWith('vxlan-')) return 'vxlan interface';
  if (name.startsWith('br-vxlan-')) return 'vxlan bridge';
  if (name.startsWith('veth-')) return 'router veth';
  return name.startsWith('phy-') ? 'physical veth' : 'port';
}

interface Creation {
  created: Set<string>;
  /** Devices that join a bridge: it knows no entry of theirs. */
  joined: Set<string>;
  claim: Operation[];
  build: Operation[];
  up: Operation[];
  release: Operation[];
}

function planLinks(
  links: ReadonlyMap<string, WantedLink>,
  actual: Actual,
  gone: ReadonlySet<string>,
): Creation {
  const created = new Set<string>();
  const joined = new Set<string>();
  const creates: Operation[] = [];
  const changed: Operation[] = [];
  const up: Operation[] = [];
  for (const link of links.values()) {
    const found = gone.has(link.name) ? undefined : actual.links.get(link.name);
    const networks = link.users ?? [link.network];
    const step = {
      step: `${found ? 'repair' : 'create'} ${link.what}`,
      ...(link.what === 'port' && { stepMessage: link.name }),
    };
    const set = (line: string) => changed.push({ tool: 'ip', line, networks, ...step });
    if (!found) {
      created.add(link.name);
      const mesh = link.joins && { mesh: { operation: 'add mesh elements' as const, address: link.joins } };
      creates.push({ tool: 'ip', line: link.create, networks, ...step, ...mesh });
    }
    const changes: string[] = [];
    if (found?.alias !== link.alias) changes.push(`alias ${link.alias}`);
    if (found?.mtu !== link.mtu) changes.push(`mtu ${link.mtu}`);
    // A bridge that is created again has lost its ports, whatever was read.
    if (
      link.master !== null &&
      (found?.master !== link.master || created.has(link.master) || gone.has(link.master))
    ) {
      changes.push(`master ${link.master}`);
      joined.add(link.name);
    }
    if (changes.length > 0) set(`link set dev ${link.name} ${changes.join(' ')}`);
    // Static entries move when the bridge learns their MAC elsewhere: nobody's word but ours counts.
    if (link.master !== null && (joined.has(link.name) || found?.learning)) {
      set(`link set dev ${link.name} type bridge_slave learning off`);
    }
    if (link.quiet && (joined.has(link.name) || found?.flood)) {
      set(`link set dev ${link.name} type bridge_slave flood off mcast_flood off`);
    }
    const correction = found ? link.correct(found) : null;
    if (correction !== null) set(correction);
    if (link.up && !found?.up)
      up.push({ tool: 'ip', line: `link set dev ${link.name} up`, networks, ...step });
  }
  const claim: Operation[] = [];
  const release: Operation[] = [];
  if (created.size > 0) claim.push({ tool: 'pending', links: [...actual.pending, ...created], networks: [] });
  if (created.size > 0 || actual.pending.size > 0) {
    release.push({
      tool: 'pending',
      links: [],
      networks: [...new Set(creates.flatMap((each) => each.networks))],
    });
  }
  return { created, joined, claim, build: [...creates, ...changed], up, release };
}

/** IPv6 off before devices come up: 10,000 networks take 304 s with it, 10 s without. */
function settings(
  links: ReadonlyMap<string, WantedLink>,
  actual: Actual,
  created: ReadonlySet<string>,
): Operation[] {
  const operations: Operation[] = [];
  for (const { name, network, users = [network] } of links.values()) {
    if (actual.hasIpv6 && (created.has(name) || actual.ipv6.has(name))) {
      const path = `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
      operations.push({ tool: 'write', path, text: '1', networks: users });
    }
  }
  const all = [...new Set([...links.values()].flatMap(({ network, users }) => users ?? network))];
  // Filtering of bridged frames by iptables costs the kernel path a quarter; other networks' rules are not for ours.
  for (const path of all.length > 0 ? actual.bridgeNetfilter : []) {
    operations.push({ tool: 'write', path, text: '0', networks: all });
  }
  return operations;
}

interface Namespaces {
  claim: Operation[];
  build: Operation[];
  release: Operation[];
}

/** @param wanted every namespace that any network of the desired state needs */
function planNamespaces(
  links: ReadonlyMap<string, WantedLink>,
  wanted: ReadonlySet<string>,
  actual: Actual,
  scope: Scope,
  gone: ReadonlySet<string>,
): Namespaces {
  const { present, broken } = actual.namespaces;
  const claim: Operation[] = [];
  const build: Operation[] = [];
  const release: Operation[] = [];

  const leaving = new Map<string, Set<string>>();
  for (const name of gone) {
    const { peerNamespace, alias } = actual.links.get(name)!;
    if (peerNamespace !== null)
      valueAt(leaving, peerNamespace, () => new Set()).add(networkOfAlias(alias) ?? '');
  }
  for (const namespace of actual.claims.keys()) {
    if (wanted.has(namespace)) continue;
    if (!scope.everything && !scope.has(namespace) && !leaving.has(namespace)) continue;
    const networks = [...(leaving.get(namespace) ?? [])].filter((uuid) => uuid !== '');
    if (present.has(namespace)) {
      const step = networks.includes(namespace) ? { step: 'delete netns' } : {};
      build.push({ tool: 'ip', line: `netns del ${namespace}`, networks, removes: true, ...step });
    }
    release.push({ tool: 'release', namespace, networks });
  }

  const needed = new Map<string, Set<string>>();
  for (const { namespace, network } of links.values()) {
    if (namespace !== null) valueAt(needed, namespace, () => new Set()).add(network);
  }
  for (const [namespace, users] of needed) {
    const isBroken = broken.has(namespace);
    if (present.has(namespace) && !isBroken) continue;
    const networks = [...users];
    const step = users.has(namespace) ? { step: 'create netns' } : {};
    claim.push({ tool: 'claim', namespace, networks });
    if (isBroken) build.push({ tool: 'ip', line: `netns del ${namespace}`, networks, removes: true });
    build.push({ tool: 'ip', line: `netns add ${namespace}`, networks, ...step });
  }
  return { claim, build, release };
}
