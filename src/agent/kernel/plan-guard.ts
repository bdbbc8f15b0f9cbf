import type { Actual } from './actual.ts';
import type { WantedNetwork } from './desired.ts';
import {
  type Element,
  elementLine,
  type Family,
  guardDifference,
  guardElements,
  replaceTableLines,
} from './guard.ts';
import { networkNames, networkOfAlias } from './names.ts';
import type { Operation } from './operations.ts';

/** Network that an element is there for, by the device that it is about; undefined when that is gone. */
function networkOfElement(set: string, text: string, actual: Actual): string | undefined {
  const parts = text.split(' . ');
  const device = set === 'mesh' || set === 'networks' ? networkNames(Number(parts.at(-1))).vxlan : parts[0];
  return networkOfAlias(actual.links.get(device ?? '')?.alias ?? '');
}

/**
 * What has to be allowed before devices come up, and what is no longer allowed once devices are gone.
 * @param networks all that can be built, whatever is looked at in this pass
 * @param kept networks that can't be built: what they have stays
 */
export function guardOperations(
  networks: readonly WantedNetwork[],
  kept: { has(network: string): boolean },
  actual: Actual,
  vxlanPort: number,
): { before: Operation[]; after: Operation[] } {
  const wanted: Record<Family, Element[]> = { bridge: [], ip: [] };
  for (const network of networks) {
    const elements = guardElements(network);
    wanted.bridge.push(...elements.bridge);
    wanted.ip.push(...elements.ip);
  }

  const before: Operation[] = [];
  const after: Operation[] = [];
  for (const family of ['ip', 'bridge'] as const) {
    const table = actual.guard[family];
    if (table === null) {
      const all = networks.map(({ uuid }) => uuid);
      const lines = replaceTableLines(family, vxlanPort, wanted[family]);
      before.push(...lines.map((line): Operation => ({ tool: 'nft', line, networks: all })));
      continue;
    }
    const { missing, surplus } = guardDifference(wanted[family], table);
    for (const { set, text, network } of missing) {
      before.push({ tool: 'nft', line: elementLine('add', family, set, text), networks: [network] });
    }
    for (const { set, text } of surplus) {
      const network = networkOfElement(set, text, actual);
      if (network !== undefined && kept.has(network)) continue;
      const line = elementLine('delete', family, set, text);
      after.push({ tool: 'nft', line, networks: network === undefined ? [] : [network], removes: true });
    }
  }
  return { before, after };
}
