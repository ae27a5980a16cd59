/**
 * SpaceMap: which blocks of all disks are in use, for what, and who may take some.
 *
 *   free --take--> taken --markUsed--> data --free--> waiting --reusable--> free
 *     |              +--giveBack--> free                 (ReusePipeline)
 *     +--takePages--> page --dropPages--> waiting --generation committed--> free
 *
 * On the disks (bitmaps in the space trees) there is only "in use" or not: what is taken or waits
 * is nobody's after a crash. Counters are exact at any time: blocks = free + data + pages + held.
 * It owns the space trees; SpaceFold changes them, at checkpoints only.
 *
 * spec: docs/internals/pool-format.md, Space
 */

import type { Status } from "../../block/status.ts";
import type { Flushable, Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache, PageSpace, PageWaiter, PoolPressure } from "../pages/page-cache.ts";
import { entriesMax, PageKind } from "../pages/page-format.ts";
import { FAILED, MISSING, PageTree } from "../pages/page-tree.ts";
import { emptyPointer, type RootPointer } from "../pages/root-pointer.ts";
import {
  type Address,
  addressOf,
  blockOf,
  diskOf,
  type Run,
  type SpaceWaiter,
  WAITING_BLOCKS_MAX,
} from "../pool-layout.ts";
import { BlockLease, type ChunkSource } from "./block-lease.ts";
import { ChunkHints } from "./chunk-hints.ts";
import { type Change, ChunkTable } from "./chunk-table.ts";
import { raiseLostMap } from "./lost-map.ts";
import { PageStock } from "./page-stock.ts";
import { ReplacedPages } from "./replaced-pages.ts";
import type { ReusePipeline } from "./reuse-pipeline.ts";
import { SpaceFold } from "./space-fold.ts";
import { mayTake, noFigures, type SpaceAnswer, type SpaceFigures } from "./space-policy.ts";
import { TakeBudget } from "./take-budget.ts";

export type TakeResult = SpaceAnswer;

/** One reused object. */
export interface TakenRun {
  address: Address;
  count: number;
}

export interface SpaceDisk {
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly root: RootPointer;
}

export interface SpaceMapOptions {
  readonly cache: PageCache;
  readonly chunkBlocks: number;
  readonly knownChunks?: ChunkTable;
  /** As in the label; none when a pool is made: then `addDisk`. */
  readonly disks: readonly SpaceDisk[];
  readonly dataBlocks: number;
  readonly pageBlocks: number;
  readonly heldBlocks: number;
  readonly keptBackBlocks: number;
  /** Until `endReplay`. */
  readonly isReplay: boolean;
}

/** What the map knows of a disk. */
interface MappedDisk {
  blocks: number;
  free: number;
  readonly tree: PageTree;
  readonly hints: ChunkHints;
}

/** Part of all blocks that may wait for reuse. */
const WAITING_SHARE = 16;
/** Pages that a stock has in reserve beyond what is asked for. */
const STOCK_MORE = 32;
/** A group of chunks lies in so many leaves; and leaves are half full at least. */
const LEAF_SHARE = 2;

export class SpaceMap implements PageSpace, ChunkSource, Flushable {
  isDirty = false;
  readonly table: ChunkTable;
  pressure: PoolPressure | null = null;
  reuse: ReusePipeline | null = null;
  /** For labels, log, pages and copying: by the size of the pool. */
  keptBackBlocks: number;
  readonly #cache: PageCache;
  readonly #reactor: Reactor;
  readonly #disks: MappedDisk[] = [];
  readonly #lease: BlockLease;
  readonly #stock: PageStock;
  readonly #fold: SpaceFold;
  readonly #budget = new TakeBudget();
  #isReplay: boolean;
  #hasLostMap = false;
  #total = 0;
  /** Of all space trees, at worst. */
  #leavesMax = 0;
  #data: number;
  #pages: number;
  #held: number;
  #taken = 0;
  #waitingData = 0;
  #reserved = 0;
  readonly #replaced = new ReplacedPages();
  #firstWaiter: SpaceWaiter | null = null;
  #lastWaiter: SpaceWaiter | null = null;
  readonly #figures = noFigures();

  constructor(options: SpaceMapOptions) {
    const { cache, chunkBlocks, disks } = options;
    this.table = options.knownChunks ?? new ChunkTable(chunkBlocks);
    this.keptBackBlocks = options.keptBackBlocks;
    this.#cache = cache;
    this.#reactor = cache.reactor;
    this.#data = options.dataBlocks;
    this.#pages = options.pageBlocks;
    this.#held = options.heldBlocks;
    this.#isReplay = options.isReplay;
    this.#lease = new BlockLease(this);
    this.#stock = new PageStock(this);
    this.#fold = new SpaceFold({
      cache,
      table: this.table,
      stock: this.#stock,
      treeOf: (disk) => this.#at(disk).tree,
      pagesWanted: () => cache.pagesWanted() + STOCK_MORE,
    });
    for (const disk of disks) this.#add(disk);
    assert(cache.space === null, "a cache has one space map");
    cache.space = this;
  }

  /** In use by nobody as of now, what is taken or waits for reuse included. */
  get freeBlocks(): number {
    return this.#total - this.#data - this.#pages - this.#held;
  }

  /** Mapped by volumes. */
  get dataBlocks(): number {
    return this.#data;
  }

  /** Of all trees, both copies. */
  get pageBlocks(): number {
    return this.#pages;
  }

  /** Labels and log. */
  get heldBlocks(): number {
    return this.#held;
  }

  /** Freed, not usable yet. */
  get waitingBlocks(): number {
    return this.#waitingData + this.#replaced.count;
  }

  /** Taken, not mapped yet. */
  get takenBlocks(): number {
    return this.#taken;
  }

  get diskCount(): number {
    return this.#disks.length;
  }

  /**
   * Up to `count` consecutive blocks for data, into `taken`. "wait": `waitForSpace`. `isReserved`:
   * as `mayTake`. Hot path.
   */
  take(count: number, taken: TakenRun, isReserved = false): TakeResult {
    assert(!this.#isReplay, "data is written to a pool that is open");
    const answer = mayTake(this.#countAll(), count, isReserved);
    if (answer !== "ok") {
      if (answer === "wait") this.#askForReuse();
      return answer;
    }
    if (!this.#hasBudget(count)) return "wait";
    const found = this.#lease.take(count, taken);
    if (found === "wait") return "wait";
    if (found === "none" && !this.#takeOfStock(count, taken)) {
      this.#askForReuse();
      return this.waitingBlocks + this.#taken > 0 ? "wait" : "no-space";
    }
    this.#change(taken.address, taken.count, 0, 1);
    this.#taken += taken.count;
    this.#budget.taken(taken.count);
    return "ok";
  }

  /** A record that maps them is applied, live or in replay. Hot path. */
  markUsed(address: Address, count: number): void {
    this.#change(address, count, 1, this.#isReplay ? 0 : -1);
    this.#data += count;
    if (this.#isReplay) return;
    this.#taken -= count;
    assert(this.#taken >= 0, "what is mapped was taken");
    this.#wake();
  }

  /** Freed by the record in frame `sequence`; usable when the ReusePipeline says so. Hot path. */
  free(address: Address, count: number, sequence: number, punch: boolean): void {
    // The address is what a page on a disk says.
    if (!this.#cache.disks.holds(address, count)) {
      this.#data -= count;
      return;
    }
    this.#change(address, count, -1, 1);
    this.#data -= count;
    if (this.#isReplay) return;
    const { reuse } = this;
    assert(reuse !== null, "a space map has its pipeline before it is used");
    this.#waitingData += count;
    reuse.add(address, count, sequence, punch);
    const limit = Math.min(WAITING_BLOCKS_MAX, this.#total / WAITING_SHARE);
    if (this.#waitingData > limit) this.pressure?.flushWanted();
  }

  /** By the ReusePipeline: freed blocks may be taken again. */
  reusable(address: Address, count: number): void {
    this.#waitingData -= count;
    assert(this.#waitingData >= 0, "what is reused has waited");
    this.#release(address, count);
  }

  /** By SpaceTrim: free blocks that nobody takes until they are punched and `reusable`. */
  hold(address: Address, count: number): void {
    this.#change(address, count, 0, 1);
    this.#waitingData += count;
  }

  /** Taken, and never written or never logged: usable at once. */
  giveBack(address: Address, count: number): void {
    this.#taken -= count;
    assert(this.#taken >= 0, "what is given back was taken");
    this.#budget.returned(count);
    this.#release(address, count);
  }

  /** Replay: the log names them, so that nothing may be written there before the import is over. */
  protect(address: Address, count: number): void {
    assert(this.#isReplay, "only a replay protects what the log names");
    this.#change(address, count, 0, 1);
  }

  /** The labels of the import are durable: what the log named or freed may be used. */
  endReplay(): void {
    assert(this.#isReplay, "a replay ends once");
    this.#isReplay = false;
    const { table } = this;
    for (const record of table.records()) {
      table.clearBusy(record);
      // Who looked at it found what the log names busy: there may be room in it now.
      this.#at(table.diskOf(record)).hints.setRoom(table.chunkOf(record), true);
      table.drop(record);
    }
    // But not pages that were replaced since.
    for (const address of this.#replaced.all()) this.#change(address, 1, 0, 1);
    this.chunksCame();
  }

  /** Blocks that thick volumes do not map yet. */
  setReserved(blocks: number): void {
    assert(blocks >= 0, "a reservation is not negative");
    if (blocks < this.#reserved) this.#wake();
    this.#reserved = blocks;
  }

  waitForSpace(waiter: SpaceWaiter): void {
    assert(waiter.nextSpace === null && waiter !== this.#lastWaiter, "one waits once");
    if (this.#lastWaiter === null) this.#firstWaiter = waiter;
    else this.#lastWaiter.nextSpace = waiter;
    this.#lastWaiter = waiter;
  }

  /** Checkpoint: puts most changes into the trees, while I/O goes on; `done` may come at once. */
  prepareFold(done: (status: Status) => void): void {
    this.#fold.prepare(done);
  }

  /** Checkpoint: all changes are in the trees. False: prepare again, with nothing being applied. */
  fold(): boolean {
    return this.#fold.fold();
  }

  /** The map of one disk, for walks: nobody else changes it. */
  treeOf(disk: number): PageTree {
    return this.#at(disk).tree;
  }

  rootOf(disk: number): RootPointer {
    return this.#at(disk).tree.root;
  }

  /** Free blocks of one disk, for the label. */
  freeOf(disk: number): number {
    return this.#at(disk).free;
  }

  addDisk(disk: number, blocks: number, held: readonly Run[]): void {
    assert(disk === this.#disks.length, "a disk comes behind all others");
    this.#add({ blocks, freeBlocks: blocks, root: emptyPointer() });
    this.#hold(held);
  }

  /** @param unheld labels at the end so far: free when the open generation is committed */
  growDisk(disk: number, blocks: number, held: readonly Run[], unheld: readonly Run[]): void {
    const mapped = this.#at(disk);
    assert(blocks >= mapped.blocks, "disks do not shrink");
    const last = this.#chunkOf(mapped.blocks - 1);
    this.#total += blocks - mapped.blocks;
    mapped.free += blocks - mapped.blocks;
    mapped.blocks = blocks;
    mapped.hints.grow(this.#chunkOf(blocks - 1) + 1);
    mapped.hints.setRoom(last, true);
    this.#countLeaves();
    const record = this.table.find(disk, last);
    if (record >= 0) this.table.setLimit(record, this.#limitOf(mapped, last));
    this.#hold(held);
    for (const { address, count } of unheld) {
      this.#change(address, count, -1, 1);
      this.#held -= count;
      for (let block = 0; block < count; block++) this.#replaced.add(address + block);
    }
    this.chunksCame();
  }

  takePages(into: { a: Address; b: Address }): boolean {
    if (!this.#stock.take(into)) return false;
    for (const address of [into.a, into.b]) this.#at(diskOf(address)).free--;
    this.#pages += 2;
    this.#budget.taken(2);
    return true;
  }

  dropPages(a: Address, b: Address): void {
    this.#pages -= 2;
    for (const address of [a, b]) {
      this.#change(address, 1, -1, 1);
      this.#replaced.add(address);
    }
  }

  returnPages(a: Address, b: Address): void {
    for (const address of [a, b]) this.#change(address, 1, -1, 0);
    this.#pages -= 2;
    this.#budget.returned(2);
    this.#wake();
  }

  pagesToTake(wanted: number): number {
    this.#stock.refill(wanted + STOCK_MORE);
    const inStock = Math.floor(this.#stock.blocks / 2);
    if (inStock < wanted && !this.#stock.isLoading) {
      this.#askForReuse();
      if (this.#hasLostMap && this.waitingBlocks + this.#taken === 0) raiseLostMap(this.#cache);
    }
    if (this.#budget.allows(2 * wanted, this.freeBlocks - this.#taken)) return inStock;
    this.pressure?.checkpointWanted();
    return 0;
  }

  foldPages(): number {
    return this.#leavesOf(this.table.dirtyGroups);
  }

  foldPagesOf(blocks: number): number {
    const { dirtyGroups } = this.table;
    return this.#leavesOf(dirtyGroups + blocks) - this.#leavesOf(dirtyGroups);
  }

  generationFrozen(generation: number): void {
    this.#replaced.frozen(generation);
    // What is taken now is named by records to come: the next label's log has it.
    this.#budget.frozen(generation, this.freeBlocks - this.#taken);
  }

  generationCommitted(generation: number): void {
    this.#budget.committed(generation);
    for (const address of this.#replaced.committed(generation)) this.#release(address, 1);
    this.#wake();
  }

  // What leases and stocks ask for (ChunkSource).

  hasRoom(disk: number): boolean {
    return this.#at(disk).hints.next(0) >= 0;
  }

  nextChunk(disk: number, from: number): number {
    return this.#at(disk).hints.next(from);
  }

  noteTaken(disk: number, chunk: number): void {
    this.#at(disk).hints.setRoom(chunk, false);
  }

  freeShareOf(disk: number): number {
    return this.#at(disk).free / this.#at(disk).blocks;
  }

  open(disk: number, chunk: number, waiter: PageWaiter): number {
    const mapped = this.#at(disk);
    const { table } = this;
    const found = table.find(disk, chunk);
    if (found >= 0 && table.isFull(found)) return found;
    const at = mapped.tree.find(chunk);
    if (at === MISSING) {
      mapped.tree.load(chunk, waiter);
      return MISSING;
    }
    this.#hasLostMap ||= at === FAILED;
    if (at === FAILED) return FAILED;
    const record = table.record(disk, chunk, this.#limitOf(mapped, chunk));
    table.fill(record, this.#cache.words, at < 0 ? -1 : at + 1);
    return record;
  }

  chunksCame(): void {
    this.#reactor.markDirty(this);
  }

  /** In the turn, after something became free or was looked up: all who wait try again. */
  flush(): void {
    this.#fold.chunksCame();
    let waiter = this.#firstWaiter;
    this.#firstWaiter = null;
    this.#lastWaiter = null;
    while (waiter !== null) {
      const next: SpaceWaiter | null = waiter.nextSpace;
      waiter.nextSpace = null;
      waiter.spaceMayBeThere();
      waiter = next;
    }
    this.#cache.roomMayBeThere();
  }

  #add({ blocks, freeBlocks, root }: SpaceDisk): void {
    const disk = this.#disks.length;
    const kind = { kind: PageKind.space, entryWords: 1 + this.table.width };
    this.#disks.push({
      blocks,
      free: freeBlocks,
      tree: new PageTree(this.#cache, kind, disk, root),
      hints: new ChunkHints(this.#chunkOf(blocks - 1) + 1),
    });
    this.#total += blocks;
    this.#stock.addDisk();
    this.#countLeaves();
  }

  #hold(runs: readonly Run[]): void {
    for (const { address, count } of runs) {
      this.#change(address, count, 1, 0);
      this.#held += count;
    }
  }

  #at(disk: number): MappedDisk {
    const mapped = this.#disks[disk];
    assert(mapped !== undefined, "a block lies on a disk of the pool");
    return mapped;
  }

  #chunkOf(block: number): number {
    return Math.floor(block / this.table.chunkBlocks);
  }

  /** Blocks of a chunk: the last one of a disk may have fewer. */
  #limitOf({ blocks }: MappedDisk, chunk: number): number {
    const { chunkBlocks } = this.table;
    return Math.min(chunkBlocks, blocks - chunk * chunkBlocks);
  }

  /** As `ChunkTable.change`; room that may come of it is noted. Hot path. */
  #change(address: Address, count: number, used: Change, busy: Change): void {
    const disk = diskOf(address);
    const mapped = this.#at(disk);
    const { table } = this;
    const { chunkBlocks } = table;
    let block = blockOf(address);
    const end = block + count;
    assert(end <= mapped.blocks, "a block lies on its disk");
    mapped.free -= used * count;
    while (block < end) {
      const chunk = Math.floor(block / chunkBlocks);
      const record = table.record(disk, chunk, this.#limitOf(mapped, chunk));
      const first = block - chunk * chunkBlocks;
      const length = Math.min(end - block, chunkBlocks - first);
      table.change(record, first, length, used, busy);
      if (used <= 0 && busy <= 0) mapped.hints.setRoom(chunk, true);
      if (busy < 0) table.drop(record);
      block += length;
    }
  }

  /** Blocks that were busy may be taken. */
  #release(address: Address, count: number): void {
    this.#change(address, count, 0, -1);
    this.#wake();
  }

  #countLeaves(): void {
    const perLeaf = entriesMax(1 + this.table.width);
    this.#leavesMax = 0;
    for (const { blocks } of this.#disks) {
      const chunks = this.#chunkOf(blocks - 1) + 1;
      this.#leavesMax += LEAF_SHARE * Math.ceil(chunks / perLeaf) + 1;
    }
  }

  #wake(): void {
    if (this.#firstWaiter !== null || this.#cache.hasRoomWaiters) this.#reactor.markDirty(this);
  }

  /** What `mayTake` looks at. */
  #countAll(): SpaceFigures {
    const figures = this.#figures;
    figures.free = this.freeBlocks;
    figures.waiting = this.waitingBlocks;
    figures.taken = this.#taken;
    figures.reserved = this.#reserved;
    figures.keptBack = this.keptBackBlocks;
    figures.held = this.#held;
    figures.pages = this.#pages;
    return figures;
  }

  /** Freed data comes back by a flush, replaced pages by a checkpoint. */
  #askForReuse(): void {
    if (this.#waitingData > 0) this.pressure?.flushWanted();
    else if (this.#replaced.count > 0) this.pressure?.checkpointWanted();
  }

  #hasBudget(count: number): boolean {
    const wanted = count + 2 * this.#cache.pagesWanted();
    if (this.#budget.allows(wanted, this.freeBlocks - this.#taken)) return true;
    this.pressure?.checkpointWanted();
    return false;
  }

  /** Data of the last chunks: what pages may need soon is left. */
  #takeOfStock(count: number, taken: TakenRun): boolean {
    const record = this.#stock.anyChunk();
    if (record < 0) return false;
    const left = this.#stock.blocks - 2 * (this.#cache.pagesWanted() + STOCK_MORE);
    const { table } = this;
    const block = table.firstRoom(record, 0);
    if (left <= 0 || block < 0) return false;
    taken.count = table.runLength(record, block, Math.min(count, left));
    const start = table.chunkOf(record) * table.chunkBlocks;
    taken.address = addressOf(table.diskOf(record), start + block);
    return true;
  }

  /** Leaves of space trees that so many groups of chunks lie in, and the pages above, at worst. */
  #leavesOf(groups: number): number {
    const leaves = Math.min(LEAF_SHARE * groups, this.#leavesMax);
    return leaves + Math.ceil(leaves / 64) + 2 * this.#disks.length;
  }
}
