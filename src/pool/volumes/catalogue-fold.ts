/**
 * CatalogueFold: puts what has changed of objects and properties into their trees, at checkpoints.
 *
 *   prepare: some objects at a time, loads what is missing, goes on --> run: sync; MISSING: prepare
 *     again
 *
 * `run` may stop half-way and goes on from there: a page that it has changed stays in memory.
 */

import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache, PageWaiter } from "../pages/page-cache.ts";
import { FAILED, MISSING, type PageTree } from "../pages/page-tree.ts";
import { writeObjectRecord } from "./object-record.ts";
import { pieceCount, pieceKey, putPiece, removePieces } from "./property-pieces.ts";
import type { VolumeState } from "./volume-state.ts";

/** Entries of leaves that are half full. */
const LEAF_OBJECTS_LOW = 3;
const LEAF_PIECES_LOW = 2;
const PAGES_PER_GONE = 4;
/** So many objects are put into their tree before others get their turn. */
const PREPARED_AT_ONCE = 128;
/** Of both trees. */
const PAGES_ABOVE = 8;

export class CatalogueFold implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  readonly #cache: PageCache;
  readonly #objects: PageTree;
  readonly #properties: PageTree;
  readonly #states: ReadonlyMap<number, VolumeState>;
  readonly #gone = new Set<number>();
  readonly #areas = new Map<number, Uint8Array>();
  /** Pieces of all areas. */
  #areaPieces = 0;
  /** Objects that changed by records of several, but for one of each. */
  #more = 0;
  /** Where `run` had to stop. */
  #stopped: { readonly tree: PageTree; readonly key: number } | null = null;
  #done: ((status: Status) => void) | null = null;
  /** Objects that a preparation has not looked at, and the one that it is at. */
  #rest: Iterator<VolumeState> = [].values();
  #next: VolumeState | undefined = undefined;

  constructor(
    cache: PageCache,
    objects: PageTree,
    properties: PageTree,
    states: ReadonlyMap<number, VolumeState>,
  ) {
    this.#cache = cache;
    this.#objects = objects;
    this.#properties = properties;
    this.#states = states;
  }

  /** Pages that the next run may copy and make, at worst, after so many records. */
  pages(records: number): number {
    const changed = records + this.#more;
    const objects = Math.min(Math.ceil(this.#states.size / LEAF_OBJECTS_LOW), changed);
    const properties = Math.ceil(this.#areaPieces / LEAF_PIECES_LOW) + 2 * this.#areas.size;
    return objects + properties + this.#gone.size * PAGES_PER_GONE + PAGES_ABOVE;
  }

  /** By one record. */
  objectsChanged(count: number): void {
    this.#more += count - 1;
  }

  objectGone(id: number): void {
    this.#forgetArea(id);
    this.#gone.add(id);
  }

  /** `area` is the fold's from now on. */
  propertiesChanged(id: number, area: Uint8Array): void {
    this.#forgetArea(id);
    this.#areas.set(id, area);
    this.#areaPieces += pieceCount(area.length);
  }

  prepare(done: (status: Status) => void): void {
    assert(this.#done === null, "one checkpoint at a time");
    this.#done = done;
    this.#rest = this.#states.values();
    this.#next = this.#rest.next().value;
    this.pageReady();
  }

  pageReady(): void {
    const { reactor } = this.#cache;
    if (this.#prepareSome()) reactor.deliverLater(() => this.pageReady());
    else this.#prepareRest();
  }

  /** @returns true: it has put as many as may be at once; else it is through, or misses a page */
  #prepareSome(): boolean {
    for (let count = 0; this.#next !== undefined; this.#next = this.#rest.next().value) {
      const state = this.#next;
      // It may be gone since it was looked at.
      if (!state.needsFold || this.#states.get(state.id) !== state) continue;
      if (count++ === PREPARED_AT_ONCE) return true;
      if (!this.#putObject(state)) return false;
    }
    return false;
  }

  #prepareRest(): void {
    if (this.#next === undefined && this.run() === 0) {
      this.#end(Status.ok);
      return;
    }
    const stopped = this.#stopped;
    assert(stopped !== null, "a run that stops says where");
    if (stopped.tree.find(stopped.key) === FAILED) this.#end(Status.mediaError);
    else stopped.tree.load(stopped.key, this);
  }

  /** @returns MISSING, else 0 */
  run(): number {
    for (const state of this.#states.values()) {
      if (state.needsFold && !this.#putObject(state)) return MISSING;
    }
    for (const id of this.#gone) {
      if (this.#objects.removeInLeaf(id, id + 1, null) === MISSING) {
        return this.#stop(this.#objects, id);
      }
      const missing = removePieces(this.#properties, id, 0);
      if (missing >= 0) return this.#stop(this.#properties, missing);
      this.#gone.delete(id);
    }
    for (const [id, area] of this.#areas) {
      const stopped = this.#putArea(id, area);
      if (stopped !== 0) return stopped;
      this.#forgetArea(id);
    }
    this.#more = 0;
    return 0;
  }

  /** False: a page is missing. */
  #putObject(state: VolumeState): boolean {
    const at = this.#objects.put(state.id);
    if (at < 0) {
      this.#stop(this.#objects, state.id);
      return false;
    }
    writeObjectRecord(state.record(), this.#cache.words, at);
    state.folded();
    return true;
  }

  #putArea(id: number, area: Uint8Array): number {
    const count = pieceCount(area.length);
    for (let piece = 0; piece < count; piece++) {
      const at = putPiece(this.#cache, this.#properties, { objectId: id, piece, area });
      if (at < 0) return this.#stop(this.#properties, pieceKey(id, piece));
    }
    const missing = removePieces(this.#properties, id, count);
    return missing >= 0 ? this.#stop(this.#properties, missing) : 0;
  }

  #stop(tree: PageTree, key: number): number {
    this.#stopped = { tree, key };
    return MISSING;
  }

  #forgetArea(id: number): void {
    const area = this.#areas.get(id);
    if (area === undefined) return;
    this.#areas.delete(id);
    this.#areaPieces -= pieceCount(area.length);
  }

  #end(status: Status): void {
    const done = this.#done;
    assert(done !== null, "a preparation ends once");
    this.#done = null;
    done(status);
  }
}
