import { fistpath } from '#proto';
import { Answers } from './answers.ts';
import { Pings } from './pings.ts';

/** The sending end of an agent's stream. */
export interface Wire {
  /** False: hold the rest back until it drains. */
  write(message: fistpath.IControllerMessage): boolean;
  /** Ends the stream; the agent comes back, and gets a new snapshot. */
  end(reason: string): void;
}

/**
 * One connected agent: what it was told, and what it has said it applied. Desired state is sent as differences to
 * what was sent before; what can't be sent yet is remembered by name only, and computed when it can.
 */
export class Session {
  readonly node: string;
  readonly #wire: Wire;
  readonly #sent = new Map<string, Uint8Array>();
  readonly #pending = new Set<string>();
  /** Networks that were sent, or removed, at a revision which the agent has not reported as applied. */
  readonly #outstanding = new Map<string, number>();
  readonly #failed = new Set<string>();
  /** When each network was first reported as there: seconds since the epoch. */
  readonly #ready = new Map<string, number>();
  readonly #snapshotRevision: number;
  readonly #answers = new Answers();
  readonly #pings = new Pings();
  /** Of the newest message that was sent. */
  #revision: number;
  #settings: Uint8Array;
  #synced = false;
  #blocked: boolean;

  /** Sends the snapshot. */
  constructor(
    node: string,
    wire: Wire,
    revision: number,
    snapshot: { networks: fistpath.NodeNetwork[]; settings: fistpath.INodeSettings; cluster: string },
  ) {
    this.node = node;
    this.#wire = wire;
    this.#snapshotRevision = revision;
    this.#revision = revision;
    this.#settings = fistpath.NodeSettings.encode(snapshot.settings).finish();
    for (const network of snapshot.networks) {
      this.#sent.set(network.uuid, fistpath.NodeNetwork.encode(network).finish());
      this.#outstanding.set(network.uuid, revision);
    }
    this.#blocked = !wire.write({ revision, snapshot });
  }

  /** The network may have to change on this node. */
  touch(uuid: string): void {
    this.#pending.add(uuid);
  }

  get isWaiting(): boolean {
    return this.#pending.size > 0 && !this.#blocked;
  }

  /** The agent has applied the snapshot. */
  get isSynced(): boolean {
    return this.#synced;
  }

  drained(): void {
    this.#blocked = false;
  }

  /** Sends what is pending, as `desired` has it, until the stream is full. Returns the networks that it is done with. */
  flush(revision: number, desired: (uuid: string) => fistpath.NodeNetwork | undefined): string[] {
    const flushed: string[] = [];
    for (const uuid of this.#pending) {
      if (this.#blocked) break;
      this.#pending.delete(uuid);
      this.#send(revision, uuid, desired(uuid));
      this.#answers.sent(uuid, this.#awaited(uuid));
      flushed.push(uuid);
    }
    return flushed;
  }

  sendSettings(revision: number, settings: fistpath.INodeSettings): void {
    const bytes = fistpath.NodeSettings.encode(settings).finish();
    if (Buffer.compare(bytes, this.#settings) === 0) return;
    this.#settings = bytes;
    this.#write({ revision, settings });
  }

  /** The agent has the network, or is rid of it, as of a revision. */
  applied(uuid: string, revision: number, now: number): void {
    this.#failed.delete(uuid);
    if (!this.#ready.has(uuid) && this.#sent.has(uuid)) this.#ready.set(uuid, now);
    if (revision >= (this.#outstanding.get(uuid) ?? 0)) this.#outstanding.delete(uuid);
    this.#answers.arrived(uuid, revision);
  }

  /** The agent could not apply the network as of a revision; what was sent since may do better. */
  failed(uuid: string, revision: number): void {
    if (revision >= (this.#outstanding.get(uuid) ?? 0)) this.#failed.add(uuid);
    this.#answers.arrived(uuid, revision);
  }

  /** The agent has applied everything up to a revision, but for what failed. Returns the networks that this settles. */
  appliedAll(revision: number): string[] {
    if (revision >= this.#snapshotRevision) this.#synced = true;
    const settled = [...this.#outstanding].filter(
      ([uuid, sent]) => sent <= revision && !this.#failed.has(uuid),
    );
    for (const [uuid] of settled) this.#outstanding.delete(uuid);
    this.#answers.allArrived(revision);
    return settled.map(([uuid]) => uuid);
  }

  /** Whether the node's state of the network is what the records ask for by now. */
  isSettled(uuid: string): boolean {
    return (
      this.#synced && ![this.#pending, this.#outstanding, this.#failed].some((waiting) => waiting.has(uuid))
    );
  }

  readySince(uuid: string): number | undefined {
    return this.#ready.get(uuid);
  }

  /**
   * Resolves once the agent has said of the network that it applied, or could not apply, what is to be sent or was
   * sent by now; with false when it has not within `ms`. True when this session is over, too: nobody is there to ask.
   */
  async answered(uuid: string, ms: number): Promise<boolean> {
    if (this.#pending.has(uuid)) return this.#answers.wait(uuid, undefined, ms);
    const revision = this.#awaited(uuid);
    return revision === undefined || this.#answers.wait(uuid, revision, ms);
  }

  /** Has the agent ping; RequestError 'not-ready' without an answer within `ms`, or when too many wait for theirs. */
  async ping(network: string, address: string, ms: number): Promise<fistpath.IPingReply> {
    // It changes nothing, so it has the revision of what was sent before.
    return this.#pings.ask(ms, (id) =>
      this.#wire.write({ revision: this.#revision, ping: { id, network, address } }),
    );
  }

  ponged(reply: fistpath.IPingReply): void {
    this.#pings.arrived(reply);
  }

  end(reason: string): void {
    this.left();
    this.#wire.end(reason);
  }

  /** The stream is gone: nobody need wait for this agent. */
  left(): void {
    this.#answers.giveUp();
    this.#pings.giveUp();
  }

  /** The revision at which an answer for the network is still to come. */
  #awaited(uuid: string): number | undefined {
    if (this.#failed.has(uuid)) return undefined;
    return this.#outstanding.get(uuid) ?? (this.#synced ? undefined : this.#snapshotRevision);
  }

  /**
   * False: the stream is full. Each message has a number of its own: an agent that has applied the first of one
   * transaction's has not applied the others.
   */
  #write(message: fistpath.IControllerMessage & { revision: number }): boolean {
    this.#revision = Math.max(message.revision, this.#revision + 1);
    return this.#wire.write({ ...message, revision: this.#revision });
  }

  #send(revision: number, uuid: string, network: fistpath.NodeNetwork | undefined): void {
    const bytes = network && fistpath.NodeNetwork.encode(network).finish();
    const before = this.#sent.get(uuid);
    if (bytes === undefined) {
      if (before === undefined) return;
      this.#sent.delete(uuid);
      this.#ready.delete(uuid);
      this.#blocked = !this.#write({ revision, removed: uuid });
    } else {
      if (before && Buffer.compare(before, bytes) === 0) return;
      this.#sent.set(uuid, bytes);
      this.#blocked = !this.#write({ revision, network });
    }
    this.#outstanding.set(uuid, this.#revision);
    this.#failed.delete(uuid);
  }
}
