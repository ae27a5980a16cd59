/**
 * NumberIndex: numbers to small numbers, in typed arrays: open addressing, linear probing. Pure.
 *
 * For indexes that are asked per block (pages by address, chunks by number): nothing is allocated
 * but when it grows.
 */

import { assert } from "../util/assert.ts";

const EMPTY = -1;
const CAPACITY_MIN = 16;

export class NumberIndex {
  #keys: Float64Array = new Float64Array(CAPACITY_MIN).fill(EMPTY);
  #values: Int32Array = new Int32Array(CAPACITY_MIN);
  #mask: number = CAPACITY_MIN - 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The value of `key` (0 or more), or -1. Hot path. */
  get(key: number): number {
    const keys = this.#keys;
    for (let at = hash(key) & this.#mask; ; at = (at + 1) & this.#mask) {
      const found = keys[at] as number;
      if (found === key) return this.#values[at] as number;
      if (found === EMPTY) return -1;
    }
  }

  /** Hot path. */
  set(key: number, value: number): void {
    assert(key >= 0 && value >= 0, "keys and values are not negative");
    if (this.#size * 2 > this.#mask) this.#grow();
    let at = hash(key) & this.#mask;
    while (this.#keys[at] !== EMPTY && this.#keys[at] !== key) at = (at + 1) & this.#mask;
    if (this.#keys[at] === EMPTY) this.#size++;
    this.#keys[at] = key;
    this.#values[at] = value;
  }

  /** Takes out a key that is there. Hot path. */
  delete(key: number): void {
    const keys = this.#keys;
    const mask = this.#mask;
    let at = hash(key) & mask;
    while (keys[at] !== key) {
      assert(keys[at] !== EMPTY, "only a key that is there is taken out");
      at = (at + 1) & mask;
    }
    this.#size--;
    // Those behind it that would not be found any more move up.
    let hole = at;
    for (let next = (hole + 1) & mask; keys[next] !== EMPTY; next = (next + 1) & mask) {
      const home = hash(keys[next] as number) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      keys[hole] = keys[next] as number;
      this.#values[hole] = this.#values[next] as number;
      hole = next;
    }
    keys[hole] = EMPTY;
  }

  #grow(): void {
    const [keys, values] = [this.#keys, this.#values];
    const capacity = (this.#mask + 1) * 2;
    this.#keys = new Float64Array(capacity).fill(EMPTY);
    this.#values = new Int32Array(capacity);
    this.#mask = capacity - 1;
    this.#size = 0;
    for (let at = 0; at < keys.length; at++) {
      if (keys[at] !== EMPTY) this.set(keys[at] as number, values[at] as number);
    }
  }
}

/** Keys have up to 53 bits. */
function hash(key: number): number {
  const high = Math.floor(key / 2 ** 32);
  let mixed = Math.imul((key ^ Math.imul(high, 0x9e3779b1)) | 0, 0x85ebca6b);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 13)) >>> 0;
}
