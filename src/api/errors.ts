// Every error leaves in one shape: {"error": text, "status": code}.
import { randomBytes } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type {
  FastifyBaseLogger,
  FastifyError,
  FastifyReply,
  FastifyRequest,
  FastifySchemaValidationError,
} from 'fastify';
import { RequestError } from '../records/errors.ts';

/** "/network/0/address" as people write it: network[0].address */
function fieldName(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce(
      (name, part) => (/^[0-9]+$/.test(part) ? `${name}[${part}]` : name === '' ? part : `${name}.${part}`),
      '',
    );
}

/** A name for an error text: quoted, so that nothing in it can disturb a log or a terminal. */
function quote(name: unknown): string {
  return JSON.stringify(String(name).slice(0, 100));
}

/** Says in one sentence which argument is wrong and how. */
export function validationError(errors: FastifySchemaValidationError[], part: string): Error {
  // "schema is false" and the branches of an alternative only repeat what another entry says better.
  const first = errors.find((error) => error.keyword !== 'boolean') ?? errors[0];
  if (first === undefined) return new Error(`the ${part} is malformed`);
  const where = fieldName(first.instancePath);
  const subject = where === '' ? `the ${part}` : /^[\w.[\]-]+$/.test(where) ? where : quote(where);
  const unknown = first.params.additionalProperties as string[] | undefined;
  const missing = first.params.requiredProperties as string[] | undefined;
  const names = first.params.propertyNames as string[] | undefined;
  if (unknown !== undefined) {
    const inside = where === '' ? '' : ` in ${subject}`;
    return new Error(`unknown argument ${unknown.slice(0, 5).map(quote).join(', ')}${inside}`);
  }
  if (missing !== undefined) {
    return new Error(
      `${missing.map((name) => (where === '' ? name : `${where}.${name}`)).join(', ')} is missing`,
    );
  }
  if (names !== undefined) {
    return new Error(`${subject} must have names of 1 to 255 characters without control characters`);
  }
  if (first.keyword === 'format') {
    const rule =
      first.params.format === 'text' ? 'NUL characters' : 'control or invisible characters or line breaks';
    return new Error(`${subject} must be valid text without ${rule}`);
  }
  if (first.keyword === 'enum') {
    return new Error(`${subject} must be one of ${(first.params.allowedValues as unknown[]).join(', ')}`);
  }
  return new Error(`${subject} ${first.message ?? 'is malformed'}`);
}

/** The id under which the log has what the answer does not say. */
function newErrorId(): string {
  return randomBytes(4).toString('hex');
}

/** Status and text for the person who asked. Whatever was not written for them is logged, and they get its id. */
export function describe(
  error: FastifyError | RequestError,
  request: { method: string; url: string; log: FastifyBaseLogger },
): { error: string; status: number } {
  if (error instanceof RequestError && error.code !== 'internal') {
    return { error: error.message, status: error.status };
  }
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500;
  const code = error.code ?? '';
  // Without the query, and never the body: both may hold what the log should not.
  const path = request.url.split('?')[0];
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return { error: 'the body is too large', status: 413 };
  if (code === 'FST_ERR_HANDLER_TIMEOUT') {
    request.log.error({ method: request.method, path }, 'request took too long');
    return {
      error: 'the request took too long and its outcome is unknown: look before you repeat it',
      status: 503,
    };
  }
  if (code.startsWith('FST_JWT_') || code.startsWith('FAST_JWT_')) {
    return { error: tokenProblem(code), status: 401 };
  }
  if (status >= 400 && status < 500) return { error: error.message, status };
  if (status === 503) return { error: error.message, status };
  const id = newErrorId();
  request.log.error({ err: error, id, method: request.method, path }, 'internal error');
  return { error: `internal error (id ${id})`, status: 500 };
}

function tokenProblem(code: string): string {
  if (code === 'FST_JWT_NO_AUTHORIZATION_IN_HEADER') {
    return 'this path needs a token: POST /auth with namespace and key, then send "Authorization: Bearer TOKEN"';
  }
  if (code === 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED')
    return 'the token has expired: POST /auth for a new one';
  return 'the token is not valid: POST /auth for a new one';
}

/** Fastify's error handler. */
export async function answerError(
  error: FastifyError | RequestError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const answer = describe(error, request);
  if (answer.status === 401) reply.header('www-authenticate', 'Bearer');
  if (answer.status === 429 || answer.status === 503) reply.header('retry-after', '1');
  return reply.code(answer.status).type('application/json; charset=utf-8').send(JSON.stringify(answer));
}

/** What a path that does not exist answers. */
export async function answerNotFound(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const path = request.url.split('?')[0]?.slice(0, 200);
  const answer = { error: `there is no ${request.method} ${path}: see /docs`, status: 404 };
  return reply.code(404).type('application/json; charset=utf-8').send(JSON.stringify(answer));
}

const CLIENT_ERRORS: Record<string, [number, string]> = {
  HPE_HEADER_OVERFLOW: [431, 'the request headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request did not arrive in time'],
};

/** Answers what is no HTTP request at all, or too long or too slow to become one. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const [status, text] = CLIENT_ERRORS[error.code ?? ''] ?? [400, 'this is not a valid HTTP request'];
  const body = JSON.stringify({ error: text, status });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
