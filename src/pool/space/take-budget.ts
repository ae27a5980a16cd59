/**
 * TakeBudget: how many blocks may be taken until the next label is durable. Pure.
 *
 * An import writes its pages to blocks that were free in the label that it finds and that the log
 * since then does not name. In a pool that is nearly full blocks go round: after a while each one
 * that was free is named by the log. So between two labels no more blocks are taken, for data and
 * pages together, than were free at the first; then a checkpoint has to come.
 */

import { assert } from "../../util/assert.ts";

interface ClosedBudget {
  readonly generation: number;
  left: number;
}

export class TakeBudget {
  /** Free blocks of the durable label, less what was taken since it was frozen. */
  #left = Number.POSITIVE_INFINITY;
  /** Of labels that are being written. */
  readonly #closed: ClosedBudget[] = [];

  /**
   * @param free what a label made now would have: when that is no more, waiting for one would not
   *   help
   */
  allows(count: number, free: number): boolean {
    return this.#left >= count || free <= this.#left;
  }

  taken(count: number): void {
    this.#left -= count;
    for (const closed of this.#closed) closed.left -= count;
  }

  /** Taken, and in no record and on no page that a label or the log could name. */
  returned(count: number): void {
    this.taken(-count);
  }

  frozen(generation: number, free: number): void {
    assert(free >= 0, "free blocks are counted");
    this.#closed.push({ generation, left: free });
  }

  committed(generation: number): void {
    for (let closed = this.#closed[0]; closed !== undefined; closed = this.#closed[0]) {
      if (closed.generation > generation) break;
      this.#closed.shift();
      this.#left = closed.left;
    }
  }
}
