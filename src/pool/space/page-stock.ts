/**
 * PageStock: chunks of each disk whose bitmaps are in memory, out of which pages get their blocks
 * at once, whenever a tree is changed.
 *
 * Copy A comes from the fullest stock's first chunks, copy B from another disk's, or where there
 * is none from the last chunks of the same: so the copies of pages that are made one after the
 * other lie one behind the other. Owned by the SpaceMap; in flight: one load of a space leaf.
 */

import { assert } from "../../util/assert.ts";
import type { PageWaiter } from "../pages/page-cache.ts";
import { FAILED, MISSING } from "../pages/page-tree.ts";
import { type Address, addressOf } from "../pool-layout.ts";
import type { ChunkSource } from "./block-lease.ts";

/** Chunks that one call looks at: the rest is done when it is asked again. */
const LOOKS_MAX = 256;
const BORROWED_MIN = 16;
/** With one disk the copies come from different chunks. */
const CHUNKS_MIN = 2;

export class PageStock implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  #isLoading = false;
  /** A call has looked at as many chunks as one may. */
  #isSearching = false;
  readonly #source: ChunkSource;
  /** Records of each disk. */
  readonly #chunks: number[][] = [];

  constructor(source: ChunkSource) {
    this.#source = source;
  }

  addDisk(): void {
    this.#chunks.push([]);
    this.#source.table.stockRooms.push(0);
  }

  /** Blocks that are there. */
  get blocks(): number {
    const { stockRooms } = this.#source.table;
    let sum = 0;
    for (let disk = 0; disk < stockRooms.length; disk++) sum += stockRooms[disk] as number;
    return sum;
  }

  /** There may be more than was found: `ChunkSource.chunksCame` tells when to ask again. */
  get isLoading(): boolean {
    return this.#isLoading || this.#isSearching;
  }

  /** Looks for chunks until so many pages can be taken, or none is to be had now. Hot path. */
  refill(pages: number): void {
    const { table } = this.#source;
    const disks = this.#chunks.length;
    this.#isSearching = false;
    const share = Math.ceil((2 * pages) / Math.min(disks, 2));
    for (let looks = 0; looks < LOOKS_MAX && !this.#isLoading; looks++) {
      // The two disks with the most room, then any.
      let disk = -1;
      let best = -1;
      for (let index = 0; index < disks; index++) {
        const isShort = (table.stockRooms[index] as number) < share || this.#isNarrow(index);
        const free = isShort ? this.#source.freeShareOf(index) : -1;
        if (free <= best || !this.#source.hasRoom(index)) continue;
        disk = index;
        best = free;
      }
      const isEnough = this.blocks >= 2 * pages && this.#disksReady(share) >= Math.min(disks, 2);
      if (disk < 0 || (isEnough && !this.#isNarrow(disk))) return;
      this.#add(disk);
    }
    if (this.#isLoading) return;
    this.#isSearching = true;
    this.#source.chunksCame();
  }

  /** Blocks for both copies. False: there are none. Never looks into trees. */
  take(into: { a: Address; b: Address }): boolean {
    const { stockRooms } = this.#source.table;
    if (this.blocks < 2) this.#borrow();
    if (this.blocks < 2) return false;
    const first = this.#fullest(-1);
    const second = this.#fullest(first);
    into.a = this.#takeOf(first, true);
    const isApart = second >= 0 && (stockRooms[second] as number) > 0;
    into.b = this.#takeOf(isApart ? second : this.#fullest(-1), false);
    return true;
  }

  /** A chunk with room for data, when there is none elsewhere; -1: none. */
  anyChunk(): number {
    for (const chunks of this.#chunks) {
      for (const record of chunks) if (this.#source.table.roomOf(record) > 0) return record;
    }
    return -1;
  }

  pageReady(): void {
    this.#isLoading = false;
    this.#source.chunksCame();
  }

  /** Chunks that are known, data's too: when more pages are changed than room was set aside for. */
  #borrow(): void {
    const { table } = this.#source;
    for (const record of table.records()) {
      if (!table.isFull(record) || table.isStock(record) || table.roomOf(record) === 0) continue;
      this.#keep(table.diskOf(record), record);
      if (this.blocks >= BORROWED_MIN) return;
    }
  }

  #keep(disk: number, record: number): void {
    const { table } = this.#source;
    table.enter(record);
    table.setStock(record, true);
    (this.#chunks[disk] as number[]).push(record);
  }

  #isNarrow(disk: number): boolean {
    return this.#chunks.length === 1 && (this.#chunks[disk] as number[]).length < CHUNKS_MIN;
  }

  #disksReady(share: number): number {
    const { stockRooms } = this.#source.table;
    let ready = 0;
    for (let disk = 0; disk < stockRooms.length; disk++) {
      if ((stockRooms[disk] as number) >= share) ready++;
    }
    return ready;
  }

  /** One more chunk of the disk, if one has room. */
  #add(disk: number): void {
    const source = this.#source;
    const chunk = source.nextChunk(disk, 0);
    if (chunk < 0) return;
    const record = source.open(disk, chunk, this);
    if (record === MISSING) {
      this.#isLoading = true;
      return;
    }
    source.noteTaken(disk, chunk);
    if (record === FAILED || source.table.isStock(record)) return;
    if (source.table.roomOf(record) === 0) {
      source.table.drop(record);
      return;
    }
    this.#keep(disk, record);
  }

  /** The disk with the most blocks in stock but for `other`; -1: no other. */
  #fullest(other: number): number {
    const { stockRooms } = this.#source.table;
    let best = -1;
    for (let disk = 0; disk < stockRooms.length; disk++) {
      if (disk === other) continue;
      if (best < 0 || (stockRooms[disk] as number) > (stockRooms[best] as number)) best = disk;
    }
    return best;
  }

  #takeOf(disk: number, isFirst: boolean): Address {
    const { table } = this.#source;
    const chunks = this.#chunks[disk];
    assert(chunks !== undefined, "a stock is that of a disk");
    for (;;) {
      const record = isFirst ? chunks[0] : chunks.at(-1);
      assert(record !== undefined, "what is in stock lies in its chunks");
      const block = table.firstRoom(record, 0);
      if (block >= 0) {
        table.setUsed(record, block, 1, true);
        return addressOf(disk, table.chunkOf(record) * table.chunkBlocks + block);
      }
      if (isFirst) chunks.shift();
      else chunks.pop();
      table.setStock(record, false);
      table.leave(record);
    }
  }
}
