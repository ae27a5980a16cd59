/**
 * ChunkHints: which chunks of a disk may have room: one bit each, in memory only.
 *
 * A bit that is set may be wrong (who looks finds the chunk full and clears it); one that is not
 * set is right, so whoever frees blocks sets it. Above the bits lie bits that say which of their
 * words are not zero, and so on: the next chunk of 2^28 is found in a few steps. Pure.
 */

import { assert } from "../../util/assert.ts";

const WORD_BITS = 32;
const WORD_SHIFT = 5;

export class ChunkHints {
  #chunks: number;
  /** From the chunks' own bits up to a level of one word. */
  #levels: Uint32Array[] = [];

  /** All chunks may have room. */
  constructor(chunks: number) {
    assert(chunks >= 0 && chunks <= 2 ** 32, "chunk numbers have 32 bits");
    this.#chunks = 0;
    this.grow(chunks);
  }

  /** Memory that it takes. */
  get bytes(): number {
    let sum = 0;
    for (const level of this.#levels) sum += level.byteLength;
    return sum;
  }

  /**
   * The lowest chunk from `from` on that may have room, else the lowest of all that may. -1: none.
   * Hot path.
   */
  next(from: number): number {
    assert(from >= 0 && from <= this.#chunks, "the search begins at a chunk");
    const found = this.#search(0, from);
    return found >= 0 || from === 0 ? found : this.#search(0, 0);
  }

  // hot path
  setRoom(chunk: number, hasRoom: boolean): void {
    assert(chunk >= 0 && chunk < this.#chunks, "only chunks of the disk have hints");
    const levels = this.#levels;
    let index = chunk;
    for (let depth = 0; depth < levels.length; depth++) {
      const level = levels[depth] as Uint32Array; // depth is below the length
      const at = index >>> WORD_SHIFT;
      const before = level[at] as number; // each level has a bit for each word below
      const bit = (1 << (index & (WORD_BITS - 1))) >>> 0;
      const after = (hasRoom ? before | bit : before & ~bit) >>> 0;
      level[at] = after;
      // Above nothing changes unless the word has become zero, or is so no more.
      if ((before === 0) === (after === 0)) return;
      index = at;
    }
  }

  /** There are so many chunks now; new ones may have room. */
  grow(chunks: number): void {
    assert(chunks >= this.#chunks, "a disk does not lose chunks");
    const before = this.#chunks;
    const bits = this.#levels[0] ?? new Uint32Array(0);
    this.#chunks = chunks;
    this.#levels = [];
    let words = Math.ceil(chunks / WORD_BITS);
    const grown = new Uint32Array(words);
    grown.set(bits);
    setBits(grown, before, chunks);
    this.#levels.push(grown);
    for (let below = grown; words > 1; ) {
      words = Math.ceil(words / WORD_BITS);
      const level = new Uint32Array(words);
      for (let index = 0; index < below.length; index++) {
        if (below[index] !== 0) setBits(level, index, index + 1);
      }
      this.#levels.push(level);
      below = level;
    }
  }

  /** The lowest set bit of level `depth` from `from` on, or -1. */
  #search(depth: number, from: number): number {
    const level = this.#levels[depth];
    if (level === undefined) return -1;
    const at = Math.floor(from / WORD_BITS);
    if (at >= level.length) return -1;
    const rest = (((level[at] as number) >>> (from % WORD_BITS)) << (from % WORD_BITS)) >>> 0;
    if (rest !== 0) return at * WORD_BITS + lowestBit(rest);
    const word = this.#search(depth + 1, at + 1);
    return word < 0 ? -1 : word * WORD_BITS + lowestBit(level[word] as number); // it is not zero
  }
}

function lowestBit(word: number): number {
  return WORD_BITS - 1 - Math.clz32(word & -word);
}

function setBits(words: Uint32Array, start: number, end: number): void {
  for (let bit = start; bit < end; ) {
    const at = Math.floor(bit / WORD_BITS);
    if (bit % WORD_BITS === 0 && end - bit >= WORD_BITS) {
      words[at] = 0xffff_ffff;
      bit += WORD_BITS;
    } else {
      words[at] = ((words[at] as number) | (1 << (bit % WORD_BITS))) >>> 0; // below the length
      bit++;
    }
  }
}
