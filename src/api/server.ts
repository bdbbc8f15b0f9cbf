// The REST API, put together. It knows records only through Operations.
import rateLimit from '@fastify/rate-limit';
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import underPressure from '@fastify/under-pressure';
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import type { Operations } from '../controller/operations.ts';
import { addTokens } from './auth.ts';
import { authRoutes } from './auth-routes.ts';
import { acceptJsonBodies } from './body.ts';
import { answerClientError, answerError, answerNotFound, validationError } from './errors.ts';
import { instanceRoutes } from './instance-routes.ts';
import { interfaceRoutes } from './interface-routes.ts';
import { addMetrics } from './metrics.ts';
import { namespaceRoutes } from './namespace-routes.ts';
import { networkRoutes } from './network-routes.ts';
import { nodeRoutes } from './node-routes.ts';
import { addOpenApi } from './openapi.ts';
import { register } from './route.ts';
import { addSystemRoutes } from './system-routes.ts';

export const VERSION = '0.1.0';

/** What one request may take, and how many there may be. */
export interface Limits {
  bodyBytes: number;
  /** The request line and all headers together. */
  headerBytes: number;
  /** A request must have arrived within this time … */
  arrivalMilliseconds: number;
  /** … and be answered within this one. */
  answerMilliseconds: number;
  /** From one address; all callers on the unix socket count as one. */
  requestsPerSecond: number;
  /** Attempts to get a token, from one address. */
  tokensPerMinute: number;
  /** Mean delay of the event loop from which on requests are refused with 503. */
  loopDelayMilliseconds: number;
}

export const DEFAULT_LIMITS: Limits = {
  bodyBytes: 1 << 20,
  headerBytes: 16384,
  arrivalMilliseconds: 30_000,
  answerMilliseconds: 30_000,
  requestsPerSecond: 5000,
  tokensPerMinute: 600,
  loopDelayMilliseconds: 5000,
};

export interface ServerOptions {
  operations: Operations;
  log: FastifyBaseLogger;
  /** At least 32 bytes; the same on every controller. */
  tokenSecret: string | Buffer;
  /** More metrics, in Prometheus' text format. */
  metrics?: () => Promise<string>;
  limits?: Partial<Limits>;
}

/** Builds the API; `listen` opens it to callers, `close()` of the result ends it. */
export async function createServer(options: ServerOptions): Promise<FastifyInstance> {
  const { operations } = options;
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const app: FastifyInstance = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.arrivalMilliseconds,
    handlerTimeout: limits.answerMilliseconds,
    http: {
      maxHeaderSize: limits.headerBytes,
      connectionsCheckingInterval: 1000,
      // Node swaps the two times when headers may take longer than the whole request.
      headersTimeout: limits.arrivalMilliseconds,
    },
    routerOptions: { maxParamLength: limits.headerBytes, ignoreTrailingSlash: true },
    exposeHeadRoutes: false,
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply),
  });
  app.setValidatorCompiler(TypeBoxValidatorCompiler);
  app.setSchemaErrorFormatter(validationError);
  app.setErrorHandler(answerError);
  app.setNotFoundHandler(answerNotFound);
  acceptJsonBodies(app);
  app.addHook('onSend', async (_request, reply) => {
    reply.header('x-content-type-options', 'nosniff');
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
  });
  app.addHook('onResponse', (request, reply, done) => {
    const path = request.url.split('?')[0];
    request.log.debug(
      { method: request.method, path, status: reply.statusCode, ms: reply.elapsedTime },
      'request',
    );
    done();
  });

  await app.register(underPressure, {
    maxEventLoopDelay: limits.loopDelayMilliseconds,
    // A sample in which the loop never came round counts as an endless delay: it must not be shorter than the limit.
    sampleInterval: Math.max(1000, limits.loopDelayMilliseconds),
    message: 'overloaded: try again in a moment',
  });
  await app.register(rateLimit, {
    max: limits.requestsPerSecond,
    timeWindow: 1000,
    // A caller on a unix socket has no address.
    keyGenerator: (request) => request.ip ?? 'unix',
    errorResponseBuilder: (_request, { max, after }) =>
      Object.assign(new Error(`more than ${max} requests: try again in ${after}`), { statusCode: 429 }),
  });
  await addTokens(app, options.tokenSecret);
  const metrics = addMetrics(app, operations, options.metrics);
  await addOpenApi(app, VERSION);
  addSystemRoutes(app, operations, metrics);
  const sign = (namespace: string) => app.jwt.sign({ sub: namespace });
  for (const table of [
    authRoutes(sign, limits.tokensPerMinute),
    namespaceRoutes,
    networkRoutes,
    instanceRoutes,
    interfaceRoutes,
    nodeRoutes,
  ]) {
    register(app, operations, table);
  }
  return app;
}
