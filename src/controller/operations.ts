import type { fistpath } from '#proto';

/** Who asks. The namespace `system` is the admin of all. */
export interface Caller {
  namespace: string;
}

export interface NetworkRequest {
  name: string;
  netblock: string;
  provide_dhcp?: boolean;
  provide_nat?: boolean;
  provide_dns?: boolean;
  /** Admin only: create in another namespace. */
  namespace?: string | null;
  /** Ask for this VNI (1 to 2^24-1) instead of the lowest free one; 409 when taken. */
  vxid?: number;
}

export interface InterfaceRequest {
  /** uuid, or name where unique in the namespace. */
  network_uuid: string;
  /** An IPv4 address, null or absent for any, "none" for no address. */
  address?: string | null;
  macaddress?: string | null;
  model?: string | null;
  float?: boolean;
}

export interface InstanceRequest {
  name: string;
  cpus: number;
  memory: number;
  network: InterfaceRequest[];
  disk: { size?: number | null; base?: string | null; bus?: string | null; type?: string | null }[];
  ssh_key?: string | null;
  user_data?: string | null;
  namespace?: string | null;
  video?: { model?: string; memory?: number } | null;
  placed_on?: string | null;
  metadata?: Record<string, string>;
  uefi?: boolean;
  secure_boot?: boolean;
  nvram_template?: string | null;
  side_channels?: string[] | null;
  machine_type?: string | null;
  configdrive?: string | null;
}

export interface EventFilter {
  event_type?: string | null;
  limit?: number | null;
}

/** Objects that carry metadata and events, with the word that events use. */
export type ObjectType = 'network' | 'instance' | 'interface' | 'node' | 'namespace';

export interface Traffic {
  packets: number;
  bytes: number;
}

/** Absolute numbers that never go down while this controller runs. */
export interface TrafficTotals {
  /** By instances, counted at their ports. */
  sent: Traffic;
  received: Traffic;
  /** The part of it that left for, or came from, the outside: counted by the network node. */
  sentOutside: Traffic;
  receivedOutside: Traffic;
}

/** What agents told last; in memory only. */
export interface UsageNumbers {
  /** Of interfaces that are not deleted, by uuid. */
  interfaces: (TrafficTotals & { interface: string; instance: string; network: string; namespace: string })[];
  /** Of networks that are not deleted, with what interfaces sent that are gone by now; by uuid. */
  networks: (TrafficTotals & { network: string; namespace: string })[];
  /** Of nodes where NAT has a fast path, by name: entries of the table of flows. */
  flowTables: { node: string; used: number; capacity: number }[];
}

export interface Health {
  ready: boolean;
  revision: number;
  /** Those that are not deleted. */
  objects: Record<ObjectType, number>;
  /** Connected ones. */
  agents: number;
  /** By node; `mode` is empty until its agent has told. */
  nodes: { name: string; answers: boolean; mode: string }[];
}

/**
 * What REST can ask of the controller. Every method throws RequestError; another namespace's object is
 * 'not-found'. References are uuids, or names where unique in the caller's namespace ('malformed' where ambiguous).
 * The controller itself writes the `api` events (create, get events, delete …) of each call.
 */
export interface Operations {
  /** Checks a namespace's key in constant time; 'unauthorized' when it does not fit. */
  authenticate(namespace: string, key: string): Promise<void>;
  /** False: the namespace is not there any more (a token outlived it). */
  namespaceExists(namespace: string): Promise<boolean>;

  createNetwork(caller: Caller, request: NetworkRequest): Promise<fistpath.Network>;
  listNetworks(caller: Caller, options: { all?: boolean }): Promise<fistpath.Network[]>;
  getNetwork(caller: Caller, reference: string): Promise<fistpath.Network>;
  /** DELETE_WAIT until the nodes have removed it; 'forbidden' naming the instances while it has interfaces, as the original's API answers. */
  deleteNetwork(caller: Caller, reference: string): Promise<fistpath.Network>;
  /** All networks without interfaces of one namespace; returns the uuids on their way out. */
  deleteNetworks(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]>;
  networkInterfaces(caller: Caller, reference: string): Promise<fistpath.Interface[]>;
  networkAddresses(caller: Caller, reference: string): Promise<fistpath.Reservation[]>;
  /**
   * Gives the network an address of the pool that its instances may use as their own, and returns it. 'no-capacity'
   * without one, 'conflict' for a network without NAT.
   */
  routeAddress(caller: Caller, network: string): Promise<string>;
  /** 'not-found' when the network does not have it, 'malformed' for what is no address. */
  unrouteAddress(caller: Caller, network: string, address: string): Promise<void>;
  /** Adds or replaces a name that the network's DNS answers; 'malformed' for a network without provide_dns. */
  setDnsEntry(caller: Caller, network: string, name: string, value: string): Promise<void>;
  /** 'not-found' when there is no such entry. */
  deleteDnsEntry(caller: Caller, network: string, name: string): Promise<void>;
  /**
   * Pings from the network's router: an address of the network, or of the floating network. 'not-ready' without a
   * network node that answers within 10 s.
   */
  pingFromNetwork(
    caller: Caller,
    network: string,
    address: string,
  ): Promise<{ stdout: string; stderr: string }>;

  createInstance(caller: Caller, request: InstanceRequest): Promise<fistpath.Instance>;
  listInstances(caller: Caller, options: { all?: boolean }): Promise<fistpath.Instance[]>;
  getInstance(caller: Caller, reference: string): Promise<fistpath.Instance>;
  deleteInstance(caller: Caller, reference: string): Promise<fistpath.Instance>;
  deleteInstances(
    caller: Caller,
    options: { confirm?: boolean; namespace?: string | null },
  ): Promise<string[]>;
  instanceInterfaces(caller: Caller, reference: string): Promise<fistpath.Interface[]>;

  getInterface(caller: Caller, uuid: string): Promise<fistpath.Interface>;
  /**
   * Gives the interface a floating address. 'conflict' when it has one, or its network no NAT; 'malformed' when it
   * has no IPv4 address; 'no-capacity' when the pool has none. Like every call that takes something away or moves it
   * (delete, defloat, unroute …), returns when the network node has applied it, or after 5 s.
   */
  floatInterface(caller: Caller, uuid: string): Promise<void>;
  /** 'conflict' when it has none. */
  defloatInterface(caller: Caller, uuid: string): Promise<void>;

  listNodes(caller: Caller): Promise<fistpath.Node[]>;
  getNode(caller: Caller, name: string): Promise<fistpath.Node>;
  /** Admin only. 'conflict' while instances are placed on it. */
  deleteNode(caller: Caller, name: string): Promise<void>;
  /** Admin only: the datapath that the node should run ("ebpf" or "kernel"); the node follows at once. */
  setDatapath(caller: Caller, name: string, mode: string): Promise<fistpath.Node>;

  /** Oldest first. */
  events(caller: Caller, type: ObjectType, reference: string, filter: EventFilter): Promise<fistpath.Event[]>;
  getMetadata(caller: Caller, type: ObjectType, reference: string): Promise<Record<string, string>>;
  setMetadata(caller: Caller, type: ObjectType, reference: string, key: string, value: string): Promise<void>;
  /** 'not-found' when the key is not there. */
  deleteMetadata(caller: Caller, type: ObjectType, reference: string, key: string): Promise<void>;

  /** For /readyz and /metrics. */
  health(): Promise<Health>;
  /** Traffic, for /metrics. */
  usage(): Promise<UsageNumbers>;
}
