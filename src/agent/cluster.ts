import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Joins a cluster, for good: the first one that this node hears of is kept in its state directory. A controller whose
 * store was lost, or another cluster's, has an empty desired state for this node, and obeying that would take every
 * network down.
 * @returns what is wrong and what to do, or undefined when the node belongs to this cluster
 */
export function joinCluster(stateDirectory: string, cluster: string): string | undefined {
  const file = join(stateDirectory, 'cluster');
  let joined: string;
  try {
    if (!existsSync(file)) writeFileSync(file, cluster, { mode: 0o644 });
    joined = readFileSync(file, 'utf8');
  } catch (error) {
    return `the cluster of this node can't be kept: ${(error as Error).message}`;
  }
  if (joined === cluster) return undefined;
  return (
    `this node belongs to cluster ${joined}, the controller to cluster ${cluster}: restore the controller's store, ` +
    `or remove ${file} and restart the daemon to give up what the node has`
  );
}
