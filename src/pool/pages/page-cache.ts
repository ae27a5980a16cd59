/**
 * PageCache: the pages of all trees of a pool that are in memory: loads them, copies them on
 * write, keeps room for changes, and closes a generation for a checkpoint.
 *
 * A page that is changed gets fresh blocks and the open generation; it is changed in place until
 * `freeze`. Frozen pages are written (frozen-pages.ts) while the next generation is open. In
 * flight: loads, and the writes of one closed generation.
 *
 * Room. Dirty pages + pages that admitted records may need + pages that the folds of space map and
 * catalogue will need stay below `dirtyMax`, somewhat less than half of the slots: so a change of
 * an admitted record always finds a slot, also while the other half is frozen.
 */

import type { Status } from "../../block/status.ts";
import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { PoolDisks } from "../disks/pool-disks.ts";
import { type Address, BLOCK_BYTES } from "../pool-layout.ts";
import { CacheSlots, SlotState } from "./cache-slots.ts";
import { FrozenWriter } from "./frozen-pages.ts";
import { LeafHints } from "./leaf-hints.ts";
import {
  HEADER_WORDS,
  HeaderWord,
  PAGE_WORDS,
  type PageDamage,
  type PageHeader,
  type PageProblem,
  readHeader,
  writeHeader,
} from "./page-format.ts";
import { PageLoad, type PageLoadHome, type PageOwner } from "./page-load.ts";
import { TreePath } from "./tree-change.ts";
import type { TreeSharing } from "./tree-sharing.ts";

/** Somebody for whom a page is loaded. */
export interface PageWaiter {
  nextWaiter: PageWaiter | null;
  /** The page is there, or cannot be had (then the next look says FAILED). In the turn. */
  pageReady(): void;
}

/** Somebody whom `admit` refused. */
export interface PageRoomWaiter {
  nextRoom: PageRoomWaiter | null;
  /** In the turn: try again. */
  pagesMayBeThere(): void;
}

/** What pages and space ask of the pool when they run short. May be asked again and again. */
export interface PoolPressure {
  /** Freed blocks wait for a flush. */
  flushWanted(): void;
  /** Dirty or replaced pages wait for a checkpoint. */
  checkpointWanted(): void;
}

/** Where pages get their blocks. */
export interface PageSpace {
  /** Blocks for both copies of a page. False: none (then `admit` was not asked). */
  takePages(into: { a: Address; b: Address }): boolean;
  /** Free when the open generation is committed. */
  dropPages(a: Address, b: Address): void;
  /** Of a page made in the open generation and never written: free at once. */
  returnPages(a: Address, b: Address): void;
  /** How many pages may be taken by now. When there are fewer than wanted, it looks for more. */
  pagesToTake(wanted: number): number;
  /** Pages that the next fold may copy. */
  foldPages(): number;
  /** ... and more, when a record with so many blocks is applied. */
  foldPagesOf(blocks: number): number;
  /** What is dropped from now on belongs to the next generation. */
  generationFrozen(generation: number): void;
  generationCommitted(generation: number): void;
}

/** Somebody else who changes trees at checkpoints only. */
export interface PageFold {
  /** Pages that it may copy and make at the next one, when so many records at most changed it. */
  foldPages(records: number): number;
}

export interface PageCacheOptions {
  readonly reactor: Reactor;
  /** A multiple of 4 KiB, at least 64 KiB. */
  readonly limitBytes: number;
  readonly disks: PoolDisks;
  readonly poolUuid: string;
  /** The open one, at first. */
  readonly generation: number;
  onDamage(found: PageDamage): void;
}

/** What a checkpoint writes. */
export interface FrozenPages {
  readonly count: number;
  /** Of the label that may be written when they are. */
  readonly generation: number;
  /**
   * Writes all pages, both copies, sorted by address and merged up to 1 MiB, at most 32 device
   * writes in flight. `done` once, in the turn or before it returns; when it fails they stay as
   * they are: may be called again.
   */
  write(done: (status: Status) => void): void;
  /** The label is durable: pages replaced by this generation are free. */
  committed(): void;
}

const LIMIT_BYTES_MIN = 16 * BLOCK_BYTES;
/** At least so many slots, and this part of them, never hold dirty or frozen pages. */
const CLEAN_SLOTS_MIN = 8;
const CLEAN_SHARE = 8;
/** From this part of `dirtyMax` on a checkpoint is asked for. */
const PRESSURE_SHARE = 0.75;
const LOADS_MAX = 64;
const REPAIRS_MAX = 1024;
/** Entries of a mapping leaf at half fill. */
const LEAF_ENTRIES_LOW = 100;

/** A page to be written anew, as one of its copies was bad. */
export interface PageRepair {
  readonly owner: PageOwner;
  readonly key: number;
}

export class PageCache implements PageLoadHome {
  readonly reactor: Reactor;
  readonly slots: CacheSlots;
  /** All slots: word w of slot s is words[s * 1024 + w]. */
  readonly words: Uint32Array;
  readonly hints: LeafHints = new LeafHints();
  readonly disks: PoolDisks;
  /** Of the trees' steps: one at a time, and none keeps it. */
  readonly path = new TreePath();
  readonly pool: string;
  /** Open one. */
  generation: number;
  /** Of entries and pages that are made: snapshots so far, +1. The RecordApplier's to change. */
  epoch = 1;
  space: PageSpace | null = null;
  /** Its fold's pages are set aside, too. */
  catalogue: PageFold | null = null;
  pressure: PoolPressure | null = null;
  readonly dirtyMax: number;
  /** Highest level of a root so far. */
  levelMax = 0;
  readonly repairs: PageRepair[] = [];
  readonly #onDamage: (found: PageDamage) => void;
  readonly #loadsMax: number;
  #dirtyCount = 0;
  #frozen: FrozenWriter | null = null;
  readonly #firstGeneration: number;
  /** A generation of this cache has been committed. */
  #hasLabel = false;
  /** Records that have room set aside, and the blocks that they name. */
  #admittedRecords = 0;
  #admittedBlocks = 0;
  /** Records that were applied in the open generation. */
  #applied = 0;
  #loads = 0;
  #freeLoads: PageLoad | null = null;
  /** Per slot: those who wait for it. */
  readonly #waiters: (PageWaiter | null)[];
  /** Those for whose page there was no slot. */
  #blocked: PageWaiter | null = null;
  #roomFirst: PageRoomWaiter | null = null;
  #roomLast: PageRoomWaiter | null = null;
  readonly #taken = { a: 0, b: 0 };

  constructor(options: PageCacheOptions) {
    const { reactor, limitBytes, disks, poolUuid, generation } = options;
    assert(limitBytes >= LIMIT_BYTES_MIN, "a cache has 16 pages at least");
    assert(generation > 0, "generations count from 1");
    this.reactor = reactor;
    this.slots = new CacheSlots(reactor.io.slabs, limitBytes);
    this.words = this.slots.words;
    this.disks = disks;
    this.pool = poolUuid.replaceAll("-", "").slice(0, 16);
    this.generation = generation;
    this.#firstGeneration = generation;
    this.#onDamage = (found) => options.onDamage(found);
    const { count } = this.slots;
    const clean = Math.max(CLEAN_SLOTS_MIN, Math.floor(count / CLEAN_SHARE));
    this.dirtyMax = Math.floor((count - clean) / 2);
    this.#loadsMax = Math.min(LOADS_MAX, clean / 2);
    this.#waiters = new Array<PageWaiter | null>(count).fill(null);
  }

  /** Pages changed in the open generation. */
  get dirtyCount(): number {
    return this.#dirtyCount;
  }

  /**
   * Sets room aside for a record that maps or unmaps at most so many blocks (0: others). Taken
   * before the record goes into the log, given back by `applied` with the same number. False:
   * `waitForPages`; a checkpoint is asked for.
   */
  admit(blocks: number): boolean {
    const { space } = this;
    assert(space !== null, "a cache has a space map before it is used");
    const records = this.#admittedRecords + 1;
    const fold = this.#foldPages();
    const pages = fold + this.#pagesOf(records, this.#admittedBlocks + blocks);
    const used = this.#dirtyCount + fold;
    const isRoomy = this.#dirtyCount + pages <= this.dirtyMax;
    // What was applied may be in no page yet: objects are put into theirs at checkpoints.
    const isAfresh = this.#dirtyCount === 0 && (this.#applied === 0 || this.pressure === null);
    // A record that needs more than there ever is gets in alone: the bounds are generous.
    const isAlone = records === 1 && (used <= this.dirtyMax / 2 || isAfresh);
    if (!isAfresh && used > this.dirtyMax * PRESSURE_SHARE) this.pressure?.checkpointWanted();
    if (!isRoomy && !isAlone) {
      if (used > this.dirtyMax / 2) this.pressure?.checkpointWanted();
      return false;
    }
    if (space.pagesToTake(pages) < pages) return false;
    this.#admittedRecords = records;
    this.#admittedBlocks += blocks;
    return true;
  }

  /** Of a record that was admitted for so many blocks, only `used` are left to be applied. */
  admitLess(blocks: number, used: number): void {
    assert(used > 0 && used <= blocks, "less is admitted than before");
    this.#admittedBlocks -= blocks - used;
    assert(this.#admittedBlocks >= used, "what is left was admitted");
    if (this.#roomFirst !== null) this.roomMayBeThere();
  }

  /** Somebody waits for room. */
  get hasRoomWaiters(): boolean {
    return this.#roomFirst !== null;
  }

  /** Pages that admitted records and the next fold may take, at worst. */
  pagesWanted(): number {
    return this.#foldPages() + this.#pagesOf(this.#admittedRecords, this.#admittedBlocks);
  }

  applied(blocks: number): void {
    this.#applied++;
    this.#admittedRecords--;
    this.#admittedBlocks -= blocks;
    assert(this.#admittedRecords >= 0 && this.#admittedBlocks >= 0, "room is given back once");
    if (this.#roomFirst !== null) this.roomMayBeThere();
  }

  /** Waits until trying `admit` again makes sense. */
  waitForPages(waiter: PageRoomWaiter): void {
    assert(waiter.nextRoom === null && waiter !== this.#roomLast, "one waits once");
    if (this.#roomLast === null) this.#roomFirst = waiter;
    else this.#roomLast.nextRoom = waiter;
    this.#roomLast = waiter;
  }

  /** Tells those who wait for room. By the space map, too, when it has found blocks. */
  roomMayBeThere(): void {
    let waiter = this.#roomFirst;
    this.#roomFirst = null;
    this.#roomLast = null;
    while (waiter !== null) {
      const { nextRoom }: PageRoomWaiter = waiter;
      waiter.nextRoom = null;
      waiter.pagesMayBeThere();
      waiter = nextRoom;
    }
  }

  /** Closes the generation: dirty pages are frozen, the open generation is the next one. */
  freeze(): FrozenPages {
    const { slots, space, generation } = this;
    assert(this.#frozen === null, "one closed generation is written at a time");
    assert(space !== null, "a cache has a space map before it is used");
    const frozen: number[] = [];
    for (let slot = 0; slot < slots.count; slot++) {
      if (slots.states[slot] === SlotState.failed) slots.release(slot);
      if (slots.states[slot] !== SlotState.dirty) continue;
      slots.states[slot] = SlotState.frozen;
      frozen.push(slot);
    }
    assert(frozen.length === this.#dirtyCount, "dirty pages are counted");
    this.#dirtyCount = 0;
    this.#applied = 0;
    this.generation++;
    space.generationFrozen(generation);
    this.#frozen = new FrozenWriter(this, generation, frozen);
    return this.#frozen;
  }

  /** By FrozenWriter: both copies of all have been written. */
  frozenWritten(frozen: readonly number[]): void {
    const { slots } = this;
    for (const slot of frozen) {
      if (slots.states[slot] === SlotState.replaced) slots.release(slot);
      else slots.states[slot] = SlotState.clean;
    }
    this.#frozen = null;
    this.#slotsMayBeThere();
  }

  /** By FrozenWriter. */
  generationCommitted(generation: number): void {
    this.#hasLabel = true;
    this.space?.generationCommitted(generation);
    this.roomMayBeThere();
  }

  /** Gives its memory back; nothing is in flight. */
  close(): void {
    assert(this.#loads === 0, "nothing is loaded into a closed cache");
    this.slots.close();
  }

  /**
   * Loads the page of `expected` (copied) and tells `waiter`. When there is no slot or too much is
   * being loaded, the waiter is told when that has changed: it looks and asks again.
   */
  load(owner: PageOwner, expected: PageHeader, waiter: PageWaiter | null): void {
    const { slots } = this;
    let slot = slots.slotOf(expected.a);
    if (slot < 0) {
      slot = this.#loads < this.#loadsMax ? slots.take(SlotState.loading) : -1;
      if (slot < 0) {
        this.#block(waiter);
        return;
      }
      slots.enter(slot, expected.a);
      this.#loads++;
      const load = this.#freeLoads ?? new PageLoad(this);
      this.#freeLoads = load.nextLoad;
      Object.assign(load.expected, expected);
      load.begin(owner, slot);
    }
    if (waiter === null) return;
    assert(slots.states[slot] === SlotState.loading, "only a page that is not there is waited for");
    assert(waiter.nextWaiter === null, "one waits for one page at a time");
    waiter.nextWaiter = this.#waiters[slot] ?? null;
    this.#waiters[slot] = waiter;
  }

  badCopy(load: PageLoad, address: Address, problem: PageProblem | "unreadable"): void {
    const { kind, tree, a } = load.expected;
    const isLost = address !== a || load.expected.a === load.expected.b;
    this.#onDamage({ kind, tree, address, problem, isLost });
  }

  loadEnded(load: PageLoad, isThere: boolean): void {
    const { slot, owner } = load;
    assert(owner !== null && this.slots.states[slot] === SlotState.loading, "a load ends once");
    this.slots.states[slot] = isThere ? SlotState.clean : SlotState.failed;
    if (isThere && load.isSecond && this.repairs.length < REPAIRS_MAX) {
      this.repairs.push({ owner, key: load.expected.firstKey });
    }
    this.#loads--;
    load.owner = null;
    load.nextLoad = this.#freeLoads;
    this.#freeLoads = load;
    const waiters = this.#waiters[slot] ?? null;
    this.#waiters[slot] = null;
    tell(waiters);
    this.#slotsMayBeThere();
  }

  /**
   * The page may be changed in place afterwards, by the tree of `sharing`. @returns its slot,
   * another one when it is being written in its old state, or is another tree's as well: that goes
   * on as it is. Epoch and addresses may be others: the caller mends the pointer above.
   */
  makeWritable(slot: number, sharing: TreeSharing): number {
    const { slots } = this;
    const state = slots.states[slot] as SlotState;
    const isOwn = this.isOwn(slot, sharing);
    if (state === SlotState.dirty && isOwn) {
      this.#renew(slot, sharing);
      return slot;
    }
    assert(isPage(state), "only a page is changed");
    const header = readHeader(slots.view, slot * BLOCK_BYTES);
    if (isOwn) this.#giveUp(header, state);
    let fresh = slot;
    if (isOwn && state === SlotState.clean) {
      slots.move(slot);
    } else {
      fresh = this.#takeSlot();
      const words = slot * PAGE_WORDS;
      this.words.copyWithin(fresh * PAGE_WORDS, words, words + PAGE_WORDS);
      if (isOwn) slots.replace(slot);
    }
    this.#place(fresh, header);
    return fresh;
  }

  /** It is the tree's by the cut of the origin only: from now on it is wherever it ends. */
  #renew(slot: number, { through }: TreeSharing): void {
    const at = slot * PAGE_WORDS + HeaderWord.epoch;
    if ((this.words[at] as number) <= through) this.words[at] = this.epoch;
  }

  /** No other tree has the page in `slot`. Hot path. */
  isOwn(slot: number, sharing: TreeSharing): boolean {
    const at = slot * PAGE_WORDS;
    const epoch = this.words[at + HeaderWord.epoch] as number;
    return sharing.ownsPage(epoch, this.words[at + HeaderWord.lastKey] as number);
  }

  /** A fresh page without entries, in a slot of its own, dirty. Addresses and such are set here. */
  newPage(header: PageHeader): number {
    const slot = this.#takeSlot();
    this.words.fill(0, slot * PAGE_WORDS + HEADER_WORDS, (slot + 1) * PAGE_WORDS);
    this.#place(slot, header);
    return slot;
  }

  /** The tree of `sharing` does not need the page any more: it goes, unless others have it. */
  dropPage(slot: number, sharing: TreeSharing): void {
    const { slots, space } = this;
    assert(space !== null, "a cache has a space map before it is used");
    const state = slots.states[slot] as SlotState;
    assert(isPage(state), "only a page is dropped");
    if (!this.isOwn(slot, sharing)) return;
    const header = readHeader(slots.view, slot * BLOCK_BYTES);
    if (state === SlotState.dirty) {
      this.#dirtyCount--;
      space.returnPages(header.a, header.b);
      slots.release(slot);
      return;
    }
    this.#giveUp(header, state);
    if (state === SlotState.frozen) slots.replace(slot);
    else slots.release(slot);
  }

  /** The blocks of a page that was written, or is being written, are not needed any more. */
  #giveUp({ a, b, generation }: PageHeader, state: number): void {
    const { space } = this;
    assert(space !== null, "a cache has a space map before it is used");
    // No label has been written yet (a replay in a small cache): none can name such a page.
    const isUnlabelled = !this.#hasLabel && generation >= this.#firstGeneration;
    if (isUnlabelled && state === SlotState.clean) space.returnPages(a, b);
    else space.dropPages(a, b);
  }

  #place(slot: number, header: PageHeader): void {
    const { slots, space } = this;
    const isThere = space?.takePages(this.#taken) === true;
    assert(isThere, "room for pages is set aside before a change begins");
    header.a = this.#taken.a;
    header.b = this.#taken.b;
    header.generation = this.generation;
    header.epoch = this.epoch;
    writeHeader(slots.view, slot * BLOCK_BYTES, header, this.pool);
    slots.enter(slot, header.a);
    slots.states[slot] = SlotState.dirty;
    this.#dirtyCount++;
  }

  #takeSlot(): number {
    const slot = this.slots.take(SlotState.dirty);
    assert(slot >= 0, "room for pages is set aside before a change begins");
    return slot;
  }

  #foldPages(): number {
    const records = this.#applied + this.#admittedRecords + 1;
    return (this.space?.foldPages() ?? 0) + (this.catalogue?.foldPages(records) ?? 0);
  }

  /** Pages that applying such records may copy and make, at worst, and the fold after them. */
  #pagesOf(records: number, blocks: number): number {
    const paths = 2 * (2 + this.levelMax) + 1;
    const leaves = 2 * Math.floor(blocks / LEAF_ENTRIES_LOW);
    return records * paths + leaves + (this.space?.foldPagesOf(blocks) ?? 0);
  }

  #block(waiter: PageWaiter | null): void {
    if (waiter === null) return;
    assert(waiter.nextWaiter === null, "one waits for one page at a time");
    waiter.nextWaiter = this.#blocked;
    this.#blocked = waiter;
  }

  #slotsMayBeThere(): void {
    const blocked = this.#blocked;
    this.#blocked = null;
    tell(blocked);
    if (this.#roomFirst !== null) this.roomMayBeThere();
  }
}

function isPage(state: SlotState): boolean {
  return state === SlotState.clean || state === SlotState.dirty || state === SlotState.frozen;
}

/** Tells all of a list, in the order of their coming. */
function tell(last: PageWaiter | null): void {
  let first: PageWaiter | null = null;
  while (last !== null) {
    const before: PageWaiter | null = last.nextWaiter;
    last.nextWaiter = first;
    first = last;
    last = before;
  }
  while (first !== null) {
    const next: PageWaiter | null = first.nextWaiter;
    first.nextWaiter = null;
    first.pageReady();
    first = next;
  }
}
