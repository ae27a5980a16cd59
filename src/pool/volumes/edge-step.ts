/**
 * EdgeStep: looks at a version of a family, piece by piece, for what is its own: born on its edge,
 * and in none of its children. A piece is a leaf, or a whole subtree that is passed over unread:
 * one that the origin has, too, or that a child has, too.
 *
 * Nothing here waits or changes anything. A look answers MISSING when a page is not in memory:
 * load `stuckTree` at `stuckKey` and look again; where it was in a leaf it goes on.
 *
 * Children began as copies of the version's tree, and pages that a child has not changed keep the
 * range that they had: so a page of the version is in the child's tree on the path to any key that
 * it covers, at the same level, or nowhere.
 *
 * spec: docs/internals/pool-format.md, Snapshots and clones
 */

import { assert } from "../../util/assert.ts";
import type { PageCache } from "../pages/page-cache.ts";
import { entriesMax } from "../pages/page-format.ts";
import { ABSENT, FAILED, MISSING, type PageTree } from "../pages/page-tree.ts";
import { emptyPointer } from "../pages/root-pointer.ts";
import { LEVELS_MAX } from "../pages/tree-change.ts";
import { countOf, entryAt } from "../pages/tree-search.ts";
import type { Address } from "../pool-layout.ts";
import { addressOfEntry } from "./mapping-entry.ts";
import { MAPPING_ENTRY_WORDS, MappingWord, type VolumeState } from "./volume-state.ts";

/** Behind all keys. */
export const KEYS_END = 2 ** 32;

/** What a look has found. MISSING is the third. */
export const Piece = {
  /** Nothing in it is the version's alone. */
  passed: 0,
  /** A leaf that is the version's alone: `forEachOwn`. */
  leaf: 1,
} as const;

const LEAF_ENTRIES_MAX = entriesMax(MAPPING_ENTRY_WORDS);
const NO_LEVEL = -1;

export class EdgeStep {
  /** After MISSING. */
  stuckTree: PageTree | null = null;
  stuckKey = 0;
  /** First key behind the piece. */
  end = 0;
  /** Blocks of the leaf that are the version's alone. */
  ownCount = 0;
  /** Pages, and entries in lost pages, that could not be judged: counted as not its own. */
  lost = 0;
  readonly #cache: PageCache;
  /** By level: slot of the version's page that the piece lies in, and the key behind that page. */
  readonly #slots = new Int32Array(LEVELS_MAX + 1);
  readonly #ends = new Float64Array(LEVELS_MAX + 1);
  /** Of the pages in #slots: from this level on, up to #top. */
  #lowest = 0;
  #top = NO_LEVEL;
  readonly #pointer = emptyPointer();
  readonly #other = emptyPointer();
  /** Of the leaf that is being judged: which entries are the version's alone. */
  readonly #verdicts = new Uint8Array(LEAF_ENTRIES_MAX);
  #judgedId = 0;
  #judgedKey = 0;
  #judged = 0;
  #judgedLost = 0;

  constructor(cache: PageCache) {
    this.#cache = cache;
  }

  /** Begins anew: verdicts on a leaf that was waited in may be out of date. */
  reset(): void {
    this.#judgedId = 0;
    this.stuckTree = null;
  }

  /** @returns `Piece`, or MISSING. `key` is where the last piece ended, or the version's cursor */
  look(version: VolumeState, children: Iterable<VolumeState>, key: number): number {
    const { tree } = version;
    const { root, sharing } = tree;
    this.#top = NO_LEVEL;
    this.end = KEYS_END;
    this.ownCount = 0;
    if (root.a === 0) return Piece.passed;
    if (root.level > LEVELS_MAX) return this.#lose();
    const through = key < sharing.cursor ? sharing.passedThrough : sharing.through;
    for (let level = root.level; ; level--) {
      const found = tree.pointerAt(key, level, this.#pointer);
      if (found !== 0) return found === MISSING ? this.#stuck(tree, key) : this.#lose();
      this.end = level === root.level ? KEYS_END : (tree.path.lasts[level] as number) + 1;
      if (this.#pointer.epoch <= through) return Piece.passed;
      for (const child of children) {
        const has = this.#has(child, key, level);
        if (has === MISSING) return MISSING;
        if (has === 1) return Piece.passed;
      }
      const slot = tree.slotOnPath(key, level);
      if (slot === MISSING) return this.#stuck(tree, key);
      if (slot < 0) return this.#lose();
      this.#slots[level] = slot;
      this.#ends[level] = this.end;
      this.#top = root.level;
      this.#lowest = level;
      if (level === 0) return this.#judge(version, children, key);
    }
  }

  /** After `Piece.leaf`: the entries of its own blocks, in the order of their keys. */
  forEachOwn(own: (words: Uint32Array, at: number) => void): void {
    const slot = this.#slots[0] as number;
    const { words } = this.#cache;
    const count = countOf(words, slot);
    for (let index = 0; index < count; index++) {
      if (this.#verdicts[index] === 0) continue;
      own(words, entryAt(slot, index, MAPPING_ENTRY_WORDS));
    }
    this.#judgedId = 0;
  }

  /**
   * After a look that is not MISSING: slots of the pages of the version that end where the piece
   * ends, lowest first. No child has them: else they had been passed over.
   */
  forEachPassedPage(passed: (slot: number) => void): void {
    if (this.#top === NO_LEVEL) return;
    for (let level = this.#lowest; level <= this.#top; level++) {
      if (this.#ends[level] === this.end) passed(this.#slots[level] as number);
    }
  }

  /** 1: the child has the version's page that #pointer names; 0: it has not; MISSING. */
  #has(child: VolumeState, key: number, level: number): number {
    const found = child.tree.pointerAt(key, level, this.#other);
    if (found === MISSING) return this.#stuck(child.tree, key);
    if (found === ABSENT) return 0;
    // What is above it in the child's tree is lost: it may be there.
    if (found < 0) {
      this.lost++;
      return 1;
    }
    return this.#other.a === this.#pointer.a ? 1 : 0;
  }

  /** Which entries of the leaf are the version's alone. */
  #judge(version: VolumeState, children: Iterable<VolumeState>, key: number): number {
    const slot = this.#slots[0] as number;
    const { words } = this.#cache;
    const { sharing } = version.tree;
    const count = countOf(words, slot);
    if (this.#judgedId !== version.id || this.#judgedKey !== key) {
      this.#judgedId = version.id;
      this.#judgedKey = key;
      this.#judged = 0;
      this.#judgedLost = 0;
    }
    for (let index = this.#judged; index < count; index++) {
      const at = entryAt(slot, index, MAPPING_ENTRY_WORDS);
      const block = words[at] as number;
      const isOwn = sharing.ownsEntry(words[at + MappingWord.epoch] as number, block);
      const verdict = isOwn ? this.#isAlone(block, addressOfEntry(words, at), children) : 0;
      if (verdict === MISSING) {
        this.#judged = index;
        return MISSING;
      }
      this.#verdicts[index] = verdict;
    }
    this.#judged = count;
    this.lost += this.#judgedLost;
    this.#judgedLost = 0;
    for (let index = 0; index < count; index++) this.ownCount += this.#verdicts[index] as number;
    return Piece.leaf;
  }

  /** 1: no child has the block; 0: one has it, or that cannot be known; MISSING. */
  #isAlone(block: number, address: Address, children: Iterable<VolumeState>): number {
    for (const { tree } of children) {
      const at = tree.find(block);
      if (at === MISSING) return this.#stuck(tree, block);
      if (at === FAILED) {
        this.#judgedLost++;
        return 0;
      }
      if (at >= 0 && addressOfEntry(this.#cache.words, at) === address) return 0;
    }
    return 1;
  }

  #lose(): number {
    this.lost++;
    return Piece.passed;
  }

  #stuck(tree: PageTree, key: number): typeof MISSING {
    assert(key < KEYS_END, "a page that is missing has keys");
    this.stuckTree = tree;
    this.stuckKey = key;
    return MISSING;
  }
}
