/** What a router's namespace needs for NAT besides its devices, from what it has, or may have. */
import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { InnerView } from './actual.ts';
import { blockText } from './addresses.ts';
import type { NetworkNames } from './names.ts';
import {
  type NatRecord,
  natElements,
  natRecord,
  natTable,
  replaceNatLines,
  staleLines,
  updateNatLines,
} from './nat-table.ts';
import type { NatState } from './operations.ts';
import type { WantedNat } from './wanted-nat.ts';

/** What has to be done; the texts are lines for the tools. */
export interface NatChange {
  record: NatRecord;
  /** Before the change: remembered, so that it can be ended after a crash. */
  begun: NatState;
  nft: string[];
  /** The table is made anew, so that its structure has to be learned. */
  replaced: boolean;
  /** `ip`: takes away what may not be there any more. */
  gone: string[];
  /** `ip` */
  lines: string[];
  /** `conntrack -R` */
  stale: string[];
  /** Addresses that the outside has to hear of. */
  announce: string[];
}

/** A router's NAT, and its devices' names. */
export type InnerNat = WantedNat & { names: NetworkNames };

interface Inside {
  addresses: Map<string, string>;
  /** As InnerView tells them → line. */
  routes: Map<string, string>;
  proxies: Map<string, string>;
}

function insideOf(record: NatRecord, nat: WantedNat, { routerInner, physicalInner }: NetworkNames): Inside {
  const addresses = [
    `${record.gateway}/${record.prefix}`,
    ...Object.keys(record.floats).map((each) => `${each}/32`),
  ];
  return {
    addresses: new Map(addresses.map((each) => [each, `addr replace ${each} dev ${physicalInner}`])),
    routes: new Map([
      [
        `default ${nat.nextHop} ${physicalInner}`,
        `route replace default via ${nat.nextHop} dev ${physicalInner} src ${nat.gateway}`,
      ],
      ...record.routed.map((each): [string, string] => [
        `${each} ${routerInner}`,
        `route replace ${each}/32 dev ${routerInner}`,
      ]),
    ]),
    proxies: new Map(record.routed.map((each) => [each, `neigh replace proxy ${each} dev ${physicalInner}`])),
  };
}

const outsideAddresses = ({ gateway, floats, routed }: NatRecord): string[] => [
  gateway,
  ...Object.keys(floats),
  ...routed,
];

function equalSets(a: ReadonlySet<string> | undefined, b: ReadonlySet<string>): boolean {
  return a !== undefined && a.size === b.size && [...b].every((each) => a.has(each));
}

/** Whether a namespace that was looked into has all of it, and nothing else in the same places. */
function isThere(
  inside: Inside,
  record: NatRecord,
  structure: string,
  names: NetworkNames,
  view: InnerView,
): boolean {
  const addresses = view.links.get(names.physicalInner)?.addresses ?? [];
  const { table } = view;
  if (table === null || structureDigest(table.structure) !== structure) return false;
  return (
    equalSets(new Set(addresses), new Set(inside.addresses.keys())) &&
    [...inside.routes.keys()].every((each) => view.routes.has(each)) &&
    equalSets(view.proxies, new Set(inside.proxies.keys())) &&
    [...natElements(record)].every(([set, elements]) => equalSets(table.elements.get(set), elements))
  );
}

export function structureDigest(structure: string): string {
  return createHash('sha256').update(structure).digest('hex');
}

/**
 * @param state what was remembered; undefined: nothing
 * @param view what was seen, if somebody looked
 * @param fresh its devices were made or set up anew
 * @returns null when everything is as it should be
 */
export function natChange(
  { names, ...nat }: InnerNat,
  ftpHelper: boolean,
  state: NatState | undefined,
  view: InnerView | undefined,
  fresh: boolean,
): NatChange | null {
  const table = natTable(nat, names, ftpHelper);
  const way = `${nat.gateway} ${blockText(nat.pool)} ${nat.nextHop}`;
  const record = natRecord(nat, createHash('sha256').update(table).update(way).digest('hex'));
  const inside = insideOf(record, nat, names);
  const records = state?.records ?? [];
  const known =
    state !== undefined && state.structure !== '' && records.length === 1 ? records[0] : undefined;
  const right =
    !fresh &&
    known?.rules === record.rules &&
    (view === undefined || isThere(insideOf(known, nat, names), known, state!.structure, names, view));
  if (right && isDeepStrictEqual(known, record)) return null;

  const seen = view?.links.get(names.physicalInner)?.addresses ?? [];
  const old = records.map((each) => insideOf(each, nat, names));
  const lines = (kind: keyof Inside) => {
    const before = right ? old[0]![kind] : new Map();
    return [...inside[kind]].filter(([key]) => !before.has(key)).map(([, line]) => line);
  };
  const gone = (kind: keyof Inside, more: readonly string[] = []) => {
    const before = new Set([...old.flatMap((each) => [...each[kind].keys()]), ...more]);
    return [...before].filter((key) => !inside[kind].has(key));
  };
  return {
    record,
    begun: {
      structure: '',
      records: [...records.filter((each) => !isDeepStrictEqual(each, record)), record],
    },
    nft: right ? updateNatLines(known!, record) : replaceNatLines(table, record),
    replaced: !right,
    gone: [
      // Before the new ones come: a second address of a block goes with the first one.
      ...gone('addresses', seen).map((each) => `addr del ${each} dev ${names.physicalInner}`),
      ...gone('routes').map((each) => `route del ${each.split(' ')[0]}/32 dev ${names.routerInner}`),
      ...gone('proxies', [...(view?.proxies ?? [])]).map(
        (each) => `neigh del proxy ${each} dev ${names.physicalInner}`,
      ),
    ],
    lines: [...lines('addresses'), ...lines('routes'), ...lines('proxies')],
    // Of a namespace that was in use, and nobody knows how, nothing holds.
    stale: state === undefined ? ['-F'] : staleLines(records, record),
    announce: outsideAddresses(record).filter(
      (address) => records.length === 0 || records.some((each) => !outsideAddresses(each).includes(address)),
    ),
  };
}
