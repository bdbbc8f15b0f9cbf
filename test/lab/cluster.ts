import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest, startTapGuest } from './guest.ts';
import { FLOATING_POOL, OUTSIDE_DEVICE, SERVER_ADDRESS, serverOf, UPLINK_DEVICE } from './outside.ts';
import { type Output, type ProcessId, stop, until } from './process.ts';
import { repository } from './repository.ts';
import { Rest } from './rest.ts';
import {
  type LabNode,
  type NodeSpec,
  THREE_NODES,
  Topology,
  UNDERLAY_DEVICE,
  UNDERLAY_MTU,
  type UplinkKind,
} from './topology.ts';

export type PortKind = 'tap' | 'netns';
export type Mode = 'ebpf' | 'kernel';
export type Hook = 'tc' | 'xdp';

export interface ClusterOptions {
  ports: PortKind;
  underlayHook?: Hook;
  uplinkHook?: Hook;
  /** "mesh": sf-1's mesh NIC leads outside, too, through a bridge that an operator made. */
  uplink?: UplinkKind;
  /** Nodes on the wire that run no daemon. */
  bystanders?: readonly NodeSpec[];
  /** Fields for every daemon's configuration file. */
  config?: Record<string, unknown>;
  /** A command line to put before every daemon's, which takes its place as a process. */
  under?: (node: LabNode) => readonly string[];
}

export interface Network {
  uuid: string;
  name: string;
  vxid: number;
  netblock: string;
  state: string;
  mtu: number;
  provide_nat: boolean;
  floating_gateway: string | null;
  error_message: string | null;
}

/** What the router of a network does; nothing unless told. */
export interface Services {
  dhcp?: boolean;
  nat?: boolean;
  dns?: boolean;
}

export interface Wanted {
  address?: string;
  macaddress?: string;
  float?: boolean;
}

export interface Instance {
  uuid: string;
  name: string;
  node: string;
  state: string;
  error_message: string | null;
  interfaces: {
    uuid: string;
    network_uuid: string;
    macaddr: string;
    ipv4: string | null;
    floating: string | null;
    order: number;
  }[];
}

interface NodeJson {
  name: string;
  state: string;
  datapath: { wanted: string; mode: string | null; reason: string | null; underlay_hook: string | null };
}

const DAEMON = join(repository, 'dist', 'src', 'fistpathd.js');
const CLI = join(repository, 'dist', 'src', 'cli', 'main.js');
const REST_PORT = 13000;
const AGENTS_PORT = 13001;

/** The bridge of an operator whose mesh NIC leads outside, too. */
const SHARED_BRIDGE = 'br0';

/** Of the port's device, as the agent names it. */
export function portOf(interfaceUuid: string): string {
  return `p-${interfaceUuid.replaceAll('-', '').slice(0, 12)}`;
}

/** Three nodes with a daemon each; the first is controller and network node, too. */
export class Cluster {
  readonly topology: Topology;
  readonly options: ClusterOptions;
  readonly nodes: readonly LabNode[];

  constructor(name: string, options: ClusterOptions) {
    this.topology = new Topology(name, [...THREE_NODES, ...(options.bystanders ?? [])], options.uplink);
    this.options = options;
    this.nodes = this.topology.nodes.slice(0, THREE_NODES.length);
  }

  node(name: string): LabNode {
    return this.topology.node(name);
  }

  /** The network node, too. */
  get controller(): LabNode {
    return this.nodes[0]!;
  }

  /** The server beyond the uplink. */
  get server(): Guest {
    return serverOf(this.topology.outside);
  }

  /** Address of the controller's stream for agents. */
  get agentsAddress(): string {
    return `${this.controller.address}:${AGENTS_PORT}`;
  }

  get rest(): Rest {
    return new Rest(join(this.controller.directory, 'api.sock'), readFileSync(this.#keyFile, 'utf8').trim());
  }

  get #binDirectory(): string {
    return join(this.topology.directory, 'bin');
  }

  get #keyFile(): string {
    return join(this.topology.directory, 'bootstrap-key');
  }

  /** Builds everything anew and waits until the controller knows every node. */
  async up(): Promise<void> {
    await this.prepare();
    for (const node of this.nodes) this.startDaemon(node);
    await this.ready();
  }

  /** Everything but the daemons. */
  async prepare(): Promise<void> {
    if (!existsSync(DAEMON)) throw new Error(`${DAEMON} is missing: npm run build`);
    await this.topology.up();
    writeFileSync(this.#keyFile, `${crypto.randomUUID()}\n`, { mode: 0o600 });
    mkdirSync(this.#binDirectory);
    writeFileSync(
      join(this.#binDirectory, 'fistpath'),
      `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`,
      { mode: 0o700 },
    );
    if (this.options.uplink === 'mesh') await this.#shareNic(this.controller);
    for (const node of this.nodes) this.#configure(node);
    if (this.options.underlayHook === 'xdp') {
      for (const node of this.topology.nodes) await finishChecksums(node, UNDERLAY_DEVICE);
    }
    if (this.options.uplinkHook === 'xdp') await finishChecksums(this.topology.outside, OUTSIDE_DEVICE);
    if (this.options.underlayHook === 'xdp' || this.options.uplinkHook === 'xdp') {
      const ends: [LabNode, string][] = this.nodes.map((node) => [this.topology.wire, node.name]);
      for (const [node, device] of [...ends, [this.topology.outside, OUTSIDE_DEVICE] as const]) {
        await takeRedirected(node, device);
      }
    }
  }

  async down(): Promise<void> {
    await this.topology.down();
  }

  startDaemon(node: LabNode): ProcessId {
    const under = this.options.under?.(node) ?? [];
    return node.start('fistpathd', [...under, process.execPath, DAEMON, '--config', this.configOf(node)]);
  }

  /** The daemon's process; throws when it does not run. */
  daemon(node: LabNode): ProcessId {
    const id = node.started('fistpathd');
    if (id === undefined)
      throw new Error(`no fistpathd runs on ${node.name}; see ${node.logOf('fistpathd')}`);
    return id;
  }

  async stopDaemon(node: LabNode): Promise<void> {
    await stop(this.daemon(node));
  }

  /** Waits until the controller answers, every node is there and its datapath has settled. */
  async ready(timeout = 45_000): Promise<void> {
    const rest = this.rest;
    await until(
      `three nodes are ready (see ${this.topology.directory}/*/fistpathd.log)`,
      async () => {
        for (const node of this.nodes) this.daemon(node);
        const nodes = await rest.call<NodeJson[]>('GET', '/nodes').catch(() => []);
        const settled = nodes.filter((node) => node.state === 'created' && node.datapath.mode !== null);
        return this.nodes.every((node) => settled.some((each) => each.name === node.name));
      },
      timeout,
      50,
    );
  }

  configOf(node: LabNode): string {
    return join(node.directory, 'fistpathd.json');
  }

  /** What makes the command line work on a node: `fistpath` is found, and knows the node and the controller. */
  cliEnvironment(node: LabNode): Record<string, string> {
    return {
      FISTPATH_CONFIG: this.configOf(node),
      FISTPATH_API_URL: `http://${this.controller.address}:${REST_PORT}`,
      PATH: `${this.#binDirectory}:${process.env.PATH}`,
    };
  }

  /** Runs `fistpath ARGUMENTS` on a node. */
  cli(node: LabNode, args: readonly string[]): Promise<Output> {
    return node.tryRun([process.execPath, CLI, ...args], { env: this.cliEnvironment(node) });
  }

  /** Runs `fistpath ARGUMENTS --json` on a node; throws when it fails. */
  async cliJson<T>(node: LabNode, args: readonly string[]): Promise<T> {
    const command = [process.execPath, CLI, ...args, '--json'];
    return JSON.parse(await node.run(command, { env: this.cliEnvironment(node) })) as T;
  }

  /** Asks every node for a datapath and waits until it is in force. */
  async setMode(mode: Mode): Promise<void> {
    const rest = this.rest;
    for (const node of this.nodes) await rest.call('PUT', `/nodes/${node.name}/datapath`, { mode });
    for (const { name } of this.nodes) {
      await until(`the datapath of ${name} is ${mode}`, async () => {
        const { datapath } = await rest.call<NodeJson>('GET', `/nodes/${name}`);
        if (datapath.reason !== null && datapath.mode !== mode) {
          throw new Error(`${name} does not run the ${mode} datapath: ${datapath.reason}`);
        }
        return datapath.mode === mode;
      });
    }
  }

  /** Creates a network and waits until it is there. */
  async createNetwork(name: string, netblock: string, services: Services = {}): Promise<Network> {
    const rest = this.rest;
    const asked = {
      name,
      netblock,
      provide_dhcp: services.dhcp ?? false,
      provide_nat: services.nat ?? false,
      provide_dns: services.dns ?? false,
    };
    const { uuid } = await rest.call<Network>('POST', '/networks', asked);
    let network: Network | undefined;
    await until(`network ${name} is created`, async () => {
      network = await rest.call<Network>('GET', `/networks/${uuid}`);
      if (network.state === 'error') throw new Error(`network ${name}: ${network.error_message}`);
      return network.state === 'created';
    });
    return network!;
  }

  /** Creates an instance with one interface on a node that runs a daemon, and its guest. */
  async createGuest(name: string, network: Network, placedOn: string, wanted: Wanted = {}): Promise<Guest> {
    const instance = await this.createInstance(name, network, placedOn, wanted);
    return this.guestOf(instance, network);
  }

  async createInstance(
    name: string,
    network: Network,
    placedOn: string,
    wanted: Wanted = {},
  ): Promise<Instance> {
    const rest = this.rest;
    const { uuid } = await rest.call<Instance>('POST', '/instances', {
      name,
      cpus: 1,
      memory: 1024,
      network: [{ network_uuid: network.uuid, ...wanted }],
      disk: [{ size: 8, base: 'cirros' }],
      placed_on: placedOn,
    });
    let instance: Instance | undefined;
    await until(`instance ${name} is created`, async () => {
      instance = await rest.call<Instance>('GET', `/instances/${uuid}`);
      if (instance.state === 'error') throw new Error(`instance ${name}: ${instance.error_message}`);
      return instance.state === 'created';
    });
    return instance!;
  }

  /** The guest of an instance's first interface; a tap gets its namespace and program here, NAT a default route. */
  async guestOf(instance: Instance, network: Network): Promise<Guest> {
    const own = instance.interfaces[0]!;
    const guest = new Guest(this.node(instance.node), instance.uuid, portOf(own.uuid), {
      mac: own.macaddr,
      ipv4: own.ipv4 ?? '',
      prefix: Number(network.netblock.split('/')[1]),
      mtu: network.mtu,
    });
    if (this.options.ports === 'tap') await startTapGuest(guest);
    if (network.provide_nat && own.ipv4 !== null) {
      await guest.run(['ip', 'route', 'add', 'default', 'via', routerOf(network)]);
    }
    return guest;
  }

  #configure(node: LabNode): void {
    const controls = node === this.controller;
    const shared = controls && this.options.uplink === 'mesh';
    const config = {
      node: node.name,
      roles: controls ? ['controller', 'agent'] : ['agent'],
      network_node: controls,
      state_directory: join(node.directory, 'state'),
      underlay: { device: shared ? SHARED_BRIDGE : UNDERLAY_DEVICE, address: node.address },
      underlay_hook: this.options.underlayHook ?? 'tc',
      ...(controls && {
        uplink: shared ? { device: UNDERLAY_DEVICE, bridge: SHARED_BRIDGE } : { device: UPLINK_DEVICE },
        uplink_hook: this.options.uplinkHook ?? 'tc',
        dns_servers: [SERVER_ADDRESS],
      }),
      port_kind: this.options.ports,
      controllers: [this.agentsAddress],
      listen: {
        rest: `0.0.0.0:${REST_PORT}`,
        unix: join(node.directory, 'api.sock'),
        agents: this.agentsAddress,
      },
      bootstrap_key_file: this.#keyFile,
      floating_pool: FLOATING_POOL,
      ...this.options.config,
    };
    writeFileSync(this.configOf(node), `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 });
  }

  /** As an operator does whose one NIC is for mesh and uplink: a bridge with the NIC in it has the address. */
  async #shareNic(node: LabNode): Promise<void> {
    await node.shell(
      `ip link add ${SHARED_BRIDGE} mtu ${UNDERLAY_MTU} type bridge stp_state 0 mcast_snooping 0
      echo 1 > /proc/sys/net/ipv6/conf/${SHARED_BRIDGE}/disable_ipv6
      ip address flush dev ${UNDERLAY_DEVICE}
      ip link set ${UNDERLAY_DEVICE} master ${SHARED_BRIDGE}
      ip address add ${node.address}/24 dev ${SHARED_BRIDGE}
      ip link set ${SHARED_BRIDGE} up`,
    );
  }
}

/** A wire delivers finished checksums, a veth does not, and XDP loses what is missing. */
async function finishChecksums(node: LabNode, device: string): Promise<void> {
  await node.run(['ethtool', '-K', device, 'tx', 'off']);
}

/** A NIC takes frames redirected from XDP; a veth does when its other end, this device, has GRO on. */
async function takeRedirected(node: LabNode, device: string): Promise<void> {
  await node.run(['ethtool', '-K', device, 'gro', 'on']);
}

/** The router's address in a network: index 1 of the netblock, which is no wider than /24 in the lab. */
export function routerOf(network: Network): string {
  return network.netblock.replace(/\d+\/\d+$/, (end) => String(Number(end.split('/')[0]) + 1));
}
