/**
 * ExclusiveGate: lets changes run side by side, but a compare-and-write alone among them.
 *
 *   open --exclusive waits--> draining --changes in flight ended--> exclusive --leave--> open
 *
 * While an exclusive request waits or runs, later changes queue behind it in their order. Reads
 * do not pass the gate. The queue is bounded by the requests in flight on the device.
 *
 * Not a `RangeTable` with a range for the whole device: that one searches all changes in flight for
 * each write, and a share has done so already. Compare-and-write is rare, and writes pay a counter.
 */

import { assert } from "../util/assert.ts";
import type { Request } from "./request.ts";

export class ExclusiveGate {
  /** Changes that run now. */
  #running = 0;
  #exclusive = false;
  readonly #queue: { readonly request: Request; readonly exclusive: boolean }[] = [];
  readonly #start: (request: Request) => void;

  /** @param start runs a request that had to wait */
  constructor(start: (request: Request) => void) {
    this.#start = start;
  }

  /** True: run it now. False: it is queued, `start` gets it later. Hot path. */
  enter(request: Request, exclusive: boolean): boolean {
    if (this.#exclusive || this.#queue.length > 0 || (exclusive && this.#running > 0)) {
      this.#queue.push({ request, exclusive });
      return false;
    }
    this.#exclusive = exclusive;
    this.#running++;
    return true;
  }

  /** An admitted request has ended. Hot path. */
  leave(): void {
    assert(this.#running > 0, "a request leaves once");
    this.#running--;
    this.#exclusive = false;
    while (this.#queue.length > 0) {
      const first = this.#queue[0];
      if (first === undefined || this.#exclusive || (first.exclusive && this.#running > 0)) return;
      this.#queue.shift();
      this.#exclusive = first.exclusive;
      this.#running++;
      this.#start(first.request);
    }
  }
}
