/** Looks into a router's namespace, by one process: what is inside can't be seen from outside. */
import { type InnerView, NEXT, parseView } from './actual.ts';
import type { Run } from './run.ts';

export const NAMESPACES = '/run/netns';

/** $@: settings, as paths below /proc/sys/net. */
const SCRIPT = `
next() { echo; printf '${NEXT.trim()}\\n'; }
ip -j addr show || exit; next
ip -j route show || exit; next
ip -j neigh show proxy || exit; next
for path; do
	[ ! -e "/proc/sys/net/$path" ] || { read -r value < "/proc/sys/net/$path"; echo "$path $value"; }
done; next
exec nft -j list table ip fistpath`;

/**
 * @param settings paths below /proc/sys/net
 * @throws Error when it can't be seen: that is no permission to change anything
 */
export async function lookInto(run: Run, namespace: string, settings: readonly string[]): Promise<InnerView> {
  const args = [`--net=${NAMESPACES}/${namespace}`, 'sh', '-c', SCRIPT, 'sh', ...settings];
  const { code, stdout, stderr } = await run('nsenter', args);
  const noTable = stderr.includes('No such file or directory') && stdout.split(NEXT).length === 5;
  if (code !== 0 && !noTable) {
    throw new Error(
      `this node's state can't be read: looking into namespace ${namespace} exited ${code}: ${stderr.trim()}`,
    );
  }
  return parseView(stdout, code === 0);
}
