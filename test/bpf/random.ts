/** Marsaglia's xorshift32: small, quick, the same everywhere. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = Math.imul(seed | 0, 0x9e3779b1) ^ 0x6d2b79f5 || 1;
  }
  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }
  /** 0 … limit − 1 */
  below(limit: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * limit);
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  bytes(length: number): Uint8Array {
    const all = new Uint8Array(length);
    for (let i = 0; i < length; i++) all[i] = this.next() >>> 24;
    return all;
  }
}
