import type { Server, ServerCredentials } from '@grpc/grpc-js';
import { isHostName } from '../records/hostname.ts';
import { CLUSTER } from '../records/keys.ts';
import { type Netblock, parsePool } from '../records/netblock.ts';
import type { Store } from '../store/store.ts';
import { Addresses } from './addresses.ts';
import { addAgentsService, listenForAgents } from './agent-service.ts';
import { Agents, type Patience } from './agents.ts';
import { Cache } from './cache.ts';
import {
  type Chance,
  type Context,
  type Log,
  OBJECT_LIMITS,
  type ObjectLimits,
  realChance,
} from './context.ts';
import { Controller } from './controller.ts';
import { DnsEntries } from './dns.ts';
import { Events } from './events.ts';
import { Floating } from './floating.ts';
import { Instances } from './instances.ts';
import { Macs } from './macs.ts';
import { Metadata } from './metadata.ts';
import { Namespaces } from './namespaces.ts';
import { Networks } from './networks.ts';
import { Nodes } from './nodes.ts';
import type { Operations } from './operations.ts';
import { Pool } from './pool.ts';
import { Removals } from './removals.ts';
import { Reports } from './reports.ts';
import { Retention } from './retention.ts';
import { Usage } from './usage.ts';
import { Vxids } from './vxids.ts';
import { createWriter } from './writer.ts';

export interface ControllerOptions {
  store: Store;
  /** CIDR of the floating addresses: no network may overlap it. */
  floatingPool: string | null;
  /** Instances are called <name>.<namespace>.<dnsDomain>; default "internal". */
  dnsDomain?: string;
  /** The key of namespace `system`. */
  bootstrapKey: string;
  /** The node that this controller runs on. */
  nodeName: string;
  log: Log;
  /** Seconds since the epoch. */
  clock?: () => number;
  chance?: Chance;
  delay?: (ms: number) => Promise<void>;
  /** Seconds without a message after which a node is missing. */
  missingAfterSeconds?: number;
  limits?: Partial<ObjectLimits>;
  /** How long requests wait for the network node. */
  patience?: Patience;
}

export interface OpenController {
  operations: Operations;
  /** Adds the service for agents to a gRPC server that the caller runs. */
  agentsService(server: Server): void;
  /** Serves agents on "host:port"; `credentials` is where TLS comes in. */
  listenForAgents(
    address: string,
    credentials?: ServerCredentials,
  ): Promise<{ port: number; close(): Promise<void> }>;
  /** The store stays open. */
  close(): Promise<void>;
}

/**
 * Opens the controller on a store: reads all records, makes sure of namespace `system` and of the floating network.
 * Throws an Error when the configured pool or domain is none, or the pool lacks addresses that are in use.
 */
export async function openController(options: ControllerOptions): Promise<OpenController> {
  const { store, log, missingAfterSeconds = 10, dnsDomain = 'internal' } = options;
  const floatingPool = options.floatingPool === null ? undefined : poolFrom(options.floatingPool);
  if (!isHostName(dnsDomain)) throw new Error(`dns_domain ${JSON.stringify(dnsDomain)} is no domain name`);
  const cache = new Cache();
  await cache.open(store);
  const events = new Events(store);
  const delay = options.delay ?? ((ms: number) => new Promise((resolve) => setTimeout(resolve, ms)));
  const context: Context = {
    cache,
    events,
    writer: createWriter(store, cache, events, delay),
    clock: options.clock ?? (() => Date.now() / 1000),
    chance: options.chance ?? realChance,
    log,
    nodeName: options.nodeName,
    floatingPool,
    dnsDomain,
    limits: { ...OBJECT_LIMITS, ...options.limits },
  };

  const addresses = new Addresses(context);
  const pool = new Pool(context, addresses);
  const allocators = { addresses, vxids: new Vxids(cache), macs: new Macs(context), pool };
  const networks = new Networks(context, allocators);
  const instances = new Instances(context, allocators);
  const nodes = new Nodes(context);
  const namespaces = new Namespaces(context);
  await namespaces.bootstrap(options.bootstrapKey);
  await pool.open();

  const usage = new Usage(context);
  const reports = new Reports(context, { nodes, networks, instances, usage });
  const agents: Agents = new Agents({
    context,
    cluster: await clusterOf(store, context.chance),
    nodes,
    reports,
    removals: () => removals,
    missingAfterSeconds,
    patience: options.patience,
  });
  const removals = new Removals(context, networks, instances, (node, network) =>
    agents.isSettled(node, network),
  );
  const retention = new Retention(context, addresses);
  const metadata = new Metadata(context);
  await removals.settleAll();

  return {
    operations: new Controller(context, {
      networks,
      instances,
      nodes,
      namespaces,
      metadata,
      agents,
      removals,
      floating: new Floating(context, pool),
      dns: new DnsEntries(context),
      usage,
    }),
    agentsService: (server) => addAgentsService(server, agents),
    listenForAgents: (address, credentials) => listenForAgents(agents, address, credentials),
    async close() {
      retention.close();
      usage.close();
      agents.close();
      cache.close();
    },
  };
}

function poolFrom(text: string): Netblock {
  try {
    return parsePool(text);
  } catch (error) {
    throw new Error(`floating_pool: ${(error as Error).message}`);
  }
}

/** The uuid of the cluster that the store holds; a new store begins a new cluster. */
async function clusterOf(store: Store, chance: Chance): Promise<string> {
  const fresh = { put: CLUSTER, value: Buffer.from(chance.uuid()) };
  await store.transaction([{ key: CLUSTER, modRevision: 0 }], [fresh]);
  return Buffer.from((await store.get(CLUSTER))!.value).toString();
}
