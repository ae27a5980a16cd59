/**
 * DueHeap: requests by the time at which each is due, soonest first; those due at the same moment
 * in the order in which they came. A binary heap in arrays that grow by doubling, bounded by what
 * the submitters have in flight.
 */

import type { Request } from "../block/request.ts";
import { assert } from "../util/assert.ts";

const CAPACITY_INITIAL = 64;

export class DueHeap {
  count = 0;
  #requests: (Request | null)[] = new Array<Request | null>(CAPACITY_INITIAL).fill(null);
  #dueMs = new Float64Array(CAPACITY_INITIAL);
  #orders = new Float64Array(CAPACITY_INITIAL);
  #lastOrder = 0;

  /** When the first is due; infinity when there is none. Hot path. */
  get firstMs(): number {
    return this.count === 0 ? Number.POSITIVE_INFINITY : (this.#dueMs[0] as number);
  }

  // hot path
  push(request: Request, dueMs: number): void {
    if (this.count === this.#requests.length) this.#grow();
    const order = ++this.#lastOrder;
    let at = this.count++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      // The new one came last: it goes before others only when it is due sooner.
      if ((this.#dueMs[parent] as number) <= dueMs) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#requests[at] = request;
    this.#dueMs[at] = dueMs;
    this.#orders[at] = order;
  }

  /** The first one. Hot path. */
  pop(): Request {
    const request = this.#requests[0];
    assert(this.count > 0 && request !== null && request !== undefined, "a heap has a first");
    const last = --this.count;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#isBefore(child + 1, child)) child++;
      if (this.#isBefore(last, child)) break;
      this.#move(child, at);
      at = child;
    }
    this.#move(last, at);
    this.#requests[last] = null;
    return request;
  }

  #isBefore(one: number, other: number): boolean {
    const difference = (this.#dueMs[one] as number) - (this.#dueMs[other] as number);
    if (difference !== 0) return difference < 0;
    return (this.#orders[one] as number) < (this.#orders[other] as number);
  }

  #move(from: number, to: number): void {
    this.#requests[to] = this.#requests[from] as Request | null;
    this.#dueMs[to] = this.#dueMs[from] as number;
    this.#orders[to] = this.#orders[from] as number;
  }

  #grow(): void {
    const capacity = 2 * this.#requests.length;
    const dueMs = new Float64Array(capacity);
    const orders = new Float64Array(capacity);
    dueMs.set(this.#dueMs);
    orders.set(this.#orders);
    while (this.#requests.length < capacity) this.#requests.push(null);
    this.#dueMs = dueMs;
    this.#orders = orders;
  }
}
