/**
 * VersionCut: takes a version out of its family: frees what was born on its edge and its one child
 * does not have, piece by piece in the order of keys, and leaves the rest to the child. The
 * version's own tree is never changed: the cursor says how far it is gone.
 *
 *   plan (reaper: where does the next record end?) --logged--> apply --MISSING, loaded--> apply
 *
 * Cursor, blocks and pages of one piece change together, within one step, so whoever looks between
 * two steps finds all in order. Pieces end where pages of the version end: a page that a child has,
 * too, is never cut in its middle. After a replay the version's pages may end elsewhere than when
 * the record was planned: so a record's end is the least that is done.
 *
 * spec: docs/internals/pool-format.md, Snapshots and clones
 */

import { assert } from "../../util/assert.ts";
import type { PageCache } from "../pages/page-cache.ts";
import { MISSING, type PageTree } from "../pages/page-tree.ts";
import { type Address, NO_ADDRESS } from "../pool-layout.ts";
import type { SpaceMap } from "../space/space-map.ts";
import { EdgeStep, KEYS_END, Piece } from "./edge-step.ts";
import { addressOfEntry } from "./mapping-entry.ts";
import type { VolumeState } from "./volume-state.ts";

export interface VersionCutParts {
  readonly cache: PageCache;
  readonly space: SpaceMap;
}

/** Leaves that one record frees: what the applier does at a stretch, with others behind it. */
export const CUT_LEAVES = 2;
/**
 * Blocks that room is set aside for when such a record is logged: those of its leaves, with some
 * more, as the child may have changed what was passed over when the record was planned.
 */
export const CUT_BLOCKS_MAX = 768;
/** What a plan passes over at a stretch. */
const LOOKS_MAX = 4096;

const NO_CHILDREN: readonly VolumeState[] = [];

export class VersionCut {
  readonly #cache: PageCache;
  readonly #space: SpaceMap;
  readonly #step: EdgeStep;
  /** The child of the call under way, in a list of its own that is used again and again. */
  readonly #only: VolumeState[] = [];
  /** Of the plan under way: whose, and how far it has looked. */
  #plannedId = 0;
  #plannedAt = 0;
  #plannedLeaves = 0;
  /** Blocks that lie one behind the other, about to be freed. */
  #address: Address = NO_ADDRESS;
  #count = 0;
  #sequence = 0;
  readonly #own = (words: Uint32Array, at: number): void => this.#add(addressOfEntry(words, at));

  constructor({ cache, space }: VersionCutParts) {
    this.#cache = cache;
    this.#space = space;
    this.#step = new EdgeStep(cache);
  }

  /** After MISSING: what to load. */
  get stuckTree(): PageTree | null {
    return this.#step.stuckTree;
  }

  get stuckKey(): number {
    return this.#step.stuckKey;
  }

  /** Pages that could not be read, so that not all of the space could be found. */
  get lost(): number {
    return this.#step.lost;
  }

  /**
   * Frees what is `x`'s alone and moves its cursor to `end` or beyond. `child`: its only one.
   * @param isLive not in a replay: `end` is where a page of x ends, and not gone beyond. A replay
   *   that could read what could not be read here would be behind, and free what is in use by then
   * @returns 0, or MISSING: load, and call the same again before anything else is applied
   */
  apply(
    x: VolumeState,
    child: VolumeState | null,
    end: number,
    sequence: number,
    isLive: boolean,
  ): number {
    assert(x.isDeleting && end <= KEYS_END, "only what is being deleted is cut");
    const children = this.#listOf(child);
    const step = this.#step;
    this.#sequence = sequence;
    while (x.cursor < end) {
      const found = step.look(x, children, x.cursor);
      if (found === MISSING) return MISSING;
      assert(step.end > x.cursor, "a cut gets on");
      // Only by a page that is lost: the next record passes it.
      if (isLive && step.end > end) {
        x.cursor = end;
        break;
      }
      if (found === Piece.leaf) {
        step.forEachOwn(this.#own);
        this.#free();
      }
      // Before the cursor moves: what is below it nobody looks at any more.
      step.forEachPassedPage((slot) => this.#cache.dropPage(slot, x.tree.sharing));
      x.cursor = step.end;
    }
    return 0;
  }

  /**
   * Where the next record is to end: behind so many leaves that have something to free, from the
   * cursor on. Brings into memory what the record will need. Changes nothing.
   * @returns the end, or MISSING: load, and call again
   */
  plan(x: VolumeState, child: VolumeState | null, leaves: number): number {
    const children = this.#listOf(child);
    const step = this.#step;
    if (this.#plannedId !== x.id || this.#plannedAt < x.cursor) this.#begin(x);
    for (let looks = 0; this.#plannedAt < KEYS_END && looks < LOOKS_MAX; looks++) {
      const found = step.look(x, children, this.#plannedAt);
      if (found === MISSING) return MISSING;
      step.reset();
      this.#plannedAt = step.end;
      if (found === Piece.leaf && ++this.#plannedLeaves >= leaves) break;
    }
    const end = this.#plannedAt;
    this.#plannedId = 0;
    return end;
  }

  #begin(x: VolumeState): void {
    this.#plannedId = x.id;
    this.#plannedAt = x.cursor;
    this.#plannedLeaves = 0;
    this.#step.reset();
  }

  #listOf(child: VolumeState | null): readonly VolumeState[] {
    if (child === null) return NO_CHILDREN;
    this.#only[0] = child;
    return this.#only;
  }

  #add(address: Address): void {
    if (this.#count > 0 && address === this.#address + this.#count) {
      this.#count++;
      return;
    }
    this.#free();
    this.#address = address;
    this.#count = 1;
  }

  #free(): void {
    if (this.#count === 0) return;
    this.#space.free(this.#address, this.#count, this.#sequence, true);
    this.#count = 0;
  }
}
