// A controller on an embedded store in a temporary directory, with a clock that tests move, and agents over real gRPC.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fistpath } from '#proto';
import type { Patience } from '../../src/controller/agents.ts';
import type { Chance, ObjectLimits } from '../../src/controller/context.ts';
import { type OpenController, openController } from '../../src/controller/open.ts';
import type { InstanceRequest, Operations } from '../../src/controller/operations.ts';
import { encodeRecord, type RecordOf } from '../../src/records/codec.ts';
import { recordKey, type TableName } from '../../src/records/keys.ts';
import { openEmbeddedStore } from '../../src/store/embedded.ts';
import type { Store } from '../../src/store/store.ts';
import { TestAgent } from './test-agent.ts';

export const SYSTEM = { namespace: 'system' };
export const KEY = 'the key of system';

const silent = { info() {}, warn() {}, error() {} };

export interface Scene {
  directory: string;
  store: Store;
  operations: Operations;
  agents: { port: number };
  /** Moves the controller's clock. */
  pass(seconds: number): void;
  /** Puts a record as it is, past the controller. */
  put<T extends TableName>(table: T, id: string, record: RecordOf[T]): Promise<void>;
  /** A node that is known and answers, with no agent behind it. */
  addNode(name: string, address: string, fields?: Partial<fistpath.Node>): Promise<void>;
  /** Connects an agent, which does what it is told unless the options say otherwise. */
  connect(
    hello: Partial<fistpath.IHello> & { node: string; address: string },
    options?: { obedient?: boolean },
  ): Promise<TestAgent>;
  /** Closes the controller and the store and opens both again, with other options where given. */
  reopen(changes?: SceneOptions): Promise<void>;
  close(): Promise<void>;
}

export interface SceneOptions {
  floatingPool?: string | null;
  dnsDomain?: string;
  missingAfterSeconds?: number;
  chance?: Chance;
  limits?: Partial<ObjectLimits>;
  patience?: Patience;
  /** Wraps the store that the controller gets. */
  wrap?: (store: Store) => Store;
}

export async function openScene(given: SceneOptions = {}): Promise<Scene> {
  let options = given;
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-controller-'));
  let now = 1_600_000_000;
  let store: Store;
  let controller: OpenController;
  let listener: { port: number; close(): Promise<void> };
  let isOpen = false;
  const agents: TestAgent[] = [];

  const open = async () => {
    store = await openEmbeddedStore(join(directory, 'store'));
    controller = await openController({
      store: options.wrap ? options.wrap(store) : store,
      floatingPool: options.floatingPool === undefined ? '10.10.0.0/24' : options.floatingPool,
      ...(options.dnsDomain === undefined ? {} : { dnsDomain: options.dnsDomain }),
      bootstrapKey: KEY,
      nodeName: 'sf-1',
      log: silent,
      // No two moments are the same.
      clock: () => {
        now += 1e-5;
        return now;
      },
      missingAfterSeconds: options.missingAfterSeconds ?? 3600,
      patience: options.patience ?? { answerMs: 100, pingMs: 200 },
      ...(options.chance ? { chance: options.chance } : {}),
      ...(options.limits ? { limits: options.limits } : {}),
    });
    listener = await controller.listenForAgents('127.0.0.1:0');
    isOpen = true;
  };
  const shut = async () => {
    for (const agent of agents.splice(0)) agent.close();
    if (isOpen) {
      await listener.close();
      await controller.close();
    }
    isOpen = false;
    await store.close();
  };
  await open();

  const put: Scene['put'] = async (table, id, record) => {
    await store.transaction([], [{ put: recordKey(table, id), value: encodeRecord(table, record) }]);
  };
  return {
    directory,
    get store() {
      return store;
    },
    get operations() {
      return controller.operations;
    },
    get agents() {
      return listener;
    },
    pass: (seconds) => {
      now += seconds;
    },
    put,
    addNode: (name, address, fields = {}) => {
      const common = { name, address, state: fistpath.State.CREATED, hypervisor: true, underlayMtu: 9000 };
      return put('node', name, fistpath.Node.create({ ...common, datapath: 'ebpf', version: 1, ...fields }));
    },
    connect: async (hello, { obedient = true } = {}) => {
      const agent = new TestAgent(listener.port, {
        underlayMtu: 9000,
        hypervisor: true,
        release: '0.1.0',
        ...hello,
      });
      agent.obedient = obedient;
      agents.push(agent);
      await agent.until(() => agent.snapshots > 0);
      return agent;
    },
    reopen: async (changes = {}) => {
      options = { ...options, ...changes };
      await shut();
      await open();
    },
    close: async () => {
      await shut();
      rmSync(directory, { recursive: true });
    },
  };
}

/** The smallest instance on these networks. */
export function instanceOn(
  networks: (string | InstanceRequest['network'][number])[],
  fields = {},
): InstanceRequest {
  const network = networks.map((each) => (typeof each === 'string' ? { network_uuid: each } : each));
  return { name: 'inst', cpus: 1, memory: 1024, network, disk: [{ size: 8, base: 'cirros' }], ...fields };
}

/** Waits until a condition holds; throws an Error with `what` after two seconds. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 2000; Date.now() < end; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`never happened: ${what}`);
}
