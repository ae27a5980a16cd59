/**
 * FileChunk: 64 KiB of a fake file: what processes see, what the medium has, and per sector
 * whether they agree. Bit masks: sectors of 512 bytes in four words, pages of 4 KiB in one.
 */

import { assert } from "../../util/assert.ts";
import type { Prng } from "../../util/prng.ts";

export const CHUNK_BYTES = 64 * 1024;
export const FILE_PAGE_BYTES = 4096;
export const PAGES_PER_CHUNK = 16;
export const PAGE_MASK_ALL = 0xffff;

const SECTOR_BYTES = 512;
const WORD_COUNT = 4;
const SECTORS_PER_CHUNK = 128;
const SECTORS_PER_PAGE = 8;

/** Some sectors of a chunk. */
export interface SyncedSectors {
  readonly chunk: FileChunk;
  /** One bit per sector. */
  readonly words: readonly number[];
}

export class FileChunk {
  readonly cache = new Uint8Array(CHUNK_BYTES);
  readonly stable = new Uint8Array(CHUNK_BYTES);
  /** Pages that hold data, the others are holes or unwritten: zeroes. */
  dataPages = 0;
  /** Pages that take space. */
  allocatedPages = 0;
  readonly #dirty = new Int32Array(WORD_COUNT);
  readonly #lost = new Int32Array(WORD_COUNT);
  /** `dataPages` as the medium may have it after power loss. */
  #stablePages = 0;

  /** Pages that the range touches. */
  static pagesOf(at: number, length: number): number {
    const first = Math.floor(at / FILE_PAGE_BYTES);
    return maskOf(first, Math.ceil((at + length) / FILE_PAGE_BYTES));
  }

  /** Pages that the range covers from end to end. */
  static wholePagesOf(at: number, length: number): number {
    const first = Math.ceil(at / FILE_PAGE_BYTES);
    const end = Math.floor((at + length) / FILE_PAGE_BYTES);
    return first < end ? maskOf(first, end) : 0;
  }

  get isDirty(): boolean {
    return this.#dirty.some((word) => word !== 0);
  }

  dirtySectors(): SyncedSectors {
    return { chunk: this, words: [...this.#dirty] };
  }

  /** Sectors that the range touches. */
  sectorsOf(at: number, length: number): SyncedSectors {
    assert(at >= 0 && length > 0 && at + length <= CHUNK_BYTES, "the range lies in the chunk");
    const first = Math.floor(at / SECTOR_BYTES);
    const end = Math.ceil((at + length) / SECTOR_BYTES);
    const words = [0, 0, 0, 0];
    for (let index = 0; index < WORD_COUNT; index++) {
      const from = Math.max(first - index * 32, 0);
      const to = Math.min(end - index * 32, 32);
      if (from < to) words[index] = maskOf(from, to);
    }
    return { chunk: this, words };
  }

  overlapsDirty(sectors: SyncedSectors): boolean {
    return sectors.words.some((word, index) => (word & (this.#dirty[index] as number)) !== 0);
  }

  markDirty(sectors: SyncedSectors): void {
    for (let index = 0; index < WORD_COUNT; index++) {
      const word = sectors.words[index] as number;
      this.#dirty[index] = (this.#dirty[index] as number) | word;
      // A rewritten page is written back again: what had been lost has a new chance.
      this.#lost[index] = (this.#lost[index] as number) & ~word;
    }
  }

  /** Background write-back: some of the dirty ones among `sectors` reach the medium. */
  writeBackSome(sectors: SyncedSectors, prng: Prng): void {
    for (let index = 0; index < WORD_COUNT; index++) {
      const dirty = (sectors.words[index] as number) & (this.#dirty[index] as number);
      this.#copyToStable(index, dirty & prng.nextUint32());
    }
  }

  /** All of `sectors` are on the medium now. */
  persist(sectors: SyncedSectors): void {
    for (let index = 0; index < WORD_COUNT; index++) {
      const word = sectors.words[index] as number;
      this.#copyToStable(index, word);
      this.#dirty[index] = (this.#dirty[index] as number) & ~word;
      this.#lost[index] = (this.#lost[index] as number) & ~word;
    }
    this.#settlePages();
  }

  /** A failed write-back: each of `sectors` that is still dirty is on the medium or lost. */
  drop(sectors: SyncedSectors, prng: Prng): void {
    for (let index = 0; index < WORD_COUNT; index++) {
      const word = (sectors.words[index] as number) & (this.#dirty[index] as number);
      const written = word & prng.nextUint32();
      this.#copyToStable(index, written);
      this.#dirty[index] = (this.#dirty[index] as number) & ~word;
      this.#lost[index] = (this.#lost[index] as number) | (word & ~written);
    }
  }

  powerLoss(keep: number, prng: Prng): void {
    for (let sector = 0; sector < SECTORS_PER_CHUNK; sector++) {
      const bit = 1 << (sector & 31);
      const index = sector >> 5;
      const isDirty = ((this.#dirty[index] as number) & bit) !== 0;
      if (isDirty && prng.chance(keep)) this.#copyToStable(index, bit);
      else if (isDirty || ((this.#lost[index] as number) & bit) !== 0) this.#revert(sector);
    }
    this.#dirty.fill(0);
    this.#lost.fill(0);
    this.dataPages |= this.#stablePages;
    this.#stablePages = this.dataPages;
  }

  forgetLost(): void {
    for (let sector = 0; sector < SECTORS_PER_CHUNK; sector++) {
      const isLost = ((this.#lost[sector >> 5] as number) & (1 << (sector & 31))) !== 0;
      if (isLost) this.#revert(sector);
    }
    this.#lost.fill(0);
    this.dataPages |= this.#stablePages;
  }

  #copyToStable(index: number, mask: number): void {
    let from = 0;
    while (from < 32) {
      if ((mask & (1 << from)) === 0) {
        from++;
        continue;
      }
      let to = from + 1;
      while (to < 32 && (mask & (1 << to)) !== 0) to++;
      const start = (index * 32 + from) * SECTOR_BYTES;
      const end = (index * 32 + to) * SECTOR_BYTES;
      this.stable.set(this.cache.subarray(start, end), start);
      this.#stablePages |= FileChunk.pagesOf(start, end - start) & this.dataPages;
      from = to;
    }
  }

  #revert(sector: number): void {
    const start = sector * SECTOR_BYTES;
    this.cache.set(this.stable.subarray(start, start + SECTOR_BYTES), start);
  }

  /** Pages on which cache and medium agree are to the medium what they are to processes. */
  #settlePages(): void {
    for (let page = 0; page < PAGES_PER_CHUNK; page++) {
      const shift = (page * SECTORS_PER_PAGE) & 31;
      const index = (page * SECTORS_PER_PAGE) >> 5;
      const open = ((this.#dirty[index] as number) | (this.#lost[index] as number)) >>> shift;
      if ((open & 0xff) !== 0) continue;
      const bit = 1 << page;
      this.#stablePages = (this.#stablePages & ~bit) | (this.dataPages & bit);
    }
  }
}

/** Bits [from, to), 0 <= from < to <= 32. */
function maskOf(from: number, to: number): number {
  const width = to - from;
  return width === 32 ? -1 : ((1 << width) - 1) << from;
}
