/*
 * Nodes as namespaces. Each node is one sleeping process that holds a network, a mount and a host name
 * namespace; everything else (devices, named namespaces, bpffs, pins) lives in those, so that killing the
 * lab's processes removes every trace but the directory. Nothing of the host's own network is touched.
 *
 *   sf-1 ─ mesh0 ──┐
 *   sf-2 ─ mesh0 ──┼── bridge `wire`, MTU 9000, in a namespace of its own
 *   sf-3 ─ mesh0 ──┘   (its ports have the nodes' names: capture there)
 *     │
 *   uplink0, MTU 1500 ── out0, 10.10.0.1: namespace `outside` (see outside.ts)
 *
 * Or, with one NIC for mesh and uplink: out0 is a port of the wire, too.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinOutside, UPLINK_DEVICE } from './outside.ts';
import {
  identify,
  isAlive,
  type Output,
  type ProcessId,
  processesOf,
  type RunOptions,
  readRecord,
  run,
  startBackground,
  sweep,
  tryRun,
  until,
} from './process.ts';

const BASE = '/run';
const PREFIX = 'fistpath-';
export const UNDERLAY_DEVICE = 'mesh0';
export const UNDERLAY_MTU = 9000;

export interface NodeSpec {
  name: string;
  /** On the underlay, 10.2.1.0/24. */
  address: string;
}

export const THREE_NODES: readonly NodeSpec[] = [
  { name: 'sf-1', address: '10.2.1.11' },
  { name: 'sf-2', address: '10.2.1.12' },
  { name: 'sf-3', address: '10.2.1.13' },
];

/** Which NIC of the network node leads to the outside. */
export type UplinkKind = 'own' | 'mesh';

/** What the holder of a namespace does before it sleeps. $1: host name, $2: "node" or "around". */
const HOLDER = `
set -e
hostname "$1"
ip link set lo up
for tables in /proc/sys/net/bridge/bridge-nf-call-*; do
  [ "$2" = node ] || { [ -e "$tables" ] && echo 0 > "$tables"; }
done
[ "$2" = node ] || echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6
mount -t sysfs sysfs /sys
mount -t bpf -o mode=0700 bpf /sys/fs/bpf
mkdir -p /run/netns
mount -t tmpfs -o mode=0755 fistpath-lab /run/netns
echo ready
exec sleep infinity
`;

/** One namespace of a lab: a node, the wire, or the outside. */
export class LabNode {
  readonly name: string;
  readonly address: string;
  /** Files of this node: state, logs, records of processes. */
  readonly directory: string;
  readonly lab: string;

  constructor(lab: string, spec: NodeSpec) {
    this.lab = lab;
    this.name = spec.name;
    this.address = spec.address;
    this.directory = join(lab, spec.name);
  }

  /** The process that holds the namespaces; throws when the lab is not up. */
  get holder(): ProcessId {
    const id = readRecord(join(this.directory, 'holder.pid'));
    if (id === undefined) throw new Error(`node ${this.name} of ${this.lab} is not up`);
    return id;
  }

  /** The command line that runs a command in this node, or in a named namespace of it. */
  enter(command: readonly string[], namespace?: string): string[] {
    const node = ['nsenter', '-t', String(this.holder.pid), '-m', '-n', '-u', '--'];
    const inner = namespace === undefined ? [] : ['nsenter', `--net=/run/netns/${namespace}`, '--'];
    return [...node, ...inner, ...command];
  }

  /** Runs a command in this node, or in a named namespace of it. */
  run(command: readonly string[], options?: RunOptions, namespace?: string): Promise<string> {
    return run(this.enter(command, namespace), options);
  }

  tryRun(command: readonly string[], options?: RunOptions): Promise<Output> {
    return tryRun(this.enter(command), options);
  }

  /** Runs a shell text in this node. */
  shell(text: string, options?: RunOptions): Promise<string> {
    return this.run(['sh', '-ec', text], options);
  }

  /** Starts a process in this node; its output goes to `<directory>/<label>.log`. */
  start(
    label: string,
    command: readonly string[],
    options: { env?: Record<string, string>; namespace?: string } = {},
  ): ProcessId {
    return startBackground(this.lab, this.enter(command, options.namespace), {
      env: options.env ?? {},
      log: this.logOf(label),
      record: join(this.directory, `${label}.pid`),
    });
  }

  /** The process that was started under this label, when it still runs. */
  started(label: string): ProcessId | undefined {
    return readRecord(join(this.directory, `${label}.pid`));
  }

  logOf(label: string): string {
    return join(this.directory, `${label}.log`);
  }
}

export class Topology {
  readonly directory: string;
  readonly nodes: readonly LabNode[];
  readonly wire: LabNode;
  readonly outside: LabNode;
  readonly uplink: UplinkKind;

  /** `name` is "lab" for the user's; tests and benches use ownName(). */
  constructor(name: string, specs: readonly NodeSpec[] = THREE_NODES, uplink: UplinkKind = 'own') {
    this.uplink = uplink;
    this.directory = join(BASE, `${PREFIX}${name}`);
    this.nodes = specs.map((spec) => new LabNode(this.directory, spec));
    this.wire = new LabNode(this.directory, { name: 'wire', address: '' });
    this.outside = new LabNode(this.directory, { name: 'outside', address: '' });
  }

  /** Throws when there is no such node. */
  node(name: string): LabNode {
    const node = this.nodes.find((each) => each.name === name);
    if (node === undefined) {
      throw new Error(`no node ${name}: there are ${this.nodes.map((each) => each.name).join(', ')}`);
    }
    return node;
  }

  isUp(): boolean {
    return this.#all().every((node) => node.started('holder') !== undefined);
  }

  /** Builds nodes and wire anew; what an earlier run left is removed first. Throws while another process does the same. */
  async up(): Promise<void> {
    const record = join(this.directory, 'builder.pid');
    const builder = readRecord(record);
    if (builder !== undefined && builder.pid !== process.pid) {
      throw new Error(
        `process ${builder.pid} is building ${this.directory} just now; wait for it, or end it first`,
      );
    }
    await this.down();
    // Passable: dnsmasq reads its files as a user of its own.
    mkdirSync(this.directory, { recursive: true, mode: 0o711 });
    writeFileSync(record, JSON.stringify(identify(process.pid)));
    await Promise.all(this.#all().map((node) => this.#hold(node)));
    await this.wire.shell(
      `ip link add wire mtu ${UNDERLAY_MTU} type bridge stp_state 0 mcast_snooping 0; ip link set wire up`,
    );
    for (const node of this.nodes) await this.#join(node);
    if (this.uplink === 'own') await joinOutside(this.outside, this.nodes[0]!, UPLINK_DEVICE, 1500);
    else {
      await joinOutside(this.outside, this.wire, 'outside', UNDERLAY_MTU);
      await this.wire.run(['ip', 'link', 'set', 'outside', 'master', 'wire']);
    }
  }

  /** Removes everything. Nothing happens when nothing is there. */
  async down(): Promise<void> {
    await sweep(this.directory);
  }

  processes(): ProcessId[] {
    return processesOf(this.directory);
  }

  #all(): LabNode[] {
    return [this.wire, this.outside, ...this.nodes];
  }

  async #hold(node: LabNode): Promise<void> {
    mkdirSync(node.directory, { recursive: true, mode: 0o711 });
    const kind = this.nodes.includes(node) ? 'node' : 'around';
    const id = startBackground(
      this.directory,
      [
        'unshare',
        '--net',
        '--mount',
        '--uts',
        '--propagation',
        'private',
        'sh',
        '-c',
        HOLDER,
        'holder',
        node.name,
        kind,
      ],
      { log: node.logOf('holder'), record: join(node.directory, 'holder.pid') },
    );
    await until(
      `node ${node.name} is there (see ${node.logOf('holder')})`,
      async () => {
        if (!isAlive(id))
          throw new Error(`node ${node.name}: ${(await run(['cat', node.logOf('holder')])).trim()}`);
        return (await run(['cat', node.logOf('holder')])).endsWith('ready\n');
      },
      30_000,
    );
  }

  async #join(node: LabNode): Promise<void> {
    const mtu = UNDERLAY_MTU;
    await this.wire.shell(
      `ip link add ${node.name} mtu ${mtu} type veth peer name ${UNDERLAY_DEVICE} mtu ${mtu} netns ${node.holder.pid}
      ip link set ${node.name} master wire up`,
    );
    await node.shell(
      `echo 1 > /proc/sys/net/ipv6/conf/${UNDERLAY_DEVICE}/disable_ipv6
      ip address add ${node.address}/24 dev ${UNDERLAY_DEVICE}
      ip link set ${UNDERLAY_DEVICE} up`,
    );
  }
}

/** A lab name that only this process uses, and that tells a later run whether its maker still lives. */
export function ownName(purpose: 'test' | 'bench'): string {
  return `${purpose}-${process.pid}-${identify(process.pid)!.start}-${Math.random().toString(36).slice(2, 6)}`;
}

/** Removes the labs of test and bench processes that died before they could. */
export async function sweepDead(): Promise<void> {
  for (const name of readdirSync(BASE)) {
    const match = /^fistpath-(?:test|bench)-(\d+)-(\d+)-/.exec(name);
    if (match === null || isAlive({ pid: Number(match[1]), start: match[2]! })) continue;
    await sweep(join(BASE, name));
  }
}
