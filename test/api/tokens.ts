// Tokens made by hand, right and wrong ones.
import { createHmac } from 'node:crypto';

/** What the servers of these tests sign tokens with. */
export const SECRET = 'a secret of thirty-two bytes or more';

export function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A JSON Web Token with exactly these claims. */
export function forge(claims: object, secret = SECRET, alg: 'HS256' | 'HS512' = 'HS256'): string {
  const head = `${part({ alg, typ: 'JWT' })}.${part(claims)}`;
  return `${head}.${createHmac(alg === 'HS256' ? 'sha256' : 'sha512', secret)
    .update(head)
    .digest('base64url')}`;
}
