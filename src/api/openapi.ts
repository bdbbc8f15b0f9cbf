// The description of the API at /openapi.json, and the page to read and try it at /docs.
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { SHARED } from './objects.ts';

const DESCRIPTION = `Virtual networks between hypervisors.

**Start here.** \`POST /auth\` with a namespace and one of its keys, press *Authorize*, and paste the token.

**Rules.**
- Success is status 200 with a JSON body, always; \`null\` where there is nothing to say.
- An error is \`{"error": text, "status": code}\` with the same code as HTTP status.
- Arguments are one JSON object in the body, for every method. GET also takes them from the query string, where this
  page shows them. No body, an empty one and \`null\` mean "no arguments"; the Content-Type does not matter.
- An unknown argument is a 400.
- Networks and instances are named by uuid, or by name where it is unique in the namespace.
- What belongs to another namespace is a 404; namespace \`system\` sees everything.`;

const TAGS = [
  { name: 'auth', description: 'Keys and tokens; metadata of namespaces.' },
  { name: 'networks', description: 'Virtual networks: each is a mesh of VXLAN tunnels.' },
  { name: 'instances', description: 'What runs on the nodes and uses the networks.' },
  { name: 'interfaces', description: "An instance's places on networks." },
  { name: 'nodes', description: 'The hypervisors, and the path that packets take on them.' },
  { name: 'system', description: 'Health, metrics, capabilities.' },
];

/** A part of a schema that holds no field tells a reader nothing. */
function hasFields(part: unknown): boolean {
  return Object.keys((part as { properties?: object } | undefined)?.properties ?? {}).length > 0;
}

/** GET's arguments are shown as query parameters only: no browser sends a body with GET. */
function shownSchema(schema: FastifySchema, method: string | string[]): FastifySchema {
  const { body, querystring, params, ...rest } = schema;
  return {
    ...rest,
    ...(method !== 'GET' && hasFields(body) ? { body } : {}),
    ...(hasFields(querystring) ? { querystring } : {}),
    ...(hasFields(params) ? { params } : {}),
  };
}

interface Operation {
  requestBody?: { required: boolean; content: Record<string, { schema: { required?: string[] } }> };
}

/** A body without required fields may be left out. */
function relaxBodies(paths: Record<string, Record<string, Operation>>): void {
  for (const operation of Object.values(paths).flatMap((methods) => Object.values(methods))) {
    const body = operation.requestBody;
    if (body !== undefined)
      body.required = Object.values(body.content).some((media) => media.schema.required);
  }
}

/** Call before any route is added. The routes' schemas become the description. */
export async function addOpenApi(app: FastifyInstance, version: string): Promise<void> {
  for (const schema of SHARED) app.addSchema(schema);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'fistpath', version, description: DESCRIPTION },
      tags: TAGS,
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
    },
    refResolver: { buildLocalReference: (schema) => schema.$id as string },
    transform: ({ schema, url, route }) => ({ schema: shownSchema(schema ?? {}, route.method), url }),
    transformObject: (documents) => {
      if (!('openapiObject' in documents)) return documents.swaggerObject;
      relaxBodies(documents.openapiObject.paths as Record<string, Record<string, Operation>>);
      return documents.openapiObject;
    },
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // The plugin's own policy upgrades to https, which this server does not speak.
    staticCSP:
      "default-src 'self'; base-uri 'self'; img-src 'self' data:; object-src 'none'; script-src 'self'; " +
      "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'",
    uiConfig: {
      deepLinking: true,
      displayRequestDuration: true,
      docExpansion: 'list',
      tryItOutEnabled: true,
    },
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}
