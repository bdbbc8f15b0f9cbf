/** A record that this node can't do anything with; the message says why. */
export class Refused extends Error {}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Refused(message);
}
