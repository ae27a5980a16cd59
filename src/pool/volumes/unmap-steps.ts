/**
 * UnmapRun: takes a range of blocks out of a volume, one leaf of its tree after the other: for
 * discard, write-zeroes, shrink and delete.
 *
 *   start --next mapped block found--> room for pages --> log --> applied --> next leaf ... end
 *
 * Each step is a record of its own: what a crash leaves is a range half done, which is what an
 * unacknowledged change may be. Steps are small, so that a large range keeps nobody waiting.
 */

import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { RecordSink } from "../log/log-record.ts";
import type { LogEntry } from "../log/pool-log.ts";
import type { PageRoomWaiter, PageWaiter } from "../pages/page-cache.ts";
import { ABSENT, MISSING } from "../pages/page-tree.ts";
import type { LogWaiter } from "../pool-layout.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import type { AppliedEntry } from "./record-applier.ts";
import { keyToLoad } from "./tree-step.ts";
import { MAPPING_ENTRY_WORDS, type VolumeState } from "./volume-state.ts";
import { entriesMax } from "../pages/page-format.ts";

const KEYS_END = 2 ** 32;
/** A step takes out at most so many: a leaf's. */
const STEP_BLOCKS_MAX = entriesMax(MAPPING_ENTRY_WORDS);

export interface UnmapRunOwner {
  /** Once, perhaps before `start` returns: `run.status`. */
  unmapped(run: UnmapRun): void;
}

export class UnmapRun implements LogEntry, AppliedEntry, PageWaiter, PageRoomWaiter, LogWaiter {
  nextEntry: LogEntry | null = null;
  nextApplied: AppliedEntry | null = null;
  nextWaiter: PageWaiter | null = null;
  nextRoom: PageRoomWaiter | null = null;
  nextLog: LogWaiter | null = null;
  sequence = 0;
  status: Status = Status.ok;
  readonly #parts: PoolParts;
  readonly #owner: UnmapRunOwner;
  #volume: VolumeState | null = null;
  #cursor = 0;
  #end = 0;
  #punch = false;
  /** Of the step under way. */
  #first = 0;
  #count = 0;
  #isStopped = false;

  constructor(parts: PoolParts, owner: UnmapRunOwner) {
    this.#parts = parts;
    this.#owner = owner;
  }

  /** Blocks [first, end) of the volume. */
  start(volume: VolumeState, first: number, end: number, punch: boolean): void {
    assert(this.#volume === null && first < end, "a run has blocks and is used once at a time");
    this.#volume = volume;
    this.#cursor = first;
    this.#end = end;
    this.#punch = punch;
    this.#isStopped = false;
    this.status = Status.ok;
    this.#step();
  }

  /** Ends, with status aborted, after the step under way. */
  stop(): void {
    this.#isStopped = true;
  }

  pageReady(): void {
    this.#step();
  }

  pagesMayBeThere(): void {
    this.#step();
  }

  roomInLog(): void {
    this.#log();
  }

  logged(status: Status, sequence: number): void {
    if (status === Status.ok) {
      this.#parts.applier.enqueue(this, sequence);
      return;
    }
    this.#parts.cache.applied(STEP_BLOCKS_MAX);
    this.#finish(status);
  }

  applyTo(sink: RecordSink): boolean {
    const { id } = this.#live;
    return sink.unmap(id, this.#first, this.#count, this.#punch, this.sequence);
  }

  applied(): void {
    this.#parts.cache.applied(STEP_BLOCKS_MAX);
    this.#cursor = this.#first + this.#count;
    this.#step();
  }

  get #live(): VolumeState {
    assert(this.#volume !== null, "a run under way has its volume");
    return this.#volume;
  }

  /** Finds the next leaf with something in the range. */
  #step(): void {
    const end = this.#look();
    if (end !== null) this.#finish(end);
  }

  /** @returns the status that it ends with; null: it goes on, or waits */
  #look(): Status | null {
    const { tree } = this.#live;
    const { cache, disks } = this.#parts;
    if (this.#isStopped) return Status.aborted;
    if (disks.fault !== Status.ok) return Status.mediaError;
    if (this.#cursor >= this.#end) return Status.ok;
    const at = tree.atLeast(this.#cursor);
    if (at === MISSING) {
      tree.load(keyToLoad(tree, this.#cursor), this);
      return null;
    }
    if (at < 0) return at === ABSENT ? Status.ok : Status.mediaError;
    const key = cache.words[at] as number;
    if (key >= this.#end) return Status.ok;
    this.#first = key;
    const leafEnd = tree.leafEnd(key);
    assert(leafEnd > key && leafEnd <= KEYS_END, "a leaf that was found is there");
    this.#count = Math.min(leafEnd, this.#end) - key;
    if (cache.admit(STEP_BLOCKS_MAX)) this.#log();
    else cache.waitForPages(this);
    return null;
  }

  #log(): void {
    const { log } = this.#parts;
    const { id } = this.#live;
    if (log.unmap(this, id, this.#first, this.#count, this.#punch)) return;
    log.waitForRoom(this);
  }

  #finish(status: Status): void {
    this.#volume = null;
    this.status = status;
    this.#owner.unmapped(this);
  }
}
