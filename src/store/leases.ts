import { randomBytes } from 'node:crypto';

interface Lease {
  ttlSeconds: number;
  timer: NodeJS.Timeout;
  keys: Set<string>;
}

/** Leases of the embedded store: timers of this process, and the keys that hang on them. */
export class Leases {
  readonly #leases = new Map<bigint, Lease>();
  readonly #byKey = new Map<string, bigint>();
  readonly #onExpired: (lease: bigint) => void;

  constructor(onExpired: (lease: bigint) => void) {
    this.#onExpired = onExpired;
  }

  grant(ttlSeconds: number): bigint {
    if (!(ttlSeconds > 0)) throw new TypeError(`a lease lasts more than 0 seconds, not ${ttlSeconds}`);
    // 63 bits, never 0: what etcd's signed ids can hold.
    const id = BigInt.asUintN(63, randomBytes(8).readBigUInt64BE()) | 1n;
    this.#leases.set(id, { ttlSeconds, timer: this.#timer(id, ttlSeconds), keys: new Set() });
    return id;
  }

  mustExist(id: bigint): Lease {
    const lease = this.#leases.get(id);
    if (!lease) throw new Error(`lease ${id} is not there (any more)`);
    return lease;
  }

  keepAlive(id: bigint): void {
    const lease = this.mustExist(id);
    clearTimeout(lease.timer);
    lease.timer = this.#timer(id, lease.ttlSeconds);
  }

  /** The key now hangs on this lease only, or on none. */
  attach(key: string, id: bigint | undefined): void {
    const before = this.#byKey.get(key);
    if (before !== undefined) this.#leases.get(before)?.keys.delete(key);
    if (id === undefined) this.#byKey.delete(key);
    else {
      this.#byKey.set(key, id);
      const lease = this.#leases.get(id);
      if (lease) lease.keys.add(key);
      // The lease ended while the transaction was on its way: its keys go at once.
      else this.#onExpired(id);
    }
  }

  /** Forgets the lease; returns the keys that have to go with it. */
  end(id: bigint): string[] {
    const lease = this.#leases.get(id);
    if (lease) clearTimeout(lease.timer);
    this.#leases.delete(id);
    return [...this.#byKey].filter(([, of]) => of === id).map(([key]) => key);
  }

  close(): void {
    for (const { timer } of this.#leases.values()) clearTimeout(timer);
  }

  #timer(id: bigint, ttlSeconds: number): NodeJS.Timeout {
    return setTimeout(() => this.#onExpired(id), ttlSeconds * 1000).unref();
  }
}
