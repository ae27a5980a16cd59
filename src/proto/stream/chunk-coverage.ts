/**
 * ChunkCoverage: which bytes of one read have arrived, in whatever pieces and order.
 *
 * Ranges are kept sorted and joined: a server that answers from front to back has one. Their
 * number is bounded, so that nobody's scattered bytes take our memory or time.
 */

/** A read answered in more disjoint pieces than this at a time is refused. */
export const COVERAGE_RANGES_MAX = 256;

export class ChunkCoverage {
  #count = 0;
  #starts: number[] = [];
  #ends: number[] = [];

  clear(): void {
    this.#count = 0;
  }

  /** True when exactly [start, end) has been added. Hot path. */
  covers(start: number, end: number): boolean {
    return this.#count === 1 && this.#starts[0] === start && this.#ends[0] === end;
  }

  /** Adds [start, end), not empty. @returns false: it overlaps, or there are too many. Hot path. */
  add(start: number, end: number): boolean {
    const last = this.#count - 1;
    if (last < 0 || (this.#ends[last] as number) < start)
      return this.#insert(this.#count, start, end);
    if (this.#ends[last] === start) {
      this.#ends[last] = end;
      return true;
    }
    return this.#addBefore(start, end);
  }

  #addBefore(start: number, end: number): boolean {
    let at = 0;
    while (at < this.#count && (this.#ends[at] as number) < start) at++;
    // The first range that ends at or behind the start.
    if ((this.#ends[at] as number) === start) {
      const next = at + 1;
      if (next < this.#count && (this.#starts[next] as number) < end) return false;
      this.#ends[at] = end;
      if (next < this.#count && this.#starts[next] === end) this.#joinNext(at);
      return true;
    }
    if ((this.#starts[at] as number) < end) return false;
    if (this.#starts[at] !== end) return this.#insert(at, start, end);
    this.#starts[at] = start;
    return true;
  }

  #insert(at: number, start: number, end: number): boolean {
    if (this.#count === COVERAGE_RANGES_MAX) return false;
    for (let index = this.#count; index > at; index--) {
      this.#starts[index] = this.#starts[index - 1] as number;
      this.#ends[index] = this.#ends[index - 1] as number;
    }
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#count++;
    return true;
  }

  #joinNext(at: number): void {
    this.#ends[at] = this.#ends[at + 1] as number;
    this.#count--;
    for (let index = at + 1; index < this.#count; index++) {
      this.#starts[index] = this.#starts[index + 1] as number;
      this.#ends[index] = this.#ends[index + 1] as number;
    }
  }
}
