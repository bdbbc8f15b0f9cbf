// The API over the real controller and the embedded store, with three nodes known and no agent connected.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { fistpath } from '#proto';
import { listen } from '../../src/api/listen.ts';
import { createServer, type Limits } from '../../src/api/server.ts';
import { openController } from '../../src/controller/open.ts';
import { encodeRecord, type RecordOf } from '../../src/records/codec.ts';
import { recordKey, type TableName } from '../../src/records/keys.ts';
import { openEmbeddedStore } from '../../src/store/embedded.ts';
import type { Store } from '../../src/store/store.ts';
import { TestAgent } from '../controller/test-agent.ts';
import { type Answer, call } from './call.ts';
import { SECRET } from './tokens.ts';

export const KEY = 'the first key of namespace system';

export interface Real {
  app: FastifyInstance;
  store: Store;
  port: number;
  socketPath: string;
  /** The headers of a caller in this namespace. */
  as(namespace: string): { authorization: string };
  /** A call by `system`, over TCP. */
  ask(method: string, path: string, body?: unknown): Promise<Answer>;
  /** The same by another namespace. */
  askAs(namespace: string, method: string, path: string, body?: unknown): Promise<Answer>;
  /** An agent that does what it is told, in the place of sf-1 (the network node) unless named. */
  connectAgent(node?: { node: string; address: string; networkNode: boolean }): Promise<TestAgent>;
  close(): Promise<void>;
}

async function put<T extends TableName>(
  store: Store,
  table: T,
  id: string,
  record: RecordOf[T],
): Promise<void> {
  await store.transaction([], [{ put: recordKey(table, id), value: encodeRecord(table, record) }]);
}

/** Nodes sf-1 (network node), sf-2, sf-3 and sf-lost (missing); namespaces system, demo and other. */
export async function realServer(
  limits: Partial<Limits> = {},
  floatingPool: string | null = '10.10.0.0/24',
): Promise<Real> {
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-api-'));
  const store = await openEmbeddedStore(join(directory, 'store'));
  for (const [index, name] of ['sf-1', 'sf-2', 'sf-3', 'sf-lost'].entries()) {
    const node = fistpath.Node.create({
      name,
      address: `10.2.1.${11 + index}`,
      lastSeen: Date.now() / 1000,
      state: name === 'sf-lost' ? fistpath.State.MISSING : fistpath.State.CREATED,
      networkNode: index === 0,
      hypervisor: true,
      underlayMtu: 9000,
      release: '0.1.0',
      datapath: 'ebpf',
    });
    await put(store, 'node', name, node);
  }
  for (const name of ['demo', 'other']) {
    await put(store, 'namespace', name, fistpath.Namespace.create({ name, state: fistpath.State.CREATED }));
  }
  const log = pino({ level: 'silent' });
  const controller = await openController({
    store,
    floatingPool,
    bootstrapKey: KEY,
    nodeName: 'sf-1',
    log,
    // Its nodes have no agents, and are not missed for it.
    missingAfterSeconds: 3600,
  });
  const app = await createServer({
    operations: controller.operations,
    log,
    tokenSecret: SECRET,
    // How busy the machine is that runs the tests is none of their questions.
    limits: { loopDelayMilliseconds: 120_000, ...limits },
  });
  const socketPath = join(directory, 'api.sock');
  const [port] = (await listen(app, [{ host: '127.0.0.1', port: 0 }, { path: socketPath }])) as [
    number,
    number,
  ];
  const agents: TestAgent[] = [];
  const listener = await controller.listenForAgents('127.0.0.1:0');
  const as = (namespace: string) => ({ authorization: `Bearer ${app.jwt.sign({ sub: namespace })}` });
  return {
    app,
    store,
    port,
    socketPath,
    as,
    ask: (method, path, body) => call({ port }, method, path, body, as('system')),
    askAs: (namespace, method, path, body) => call({ port }, method, path, body, as(namespace)),
    async connectAgent(node = { node: 'sf-1', address: '10.2.1.11', networkNode: true }) {
      const hello = { underlayMtu: 9000, hypervisor: true, release: '0.1.0', ...node };
      const agent = new TestAgent(listener.port, hello);
      agents.push(agent);
      await agent.until(() => agent.snapshots > 0);
      return agent;
    },
    async close() {
      for (const agent of agents) agent.close();
      await listener.close();
      await app.close();
      await controller.close();
      await store.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** The arguments of the smallest instance, on these networks. */
export function instanceOn(...network: object[]): Record<string, unknown> {
  return { name: 'inst', cpus: 1, memory: 1024, network, disk: [{ size: 8, base: 'cirros' }] };
}
