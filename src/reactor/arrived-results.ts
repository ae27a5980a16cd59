/**
 * ArrivedResults: results of operations that did not go through the ring, until the next turn.
 *
 * Two parallel arrays that keep their size; bounded by the operations in flight.
 */

export class ArrivedResults {
  /** How many wait. */
  count = 0;
  readonly #slots: number[] = [];
  readonly #results: number[] = [];

  // hot path
  push(slot: number, result: number): void {
    this.#slots[this.count] = slot;
    this.#results[this.count++] = result;
  }

  slot(index: number): number {
    return this.#slots[index] as number;
  }

  result(index: number): number {
    return this.#results[index] as number;
  }

  /** Drops the oldest `count`; those that came meanwhile move up. */
  removeFirst(count: number): void {
    const left = this.count - count;
    for (let index = 0; index < left; index++) {
      this.#slots[index] = this.#slots[count + index] as number;
      this.#results[index] = this.#results[count + index] as number;
    }
    this.count = left;
  }
}
