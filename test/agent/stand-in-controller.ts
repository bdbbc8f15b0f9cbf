/** A controller for tests of the agent: says what it is told to, and keeps what it hears. */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { fistpath } from '#proto';

export type Duplex = ServerDuplexStream<fistpath.AgentMessage, fistpath.IControllerMessage>;

/** fistpath.Agents of proto/, as seen from the controller. */
export const SERVICE = {
  Connect: {
    path: '/fistpath.Agents/Connect',
    requestStream: true,
    responseStream: true,
    requestDeserialize: (bytes: Buffer) => fistpath.AgentMessage.decode(bytes),
    requestSerialize: (message: fistpath.IAgentMessage) =>
      Buffer.from(fistpath.AgentMessage.encode(message).finish()),
    responseDeserialize: (bytes: Buffer) => fistpath.ControllerMessage.decode(bytes),
    responseSerialize: (message: fistpath.IControllerMessage) =>
      Buffer.from(fistpath.ControllerMessage.encode(message).finish()),
  },
};

export class StandInController {
  readonly heard: fistpath.AgentMessage[] = [];
  networks: fistpath.INodeNetwork[] = [];
  settings: fistpath.INodeSettings = { datapath: 'ebpf', nodeNames: {} };
  cluster = 'one';
  revision = 0;
  connections = 0;
  port = 0;
  #pings = 0;
  #server: Server | undefined;
  #stream: Duplex | undefined;

  async start(): Promise<void> {
    const server = new Server();
    server.addService(SERVICE, { Connect: (stream: Duplex) => this.#connected(stream) });
    this.port = await new Promise((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    this.#server = server;
  }

  stop(): void {
    this.#server?.forceShutdown();
    this.#stream = undefined;
  }

  /** Resolves to what is heard after `from` messages and satisfies the condition. */
  async hears<T>(
    what: string,
    find: (message: fistpath.AgentMessage) => T | null | undefined | false,
    from = 0,
  ): Promise<T> {
    for (let tries = 0; tries < 1000; tries++) {
      for (const message of this.heard.slice(from)) {
        const found = find(message);
        if (found) return found;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`not heard in 10 s: ${what}; but ${JSON.stringify(this.heard.slice(from))}`);
  }

  /** Sends a change, and resolves to what was said up to the report that everything is applied. */
  async tell(change: Omit<fistpath.IControllerMessage, 'revision'>): Promise<fistpath.AgentMessage[]> {
    const from = this.heard.length;
    this.revision++;
    if (change.network) {
      this.networks = this.networks.filter(({ uuid }) => uuid !== change.network?.uuid);
      this.networks.push(change.network);
    }
    if (change.removed) this.networks = this.networks.filter(({ uuid }) => uuid !== change.removed);
    if (change.settings) this.settings = change.settings;
    this.#stream!.write({ ...change, revision: this.revision });
    await this.settled(from);
    return this.heard.slice(from);
  }

  /** Asks a router to ping, and resolves to its answer. */
  ping(network: string, address: string): Promise<fistpath.IPingReply> {
    const id = ++this.#pings;
    const from = this.heard.length;
    this.#stream!.write({ ping: { id, network, address } });
    return this.hears('answer to a ping', ({ ping }) => ping?.id === id && ping, from);
  }

  /** The node says that it is at the newest revision. */
  settled(from = 0): Promise<unknown> {
    // A node that is only about to connect raises the revision once more.
    return this.hears(
      'node at the newest revision',
      ({ status }) => status?.objectType === 'node' && Number(status.revision) === this.revision,
      from,
    );
  }

  #connected(stream: Duplex): void {
    this.#stream = stream;
    this.connections++;
    this.revision++;
    stream.on('error', () => {});
    stream.on('data', (message: fistpath.AgentMessage) => this.heard.push(message));
    const { networks, settings, cluster } = this;
    stream.write({ revision: this.revision, snapshot: { networks, settings, cluster } });
  }
}
