/**
 * FakeFile: the content of one file or block device, as processes see it and as the medium has it.
 *
 * Every 512-byte sector is clean (both agree), dirty (written, not yet on the medium) or lost (a
 * failed sync dropped it: processes still see it, the medium never will). Content lies in chunks of
 * 64 KiB that appear when touched. Writing over a dirty sector may first bring the old bytes to
 * the medium, as background write-back does, so after power loss any value since the last sync
 * can be there. Allocation is per page of 4 KiB. Sizes change durably and at once.
 */

import { assert } from "../../util/assert.ts";
import type { Prng } from "../../util/prng.ts";
import {
  CHUNK_BYTES,
  FileChunk,
  FILE_PAGE_BYTES,
  PAGE_MASK_ALL,
  PAGES_PER_CHUNK,
  type SyncedSectors,
} from "./fake-file-chunk.ts";

/** Who counts the space of a disk. */
export interface SpaceAccount {
  /** Takes pages of 4 KiB; false when the disk is full, unless `force`. */
  takePages(count: number, force?: boolean): boolean;
  returnPages(count: number): void;
}

export interface FakeFileOptions {
  readonly path: string;
  readonly sizeBytes: number;
  readonly isBlockDevice: boolean;
  /** Small, unique on its disk: the inode number. */
  readonly id: number;
  readonly prng: Prng;
  readonly space: SpaceAccount;
}

/** Chance that a write over dirty sectors finds that their old bytes have reached the medium. */
const WRITE_BACK_CHANCE = 0.25;

export class FakeFile {
  readonly path: string;
  readonly id: number;
  readonly isBlockDevice: boolean;
  sizeBytes: number;
  readonly #prng: Prng;
  readonly #space: SpaceAccount;
  readonly #chunks: (FileChunk | undefined)[] = [];
  /** Chunks that may have dirty sectors. */
  readonly #dirty = new Set<FileChunk>();

  constructor(options: FakeFileOptions) {
    this.path = options.path;
    this.id = options.id;
    this.isBlockDevice = options.isBlockDevice;
    this.sizeBytes = options.sizeBytes;
    this.#prng = options.prng;
    this.#space = options.space;
  }

  /** True when some sector would not survive power loss for sure. */
  get isDirty(): boolean {
    for (const chunk of this.#dirty) if (chunk.isDirty) return true;
    return false;
  }

  /** Fills `target[start, start + length)` as processes see the file; within its size. */
  read(position: number, target: Uint8Array, start: number, length: number): void {
    assert(position >= 0 && position + length <= this.sizeBytes, "reads lie within the file");
    for (let done = 0; done < length; ) {
      const at = (position + done) % CHUNK_BYTES;
      const taken = Math.min(length - done, CHUNK_BYTES - at);
      const chunk = this.#chunks[Math.floor((position + done) / CHUNK_BYTES)];
      if (chunk === undefined) target.fill(0, start + done, start + done + taken);
      else target.set(chunk.cache.subarray(at, at + taken), start + done);
      done += taken;
    }
  }

  /** @returns how many bytes were written: fewer than `length` when the disk is full */
  write(position: number, source: Uint8Array, start: number, length: number): number {
    for (let done = 0; done < length; ) {
      const at = (position + done) % CHUNK_BYTES;
      const taken = Math.min(length - done, CHUNK_BYTES - at);
      const chunk = this.#chunkAt(position + done);
      const fits = this.#allocateSome(chunk, at, taken);
      if (fits > 0) {
        this.#touch(chunk, at, fits);
        chunk.cache.set(source.subarray(start + done, start + done + fits), at);
        chunk.dataPages |= FileChunk.pagesOf(at, fits);
        done += fits;
        this.#growTo(position + done);
      }
      if (fits < taken) return done;
    }
    return length;
  }

  /**
   * Zeroes a range. `keep`: its pages are allocated afterwards, else whole pages are freed.
   * The file does not grow.
   * @returns false when the disk is full
   */
  zero(position: number, length: number, keep: boolean): boolean {
    // What reaches the end takes the last page as a whole, as ext4 does.
    const sizePages = Math.ceil(this.sizeBytes / FILE_PAGE_BYTES);
    const endBytes = this.isBlockDevice ? this.sizeBytes : sizePages * FILE_PAGE_BYTES;
    const reachesEnd = position + length >= this.sizeBytes;
    const end = reachesEnd ? endBytes - position : length;
    for (let done = 0; done < end; ) {
      const at = (position + done) % CHUNK_BYTES;
      const taken = Math.min(end - done, CHUNK_BYTES - at);
      const index = Math.floor((position + done) / CHUNK_BYTES);
      done += taken;
      if (!keep && this.#chunks[index] === undefined) continue;
      const chunk = this.#chunkAt(index * CHUNK_BYTES);
      if (keep && !this.#allocate(chunk, at, taken)) return false;
      this.#touch(chunk, at, taken);
      chunk.cache.fill(0, at, at + taken);
      const whole = FileChunk.wholePagesOf(at, taken);
      chunk.dataPages &= ~whole;
      if (!keep && !this.isBlockDevice) this.#free(chunk, whole);
    }
    return true;
  }

  /** First position from `position` on that is data (or a hole); -1 when there is none. */
  seek(position: number, what: "data" | "hole"): number {
    if (position >= this.sizeBytes) return -1;
    for (let at = position; at < this.sizeBytes; ) {
      const chunk = this.#chunks[Math.floor(at / CHUNK_BYTES)];
      const page = Math.floor((at % CHUNK_BYTES) / FILE_PAGE_BYTES);
      const isData = chunk !== undefined && (chunk.dataPages & (1 << page)) !== 0;
      if (isData === (what === "data")) return at;
      const step = chunk === undefined ? PAGES_PER_CHUNK - page : 1;
      at = (Math.floor(at / FILE_PAGE_BYTES) + step) * FILE_PAGE_BYTES;
    }
    return what === "hole" ? this.sizeBytes : -1;
  }

  /** What a sync that starts now must bring to the medium. */
  beginSync(): SyncedSectors[] {
    const synced: SyncedSectors[] = [];
    for (const chunk of this.#dirty) {
      if (chunk.isDirty) synced.push(chunk.dirtySectors());
      else this.#dirty.delete(chunk);
    }
    return synced;
  }

  /** The sync has succeeded: what was dirty at its start is on the medium, by today's content. */
  endSync(synced: readonly SyncedSectors[]): void {
    for (const sectors of synced) sectors.chunk.persist(sectors);
  }

  /** The sync has failed: as Linux, some of it was written and the rest is clean but lost. */
  failSync(synced: readonly SyncedSectors[]): void {
    for (const sectors of synced) sectors.chunk.drop(sectors, this.#prng);
  }

  /** Brings one range to the medium (a durable write). */
  persistRange(position: number, length: number): void {
    for (let done = 0; done < length; ) {
      const at = (position + done) % CHUNK_BYTES;
      const taken = Math.min(length - done, CHUNK_BYTES - at);
      const chunk = this.#chunkAt(position + done);
      chunk.persist(chunk.sectorsOf(at, taken));
      done += taken;
    }
  }

  /** What was not on the medium is there or gone, sector by sector. @param keep 0 to 1 */
  powerLoss(keep: number): void {
    for (const chunk of this.#chunks) {
      if (chunk === undefined) continue;
      chunk.powerLoss(keep, this.#prng);
      this.#claimData(chunk);
    }
    this.#dirty.clear();
  }

  /** The page cache lets go of what a failed sync dropped: the old bytes come back. */
  dropCache(): void {
    for (const chunk of this.#chunks) {
      if (chunk === undefined) continue;
      chunk.forgetLost();
      this.#claimData(chunk);
    }
  }

  /** Flips one bit of every byte of the range, seen by all and on the medium: rot. */
  corrupt(position: number, length: number): void {
    for (let at = position; at < position + length; at++) {
      const chunk = this.#chunkAt(at);
      const bit = 1 << this.#prng.below(8);
      const index = at % CHUNK_BYTES;
      chunk.cache[index] = (chunk.cache[index] as number) ^ bit;
      chunk.stable[index] = (chunk.stable[index] as number) ^ bit;
      chunk.dataPages |= FileChunk.pagesOf(index, 1);
      this.#claimData(chunk);
    }
  }

  /** Frees all space, when the file is removed. */
  free(): void {
    for (const chunk of this.#chunks) if (chunk !== undefined) this.#free(chunk, PAGE_MASK_ALL);
  }

  #growTo(sizeBytes: number): void {
    if (sizeBytes <= this.sizeBytes) return;
    assert(!this.isBlockDevice, "a block device does not grow");
    this.sizeBytes = sizeBytes;
  }

  #chunkAt(position: number): FileChunk {
    const index = Math.floor(position / CHUNK_BYTES);
    let chunk = this.#chunks[index];
    if (chunk === undefined) {
      chunk = new FileChunk();
      this.#chunks[index] = chunk;
    }
    return chunk;
  }

  #touch(chunk: FileChunk, at: number, length: number): void {
    const sectors = chunk.sectorsOf(at, length);
    if (chunk.overlapsDirty(sectors) && this.#prng.chance(WRITE_BACK_CHANCE)) {
      chunk.writeBackSome(sectors, this.#prng);
    }
    chunk.markDirty(sectors);
    this.#dirty.add(chunk);
  }

  /** @returns how many bytes from `at` on have pages now, up to `length` */
  #allocateSome(chunk: FileChunk, at: number, length: number): number {
    if (this.#allocate(chunk, at, length)) return length;
    let fits = 0;
    while (fits < length) {
      const taken = Math.min(length - fits, FILE_PAGE_BYTES - ((at + fits) % FILE_PAGE_BYTES));
      if (!this.#allocate(chunk, at + fits, taken)) break;
      fits += taken;
    }
    return fits;
  }

  #allocate(chunk: FileChunk, at: number, length: number): boolean {
    const missing = FileChunk.pagesOf(at, length) & ~chunk.allocatedPages;
    if (missing === 0 || this.isBlockDevice) return true;
    if (!this.#space.takePages(countBits(missing))) return false;
    chunk.allocatedPages |= missing;
    return true;
  }

  /** Data that came back takes its space again, whatever the limit. */
  #claimData(chunk: FileChunk): void {
    const missing = chunk.dataPages & ~chunk.allocatedPages;
    if (missing === 0 || this.isBlockDevice) return;
    this.#space.takePages(countBits(missing), true);
    chunk.allocatedPages |= missing;
  }

  #free(chunk: FileChunk, pages: number): void {
    const freed = pages & chunk.allocatedPages;
    if (freed === 0) return;
    chunk.allocatedPages &= ~freed;
    this.#space.returnPages(countBits(freed));
  }
}

function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}
