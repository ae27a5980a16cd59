/**
 * PageTree: a B+-tree of entries of one size, sorted by a 32-bit key, in pages of a PageCache.
 *
 * Nothing here waits: a step that needs a page that is not in memory says MISSING and has changed
 * nothing; `load` brings the first page that is missing, then the step is tried again. Changes need
 * room that was set aside before (`PageCache.admit`). It belongs to whoever has the root pointer
 * written; nothing is in flight but loads.
 *
 * spec: docs/internals/pool-format.md, "Pointers and pages"
 */

import { assert } from "../../util/assert.ts";
import { SlotState } from "./cache-slots.ts";
import type { PageCache, PageWaiter } from "./page-cache.ts";
import { entriesMax, INNER_ENTRY_WORDS, type PageHeader } from "./page-format.ts";
import type { PageOwner } from "./page-load.ts";
import { copyPointer, emptyPointer, readPointerWords, type RootPointer } from "./root-pointer.ts";
import {
  type ChangingTree,
  closeGap,
  insertEntry,
  KEY_MAX,
  LEVELS_MAX,
  makePathWritable,
  makeRoot,
  settleLeaf,
  type TreePath,
  wordsAt,
} from "./tree-change.ts";
import { childOf, countOf, covers, entryAt, lowerBound } from "./tree-search.ts";
import { TreeSharing } from "./tree-sharing.ts";

export const ABSENT = -1;
export const MISSING = -2;
/** Both copies of a page on the way are bad. */
export const FAILED = -3;

export interface TreeKind {
  /** Of its pages: `PageKind`. */
  readonly kind: number;
  /** Key included. */
  readonly entryWords: number;
}

export interface EntrySink {
  /** The entry is words[at...]; gone when this returns. Must not change the tree. */
  entry(words: Uint32Array, at: number): void;
}

/** Behind all keys. */
const KEY_END = KEY_MAX + 1;
/** Of the page that a descent has come to; used within one call only. */
const pointer = emptyPointer();

export class PageTree implements ChangingTree, PageOwner {
  readonly cache: PageCache;
  readonly kind: number;
  readonly tree: number;
  readonly entryWords: number;
  readonly root: RootPointer;
  readonly path: TreePath;
  /** What is shared with the origin. */
  readonly sharing = new TreeSharing();
  /** Leaf of the last look. */
  #leaf = 0;
  #leafVersion = -1;
  /** Of the tree's hints. */
  #hintTag = 0;
  /** `atLeast` of the first key has missed a page on the path to the second. */
  #missedFrom = -1;
  #missedAt = -1;
  /** Level of the page that `#descend` has missed; `pointer` names it. */
  #wantedLevel = 0;
  readonly #leafEntriesMax: number;

  /** @param root copied; a label's, an object record's, or an empty one */
  constructor(cache: PageCache, kind: TreeKind, tree: number, root: RootPointer) {
    this.cache = cache;
    this.path = cache.path;
    this.kind = kind.kind;
    this.entryWords = kind.entryWords;
    this.tree = tree;
    this.#leafEntriesMax = entriesMax(kind.entryWords);
    this.root = emptyPointer();
    this.setRoot(root);
  }

  /** First word of the entry with `key` in cache.words, or ABSENT, MISSING, FAILED. Hot path. */
  find(key: number): number {
    const { words } = this.cache;
    const slot = this.#isInLeaf(key) ? this.#leaf : this.#leafOf(key);
    if (slot < 0) return slot;
    const index = lowerBound(words, slot, this.entryWords, key);
    if (index === countOf(words, slot)) return ABSENT;
    const at = entryAt(slot, index, this.entryWords);
    return words[at] === key ? at : ABSENT;
  }

  /** First word of the first entry whose key is not below `key`. */
  atLeast(key: number): number {
    const { words } = this.cache;
    for (let from = key; ; from = (this.path.lasts[0] as number) + 1) {
      const slot = this.#descend(from, 0);
      if (slot === MISSING) {
        this.#missedFrom = key;
        this.#missedAt = from;
      }
      if (slot < 0) return slot;
      const index = lowerBound(words, slot, this.entryWords, from);
      if (index < countOf(words, slot)) return entryAt(slot, index, this.entryWords);
      if (this.path.lasts[0] === KEY_MAX) return ABSENT;
    }
  }

  /** Smallest key behind the leaf that holds or would hold `key`; 2^32: it is the last leaf. */
  leafEnd(key: number): number {
    const { root, path } = this;
    if (root.a === 0 || root.level === 0) return KEY_END;
    const slot = this.#descend(key, 1);
    if (slot < 0) return slot;
    this.#step(1, key);
    return (path.lasts[0] as number) + 1;
  }

  /**
   * First word of the entry with `key`, made with zeroes if it is not there, in a leaf that may be
   * written; the caller sets the value words at once. Or MISSING, FAILED. Hot path.
   */
  put(key: number): number {
    assert(key >= 0 && key <= KEY_MAX, "keys have 32 bits");
    const { words, slots } = this.cache;
    const { path } = this;
    const isInLeaf = this.#isInLeaf(key) || this.#hint(key) >= 0;
    if (isInLeaf && slots.states[this.#leaf] === SlotState.dirty) {
      const at = this.cache.isOwn(this.#leaf, this.sharing) ? this.#putInLeaf(key) : -1;
      if (at >= 0) return at;
    }
    const found = this.#descend(key, 0);
    if (found === MISSING || found === FAILED) return found;
    if (found === ABSENT) {
      makeRoot(this);
      return this.#noteLeaf(key, insertEntry(this, key));
    }
    const index = lowerBound(words, found, this.entryWords, key);
    path.positions[0] = index;
    const version = slots.versions[found];
    makePathWritable(this);
    // The leaf was another tree's as well, which keeps it: hints must not lead there any more.
    if (path.slots[0] !== found && slots.versions[found] === version) this.#forgetCopied();
    const at = entryAt(path.slots[0] as number, index, this.entryWords);
    const isThere = index < countOf(words, found) && words[at] === key;
    return this.#noteLeaf(key, isThere ? at : insertEntry(this, key));
  }

  /**
   * Takes out the entries of ONE leaf with first <= key < end; `sink` gets each before. @returns
   * how many, or MISSING, FAILED. What is left of the range begins at `leafEnd(first)`, asked for
   * before.
   */
  removeInLeaf(first: number, end: number, sink: EntrySink | null): number {
    const { words } = this.cache;
    const { path, entryWords } = this;
    const found = this.#descend(first, 0);
    if (found === ABSENT) return 0;
    if (found < 0) return found;
    const from = lowerBound(words, found, entryWords, first);
    const to = lowerBound(words, found, entryWords, end);
    if (from >= to) return 0;
    path.positions[0] = from;
    this.forgetLeaf();
    makePathWritable(this);
    const leaf = path.slots[0] as number;
    for (let index = from; index < to && sink !== null; index++) {
      sink.entry(words, entryAt(leaf, index, entryWords));
    }
    closeGap(this, leaf, from, to - from, entryWords);
    settleLeaf(this);
    return to - from;
  }

  /**
   * Brings the first missing page on the path to `key` into memory (after `atLeast`: to the key
   * behind it that it came to), then tells the waiter: try again.
   */
  load(key: number, waiter: PageWaiter): void {
    const target = key === this.#missedFrom ? this.#missedAt : key;
    this.#missedFrom = -1;
    if (this.#descend(target, 0) === MISSING) this.cache.load(this, this.#expected(), waiter);
    else waiter.pageReady();
  }

  /** Asks for the next missing page on the path to each key, without waiting. */
  prefetch(keys: Uint32Array, count: number): void {
    assert(count <= keys.length, "there are so many keys");
    for (let index = 0; index < count; index++) {
      const key = keys[index] as number;
      if (this.#descend(key, 0) === MISSING) this.cache.load(this, this.#expected(), null);
    }
  }

  /**
   * Asks for the leaves behind that of `key`, so many at most, without waiting: as far as the pages
   * above them are there.
   */
  prefetchBehind(key: number, leaves: number): void {
    let next = key;
    for (let count = 0; count < leaves; count++) {
      next = this.leafEnd(next);
      if (next < 0 || next >= KEY_END) return;
      if (this.#descend(next, 0) === MISSING) this.cache.load(this, this.#expected(), null);
    }
  }

  /** Slot of the page at `level` on the path to `key`; ABSENT: the tree is not so high. */
  slotOnPath(key: number, level: number): number {
    return level > this.root.level ? ABSENT : this.#descend(key, level);
  }

  /**
   * Addresses of the page at `level` on the path to `key`, into `into`; it need not be in memory.
   * @returns 0; ABSENT: the tree is not so high; MISSING: a page above it, `load`; FAILED
   */
  pointerAt(key: number, level: number, into: RootPointer): number {
    const { root, path } = this;
    if (root.a === 0 || level > root.level) return ABSENT;
    if (level === root.level) {
      path.firsts[level] = 0;
      path.lasts[level] = KEY_MAX;
      copyPointer(root, into);
      return 0;
    }
    const found = this.#descend(key, level + 1);
    if (found < 0) return found;
    this.#step(level + 1, key);
    copyPointer(pointer, into);
    return 0;
  }

  /** It begins elsewhere from now on. `root` is copied. */
  setRoot(root: Readonly<RootPointer>): void {
    const { cache } = this;
    copyPointer(root, this.root);
    cache.levelMax = Math.max(cache.levelMax, Math.min(root.level, LEVELS_MAX));
    this.forgetLeaf();
  }

  /** The leaf of the last look may be another tree's to change from now on. */
  forgetLeaf(): void {
    this.#leafVersion = -1;
    this.#hintTag = this.cache.hints.newTag();
  }

  /**
   * The path to `key` is made dirty, as far down as its pages are the tree's own: written anew with
   * the next checkpoint. What others have, too, stays as it is, and so does a tree that is fixed.
   */
  touch(key: number): number {
    if (this.sharing.isFixed) return ABSENT;
    const found = this.#descend(key, 0);
    if (found < 0) return found;
    const { cache, path, sharing } = this;
    let lowest = path.top + 1;
    while (lowest > 0 && cache.isOwn(path.slots[lowest - 1] as number, sharing)) lowest--;
    makePathWritable(this, lowest);
    return found;
  }

  // hot path
  #isInLeaf(key: number): boolean {
    const { words, slots } = this.cache;
    if (slots.versions[this.#leaf] !== this.#leafVersion) return false;
    slots.touch(this.#leaf);
    return covers(words, this.#leaf, key);
  }

  /** Slot of the key's leaf, or as `#descend`. Hot path. */
  #leafOf(key: number): number {
    const hinted = this.#hint(key);
    if (hinted >= 0) return hinted;
    const slot = this.#descend(key, 0);
    if (slot >= 0) this.#noteHint(key);
    return slot;
  }

  /** The key's leaf by its hint: that of the last look then. -1: none. Hot path. */
  #hint(key: number): number {
    const { hints, slots, words } = this.cache;
    const slot = hints.get(this.#hintTag, key, slots.versions);
    if (slot < 0 || !covers(words, slot, key)) return -1;
    slots.touch(slot);
    return this.#sawLeaf(slot);
  }

  /** The leaf of the last look has the key. */
  #noteHint(key: number): void {
    this.cache.hints.set(this.#hintTag, key, this.#leaf, this.#leafVersion);
  }

  /** In the leaf of the last look, which is dirty. -1: it is full. Hot path. */
  #putInLeaf(key: number): number {
    const { words } = this.cache;
    const { path, entryWords } = this;
    const index = lowerBound(words, this.#leaf, entryWords, key);
    const count = countOf(words, this.#leaf);
    const at = entryAt(this.#leaf, index, entryWords);
    if (index < count && words[at] === key) return at;
    if (count === this.#leafEntriesMax) return -1;
    path.slots[0] = this.#leaf;
    path.positions[0] = index;
    return insertEntry(this, key);
  }

  /** No hint leads to what the path's leaf is a copy of. */
  #forgetCopied(): void {
    const [first, last] = [this.path.firsts[0] as number, this.path.lasts[0] as number];
    if (!this.cache.hints.forget(this.#hintTag, first, last)) this.forgetLeaf();
  }

  /** The path's leaf is looked at first next time. */
  #noteLeaf(key: number, at: number): number {
    this.#sawLeaf(this.path.slots[0] as number);
    this.#noteHint(key);
    return at;
  }

  /**
   * Fills the path down to the page at `target` level. @returns its slot, or ABSENT (no pages),
   * MISSING (`#expected` says what), FAILED
   */
  #descend(key: number, target: number): number {
    const { root, path } = this;
    if (root.a === 0) return ABSENT;
    if (root.level > LEVELS_MAX) return FAILED;
    path.top = root.level;
    path.firsts[root.level] = 0;
    path.lasts[root.level] = KEY_MAX;
    copyPointer(root, pointer);
    for (let level = root.level; ; level--) {
      const slot = this.#slotAt(level);
      if (slot < 0) return slot;
      path.slots[level] = slot;
      if (level === target) return level === 0 ? this.#sawLeaf(slot) : slot;
      this.#step(level, key);
    }
  }

  /** Of the path's page at `level`: where it leads to on the way to `key`. */
  #step(level: number, key: number): void {
    const { words } = this.cache;
    const { path } = this;
    const slot = path.slots[level] as number;
    const index = childOf(words, slot, key);
    const at = entryAt(slot, index, INNER_ENTRY_WORDS);
    const isLast = index + 1 === countOf(words, slot);
    path.positions[level] = index;
    path.firsts[level - 1] = words[at] as number;
    path.lasts[level - 1] = isLast
      ? (path.lasts[level] as number)
      : (words[at + INNER_ENTRY_WORDS] as number) - 1;
    readPointerWords(words, at + 1, pointer);
  }

  /** Slot of the page that `pointer` names. */
  #slotAt(level: number): number {
    const { slots, disks } = this.cache;
    this.#wantedLevel = level;
    const slot = slots.slotOf(pointer.a);
    if (slot < 0) {
      const isSane = pointer.level === level && disks.holds(pointer.a, 1);
      return isSane && disks.holds(pointer.b, 1) ? MISSING : FAILED;
    }
    const state = slots.states[slot];
    if (state === SlotState.loading) return MISSING;
    return state === SlotState.failed ? FAILED : slot;
  }

  /** The page that `#descend` has missed. */
  #expected(): PageHeader {
    const level = this.#wantedLevel;
    const { a, b, generation, epoch } = pointer;
    return {
      kind: this.kind,
      level,
      tree: this.tree,
      a,
      b,
      generation,
      epoch,
      count: 0,
      entryWords: wordsAt(this, level),
      firstKey: this.path.firsts[level] as number,
      lastKey: this.path.lasts[level] as number,
    };
  }

  #sawLeaf(slot: number): number {
    this.#leaf = slot;
    this.#leafVersion = this.cache.slots.versions[slot] as number;
    return slot;
  }
}
