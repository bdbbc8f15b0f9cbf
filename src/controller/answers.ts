interface Waiter {
  /** Of the message that has to be answered; undefined: it is not sent yet. */
  revision: number | undefined;
  done: (answered: boolean) => void;
}

/**
 * Requests that return once an agent has answered for a network. Each waits for the message that carries its own
 * change, not for the agent to be up to date: others may change the network all the time.
 */
export class Answers {
  readonly #waiting = new Map<string, Set<Waiter>>();

  /** Resolves with false after `ms`. */
  wait(network: string, revision: number | undefined, ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => waiter.done(false), ms);
      const waiter: Waiter = {
        revision,
        done: (answered) => {
          clearTimeout(timer);
          waiters.delete(waiter);
          if (waiters.size === 0) this.#waiting.delete(network);
          resolve(answered);
        },
      };
      const waiters = this.#waiting.get(network) ?? new Set();
      this.#waiting.set(network, waiters.add(waiter));
    });
  }

  /** What was held back was sent, or needed no sending; undefined: there is nothing to be answered. */
  sent(network: string, revision: number | undefined): void {
    for (const waiter of this.#of(network)) {
      if (waiter.revision !== undefined) continue;
      if (revision === undefined) waiter.done(true);
      else waiter.revision = revision;
    }
  }

  arrived(network: string, revision: number): void {
    for (const waiter of this.#of(network)) {
      if (waiter.revision !== undefined && waiter.revision <= revision) waiter.done(true);
    }
  }

  allArrived(revision: number): void {
    for (const network of [...this.#waiting.keys()]) this.arrived(network, revision);
  }

  giveUp(): void {
    for (const network of [...this.#waiting.keys()])
      for (const waiter of this.#of(network)) waiter.done(true);
  }

  #of(network: string): Waiter[] {
    return [...(this.#waiting.get(network) ?? [])];
  }
}
