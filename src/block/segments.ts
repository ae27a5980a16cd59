/**
 * The memory of a request: 1 to 256 ranges {slab, offset, length}, one in the common case.
 *
 * A list owns no memory; whoever fills it keeps the ranges alive until the request has completed.
 */

import { assert } from "../util/assert.ts";

/** A request never has more segments than this. */
export const SEGMENT_COUNT_MAX = 256;

const FIELDS = 3;

export class SegmentList {
  /** Number of segments. */
  count = 0;
  /** Sum of the segments' lengths. */
  lengthBytes = 0;
  #fields: Int32Array;

  constructor() {
    // One segment is the common case; the array grows to its final size with use and stays.
    this.#fields = new Int32Array(2 * FIELDS);
  }

  // hot path
  clear(): void {
    this.count = 0;
    this.lengthBytes = 0;
  }

  // hot path
  push(slabId: number, offset: number, lengthBytes: number): void {
    const at = this.count * FIELDS;
    if (at === this.#fields.length) this.#grow();
    const fields = this.#fields;
    fields[at] = slabId;
    fields[at + 1] = offset;
    fields[at + 2] = lengthBytes;
    this.count++;
    this.lengthBytes += lengthBytes;
  }

  slabId(index: number): number {
    return this.#fields[index * FIELDS] as number;
  }

  offset(index: number): number {
    return this.#fields[index * FIELDS + 1] as number;
  }

  length(index: number): number {
    return this.#fields[index * FIELDS + 2] as number;
  }

  /** Makes this list the same as `other`. Hot path. */
  copyFrom(other: SegmentList): void {
    this.clear();
    for (let index = 0; index < other.count; index++) {
      this.push(other.slabId(index), other.offset(index), other.length(index));
    }
  }

  /** Appends `other`'s bytes [start, start + lengthBytes), without copying any byte. */
  appendRange(other: SegmentList, start: number, lengthBytes: number): void {
    assert(start + lengthBytes <= other.lengthBytes, "range lies within the other list");
    let skip = start;
    let left = lengthBytes;
    for (let index = 0; left > 0; index++) {
      const length = other.length(index);
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const taken = Math.min(length - skip, left);
      this.push(other.slabId(index), other.offset(index) + skip, taken);
      skip = 0;
      left -= taken;
    }
  }

  #grow(): void {
    assert(this.count < SEGMENT_COUNT_MAX, `a request has at most ${SEGMENT_COUNT_MAX} segments`);
    const grown = new Int32Array(Math.min(this.#fields.length * 4, SEGMENT_COUNT_MAX * FIELDS));
    grown.set(this.#fields);
    this.#fields = grown;
  }
}
