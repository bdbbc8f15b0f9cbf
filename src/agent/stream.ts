/**
 * The agent's end of the stream to a controller: says hello, keeps the stream alive, and comes back with
 * growing delays, to the next controller of the list, when it ends.
 */
import { type ChannelCredentials, Client, type ClientDuplexStream, credentials as grpc } from '@grpc/grpc-js';
import { fistpath } from '#proto';

const PATH = '/fistpath.Agents/Connect';
const HEARTBEAT_MS = 2000;
const BACKOFF_MS = { first: 200, most: 5000 };

export interface StreamOptions {
  /** "host:port" of each controller. */
  controllers: string[];
  /** Made anew for every connection. */
  hello: () => Promise<fistpath.IHello>;
  onMessage: (message: fistpath.ControllerMessage) => void;
  onState: (state: 'connected' | 'lost', detail: string) => void;
  /** Where TLS comes in. */
  credentials?: ChannelCredentials;
  delay?: (ms: number) => Promise<void>;
}

type Duplex = ClientDuplexStream<fistpath.IAgentMessage, fistpath.ControllerMessage>;

export class ControllerStream {
  readonly #options: StreamOptions;
  readonly #delay: (ms: number) => Promise<void>;
  #stream: Duplex | undefined;
  #closed = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#delay = options.delay ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms).unref()));
  }

  /** Connects, again and again, until close(). */
  async run(): Promise<void> {
    let wait = BACKOFF_MS.first;
    for (let attempt = 0; !this.#closed; attempt++) {
      const address = this.#options.controllers[attempt % this.#options.controllers.length]!;
      const { answered, reason } = await this.#connect(address);
      if (this.#closed) return;
      wait = answered ? BACKOFF_MS.first : Math.min(wait * 2, BACKOFF_MS.most);
      this.#options.onState('lost', `${address}: ${reason}`);
      // Spread over half the time, so that a thousand agents don't return in one moment.
      await this.#delay(wait * (0.5 + Math.random() / 2));
    }
  }

  /** Sends, when connected; what is lost meanwhile is said again after the next snapshot. */
  send(message: fistpath.IAgentMessage): void {
    this.#stream?.write(message);
  }

  close(): void {
    this.#closed = true;
    this.#stream?.cancel();
  }

  async #connect(address: string): Promise<{ answered: boolean; reason: string }> {
    const client = new Client(address, this.#options.credentials ?? grpc.createInsecure(), {
      'grpc.keepalive_time_ms': 5000,
      'grpc.keepalive_timeout_ms': 5000,
      'grpc.max_receive_message_length': -1,
      'grpc.enable_retries': 0,
    });
    let heartbeat: NodeJS.Timeout | undefined;
    try {
      const hello = await this.#options.hello();
      if (this.#closed) return { answered: false, reason: 'closed' };
      return await new Promise((resolve) => {
        const stream: Duplex = client.makeBidiStreamRequest(
          PATH,
          (message: fistpath.IAgentMessage) => Buffer.from(fistpath.AgentMessage.encode(message).finish()),
          (bytes: Buffer) => fistpath.ControllerMessage.decode(bytes),
        );
        let answered = false;
        const end = (reason: string) => resolve({ answered, reason });
        stream.on('data', (message: fistpath.ControllerMessage) => {
          if (!answered) this.#options.onState('connected', address);
          answered = true;
          this.#options.onMessage(message);
        });
        stream.on('error', (error) => end(error.message));
        stream.on('end', () => end('the controller ended the stream'));
        stream.write({ hello });
        this.#stream = stream;
        heartbeat = setInterval(() => stream.write({ heartbeat: {} }), HEARTBEAT_MS);
      });
    } catch (error) {
      return { answered: false, reason: (error as Error).message };
    } finally {
      clearInterval(heartbeat);
      this.#stream = undefined;
      client.close();
    }
  }
}
