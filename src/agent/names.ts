import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { fistpath } from '#proto';
import type { Config } from '../config.ts';
import type { NetworkResult } from './kernel/kernel.ts';

/** What numbers mean to people, kept in a file so that inspection works when no daemon runs. */
export interface Names {
  node: string;
  /** By VNI. */
  networks: Record<string, { uuid: string; name: string; nat: NatNames | null }>;
  /** By underlay address. */
  nodes: Record<string, string>;
  /** By device name. */
  ports: Record<string, { interface: string; instance: string; network: string }>;
}

/** How a network whose router is here reaches the outside; as it is wanted. */
interface NatNames {
  gateway: string;
  next_hop: string;
  /** Floating address → address of the interface. */
  floats: Record<string, string>;
  routed: string[];
}

function natNames({ router, routed }: fistpath.INodeNetwork): NatNames | null {
  const nat = router?.nat;
  if (!nat) return null;
  const floats = Object.fromEntries((nat.floats ?? []).map(({ floating, ipv4 }) => [floating!, ipv4!]));
  return { gateway: nat.gateway ?? '', next_hop: nat.nextHop ?? '', floats, routed: routed ?? [] };
}

export function namesFile(stateDirectory: string): string {
  return join(stateDirectory, 'names.json');
}

/** Writes the names when they changed; a reader sees the old file or the new one, never half of it. */
export function writeNames(
  config: Config,
  nodeNames: Record<string, string>,
  wanted: ReadonlyMap<string, fistpath.INodeNetwork>,
  results: ReadonlyMap<string, NetworkResult>,
): void {
  const file = namesFile(config.state_directory);
  const before = readNames(config.state_directory);
  const names: Names = { node: config.node, networks: {}, nodes: nodeNames, ports: {} };
  // What was not looked at in this pass, or failed, keeps its names.
  for (const [ifname, port] of Object.entries(before?.ports ?? {})) {
    if (wanted.has(port.network) && !results.get(port.network)?.devices) names.ports[ifname] = port;
  }
  for (const network of wanted.values()) {
    const uuid = network.uuid!;
    names.networks[network.vni!] = { uuid, name: network.name!, nat: natNames(network) };
    const instances = new Map(network.ports?.map((port) => [port.interface, port.instance]));
    for (const { ifname, interface: id } of results.get(uuid)?.devices?.ports ?? []) {
      names.ports[ifname] = { interface: id ?? '', instance: instances.get(id) ?? '', network: uuid };
    }
  }
  const text = JSON.stringify(names);
  if (before !== undefined && text === JSON.stringify(before)) return;
  mkdirSync(config.state_directory, { recursive: true });
  writeFileSync(`${file}.new`, text, { mode: 0o644 });
  renameSync(`${file}.new`, file);
}

/** Undefined when there is none, or none that can be read. */
export function readNames(stateDirectory: string): Names | undefined {
  try {
    return JSON.parse(readFileSync(namesFile(stateDirectory), 'utf8')) as Names;
  } catch {
    return undefined;
  }
}
