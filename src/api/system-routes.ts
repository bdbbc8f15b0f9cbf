// What is neither an object nor a key: the front page, health and metrics.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Operations } from '../controller/operations.ts';
import type { Metrics } from './metrics.ts';
import { ErrorReply, ref } from './objects.ts';

/** Clients refuse commands whose word is not on the front page; only what works here may stand in this list. */
const CAPABILITIES = [
  'events-by-type',
  'list-addresses',
  'route-addresses',
  'get-network-namespace',
  'provide-dns',
  'extra-dns-entries',
  'get-instance-namespace',
  'interface-metadata',
  'node-get',
  'node-metadata',
];

const FRONT_PAGE = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>fistpath</title></head>
<body>
<h1>fistpath</h1>
<p>Virtual networks between hypervisors. <a href="docs">Documentation</a>, <a href="openapi.json">OpenAPI</a>.</p>
<p>Capabilities: ${CAPABILITIES.join(', ')}</p>
</body>
</html>
`;

/** An overloaded daemon still has to say that it is alive, and what it is busy with. */
const ALWAYS = { pressureHandler: () => undefined, rateLimit: false as const };

/** Adds `/`, `/healthz`, `/readyz` and `/metrics`; none of them needs a token, or tells what a tenant's objects are called. */
export function addSystemRoutes(app: FastifyInstance, operations: Operations, metrics: Metrics): void {
  app.get('/', {
    schema: {
      operationId: 'getFrontPage',
      tags: ['system'],
      summary: 'The words for what this server can do',
      description: 'Clients look for these words before they use a newer command.',
      security: [],
      produces: ['text/html'],
      response: { 200: Type.String({ description: 'A page that lists the capability words.' }) },
    },
    handler: async (_request, reply) => reply.type('text/html; charset=utf-8').send(FRONT_PAGE),
  });

  app.get('/healthz', {
    config: ALWAYS,
    schema: {
      operationId: 'getHealth',
      tags: ['system'],
      summary: 'Does the process answer?',
      security: [],
      response: { 200: Type.Object({ status: Type.String() }, { description: 'It does.' }) },
    },
    handler: async () => ({ status: 'ok' }),
  });

  app.get('/readyz', {
    config: ALWAYS,
    schema: {
      operationId: 'getReadiness',
      tags: ['system'],
      summary: 'Can it serve requests?',
      security: [],
      response: {
        200: Type.Object(
          { status: Type.String(), revision: Type.Integer(), agents: Type.Integer() },
          { description: "It can. `revision` is the store's, `agents` counts the connected ones." },
        ),
        503: Type.Unsafe({ ...ref(ErrorReply), description: 'Not now.' }),
      },
    },
    handler: async (request, reply) => {
      try {
        const { ready, revision, agents } = await operations.health();
        if (ready) return { status: 'ready', revision, agents };
      } catch (error) {
        request.log.error({ err: error }, 'health check failed');
      }
      return reply.code(503).send({ error: 'the store is not ready', status: 503 });
    },
  });

  app.get('/metrics', {
    config: ALWAYS,
    schema: {
      operationId: 'getMetrics',
      tags: ['system'],
      summary: 'Metrics for Prometheus',
      description:
        'With what each interface and network sent and received, by uuid: names and namespaces are not told here.',
      security: [],
      produces: ['text/plain'],
      response: { 200: Type.String({ description: "Prometheus' text format." }) },
    },
    handler: async (request, reply) => reply.type(metrics.contentType).send(await metrics.text(request.log)),
  });
}
