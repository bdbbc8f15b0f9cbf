/** Host names as RFC 1123 (2.1) has them: what may reach the files of a name server. */
import { RequestError } from './errors.ts';

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
/** RFC 1035, 2.3.4, without the root's dot. */
const LONGEST = 253;

export function isLabel(text: string): boolean {
  return LABEL.test(text);
}

/** Labels with dots in between; none at the end. */
export function isHostName(text: string): boolean {
  return text.length <= LONGEST && text.split('.').every(isLabel);
}

/** What the instances of a namespace are called below: "<namespace>.<domain>", the domain alone when that is no name. */
export function domainOf(namespace: string, domain: string): string {
  const whole = `${namespace}.${domain}`;
  return (isHostName(whole) ? whole : domain).toLowerCase();
}

/**
 * A DNS entry's name in lower case: relative to the network's domain, or complete with a dot at its end. RequestError
 * 'malformed' unless it is a host name.
 */
export function checkEntryName(name: string, domain: string): string {
  const complete = name.endsWith('.') ? name.slice(0, -1) : `${name}.${domain}`;
  if (isHostName(complete)) return name.toLowerCase();
  const rule = 'letters, digits and hyphens, at most 63 between dots and 253 in all';
  throw new RequestError('malformed', `DNS entry ${JSON.stringify(name)} is no host name (${rule})`);
}
