// An agent with no node behind it: speaks the protocol over real gRPC and says that it did what it was told.
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { fistpath } from '#proto';

const { DONE, ERROR } = fistpath.ObjectStatus.Progress;

export class TestAgent {
  readonly hello: fistpath.IHello;
  /** What this node should look like. */
  readonly networks = new Map<string, fistpath.INodeNetwork>();
  readonly received: fistpath.ControllerMessage[] = [];
  settings: fistpath.INodeSettings | undefined;
  snapshots = 0;
  ended: string | undefined;
  /** False: applies nothing and says nothing until answer() is called. */
  obedient = true;
  /** Errors to report, by network. */
  readonly failing = new Map<string, string>();
  revision = 0;
  /** What this agent says to a ping; undefined: nothing. */
  pong: ((ping: fistpath.IPingRequest) => Partial<fistpath.IPingReply>) | undefined;
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<fistpath.IAgentMessage, fistpath.ControllerMessage>;

  constructor(port: number, hello: fistpath.IHello) {
    this.hello = hello;
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    this.#stream = this.#client.makeBidiStreamRequest(
      '/fistpath.Agents/Connect',
      (message: fistpath.IAgentMessage) => Buffer.from(fistpath.AgentMessage.encode(message).finish()),
      (bytes: Buffer) => fistpath.ControllerMessage.decode(bytes),
    );
    this.#stream.on('data', (message: fistpath.ControllerMessage) => this.#receive(message));
    this.#stream.on('error', (error) => {
      this.ended = error.message;
    });
    this.#stream.on('end', () => {
      this.ended ??= 'end';
    });
    this.send({ hello });
  }

  send(message: fistpath.IAgentMessage): void {
    this.#stream.write(message);
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  /** Reads nothing until resume(): the controller's stream fills up. */
  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  /** Waits for a condition on this agent; throws after two seconds. */
  async until(condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 2000; !condition(); ) {
      if (Date.now() > end)
        throw new Error(`agent ${this.hello.node} never saw ${String(condition)}; ended: ${this.ended}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** Reports on one network and its ports, as a real agent does after a pass. */
  report(uuid: string, revision = this.revision): void {
    const error = this.failing.get(uuid);
    const status = { progress: error === undefined ? DONE : ERROR, error: error ?? '', revision };
    this.send({ status: { ...status, objectType: 'network', objectUuid: uuid } });
    for (const port of this.networks.get(uuid)?.ports ?? []) {
      this.send({ status: { ...status, objectType: 'interface', objectUuid: port.interface } });
    }
  }

  /** Reports that everything up to a revision is applied. */
  reportAll(revision = this.revision): void {
    for (const uuid of this.networks.keys()) this.report(uuid, revision);
    this.send({ status: { objectType: 'node', objectUuid: this.hello.node, progress: DONE, revision } });
  }

  #receive(message: fistpath.ControllerMessage): void {
    this.received.push(message);
    this.revision = Number(message.revision);
    if (message.snapshot) {
      this.snapshots++;
      this.networks.clear();
      for (const network of message.snapshot.networks ?? []) this.networks.set(network.uuid!, network);
      this.settings = message.snapshot.settings ?? undefined;
      if (this.obedient) this.reportAll();
    } else if (message.network) {
      this.networks.set(message.network.uuid!, message.network);
      if (this.obedient) this.report(message.network.uuid!);
    } else if (message.removed) {
      this.networks.delete(message.removed);
      if (this.obedient) this.report(message.removed);
    } else if (message.settings) {
      this.settings = message.settings;
    } else if (message.ping && this.pong) {
      this.send({ ping: { id: message.ping.id, ...this.pong(message.ping) } });
    }
  }
}
