/**
 * SectorStamp: what bench writes into each sector of 512 bytes, so that a single sector that is
 * corrupt, stale or in the wrong place is found and named.
 *
 *   word 0       magic
 *   word 1       generation: how often its block had been written before in that run
 *   words 2, 3   number of the sector on the device, low half first
 *   words 4, 5   seed, low half first
 *   words 6-127  filler that follows from all of the above
 *
 * Words are little-endian. Every bit is determined by (seed, sector, generation), so every bit that
 * differs is seen. Stateless but for the seed.
 */

import { assert } from "../util/assert.ts";

export const SECTOR_BYTES = 512;
const SECTOR_WORDS = SECTOR_BYTES / 4;
const HEADER_WORDS = 6;
/** "PSbn" */
const MAGIC = 0x6e62_5350;
const UINT32_RANGE = 2 ** 32;

/** Instead of a generation: whatever the sector itself says. */
export const ANY_GENERATION = -1;

/** What a sector's stamp says. */
export interface Stamp {
  readonly seed: number;
  /** Bytes from the start of the device. */
  readonly offset: number;
  readonly generation: number;
}

/** What was found in a sector instead of what should be there. */
export type Finding =
  /** A whole stamp, of an older (or newer) generation, another place or another seed. */
  | { readonly kind: "stale" | "misplaced" | "other-seed"; readonly found: Stamp }
  /** This sector's stamp, but for some bytes. */
  | {
      readonly kind: "corrupt";
      readonly differingBytes: number;
      readonly firstByte: number;
      readonly expectedByte: number;
      readonly foundByte: number;
    }
  | { readonly kind: "zeroes" }
  /** Nothing of ours; the first 16 bytes in hex. */
  | { readonly kind: "foreign"; readonly beginsWith: string };

export class SectorStamp {
  readonly seed: number;
  readonly #low: number;
  readonly #high: number;
  readonly #scratch = new Int32Array(SECTOR_WORDS);

  /** @param seed integer from 0 to 2^53 - 1 */
  constructor(seed: number) {
    assert(Number.isSafeInteger(seed) && seed >= 0, `bad seed: ${seed}`);
    this.seed = seed;
    this.#low = seed | 0;
    this.#high = Math.floor(seed / UINT32_RANGE) | 0;
  }

  /**
   * Stamps whole sectors: `lengthBytes` bytes from `words[at]` on, which are to lie at `offset` of
   * the device. Hot path.
   */
  write(words: Int32Array, at: number, lengthBytes: number, place: Place): void {
    let sector = place.offset / SECTOR_BYTES;
    const end = at + lengthBytes / 4;
    for (let from = at; from < end; from += SECTOR_WORDS) {
      this.#stamp(words, from, sector++, place.generation);
    }
  }

  /**
   * Looks at whole sectors. @returns how many are not as they should be. Hot path.
   */
  countBad(words: Int32Array, at: number, lengthBytes: number, place: Place): number {
    let bad = 0;
    let sector = place.offset / SECTOR_BYTES;
    const end = at + lengthBytes / 4;
    for (let from = at; from < end; from += SECTOR_WORDS) {
      if (!this.#isGood(words, from, sector++, place.generation)) bad++;
    }
    return bad;
  }

  /** The generation that all sectors agree in, else ANY_GENERATION. They have been found good. */
  commonGeneration(words: Int32Array, at: number, lengthBytes: number): number {
    const generation = words[at + 1] as number;
    const end = at + lengthBytes / 4;
    for (let from = at + SECTOR_WORDS; from < end; from += SECTOR_WORDS) {
      if (words[from + 1] !== generation) return ANY_GENERATION;
    }
    return generation;
  }

  /** What is wrong with one sector; null when it is good. For messages: not fast. */
  examine(words: Int32Array, at: number, place: Place): Finding | null {
    const sector = place.offset / SECTOR_BYTES;
    if (this.#isGood(words, at, sector, place.generation)) return null;
    const own = words.slice(at, at + SECTOR_WORDS);
    if (own.every((word) => word === 0)) return { kind: "zeroes" };
    const found = readStamp(own);
    if (found !== null) {
      // A whole stamp cannot differ in nothing, so the last case is the generation.
      const { seed, offset } = found;
      if (seed !== this.seed) return { kind: "other-seed", found };
      return { kind: offset === place.offset ? "stale" : "misplaced", found };
    }
    const ownGeneration = own[1] as number;
    const generation = place.generation === ANY_GENERATION ? ownGeneration : place.generation;
    return this.#compare(own, sector, generation);
  }

  /** Bytes of this very stamp, or of nobody's. */
  #compare(own: Int32Array, sector: number, generation: number): Finding {
    const expected = this.#scratch;
    this.#stamp(expected, 0, sector, generation);
    const should = new Uint8Array(expected.buffer);
    const is = new Uint8Array(own.buffer, own.byteOffset, SECTOR_BYTES);
    let differingBytes = 0;
    let firstByte = -1;
    for (let index = 0; index < SECTOR_BYTES; index++) {
      if (is[index] === should[index]) continue;
      if (firstByte < 0) firstByte = index;
      differingBytes++;
    }
    if (differingBytes > SECTOR_BYTES / 2) {
      return { kind: "foreign", beginsWith: Buffer.from(is.subarray(0, 16)).toString("hex") };
    }
    const expectedByte = should[firstByte] as number; // they differ somewhere
    const foundByte = is[firstByte] as number;
    return { kind: "corrupt", differingBytes, firstByte, expectedByte, foundByte };
  }

  // hot path
  #stamp(words: Int32Array, at: number, sector: number, generation: number): void {
    const high = Math.floor(sector / UINT32_RANGE) | 0;
    words[at] = MAGIC;
    words[at + 1] = generation;
    words[at + 2] = sector | 0;
    words[at + 3] = high;
    words[at + 4] = this.#low;
    words[at + 5] = this.#high;
    let filler = mixed(this.#low, this.#high, sector | 0, high, generation);
    const end = at + SECTOR_WORDS;
    for (let index = at + HEADER_WORDS; index < end; index++) {
      filler = nextFiller(filler);
      words[index] = filler;
    }
  }

  // hot path
  #isGood(words: Int32Array, at: number, sector: number, expected: number): boolean {
    const generation = expected === ANY_GENERATION ? (words[at + 1] as number) : expected;
    const high = Math.floor(sector / UINT32_RANGE) | 0;
    let differing = (words[at] as number) ^ MAGIC;
    differing |= (words[at + 1] as number) ^ generation;
    differing |= (words[at + 2] as number) ^ (sector | 0);
    differing |= (words[at + 3] as number) ^ high;
    differing |= (words[at + 4] as number) ^ this.#low;
    differing |= (words[at + 5] as number) ^ this.#high;
    // Generations are never negative: a negative one is no stamp of ours.
    if (differing !== 0 || generation < 0) return false;
    let filler = mixed(this.#low, this.#high, sector | 0, high, generation);
    const end = at + SECTOR_WORDS;
    for (let index = at + HEADER_WORDS; index < end; index++) {
      filler = nextFiller(filler);
      differing |= (words[index] as number) ^ filler;
    }
    return differing === 0;
  }
}

/** Where sectors lie, and in which generation. */
export interface Place {
  readonly offset: number;
  /** From 0 to 2^31 - 1, or ANY_GENERATION. */
  readonly generation: number;
}

/** A stamp that is whole, of whatever seed and place; else null. */
function readStamp(sectorWords: Int32Array): Stamp | null {
  const [magic, generation, low, high, seedLow, seedHigh] = sectorWords as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (magic !== MAGIC || generation < 0) return null;
  const seed = (seedHigh >>> 0) * UINT32_RANGE + (seedLow >>> 0);
  const offset = ((high >>> 0) * UINT32_RANGE + (low >>> 0)) * SECTOR_BYTES;
  if (!Number.isSafeInteger(seed) || !Number.isSafeInteger(offset)) return null;
  const isWhole =
    new SectorStamp(seed).countBad(sectorWords, 0, SECTOR_BYTES, { offset, generation }) === 0;
  return isWhole ? { seed, offset, generation } : null;
}

// hot path
function nextFiller(filler: number): number {
  // Numerical Recipes' congruential generator: cheap, and no two starts give the same words.
  return (Math.imul(filler, 1_664_525) + 1_013_904_223) | 0;
}

/** Every bit of the arguments changes about half of the result's. Hot path. */
function mixed(seedLow: number, seedHigh: number, low: number, high: number, more: number): number {
  let hash = seedLow ^ 0x9e37_79b9;
  hash = Math.imul(hash ^ (hash >>> 16) ^ seedHigh, 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ low, 0xc2b2_ae35);
  hash = Math.imul(hash ^ (hash >>> 16) ^ high, 0x27d4_eb2f);
  hash = Math.imul(hash ^ (hash >>> 15) ^ more, 0x1656_67b1);
  return hash ^ (hash >>> 16);
}
