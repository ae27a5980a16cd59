/**
 * TokenBucket: a rate with a burst. Tokens come at the rate, up to the capacity; what costs more
 * than the capacity goes when the bucket is full and leaves it in debt, so that it makes progress
 * and the rate still holds.
 *
 * In any stretch of time, takings are at most rate x time + max(capacity, the largest cost).
 * State: the level at one moment. Reads no clock: the owner says what time it is.
 */

import { assert } from "../util/assert.ts";

/** Rounding of the clock's fractions must not make a timer come again and again. */
const TOLERANCE_MS = 1e-4;

export interface TokenBucketOptions {
  /** Tokens per second, more than 0. */
  readonly perSecond: number;
  /** Tokens that may be saved up, more than 0. The bucket starts full. */
  readonly capacity: number;
}

export class TokenBucket {
  readonly perSecond: number;
  readonly capacity: number;
  /** The cost that somebody waits for, so that nobody may take before; 0: open. The owner's. */
  closedFor = 0;
  readonly #perMs: number;
  readonly #tolerance: number;
  readonly #half: number;
  #level: number;
  /** Since the last refill, without a look at the clock. */
  #takenUnseen = 0;
  #atMs: number;

  constructor({ perSecond, capacity }: TokenBucketOptions, nowMs: number) {
    assert(perSecond > 0 && capacity > 0, "a bucket has a rate and a capacity");
    this.perSecond = perSecond;
    this.capacity = capacity;
    this.#perMs = perSecond / 1000;
    this.#tolerance = this.#perMs * TOLERANCE_MS;
    this.#half = capacity / 2;
    this.#level = capacity;
    this.#atMs = nowMs;
  }

  /** Tokens there are; below 0: in debt. As of the last `refill`. */
  get level(): number {
    return this.#level;
  }

  /** Takes over what is in `other`, but for what is more than this one holds. */
  adopt(other: TokenBucket): void {
    this.#level = Math.min(other.level, this.capacity);
  }

  /** Adds what has come until now. Hot path. */
  refill(nowMs: number): void {
    // What was taken without a look at the clock counts as taken now: a bucket that was full then
    // has lost what would have come meanwhile, and no stretch of time gets more than its burst.
    const untouched = this.#level + this.#takenUnseen + (nowMs - this.#atMs) * this.#perMs;
    this.#level = Math.min(untouched, this.capacity) - this.#takenUnseen;
    this.#takenUnseen = 0;
    this.#atMs = nowMs;
  }

  /** True while more than half is left afterwards: then nobody need ask for the time. Hot path. */
  hasPlenty(cost: number): boolean {
    return this.#level - cost >= this.#half;
  }

  /** True when something of this cost may be taken now. Hot path. */
  has(cost: number): boolean {
    const needed = Math.min(cost, this.capacity);
    return this.#level + this.#tolerance >= needed;
  }

  /** Right after a `refill`. Hot path. */
  take(cost: number): void {
    this.#level -= cost;
  }

  /** Without a `refill` before, where there is plenty. Hot path. */
  takeUnseen(cost: number): void {
    this.#level -= cost;
    this.#takenUnseen += cost;
  }

  /** Until `has(cost)`, if nobody takes meanwhile. As of the last `refill`. */
  msUntil(cost: number): number {
    return Math.max(0, (Math.min(cost, this.capacity) - this.#level) / this.#perMs);
  }

  /** The time in which as much comes. */
  msOf(tokens: number): number {
    return tokens / this.#perMs;
  }
}
