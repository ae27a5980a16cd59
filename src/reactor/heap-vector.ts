/**
 * HeapVector: an IoVector over slabs without addresses, for the fake and the portable Io.
 *
 * State: three arrays that are filled and read from `#first` on. Views are made per operation:
 * node:fs and node:net need them, and that level does not promise speed.
 */

import { assert } from "../util/assert.ts";
import type { IoVector } from "./io.ts";
import type { Slab } from "./slab.ts";

/** The kernel takes no more ranges at once (UIO_MAXIOV). */
const RANGES_PER_CALL_MAX = 1024;

export class HeapVector implements IoVector {
  readonly capacity: number;
  lengthBytes = 0;
  /** An operation uses it, and nobody else may change it. Set by an Io that looks after that. */
  busy = false;
  readonly #slabs: (Slab | null)[];
  readonly #offsets: Float64Array;
  readonly #lengths: Float64Array;
  #first = 0;
  #end = 0;

  constructor(capacity: number) {
    assert(Number.isSafeInteger(capacity) && capacity > 0, "a vector has room for a range");
    this.capacity = capacity;
    this.#slabs = new Array<Slab | null>(capacity).fill(null);
    this.#offsets = new Float64Array(capacity);
    this.#lengths = new Float64Array(capacity);
  }

  get count(): number {
    return this.#end - this.#first;
  }

  // hot path
  clear(): void {
    assert(!this.busy, "a vector in use does not change");
    this.#first = 0;
    this.#end = 0;
    this.lengthBytes = 0;
  }

  // hot path
  push(slab: Slab, offset: number, lengthBytes: number): void {
    assert(!this.busy, "a vector in use does not change");
    assert(this.#end < this.capacity, "a vector has room for one more range");
    assert(
      offset >= 0 && lengthBytes >= 0 && offset + lengthBytes <= slab.lengthBytes,
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

  /** The slab of the range `index` of those left; its offset and length follow. */
  slabAt(index: number): Slab {
    return this.#slabs[this.#first + index] as Slab;
  }

  offsetAt(index: number): number {
    return this.#offsets[this.#first + index] as number;
  }

  lengthAt(index: number): number {
    return this.#lengths[this.#first + index] as number;
  }

  /** Views of the bytes after the first `skipBytes`, as many as one system call takes. */
  views(skipBytes: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    let skip = skipBytes;
    for (let at = this.#first; at < this.#end; at++) {
      const length = this.#lengths[at] as number;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const start = (this.#offsets[at] as number) + skip;
      const slab = this.#slabs[at] as Slab;
      views.push(slab.bytes.subarray(start, start + length - skip));
      if (views.length === RANGES_PER_CALL_MAX) break;
      skip = 0;
    }
    return views;
  }
}
