/**
 * BlockLease: the chunk out of which data gets its blocks, one behind the other.
 *
 * When the chunk is used up the next one that may have room is looked at; its bitmap may have to be
 * loaded first. Leases are not on the disks. Owned by the SpaceMap; in flight: one load.
 */

import type { PageWaiter } from "../pages/page-cache.ts";
import { FAILED, MISSING } from "../pages/page-tree.ts";
import { addressOf } from "../pool-layout.ts";
import type { ChunkTable } from "./chunk-table.ts";
import type { TakenRun } from "./space-map.ts";

/** What leases need of the SpaceMap. */
export interface ChunkSource {
  readonly table: ChunkTable;
  /** Of free blocks in all of the disk. */
  freeShareOf(disk: number): number;
  readonly diskCount: number;
  /** Some chunk of the disk may have room. */
  hasRoom(disk: number): boolean;
  /** Next chunk from `from` on that may have room; -1: none. */
  nextChunk(disk: number, from: number): number;
  /** The chunk's record with all its bits; MISSING: the waiter hears; FAILED. */
  open(disk: number, chunk: number, waiter: PageWaiter): number;
  /** Its room is somebody's now, or there is none: not to be looked at until something is freed. */
  noteTaken(disk: number, chunk: number): void;
  /** A bitmap that somebody waited for is there, or cannot be had: all are asked again, soon. */
  chunksCame(): void;
}

/** Chunks without room that one call looks at. */
const LOOKS_MAX = 256;
const NONE = -1;

export class BlockLease implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  #isLoading = false;
  readonly #source: ChunkSource;
  #record = NONE;
  #disk = 0;
  #chunk = 0;
  /** Where the next run is looked for. */
  #block = 0;

  constructor(source: ChunkSource) {
    this.#source = source;
  }

  /**
   * Up to `count` consecutive blocks. "wait": a bitmap is on its way; "none": no chunk is known to
   * have room. The blocks are not marked. Hot path.
   */
  take(count: number, taken: TakenRun): "ok" | "wait" | "none" {
    const { table } = this.#source;
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      if (this.#record === NONE) {
        const next = this.#next();
        if (next !== "ok") return next;
      }
      // What is in stock for pages by now is not data's any more.
      const isOver = table.isStock(this.#record);
      const block = isOver ? NONE : table.firstRoom(this.#record, this.#block);
      if (block < 0) {
        // Blocks before it may have become usable meanwhile: then it is among the hints again.
        table.leave(this.#record);
        this.#record = NONE;
        continue;
      }
      taken.count = table.runLength(this.#record, block, count);
      taken.address = addressOf(this.#disk, this.#chunk * table.chunkBlocks + block);
      this.#block = block + taken.count;
      return "ok";
    }
    this.#source.chunksCame();
    return "wait";
  }

  pageReady(): void {
    this.#isLoading = false;
    this.#source.chunksCame();
  }

  /** Leases the next chunk with room. */
  #next(): "ok" | "wait" | "none" {
    if (this.#isLoading) return "wait";
    const source = this.#source;
    for (let looks = 0; looks < LOOKS_MAX; looks++) {
      const disk = this.#roomiest();
      if (disk < 0) return "none";
      const from = disk === this.#disk ? this.#chunk : 0;
      const chunk = source.nextChunk(disk, from);
      const record = source.open(disk, chunk, this);
      if (record === MISSING) {
        this.#isLoading = true;
        return "wait";
      }
      source.noteTaken(disk, chunk);
      if (record === FAILED || source.table.isStock(record)) continue;
      if (source.table.roomOf(record) === 0) {
        source.table.drop(record);
        continue;
      }
      source.table.enter(record);
      this.#record = record;
      this.#disk = disk;
      this.#chunk = chunk;
      this.#block = 0;
      return "ok";
    }
    // There may be more: the caller goes on soon.
    source.chunksCame();
    return "wait";
  }

  /** The disk with the largest free share among those that may have a chunk. */
  #roomiest(): number {
    const source = this.#source;
    let [disk, best] = [NONE, -1];
    for (let index = 0; index < source.diskCount; index++) {
      if (!source.hasRoom(index) || source.freeShareOf(index) <= best) continue;
      disk = index;
      best = source.freeShareOf(index);
    }
    return disk;
  }
}
