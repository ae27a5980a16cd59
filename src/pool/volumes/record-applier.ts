/**
 * RecordApplier: the only one who changes mapping trees and objects, live and in replay.
 *
 *   logged --enqueue--> queue --all pages there--> applied, in log order
 *                         +--a page is missing--> waits for it, all behind it wait too
 *
 * What a record replaces goes to `SpaceMap.free` with the sequence of its frame, unless the
 * volume's origin has it, too. Entries get the epoch of now, whatever epoch their record names: the
 * order in the log decides on which side of a snapshot a write is. A record that waited in the
 * middle is applied again from its start: what was done is seen in the tree (a mapping to the
 * record's own address can only be its own). Records come from a disk in replay: one that makes no
 * sense is left out and counted, never asserted.
 */

import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import { type RecordSink, VERSION_WORDS, type WriteRecord } from "../log/log-record.ts";
import type { PageCache, PageWaiter } from "../pages/page-cache.ts";
import { ABSENT, type EntrySink, MISSING, type PageTree } from "../pages/page-tree.ts";
import { TreeSharing } from "../pages/tree-sharing.ts";
import { type Address, NO_ADDRESS } from "../pool-layout.ts";
import type { SpaceMap } from "../space/space-map.ts";
import type { ChecksumKind } from "./block-checksum.ts";
import type { Catalogue } from "./catalogue.ts";
import { addressOfEntry } from "./mapping-entry.ts";
import { readObjectRecord } from "./object-record.ts";
import { planVersions, type VersionChange, versionChangeAt } from "./version-plan.ts";
import { MappingFlag, MappingWord, type VolumeState } from "./volume-state.ts";

const UINT32_RANGE = 2 ** 32;
const ALL_OWN = new TreeSharing();

/** A record on its way from its written frame into the trees. */
export interface AppliedEntry {
  nextApplied: AppliedEntry | null;
  /** Of its frame; set by `enqueue`. */
  sequence: number;
  /**
   * Calls one method of the sink, with `sequence`.
   * @returns false: a page is missing, called again when it is there
   */
  applyTo(sink: RecordSink): boolean;
  /** Reads see it now: the place to acknowledge. */
  applied(): void;
}

/** Takes what a deleted version alone has out of its family: VersionCut. */
export interface VersionCutter {
  /** After MISSING: the page that is missing. */
  readonly stuckTree: PageTree | null;
  readonly stuckKey: number;
  /** @returns 0; MISSING: load the page, then the same again; FAILED: a page is lost */
  apply(
    x: VolumeState,
    child: VolumeState | null,
    end: number,
    sequence: number,
    isLive: boolean,
  ): number;
}

export interface RecordApplierOptions {
  readonly catalogue: Catalogue;
  readonly cache: PageCache;
  readonly space: SpaceMap;
  /** Of the pool: entries without one say so. */
  readonly checksum: ChecksumKind;
}

export class RecordApplier implements RecordSink, PageWaiter {
  nextWaiter: PageWaiter | null = null;
  /** Of the last record that was applied. */
  appliedSequence = 0;
  /** Records and blocks of records that had to be left out: they, or pages, made no sense. */
  leftOut = 0;
  /** Volumes map more blocks, or fewer. Hot path. */
  onUsedChanged: (() => void) | null = null;
  cutter: VersionCutter | null = null;
  readonly #catalogue: Catalogue;
  readonly #cache: PageCache;
  readonly #space: SpaceMap;
  readonly #flags: number;
  readonly #freed: FreedRuns;
  #first: AppliedEntry | null = null;
  #last: AppliedEntry | null = null;
  #drained: (() => void)[] = [];
  #isRunning = false;
  /** The record under way was begun before, and had to wait. */
  #isResumed = false;
  #stuckTree: PageTree | null = null;
  #stuckKey = 0;

  constructor({ catalogue, cache, space, checksum }: RecordApplierOptions) {
    this.#catalogue = catalogue;
    this.#cache = cache;
    this.#space = space;
    this.#flags = checksum === "none" ? MappingFlag.noChecksum : 0;
    this.#freed = new FreedRuns(space);
  }

  /** By `LogEntry.logged` only, in log order. Applied at once unless one before it waits. */
  enqueue(entry: AppliedEntry, sequence: number): void {
    assert(entry.nextApplied === null && entry !== this.#last, "a record is applied once");
    entry.sequence = sequence;
    if (this.#last === null) this.#first = entry;
    else this.#last.nextApplied = entry;
    this.#last = entry;
    if (this.#first === entry && !this.#isRunning) this.#run();
  }

  /** Calls when nothing waits: at once, else later. */
  whenDrained(drained: () => void): void {
    if (this.#first === null) drained();
    else this.#drained.push(drained);
  }

  pageReady(): void {
    this.#run();
  }

  // hot path
  write(record: WriteRecord, sequence: number): boolean {
    const volume = this.#volumeOf(record.objectId, record.first + record.count);
    if (volume === null) return this.#leaveOut();
    if (!this.#isResumed) this.#space.markUsed(record.address, record.count);
    const { tree } = volume;
    const freed = this.#freed;
    freed.begin(sequence, false, tree.sharing);
    let mapped = 0;
    let isComplete = true;
    for (let index = 0; index < record.count; index++) {
      const at = tree.put(record.first + index);
      if (at === MISSING) {
        isComplete = this.#stuck(tree, record.first + index);
        break;
      }
      // Both copies of a leaf are gone: reads of what it held fail, whatever is written.
      if (at < 0) this.leftOut++;
      else if (this.#map(at, record, index)) mapped++;
    }
    freed.end();
    this.#countMapped(volume, mapped, freed.shared);
    if (isComplete) this.#isResumed = false;
    return isComplete;
  }

  unmap(objectId: number, first: number, count: number, punch: boolean, sequence: number): boolean {
    const end = first + count;
    const volume = this.#volumeOf(objectId, end);
    if (volume === null) return this.#leaveOut();
    const { tree } = volume;
    const freed = this.#freed;
    freed.begin(sequence, punch, tree.sharing);
    let removed = 0;
    let isComplete = true;
    for (let key = first; key < end; ) {
      const next = tree.leafEnd(key);
      const found = next < 0 ? next : tree.removeInLeaf(key, end, freed);
      if (found === MISSING) {
        isComplete = this.#stuck(tree, key);
        break;
      }
      if (found > 0) removed += found;
      if (found < ABSENT) this.leftOut++;
      if (next < 0) break;
      key = next;
    }
    freed.end();
    this.#countMapped(volume, -removed, freed.shared);
    if (isComplete) this.#isResumed = false;
    return isComplete;
  }

  object(words: Uint32Array, at: number): boolean {
    const record = readObjectRecord(words, at);
    if (record === null) return this.#leaveOut();
    this.#catalogue.takeObject(record);
    this.#space.setReserved(this.#catalogue.reservedBlocks);
    return true;
  }

  objectGone(objectId: number): boolean {
    const state = this.#catalogue.byId(objectId);
    if (state === undefined || !state.isDeleting || state.isWaiting) return this.#leaveOut();
    // What it alone has would never be free again.
    const isCut = state.cursor === UINT32_RANGE || state.tree.root.a === 0;
    if (!isCut) return this.#leaveOut();
    this.#catalogue.takeObjectGone(state);
    this.#space.setReserved(this.#catalogue.reservedBlocks);
    return true;
  }

  versions(words: Uint32Array, at: number, count: number, advancesEpoch: boolean): boolean {
    const changes: VersionChange[] = [];
    for (let index = 0; index < count; index++) {
      const change = versionChangeAt(words, at + index * VERSION_WORDS);
      // What is taken has the epoch of now, so that all later ones are newer than it.
      if (change === null || change.record.takenEpoch > this.#cache.epoch) return this.#leaveOut();
      changes.push(change);
    }
    const plan = planVersions(changes, (id) => this.#catalogue.byId(id));
    if (plan === null) return this.#leaveOut();
    this.#catalogue.takeVersions(plan);
    if (advancesEpoch) this.#cache.epoch++;
    this.#space.setReserved(this.#catalogue.reservedBlocks);
    return true;
  }

  cut(objectId: number, end: number, sequence: number): boolean {
    const state = this.#catalogue.byId(objectId);
    const { cutter } = this;
    if (state === undefined || !state.isDeleting || state.isWaiting) return this.#leaveOut();
    if (cutter === null) return this.#leaveOut();
    const [child = null] = state.children;
    const status = cutter.apply(state, child, end, sequence, this.#isRunning);
    this.onUsedChanged?.();
    if (status !== MISSING) return true;
    const { stuckTree, stuckKey } = cutter;
    assert(stuckTree !== null, "who misses a page says which");
    this.#stuckTree = stuckTree;
    this.#stuckKey = stuckKey;
    return false;
  }

  properties(objectId: number, bytes: Uint8Array): boolean {
    return this.#catalogue.takeProperties(objectId, bytes) || this.#leaveOut();
  }

  /** After a sink method said false: `waiter` is called when trying again makes sense. */
  waitFor(waiter: PageWaiter): void {
    const tree = this.#stuckTree;
    assert(tree !== null, "only a record that had to wait waits");
    this.#stuckTree = null;
    tree.load(this.#stuckKey, waiter);
  }

  #run(): void {
    assert(!this.#isRunning, "one record at a time");
    this.#isRunning = true;
    for (let entry = this.#first; entry !== null; entry = this.#first) {
      const { leftOut } = this;
      const isApplied = entry.applyTo(this);
      if (this.leftOut > leftOut) this.#raise();
      if (!isApplied) {
        this.#isRunning = false;
        this.waitFor(this);
        return;
      }
      this.appliedSequence = entry.sequence;
      this.#first = entry.nextApplied;
      if (this.#first === null) this.#last = null;
      entry.nextApplied = null;
      entry.applied();
    }
    this.#isRunning = false;
    while (this.#drained.length > 0 && this.#first === null) this.#drained.shift()?.();
  }

  /** Sets the entry at `at`. True: it was not mapped before. Hot path. */
  #map(at: number, record: WriteRecord, index: number): boolean {
    const { words } = this.#cache;
    const address = record.address + index;
    const old = addressOfEntry(words, at);
    // Done before the record had to wait.
    if (old === address) return false;
    words[at + MappingWord.addressLow] = address >>> 0;
    words[at + MappingWord.addressHigh] = Math.floor(address / UINT32_RANGE) | this.#flags;
    words[at + MappingWord.checksum] = record.checksums[record.checksumsAt + index] as number;
    const epoch = words[at + MappingWord.epoch] as number;
    words[at + MappingWord.epoch] = this.#cache.epoch;
    if (old === NO_ADDRESS) return true;
    this.#freed.replaced(old, epoch, record.first + index);
    return false;
  }

  /** What may be changed; null: there is no such volume, or no such blocks. Hot path. */
  #volumeOf(objectId: number, end: number): VolumeState | null {
    const volume = this.#catalogue.byId(objectId);
    if (volume === undefined || volume.kind === "snapshot" || volume.cursor > 0) return null;
    return end <= UINT32_RANGE ? volume : null;
  }

  /** @param shared so many blocks of the origin's are not the volume's any more. Hot path. */
  #countMapped(volume: VolumeState, more: number, shared: number): void {
    if (more === 0 && shared === 0) return;
    const reservedBefore = volume.reservedBlocks;
    volume.mappedBlocks += more;
    volume.sharedBlocks = Math.max(volume.sharedBlocks - shared, 0);
    this.onUsedChanged?.();
    const reserved = volume.reservedBlocks - reservedBefore;
    if (reserved === 0) return;
    this.#catalogue.reservedChanged(reserved);
    this.#space.setReserved(this.#catalogue.reservedBlocks);
  }

  #stuck(tree: PageTree, key: number): false {
    this.#isResumed = true;
    this.#stuckTree = tree;
    this.#stuckKey = key;
    return false;
  }

  /** What is in the log is not in the trees: only an import can tell what is there. */
  #raise(): void {
    const reason = "a page of a volume's tree could not be read when a change was to go there";
    this.#cache.disks.raise({ status: Status.mediaError, reason, isSync: false });
  }

  #leaveOut(): true {
    this.leftOut++;
    return true;
  }
}

/** Blocks that a record frees, gathered to runs; those of the origin are only counted. */
class FreedRuns implements EntrySink {
  /** Blocks that were replaced or taken out, and stay for the origin. */
  shared = 0;
  readonly #space: SpaceMap;
  #sharing: TreeSharing = ALL_OWN;
  #sequence = 0;
  #punch = false;
  #address: Address = NO_ADDRESS;
  #count = 0;

  constructor(space: SpaceMap) {
    this.#space = space;
  }

  // hot path
  begin(sequence: number, punch: boolean, sharing: TreeSharing): void {
    this.#sequence = sequence;
    this.#punch = punch;
    this.#sharing = sharing;
    this.shared = 0;
  }

  /** Of the volume's block `key`. Hot path. */
  replaced(address: Address, epoch: number, key: number): void {
    if (!this.#sharing.ownsEntry(epoch, key)) {
      this.shared++;
      return;
    }
    if (this.#count > 0 && address === this.#address + this.#count) {
      this.#count++;
      return;
    }
    this.end();
    this.#address = address;
    this.#count = 1;
  }

  entry(words: Uint32Array, at: number): void {
    const epoch = words[at + MappingWord.epoch] as number;
    this.replaced(addressOfEntry(words, at), epoch, words[at] as number);
  }

  // hot path
  end(): void {
    if (this.#count === 0) return;
    this.#space.free(this.#address, this.#count, this.#sequence, this.#punch);
    this.#count = 0;
  }
}
