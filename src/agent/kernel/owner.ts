import type { ActualLink } from './actual.ts';
import { networkOfAlias } from './names.ts';

/**
 * Network uuid of a link of ours; '' when it is ours without an alias yet, since a pass was cut short between its
 * creation and its alias (the kernel takes no alias at creation); undefined when it is somebody else's.
 * @param pending links that we were about to create
 */
export function ownerOf(link: ActualLink, pending: ReadonlySet<string>): string | undefined {
  return networkOfAlias(link.alias) ?? (link.alias === '' && pending.has(link.name) ? '' : undefined);
}
