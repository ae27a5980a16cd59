/**
 * WalkBitmap: which blocks of one range of a disk something refers to, and which of them the pool's
 * own map says are in use. One bit each, twice: 64 MiB for the longest range, 1 TiB of disk. Pure.
 */

import { assert } from "../../util/assert.ts";

export const RANGE_BLOCKS_MAX = 2 ** 28;

const WORD_BITS = 32;

export class WalkBitmap {
  readonly first: number;
  readonly count: number;
  readonly #found: Uint32Array;
  readonly #mapped: Uint32Array;

  /** Blocks [first, first + count) of a disk. */
  constructor(first: number, count: number) {
    assert(count > 0 && count <= RANGE_BLOCKS_MAX, "a range has blocks, and a limit");
    assert(first % WORD_BITS === 0, "a range begins at a word");
    this.first = first;
    this.count = count;
    this.#found = new Uint32Array(Math.ceil(count / WORD_BITS));
    this.#mapped = new Uint32Array(Math.ceil(count / WORD_BITS));
  }

  /** Something refers to the block. @returns false: something else does, too */
  find(block: number): boolean {
    const index = block - this.first;
    if (index < 0 || index >= this.count) return true;
    const at = index >>> 5;
    const bit = 1 << (index & (WORD_BITS - 1));
    const before = this.#found[at] as number; // the index is in the range
    this.#found[at] = before | bit;
    return (before & bit) === 0;
  }

  /** The map's bits of 32 blocks from `block` on, which is a multiple of 32. */
  map(block: number, bits: number): void {
    assert(block % WORD_BITS === 0, "bits of a map begin at a word");
    const at = (block - this.first) / WORD_BITS;
    if (at >= 0 && at < this.#mapped.length) this.#mapped[at] = bits;
  }

  /** As `map`, for a part of the 32 blocks: the others stay as they are. */
  join(block: number, bits: number): void {
    const at = (block - this.first) / WORD_BITS;
    if (at >= 0 && at < this.#mapped.length) this.map(block, (this.#mapped[at] as number) | bits);
  }

  /**
   * Runs of blocks on which both disagree: in use and found by nobody (an orphan), or found and
   * free by the map (it will be given away).
   */
  *differences(): Generator<{ first: number; count: number; isOrphan: boolean }> {
    let run: { first: number; count: number; isOrphan: boolean } | null = null;
    for (let index = 0; index < this.count; index++) {
      const at = index >>> 5;
      const bits = (this.#found[at] as number) ^ (this.#mapped[at] as number); // in the range
      if (bits === 0 && run === null) {
        index |= WORD_BITS - 1;
        continue;
      }
      const bit = 1 << (index & (WORD_BITS - 1));
      const differs = (bits & bit) !== 0;
      const isOrphan = ((this.#mapped[at] as number) & bit) !== 0;
      if (run !== null && (!differs || run.isOrphan !== isOrphan)) {
        yield run;
        run = null;
      }
      if (!differs) continue;
      if (run === null) run = { first: this.first + index, count: 1, isOrphan };
      else run.count++;
    }
    if (run !== null) yield run;
  }
}
