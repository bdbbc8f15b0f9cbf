import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import { Compile } from 'typebox/compile';
import { VERSION } from '../../src/api/server.ts';
import { faultyServer } from './faulty.ts';

interface Operation {
  operationId: string;
  summary: string;
  tags: string[];
  parameters?: { name: string; in: string; required: boolean; schema: object }[];
  requestBody?: { required: boolean; content: Record<string, { schema: object; example?: unknown }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>;
  security: object[];
}

interface Document {
  openapi: string;
  info: { version: string };
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { examples?: unknown[] }>; securitySchemes: Record<string, object> };
}

/** Every object anywhere below `value`. */
function* objectsIn(value: unknown): Generator<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield value as Record<string, unknown>;
  for (const child of Object.values(value)) yield* objectsIn(child);
}

describe('the description of the API', () => {
  let app: FastifyInstance;
  let document: Document;
  let operations: [string, Operation][];

  before(async () => {
    ({ app } = await faultyServer({}));
    const answer = await app.inject('/openapi.json');
    assert.equal(answer.statusCode, 200);
    document = answer.json<Document>();
    operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, Operation] => [
        `${method.toUpperCase()} ${path}`,
        operation,
      ]),
    );
  });
  after(() => app.close());

  it('is OpenAPI 3.1 of this version', () => {
    assert.equal(document.openapi, '3.1.0');
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    assert.deepEqual([document.info.version, VERSION], [version, version]);
  });

  it('has exactly the paths that exist', () => {
    assert.deepEqual(operations.map(([name]) => name).sort(), [
      'DELETE /auth/namespaces/{namespace}/metadata/{key}',
      'DELETE /instances',
      'DELETE /instances/{instance}',
      'DELETE /instances/{instance}/metadata/{key}',
      'DELETE /interfaces/{interface}/metadata/{key}',
      'DELETE /networks',
      'DELETE /networks/{network}',
      'DELETE /networks/{network}/dns',
      'DELETE /networks/{network}/metadata/{key}',
      'DELETE /networks/{network}/route/{address}',
      'DELETE /nodes/{node}',
      'DELETE /nodes/{node}/metadata/{key}',
      'GET /',
      'GET /auth/namespaces/{namespace}/metadata',
      'GET /healthz',
      'GET /instances',
      'GET /instances/{instance}',
      'GET /instances/{instance}/events',
      'GET /instances/{instance}/interfaces',
      'GET /instances/{instance}/metadata',
      'GET /interfaces/{interface}',
      'GET /interfaces/{interface}/events',
      'GET /interfaces/{interface}/metadata',
      'GET /metrics',
      'GET /networks',
      'GET /networks/{network}',
      'GET /networks/{network}/addresses',
      'GET /networks/{network}/events',
      'GET /networks/{network}/interfaces',
      'GET /networks/{network}/metadata',
      'GET /networks/{network}/ping/{address}',
      'GET /nodes',
      'GET /nodes/{node}',
      'GET /nodes/{node}/events',
      'GET /nodes/{node}/metadata',
      'GET /readyz',
      'POST /auth',
      'POST /auth/namespaces/{namespace}/metadata',
      'POST /instances',
      'POST /instances/{instance}/metadata',
      'POST /interfaces/{interface}/defloat',
      'POST /interfaces/{interface}/float',
      'POST /interfaces/{interface}/metadata',
      'POST /networks',
      'POST /networks/{network}/dns',
      'POST /networks/{network}/metadata',
      'POST /networks/{network}/route',
      'POST /nodes/{node}/metadata',
      'PUT /auth/namespaces/{namespace}/metadata/{key}',
      'PUT /instances/{instance}/metadata/{key}',
      'PUT /interfaces/{interface}/metadata/{key}',
      'PUT /networks/{network}/metadata/{key}',
      'PUT /nodes/{node}/datapath',
      'PUT /nodes/{node}/metadata/{key}',
    ]);
  });

  it('every reference leads somewhere', () => {
    const references = [...objectsIn(document)]
      .map((object) => object.$ref as string | undefined)
      .filter((ref) => ref !== undefined);
    assert.ok(references.length > 100);
    for (const reference of references) {
      const name = (reference ?? '').replace('#/components/schemas/', '');
      assert.ok(document.components.schemas[name], reference);
    }
  });

  it('every path has a unique id, a summary, a known tag, and says whether it needs a token', () => {
    assert.equal(new Set(operations.map(([, operation]) => operation.operationId)).size, operations.length);
    const tags = new Set(document.tags.map((tag) => tag.name));
    for (const [name, operation] of operations) {
      assert.ok(operation.operationId, name);
      assert.ok(operation.summary, name);
      assert.ok(operation.tags.length === 1 && tags.has(operation.tags[0] as string), name);
      const open = /^(GET \/(healthz|readyz|metrics)?|POST \/auth)$/.test(name);
      assert.deepEqual(operation.security, open ? [] : [{ token: [] }], name);
    }
    assert.ok(document.components.securitySchemes.token);
  });

  it('every path parameter is described', () => {
    for (const [name, operation] of operations) {
      const inPath = [...name.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const described = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      assert.deepEqual(
        described.map((parameter) => parameter.name),
        inPath,
        name,
      );
      assert.ok(
        described.every((parameter) => parameter.required),
        name,
      );
    }
  });

  it('every path has a schema for 200 and, where it takes anything, for errors', () => {
    for (const [name, operation] of operations) {
      for (const [status, reply] of Object.entries(operation.responses)) {
        const schemas = Object.values(reply.content ?? {}).map((media) => media.schema);
        assert.equal(schemas.length, 1, `${name} ${status}`);
        assert.notEqual(reply.description, 'Default Response', `${name} ${status}`);
        if (status !== '200') assert.deepEqual(schemas[0], { $ref: '#/components/schemas/Error' }, name);
      }
      assert.ok(operation.responses['200'], name);
      if (operation.tags[0] === 'system') continue;
      for (const status of ['400', '401', '413', '429', '500', '503']) {
        assert.ok(operation.responses[status], `${name} lacks ${status}`);
      }
      assert.equal(
        operation.responses['404'] !== undefined,
        /\{/.test(name) || /(POST|DELETE) \/[ni]/.test(name),
        name,
      );
    }
  });

  it('no GET shows a body, since no browser can send one', () => {
    for (const [name, operation] of operations) {
      if (name.startsWith('GET ')) assert.equal(operation.requestBody, undefined, name);
    }
  });

  it('a body may be left out where no argument is needed', () => {
    const required = (name: string) => operations.find(([path]) => path === name)?.[1].requestBody?.required;
    assert.deepEqual(
      ['POST /networks', 'POST /auth', 'DELETE /networks/{network}', 'GET /nodes'].map(required),
      [true, true, false, undefined],
    );
  });

  it('every example fits its schema', () => {
    let bodies = 0;
    for (const [name, operation] of operations) {
      for (const media of Object.values(operation.requestBody?.content ?? {})) {
        if (media.example === undefined) continue;
        bodies += 1;
        assert.deepEqual(Compile(media.schema).Errors(media.example), [], name);
      }
    }
    assert.ok(bodies >= 8, `${bodies} examples`);
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      assert.equal(schema.examples?.length, 1, name);
      const inlined = JSON.parse(
        JSON.stringify(schema, (_key, value: { $ref?: string }) =>
          value?.$ref === undefined
            ? value
            : document.components.schemas[value.$ref.split('/').pop() as string],
        ),
      ) as object;
      assert.deepEqual(Compile(inlined).Errors(schema.examples?.[0]), [], name);
    }
  });

  it('the page at /docs loads everything that it names, over plain HTTP', async () => {
    for (const page of ['/docs', '/docs/']) {
      const html = await app.inject(page);
      assert.equal(html.statusCode, 200);
      const policy = String(html.headers['content-security-policy']);
      assert.match(policy, /script-src 'self'/);
      assert.doesNotMatch(policy, /upgrade-insecure-requests/);
      const assets = [...html.body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string);
      assert.ok(assets.length >= 5, assets.join());
      for (const asset of assets) {
        const { pathname } = new URL(asset, `http://host${page}`);
        const answer = await app.inject(pathname);
        assert.equal(answer.statusCode, 200, pathname);
        assert.ok(answer.rawPayload.length > 100, pathname);
        const type = pathname.endsWith('.js') ? 'javascript' : pathname.endsWith('.css') ? 'css' : 'image';
        assert.match(String(answer.headers['content-type']), new RegExp(type), pathname);
      }
    }
    const initializer = await app.inject('/docs/static/swagger-initializer.js');
    assert.match(initializer.body, /resolveUrl\('\.\/json'\)/);
    assert.deepEqual((await app.inject('/docs/json')).json(), document);
  });

  it('the front page has the words for what works, and no others that clients know', async () => {
    const { body, statusCode } = await app.inject('/');
    assert.equal(statusCode, 200);
    const known = [
      ...[
        'events-by-type',
        'hot-plug-interface',
        'list-addresses',
        'route-addresses',
        'get-network-namespace',
      ],
      ...[
        'provide-dns',
        'extra-dns-entries',
        'interface-metadata',
        'node-get',
        'node-metadata',
        'instance-get',
      ],
      ...['get-instance-namespace', 'artifact-upload-types', 'instance-execute', 'instance-screenshot'],
    ];
    assert.deepEqual(known.filter((word) => body.includes(word)).sort(), [
      ...['events-by-type', 'extra-dns-entries', 'get-instance-namespace', 'get-network-namespace'],
      ...[
        'interface-metadata',
        'list-addresses',
        'node-get',
        'node-metadata',
        'provide-dns',
        'route-addresses',
      ],
    ]);
    const paths = new Set(operations.map(([name]) => name));
    for (const needed of [
      'GET /networks/{network}/events',
      'GET /networks/{network}/addresses',
      'POST /networks/{network}/route',
      'POST /networks/{network}/dns',
      'PUT /interfaces/{interface}/metadata/{key}',
      'GET /nodes/{node}',
      'PUT /nodes/{node}/metadata/{key}',
    ]) {
      assert.ok(paths.has(needed), needed);
    }
    for (const [name, argument] of [
      ['GET /networks/{network}/events', 'event_type'],
      ['GET /networks/{network}', 'namespace'],
      ['GET /instances/{instance}', 'namespace'],
    ]) {
      const operation = operations.find(([path]) => path === name)?.[1];
      assert.ok(
        operation?.parameters?.some((parameter) => parameter.name === argument),
        name,
      );
    }
  });
});
