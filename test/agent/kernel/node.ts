/**
 * Nodes for the kernel tests: a child process in a network and a mount namespace of its own, with its own /run (so its
 * own named namespaces and state). When it ends, and it ends with its parent, the kernel removes all of it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { fistpath } from '#proto';
import type { ApplyResult, KernelConfig, NetworkResult } from '../../../src/agent/kernel/kernel.ts';

/** What a tool is made to say. */
export type ToolAnswer = { code?: number; stdout?: string; stderr?: string };

export type Request = { id: number } & (
  | { verb: 'configure'; config: KernelConfig; answers?: Record<string, ToolAnswer> }
  | { verb: 'invented' }
  | { verb: 'restart' }
  | { verb: 'apply'; networks: string[]; scope?: string[]; changes?: number }
  | { verb: 'run'; command: string[] }
);
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;
export type Reply = { id: number; value?: unknown; error?: string };

export const UNDERLAY_DEVICE = 'mesh0';
export const STATE = '/run/state';

interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

export type Applied = Omit<ApplyResult, 'networks'> & { networks: Record<string, NetworkResult> };

export class Node {
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  #last = 0;

  private constructor(address: string, child: ChildProcess) {
    this.address = address;
    this.#child = child;
    child.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.error === undefined) waiting?.resolve(reply.value);
      else waiting?.reject(new Error(reply.error));
    });
  }

  static async start(address: string): Promise<Node> {
    const script =
      'mount -t tmpfs none /run && mkdir /run/netns /run/state && ip link set lo up && exec "$@"';
    const child = fileURLToPath(new URL('./node-child.ts', import.meta.url));
    const node = spawn(
      'unshare',
      [
        '-n',
        '-m',
        '--propagation',
        'private',
        'sh',
        '-c',
        script,
        'sh',
        process.execPath,
        '--import',
        'tsx',
        child,
      ],
      { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
    );
    await once(node, 'message');
    return new Node(address, node);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  #ask(request: WithoutId<Request>): Promise<unknown> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ ...request, id });
    });
  }

  /** @param answers instead of running tools; see invented() */
  async configure(change: Partial<KernelConfig> = {}, answers?: Record<string, ToolAnswer>): Promise<void> {
    const underlay = { device: UNDERLAY_DEVICE, address: this.address };
    const base = {
      node: 'sf-1',
      underlay,
      vxlanPort: 4789,
      portKind: 'netns',
      uplink: null,
      stateDirectory: STATE,
    } as const;
    await this.#ask({ verb: 'configure', config: { ...base, ...change }, ...(answers && { answers }) });
  }

  /** Commands that ran without having an answer: the changing ones. */
  async invented(): Promise<string[]> {
    return (await this.#ask({ verb: 'invented' })) as string[];
  }

  /** A new KernelFallback, as after a restart of the daemon. */
  async restart(): Promise<void> {
    await this.#ask({ verb: 'restart' });
  }

  /** @param changes how many changing processes may run before the pass dies; a half: half of one's batch */
  async apply(
    networks: readonly fistpath.INodeNetwork[],
    { scope, changes }: { scope?: string[]; changes?: number } = {},
  ): Promise<Applied> {
    const bytes = networks.map((network) =>
      Buffer.from(fistpath.NodeNetwork.encode(network).finish()).toString('base64'),
    );
    const request = {
      verb: 'apply',
      networks: bytes,
      ...(scope && { scope }),
      ...(changes !== undefined && { changes }),
    };
    return (await this.#ask(request as WithoutId<Request>)) as Applied;
  }

  /** Applies everything and expects it to succeed. */
  async applied(networks: readonly fistpath.INodeNetwork[]): Promise<Applied> {
    const result = await this.apply(networks);
    const errors = [
      ...result.problems,
      ...Object.values(result.networks).flatMap(({ error }) => error ?? []),
    ];
    if (errors.length > 0) throw new Error(errors.join('; '));
    return result;
  }

  async tryRun(...command: string[]): Promise<Output> {
    return (await this.#ask({ verb: 'run', command })) as Output;
  }

  /** Runs words of a command in the node; inside a named namespace when the first is `@name`. */
  async run(text: string): Promise<string> {
    const [first = '', ...rest] = text.trim().split(/\s+/);
    const words = first.startsWith('@')
      ? ['nsenter', `--net=/run/netns/${first.slice(1)}`, ...rest]
      : [first, ...rest];
    const { code, stdout, stderr } = await this.tryRun(...words);
    if (code !== 0) throw new Error(`${text}: exit ${code}: ${stderr}`);
    return stdout;
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}

/** Two nodes with a wire between them. */
export async function twoNodes(change: Partial<KernelConfig> = {}, mtu = 9000): Promise<[Node, Node]> {
  const nodes = await Promise.all([Node.start('10.2.1.11'), Node.start('10.2.1.12')]);
  const [a, b] = nodes as [Node, Node];
  await a.run(`ip link add ${UNDERLAY_DEVICE} type veth peer name ${UNDERLAY_DEVICE} netns ${b.pid}`);
  for (const node of nodes) {
    await node.run(`ip addr add ${node.address}/24 dev ${UNDERLAY_DEVICE}`);
    await node.run(`ip link set ${UNDERLAY_DEVICE} mtu ${mtu} up`);
    await node.configure(change);
  }
  return [a, b];
}
