/**
 * ChunkTable: what memory knows of chunks that is not in the space trees (yet): three bitmaps each.
 *
 *   known  the bit of `used` counts; else that of the tree
 *   used   belongs to the trees, to data that they map, or to labels and log
 *   busy   nobody may take it: taken and not mapped yet, or freed and not usable again yet
 *
 * Only `used` goes to the disks (space-fold.ts): what is busy is nobody's after a crash. A chunk
 * leaves the table when it has no busy bit, nothing that the tree lacks, and no user. Pure; owned
 * by the SpaceMap. Bounded by what waits for reuse and by the pages that a checkpoint may write.
 */

import { assert } from "../../util/assert.ts";
import { NumberIndex } from "../number-index.ts";

const CAPACITY_INITIAL = 64;
const CHUNKS_PER_DISK_MAX = 2 ** 32;
const ALL = 0xffff_ffff;
/** Chunks whose entries lie in at most two leaves of a space tree (unless it was thinned out). */
const GROUP_CHUNKS = 16;
const NO_STOCK = -1;
const NO_KEY = -1;

/** Of bits: set, left, cleared. */
export type Change = 1 | 0 | -1;

export class ChunkTable {
  readonly chunkBlocks: number;
  /** Words of a bitmap. */
  readonly width: number;
  /** Chunks that the trees are behind of; some may be there no more: see `isDirty`. */
  dirty: number[] = [];
  /** Blocks to be taken in the stock of each disk. */
  readonly stockRooms: number[] = [];
  readonly #index = new NumberIndex();
  /** Dirty chunks of each group. */
  readonly #groups = new NumberIndex();
  #capacity = CAPACITY_INITIAL;
  #keys = new Float64Array(CAPACITY_INITIAL);
  #known: Uint32Array;
  #used: Uint32Array;
  #busy: Uint32Array;
  #isDirty = new Uint8Array(CAPACITY_INITIAL);
  #isFull = new Uint8Array(CAPACITY_INITIAL);
  #users = new Uint8Array(CAPACITY_INITIAL);
  #stocks = new Int8Array(CAPACITY_INITIAL).fill(NO_STOCK);
  #busyCounts = new Int32Array(CAPACITY_INITIAL);
  #rooms = new Int32Array(CAPACITY_INITIAL);
  /** Blocks of the chunk: fewer at the end of a disk. */
  #limits = new Int32Array(CAPACITY_INITIAL);
  readonly #free: number[] = [];
  #end = 0;
  /** What `find` has found last: blocks of one chunk come one after the other. */
  #lastKey = NO_KEY;
  #lastRecord = 0;

  constructor(chunkBlocks: number) {
    assert(chunkBlocks >= 16 && chunkBlocks <= 1024, "a chunk has 16 to 1024 blocks");
    this.chunkBlocks = chunkBlocks;
    this.width = Math.max(1, chunkBlocks / 32);
    this.#known = new Uint32Array(CAPACITY_INITIAL * this.width);
    this.#used = new Uint32Array(CAPACITY_INITIAL * this.width);
    this.#busy = new Uint32Array(CAPACITY_INITIAL * this.width);
  }

  get size(): number {
    return this.#index.size;
  }

  /** Groups of neighbours with at least one dirty chunk. */
  get dirtyGroups(): number {
    return this.#groups.size;
  }

  /** Its record, or -1. Hot path. */
  find(disk: number, chunk: number): number {
    return this.#find(disk * CHUNKS_PER_DISK_MAX + chunk);
  }

  /** Its record, made when it is not there: nothing known. Hot path. */
  record(disk: number, chunk: number, limit: number): number {
    const key = disk * CHUNKS_PER_DISK_MAX + chunk;
    const found = this.#find(key);
    if (found >= 0) return found;
    const made = this.#free.pop() ?? this.#end++;
    if (made === this.#capacity) this.#grow();
    this.#index.set(key, made);
    this.#keys[made] = key;
    this.#limits[made] = limit;
    return made;
  }

  diskOf(record: number): number {
    return Math.floor((this.#keys[record] as number) / CHUNKS_PER_DISK_MAX);
  }

  chunkOf(record: number): number {
    return (this.#keys[record] as number) % CHUNKS_PER_DISK_MAX;
  }

  isDirty(record: number): boolean {
    return this.#isDirty[record] === 1;
  }

  /** All of `used` is known. */
  isFull(record: number): boolean {
    return this.#isFull[record] === 1;
  }

  /** Blocks that may be taken; only of a full one. */
  roomOf(record: number): number {
    assert(this.#isFull[record] === 1, "room is known of chunks that are known");
    return this.#rooms[record] as number;
  }

  isStock(record: number): boolean {
    return this.#stocks[record] !== NO_STOCK;
  }

  /** Its room counts for the stock of its disk, or not any more. */
  setStock(record: number, isStock: boolean): void {
    assert(this.isStock(record) !== isStock, "a chunk enters and leaves a stock once");
    const disk = this.diskOf(record);
    const room = this.roomOf(record);
    this.stockRooms[disk] = (this.stockRooms[disk] ?? 0) + (isStock ? room : -room);
    this.#stocks[record] = isStock ? disk : NO_STOCK;
  }

  /** Somebody takes blocks out of it. */
  hasUser(record: number): boolean {
    return this.#users[record] !== 0;
  }

  /** It stays until `leave`. */
  enter(record: number): void {
    this.#users[record] = (this.#users[record] as number) + 1;
  }

  leave(record: number): void {
    assert((this.#users[record] as number) > 0, "a user leaves once");
    this.#users[record] = (this.#users[record] as number) - 1;
    this.drop(record);
  }

  /** Blocks [first, first + count) of the chunk come into use, or out of it. */
  setUsed(record: number, first: number, count: number, isUsed: boolean): void {
    this.change(record, first, count, isUsed ? 1 : -1, 0);
  }

  /** Nobody may take these blocks, or not for this reason any more. */
  setBusy(record: number, first: number, count: number, isBusy: boolean): void {
    this.change(record, first, count, 0, isBusy ? 1 : -1);
  }

  /** Both at once: 1 sets the bits, -1 clears them, 0 leaves them as they are. Hot path. */
  change(record: number, first: number, count: number, used: Change, busy: Change): void {
    const base = record * this.width;
    const end = first + count;
    let room = 0;
    let more = 0;
    for (let at = first; at < end; at = (at | 31) + 1) {
      const mask = maskOf(at & 31, Math.min(32 - (at & 31), end - at));
      const word = base + (at >>> 5);
      const isUsed = this.#used[word] as number;
      const isBusy = this.#busy[word] as number;
      const nowUsed = changed(isUsed, mask, used);
      const nowBusy = changed(isBusy, mask, busy);
      if (used !== 0) {
        this.#known[word] = (this.#known[word] as number) | mask;
        this.#used[word] = nowUsed;
      }
      if (busy !== 0) {
        this.#busy[word] = nowBusy;
        more += busy * onesOf(isBusy ^ nowBusy);
      }
      room += onesOf(mask & ~(nowUsed | nowBusy)) - onesOf(mask & ~(isUsed | isBusy));
    }
    this.#busyCounts[record] = (this.#busyCounts[record] as number) + more;
    if (room !== 0 && this.#isFull[record] === 1) this.#roomChanged(record, room);
    if (used !== 0) this.#setDirty(record);
  }

  /** What the tree says of the chunk: words[at...], or nothing (all free): at is -1. */
  fill(record: number, words: Uint32Array, at: number): void {
    const base = record * this.width;
    for (let index = 0; index < this.width; index++) {
      const stored = at < 0 ? 0 : (words[at + index] as number);
      const known = this.#known[base + index] as number;
      this.#used[base + index] = ((this.#used[base + index] as number) & known) | (stored & ~known);
      this.#known[base + index] = ALL;
    }
    this.#isFull[record] = 1;
    this.#recount(record);
  }

  /** Puts what is known into the tree's words[at...]; it is not dirty any more. */
  store(record: number, words: Uint32Array, at: number): void {
    const base = record * this.width;
    for (let index = 0; index < this.width; index++) {
      const known = this.#known[base + index] as number;
      const stored = words[at + index] as number;
      words[at + index] = (stored & ~known) | ((this.#used[base + index] as number) & known);
    }
    this.setClean(record);
  }

  setClean(record: number): void {
    assert(this.#isDirty[record] === 1, "only a dirty chunk becomes clean");
    this.#isDirty[record] = 0;
    const group = this.#groupOf(record);
    const others = this.#groups.get(group) - 1;
    if (others === 0) this.#groups.delete(group);
    else this.#groups.set(group, others);
  }

  /** Lets go of a record that nothing needs. */
  drop(record: number): void {
    if (this.#isDirty[record] === 1 || this.#users[record] !== 0) return;
    if (this.#busyCounts[record] !== 0) return;
    assert(!this.isStock(record), "a stock uses its chunks");
    this.#index.delete(this.#keys[record] as number);
    this.#lastKey = NO_KEY;
    const base = record * this.width;
    this.#known.fill(0, base, base + this.width);
    this.#used.fill(0, base, base + this.width);
    this.#isFull[record] = 0;
    this.#rooms[record] = 0;
    this.#keys[record] = NO_KEY;
    this.#free.push(record);
  }

  /** First block from `from` on that may be taken; -1: none. Hot path. */
  firstRoom(record: number, from: number): number {
    const limit = this.#limits[record] as number;
    for (let at = from; at < limit; at = (at | 31) + 1) {
      const rest = (this.#freeBits(record, at >>> 5) >>> (at & 31)) >>> 0;
      if (rest !== 0) return at + 31 - Math.clz32(rest & -rest);
    }
    return -1;
  }

  /** How many blocks from `first` on may be taken, at most `count`. Hot path. */
  runLength(record: number, first: number, count: number): number {
    const end = Math.min(first + count, this.#limits[record] as number);
    let at = first;
    while (at < end) {
      // Zeroes that the shift brings in end the run: it goes on in the next word.
      const taken = ~(this.#freeBits(record, at >>> 5) >>> (at & 31));
      const run = taken === 0 ? 32 : 31 - Math.clz32(taken & -taken);
      const wordEnd = 32 - (at & 31);
      at += run;
      if (run < wordEnd) break;
    }
    return Math.min(at, end) - first;
  }

  /** Another size of its disk. */
  setLimit(record: number, limit: number): void {
    this.#limits[record] = limit;
    if (this.isFull(record)) this.#recount(record);
  }

  /** Records, for rare work on all of them. */
  *records(): Generator<number> {
    for (let record = 0; record < this.#end; record++) {
      if (this.#keys[record] !== NO_KEY) yield record;
    }
  }

  /** Nothing in it is busy any more. */
  clearBusy(record: number): void {
    this.setBusy(record, 0, this.#limits[record] as number, false);
  }

  // hot path
  #find(key: number): number {
    if (key === this.#lastKey) return this.#lastRecord;
    const found = this.#index.get(key);
    if (found < 0) return found;
    this.#lastKey = key;
    this.#lastRecord = found;
    return found;
  }

  // hot path
  #setDirty(record: number): void {
    if (this.#isDirty[record] === 1) return;
    this.#isDirty[record] = 1;
    this.dirty.push(record);
    const group = this.#groupOf(record);
    const others = this.#groups.get(group);
    this.#groups.set(group, others < 0 ? 1 : others + 1);
  }

  /** Groups of different disks have different numbers: a disk's chunks are a multiple of one. */
  #groupOf(record: number): number {
    return Math.floor((this.#keys[record] as number) / GROUP_CHUNKS);
  }

  #freeBits(record: number, index: number): number {
    const word = record * this.width + index;
    const limit = (this.#limits[record] as number) - index * 32;
    const inside = limit >= 32 ? ALL : maskOf(0, Math.max(limit, 0));
    return (~((this.#used[word] as number) | (this.#busy[word] as number)) & inside) >>> 0;
  }

  #roomOfWord(record: number, index: number): number {
    return this.#isFull[record] === 1 ? onesOf(this.#freeBits(record, index)) : 0;
  }

  #roomChanged(record: number, more: number): void {
    this.#rooms[record] = (this.#rooms[record] as number) + more;
    const stock = this.#stocks[record] as number;
    if (stock !== NO_STOCK) this.stockRooms[stock] = (this.stockRooms[stock] as number) + more;
  }

  #recount(record: number): void {
    let room = 0;
    for (let index = 0; index < this.width; index++) room += this.#roomOfWord(record, index);
    this.#roomChanged(record, room - (this.#rooms[record] as number));
  }

  #grow(): void {
    const capacity = this.#capacity * 2;
    const { width } = this;
    this.#keys = grown(this.#keys, new Float64Array(capacity));
    this.#known = grown(this.#known, new Uint32Array(capacity * width));
    this.#used = grown(this.#used, new Uint32Array(capacity * width));
    this.#busy = grown(this.#busy, new Uint32Array(capacity * width));
    this.#isDirty = grown(this.#isDirty, new Uint8Array(capacity));
    this.#isFull = grown(this.#isFull, new Uint8Array(capacity));
    this.#users = grown(this.#users, new Uint8Array(capacity));
    this.#stocks = grown(this.#stocks, new Int8Array(capacity).fill(NO_STOCK));
    this.#busyCounts = grown(this.#busyCounts, new Int32Array(capacity));
    this.#rooms = grown(this.#rooms, new Int32Array(capacity));
    this.#limits = grown(this.#limits, new Int32Array(capacity));
    this.#capacity = capacity;
  }
}

function changed(word: number, mask: number, how: Change): number {
  if (how === 0) return word;
  return how > 0 ? word | mask : word & ~mask;
}

/** `bits` ones from bit `from` on. */
function maskOf(from: number, bits: number): number {
  return bits === 32 ? ALL : (((1 << bits) - 1) << from) >>> 0;
}

function onesOf(word: number): number {
  const pairs = ((word | 0) - ((word >>> 1) & 0x5555_5555)) | 0;
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

function grown<T extends { set(other: T): void }>(before: T, after: T): T {
  after.set(before);
  return after;
}
