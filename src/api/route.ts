// What one path is: its place in the documentation, what it takes, what it returns, and the call behind it.
import type { FastifyInstance } from 'fastify';
import { type Static, type TObject, type TSchema, Type } from 'typebox';
import type { Caller, Operations } from '../controller/operations.ts';
import { ERROR_STATUS, type ErrorCode, RequestError } from '../records/errors.ts';
import { requireToken } from './auth.ts';
import { line } from './fields.ts';
import { ErrorReply, ref } from './objects.ts';

/** The names of the parameters in a path: Params<'/a/:b/c/:d'> is {b: string; d: string}. */
type Params<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? { [key in Name]: string } & Params<Rest>
  : Path extends `${string}:${infer Name}`
    ? { [key in Name]: string }
    : unknown;

const PARAMETERS: Record<string, string> = {
  network: 'A uuid, or a name that is unique in the namespace.',
  instance: 'A uuid, or a name that is unique in the namespace.',
  interface: 'A uuid.',
  node: "The node's name.",
  namespace: "The namespace's name.",
  key: 'The name of the metadata item.',
  address: 'An IPv4 address.',
};

interface Definition<Path extends string, Arguments extends TObject, Reply extends TSchema> {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  path: Path;
  /** Unique; what generated clients call it. */
  id: string;
  tag: string;
  summary: string;
  description?: string;
  /** What may stand in the JSON body; GET takes the same from the query string. Other keys are refused. */
  takes: Arguments;
  example?: Static<Arguments>;
  returns: Reply;
  /** Beside those of every path. */
  errors: ErrorCode[];
  /** True: no token is needed. */
  open?: boolean;
  /** Requests per minute from one address. */
  perMinute?: number;
  answer(
    operations: Operations,
    call: { caller: Caller; params: Params<Path>; args: Static<Arguments> },
  ): Promise<Static<Reply>>;
}

/** A definition without its types, as tables hold it. */
export interface Route extends Omit<Definition<string, TObject, TSchema>, 'answer' | 'example'> {
  example?: unknown;
  answer(
    operations: Operations,
    call: { caller: Caller; params: Record<string, string>; args: Record<string, unknown> },
  ): Promise<unknown>;
}

/** Types one line of a table: `answer` sees the parameters of its path and the arguments that `takes` admits. */
export function route<Path extends string, Arguments extends TObject, Reply extends TSchema>(
  definition: Definition<Path, Arguments, Reply>,
): Route {
  return definition as unknown as Route;
}

/** For tables whose path is not known to the compiler. */
export function parameter(params: unknown, name: string): string {
  return (params as Record<string, string>)[name] as string;
}

const ERROR_TEXTS: Partial<Record<ErrorCode, string>> = {
  malformed: 'An argument is malformed, unknown or missing; or a name is ambiguous.',
  unauthorized: 'No valid token; or only `system` may do this.',
  forbidden: 'Not allowed now.',
  'not-found': 'Not there, or not yours.',
  conflict: 'Taken, or in the wrong state.',
  'too-large': 'The body is too large.',
  internal: 'A fault of the server; the log has more under the id in the text.',
  'no-capacity': 'No address or room is left.',
};

function errorReply(description: string): TSchema {
  return Type.Unsafe({ ...ref(ErrorReply), description });
}

/** The replies that the documentation shows, and by which answers are serialized. */
function replies(entry: Route): Record<string, TSchema> {
  const codes = new Set<ErrorCode>(['malformed', 'too-large', ...entry.errors, 'internal']);
  if (!entry.open) codes.add('unauthorized');
  const done = (entry.returns as { description?: string }).description ?? 'Done.';
  const answers: Record<string, TSchema> = { 200: Type.Unsafe({ ...entry.returns, description: done }) };
  for (const code of codes) answers[ERROR_STATUS[code]] = errorReply(ERROR_TEXTS[code] ?? code);
  answers[429] = errorReply('Too many requests: wait, then repeat.');
  answers[503] = errorReply('Overloaded or too slow: wait, then repeat.');
  return answers;
}

function parameters(path: string): TObject {
  const names = [...path.matchAll(/:([a-z]+)/g)].map((match) => match[1] as string);
  return Type.Object(Object.fromEntries(names.map((name) => [name, line(PARAMETERS[name] as string)])), {
    additionalProperties: false,
  });
}

/** Adds the routes of a table. Every reply has a schema, so that `null` goes out as JSON text and nothing unnamed leaks. */
export function register(app: FastifyInstance, operations: Operations, table: Route[]): void {
  for (const entry of table) {
    const body = entry.example === undefined ? entry.takes : { ...entry.takes, examples: [entry.example] };
    app.route({
      method: entry.method,
      url: entry.path,
      schema: {
        operationId: entry.id,
        tags: [entry.tag],
        summary: entry.summary,
        ...(entry.description === undefined ? {} : { description: entry.description }),
        params: parameters(entry.path),
        querystring: entry.method === 'GET' ? entry.takes : Type.Object({}, { additionalProperties: false }),
        body,
        response: replies(entry),
        security: entry.open ? [] : [{ token: [] }],
      },
      config:
        entry.perMinute === undefined ? {} : { rateLimit: { max: entry.perMinute, timeWindow: 60_000 } },
      onRequest: entry.open ? [] : [requireToken(operations)],
      handler: async (request, reply): Promise<unknown> => {
        const args = { ...(request.query as object), ...(request.body as object) };
        const params = request.params as Record<string, string>;
        const answer = await entry.answer(operations, { caller: request.caller, params, args });
        if (typeof answer !== 'string') return answer;
        // Fastify takes a string for text that is ready to be sent.
        return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer));
      },
    });
  }
}

/**
 * The caller, or who it asks to stand in for with a `namespace` argument: an object is then looked up there only, so
 * that a loop with a wrong uuid deletes nothing elsewhere.
 */
export async function actingIn(
  operations: Operations,
  caller: Caller,
  namespace?: string | null,
): Promise<Caller> {
  if (namespace === undefined || namespace === null || namespace === caller.namespace) return caller;
  if (caller.namespace !== 'system') {
    throw new RequestError(
      'unauthorized',
      `only namespace "system" may name another namespace, and this token is of ${JSON.stringify(caller.namespace)}`,
    );
  }
  if (!(await operations.namespaceExists(namespace))) {
    throw new RequestError('not-found', `there is no namespace ${JSON.stringify(namespace)}`);
  }
  return { namespace };
}
