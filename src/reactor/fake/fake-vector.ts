/**
 * FakeVector: ranges of slabs for the fake Io. It asserts what a real one cannot see: that nobody
 * changes it while an operation uses it.
 */

import { assert } from "../../util/assert.ts";
import type { IoVector } from "../io.ts";
import type { Slab } from "../slab.ts";

export class FakeVector implements IoVector {
  readonly capacity: number;
  lengthBytes = 0;
  /** An operation uses it. Set by the Io. */
  busy = false;
  readonly #slabs: (Slab | null)[];
  readonly #offsets: number[];
  readonly #lengths: number[];
  #first = 0;
  #end = 0;

  constructor(capacity: number) {
    assert(Number.isSafeInteger(capacity) && capacity > 0, "a vector has room for a range");
    this.capacity = capacity;
    this.#slabs = new Array<Slab | null>(capacity).fill(null);
    this.#offsets = new Array<number>(capacity).fill(0);
    this.#lengths = new Array<number>(capacity).fill(0);
  }

  get count(): number {
    return this.#end - this.#first;
  }

  clear(): void {
    assert(!this.busy, "a vector in use does not change");
    this.#first = 0;
    this.#end = 0;
    this.lengthBytes = 0;
  }

  push(slab: Slab, offset: number, lengthBytes: number): void {
    assert(!this.busy, "a vector in use does not change");
    assert(this.#end < this.capacity, "a vector has room for one more range");
    assert(
      offset >= 0 && lengthBytes > 0 && offset + lengthBytes <= slab.lengthBytes,
      "a range lies within its slab",
    );
    const at = this.#end++;
    this.#slabs[at] = slab;
    this.#offsets[at] = offset;
    this.#lengths[at] = lengthBytes;
    this.lengthBytes += lengthBytes;
  }

  advance(lengthBytes: number): void {
    assert(!this.busy, "a vector in use does not change");
    assert(lengthBytes <= this.lengthBytes, "advance stays within the vector");
    this.lengthBytes -= lengthBytes;
    let left = lengthBytes;
    while (left > 0) {
      const length = this.#lengths[this.#first] as number;
      if (length > left) {
        this.#offsets[this.#first] = (this.#offsets[this.#first] as number) + left;
        this.#lengths[this.#first] = length - left;
        return;
      }
      left -= length;
      this.#first++;
    }
  }

  /** Slab, offset and length of the range `index` of those left. */
  slabAt(index: number): Slab {
    return this.#slabs[this.#first + index] as Slab;
  }

  offsetAt(index: number): number {
    return this.#offsets[this.#first + index] as number;
  }

  lengthAt(index: number): number {
    return this.#lengths[this.#first + index] as number;
  }
}
