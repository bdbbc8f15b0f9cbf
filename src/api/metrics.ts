import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Operations } from '../controller/operations.ts';
import { trafficMetrics } from './traffic-metrics.ts';

export interface Metrics {
  contentType: string;
  text(log: FastifyBaseLogger): Promise<string>;
}

/**
 * Times every request and reports the process, the API and the records; `more` is the rest of the daemon's, in the
 * text format, under names of its own. A part that fails is logged and left out: the others still count.
 */
export function addMetrics(
  app: FastifyInstance,
  operations: Operations,
  more: (() => Promise<string>) | undefined,
): Metrics {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const seconds = new Histogram({
    name: 'fistpath_http_request_seconds',
    help: 'Time to answer, by path pattern.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers: [register],
  });
  const objects = new Gauge({
    name: 'fistpath_objects',
    help: 'Records that are not deleted, by type.',
    labelNames: ['type'],
    registers: [register],
  });
  const datapath = new Gauge({
    name: 'fistpath_node_datapath',
    help: '1 for the path that packets take on a node, as it last reported; 0 for the other one.',
    labelNames: ['node', 'mode'],
    registers: [register],
  });
  const answers = new Gauge({
    name: 'fistpath_node_answers',
    help: '0: the node is missing.',
    labelNames: ['node'],
    registers: [register],
  });
  const agents = new Gauge({ name: 'fistpath_agents', help: 'Connected agents.', registers: [register] });
  const revision = new Gauge({
    name: 'fistpath_store_revision',
    help: "The store's revision.",
    registers: [register],
  });

  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    seconds.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000);
    done();
  });

  async function part(log: FastifyBaseLogger, what: string, read: () => Promise<string>): Promise<string> {
    try {
      return await read();
    } catch (error) {
      log.error({ err: error }, `metrics of ${what} are missing`);
      return '';
    }
  }

  return {
    contentType: register.contentType,
    async text(log) {
      await part(log, 'the records', async () => {
        const health = await operations.health();
        for (const [type, count] of Object.entries(health.objects)) objects.set({ type }, count);
        agents.set(health.agents);
        // Nodes that were forgotten leave no rows.
        datapath.reset();
        answers.reset();
        for (const { name, answers: up, mode } of health.nodes) {
          answers.set({ node: name }, up ? 1 : 0);
          if (mode === '') continue;
          for (const each of ['ebpf', 'kernel'])
            datapath.set({ node: name, mode: each }, each === mode ? 1 : 0);
        }
        revision.set(health.revision);
        return '';
      });
      const traffic = await part(log, 'traffic', async () => trafficMetrics(await operations.usage()));
      const rest = more === undefined ? '' : await part(log, 'the daemon', more);
      return (await register.metrics()) + traffic + rest;
    },
  };
}
