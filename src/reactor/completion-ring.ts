/**
 * Completions that a device knows inside `submit`: queued here, delivered in the reactor's turn.
 *
 * A ring that grows by doubling (its bound is the number of requests in flight, which their owners
 * bound). Delivery is a flat loop, so a chain of 100,000 requests does not grow the stack.
 */

import { assert } from "../util/assert.ts";

/** What the ring needs of a request. */
export interface Finishable {
  /** @param status a `Status` of `block/` (this layer only carries it) */
  finish(status: never): void;
}

const CAPACITY_INITIAL = 256;

export class CompletionRing {
  #items: (Finishable | null)[] = new Array<Finishable | null>(CAPACITY_INITIAL).fill(null);
  #statuses = new Uint8Array(CAPACITY_INITIAL);
  #head = 0;
  #count = 0;
  readonly #wake: () => void;

  /** @param wake asks for a turn; called when the ring stops being empty */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  /** Waiting to be delivered. */
  get count(): number {
    return this.#count;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  // hot path
  push(item: Finishable, status: number): void {
    if (this.#count === this.#items.length) this.#grow();
    const at = (this.#head + this.#count) & (this.#items.length - 1);
    this.#items[at] = item;
    this.#statuses[at] = status;
    if (this.#count++ === 0) this.#wake();
  }

  /**
   * Delivers at most `limit` completions, those queued meanwhile too.
   * @returns how many were delivered
   */
  drain(limit: number): number {
    let delivered = 0;
    while (this.#count > 0 && delivered < limit) {
      const at = this.#head;
      const item = this.#items[at];
      const status = this.#statuses[at];
      assert(item !== null && item !== undefined, "a queued completion has its request");
      this.#items[at] = null;
      this.#head = (at + 1) & (this.#items.length - 1);
      this.#count--;
      delivered++;
      item.finish(status as never);
    }
    return delivered;
  }

  #grow(): void {
    const capacity = this.#items.length;
    const items = new Array<Finishable | null>(capacity * 2).fill(null);
    const statuses = new Uint8Array(capacity * 2);
    for (let index = 0; index < this.#count; index++) {
      const at = (this.#head + index) & (capacity - 1);
      items[index] = this.#items[at] ?? null;
      statuses[index] = this.#statuses[at] as number;
    }
    this.#items = items;
    this.#statuses = statuses;
    this.#head = 0;
  }
}
