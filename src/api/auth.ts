// Keys for tokens, and tokens for callers.
import jwt from '@fastify/jwt';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Caller, Operations } from '../controller/operations.ts';
import { RequestError } from '../records/errors.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set for every path that needs a token. */
    caller: Caller;
  }
}

/** Seconds; the original's tokens last as long. */
export const TOKEN_SECONDS = 900;
const ISSUER = 'fistpath';

/** Tokens are HMAC-SHA-256 over the namespace and times; `secret` has at least 32 bytes and is shared by controllers. */
export async function addTokens(app: FastifyInstance, secret: string | Buffer): Promise<void> {
  if (Buffer.byteLength(secret) < 32) throw new Error('the token secret must have at least 32 bytes');
  await app.register(jwt, {
    secret,
    sign: { algorithm: 'HS256', expiresIn: TOKEN_SECONDS, iss: ISSUER },
    verify: { algorithms: ['HS256'], allowedIss: ISSUER, requiredClaims: ['exp', 'iat', 'iss', 'sub'] },
  });
  app.decorateRequest('caller', null as unknown as Caller);
}

/** A hook that answers 401 unless the request has a valid token of a namespace that still exists. */
export function requireToken(operations: Operations) {
  return async function checkToken(request: FastifyRequest, _reply: FastifyReply): Promise<void> {
    const claims = await request.jwtVerify<{ sub: string }>();
    if (!(await operations.namespaceExists(claims.sub))) {
      throw new RequestError('unauthorized', `namespace ${JSON.stringify(claims.sub)} is not there any more`);
    }
    request.caller = { namespace: claims.sub };
  };
}
