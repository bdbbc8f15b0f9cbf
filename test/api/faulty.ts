// A controller that fails, hangs or lies on demand: for faults that the real one cannot be made to have.
import type { Writable } from 'node:stream';
import { PassThrough } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { createServer, type Limits } from '../../src/api/server.ts';
import type { Operations } from '../../src/controller/operations.ts';
import { SECRET } from './tokens.ts';

/** Operations that have only what a test gives; anything else is a fault of its own. */
export function operationsWith(given: Partial<Operations>): Operations {
  const base: Partial<Operations> = {
    authenticate: async () => undefined,
    namespaceExists: async () => true,
    ...given,
  };
  return new Proxy(base, {
    get: (target, name) => {
      const found = target[name as keyof Operations];
      if (found !== undefined) return found;
      return async () => {
        throw new Error(`${String(name)} was not expected`);
      };
    },
  }) as Operations;
}

/** A server on such operations; `log` collects what it logs. */
export async function faultyServer(
  given: Partial<Operations>,
  limits: Partial<Limits> = {},
  metrics?: () => Promise<string>,
): Promise<{ app: FastifyInstance; log: string[]; headers: { authorization: string } }> {
  const lines: string[] = [];
  const sink: Writable = new PassThrough();
  sink.on('data', (chunk: Buffer) => lines.push(chunk.toString()));
  const app = await createServer({
    operations: operationsWith(given),
    log: pino({ level: 'debug' }, sink),
    tokenSecret: SECRET,
    // How busy the machine is that runs the tests is none of their questions.
    limits: { loopDelayMilliseconds: 120_000, ...limits },
    metrics,
  });
  const headers = { authorization: `Bearer ${app.jwt.sign({ sub: 'system' })}` };
  return { app, log: lines, headers };
}
