/**
 * BlockMap: what bench knows of each block of its range: the generation that it holds, and whether
 * a request has it now. One word per block:
 *
 *   bit 31      a request of ours is on its way for it: no other may be
 *   bits 0-30   generation + 1; 0: not known
 */

import { assert } from "../util/assert.ts";
import { ANY_GENERATION } from "./sector-stamp.ts";

/** 1 GiB of memory. */
export const BLOCK_COUNT_MAX = 2 ** 28;

const BUSY = 0x8000_0000;
const KNOWN = 0x7fff_ffff;

export class BlockMap {
  readonly #words: Uint32Array;

  constructor(blockCount: number) {
    assert(blockCount >= 1 && blockCount <= BLOCK_COUNT_MAX, `1 to ${BLOCK_COUNT_MAX} blocks`);
    this.#words = new Uint32Array(blockCount);
  }

  /**
   * Takes `block`, or the next one (the first follows the last) that no request has. There is one:
   * there are more blocks than requests. Hot path.
   */
  claimFrom(block: number): number {
    const words = this.#words;
    let found = block;
    while ((words[found] as number) >= BUSY) found = found + 1 === words.length ? 0 : found + 1;
    words[found] = (words[found] as number) | BUSY;
    return found;
  }

  // hot path
  release(block: number): void {
    this.#words[block] = (this.#words[block] as number) & KNOWN;
  }

  /** What the block holds, or ANY_GENERATION. Hot path. */
  generationOf(block: number): number {
    const known = (this.#words[block] as number) & KNOWN;
    return known === 0 ? ANY_GENERATION : known - 1;
  }

  /** @param generation or ANY_GENERATION: not known. Hot path. */
  set(block: number, generation: number): void {
    const busy = (this.#words[block] as number) & BUSY;
    this.#words[block] = (busy | (generation + 1)) >>> 0;
  }

  /** Blocks whose generation is known. */
  countKnown(): number {
    let known = 0;
    for (const word of this.#words) if ((word & KNOWN) !== 0) known++;
    return known;
  }
}
