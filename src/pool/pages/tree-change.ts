/**
 * How trees change: paths are made writable (shadowing), pages split, pages that are empty or thin
 * go away.
 *
 * Every page of the path is in memory before anything here runs, and room for what it may copy is
 * set aside (`PageCache.admit`), so nothing here fails or waits. A page of the open generation has
 * only such pages above it. The key of the first entry above the leaves is the smallest key that
 * may be below it; ranges in headers may be narrower than what the entries above say.
 */

import { assert } from "../../util/assert.ts";
import { BLOCK_BYTES } from "../pool-layout.ts";
import { SlotState } from "./cache-slots.ts";
import type { PageCache } from "./page-cache.ts";
import {
  entriesMax,
  HeaderWord,
  INNER_ENTRY_WORDS,
  PAGE_WORDS,
  readHeader,
} from "./page-format.ts";
import {
  copyPointer,
  emptyPointer,
  readPointerWords,
  type RootPointer,
  writePointerWords,
} from "./root-pointer.ts";
import { countOf, entryAt, epochOf, setCount } from "./tree-search.ts";
import type { TreeSharing } from "./tree-sharing.ts";

/** Higher ones are damage. */
export const LEVELS_MAX = 12;
export const KEY_MAX = 0xffff_ffff;
/** Pages are merged when they fill so much together at most. */
const MERGED_SHARE_MAX = 0.75;

/** From the root down to a leaf; indexes are levels. Of a cache: used by one step at a time. */
export class TreePath {
  top = 0;
  readonly slots: Int32Array = new Int32Array(LEVELS_MAX + 1);
  /** Of the entry that leads down; in the leaf: where the key is or would be. */
  readonly positions: Int32Array = new Int32Array(LEVELS_MAX + 1);
  /** Keys that may be below: from, and to inclusive. */
  readonly firsts: Float64Array = new Float64Array(LEVELS_MAX + 1);
  readonly lasts: Float64Array = new Float64Array(LEVELS_MAX + 1);
}

/** A tree as seen from here. */
export interface ChangingTree {
  readonly cache: PageCache;
  readonly kind: number;
  readonly tree: number;
  /** Of leaves. */
  readonly entryWords: number;
  readonly root: RootPointer;
  readonly path: TreePath;
  readonly sharing: TreeSharing;
}

const scratch = emptyPointer();
const EMPTY = emptyPointer();

export function wordsAt(tree: ChangingTree, level: number): number {
  return level === 0 ? tree.entryWords : INNER_ENTRY_WORDS;
}

/** All pages of the path, down to `lowest`, may be changed in place afterwards. */
export function makePathWritable(tree: ChangingTree, lowest = 0): void {
  const { cache, path, sharing } = tree;
  const { slots } = cache;
  for (let level = lowest; level <= path.top; level++) slots.pin(path.slots[level] as number);
  for (let level = path.top; level >= lowest; level--) {
    const slot = path.slots[level] as number;
    const wasDirty = slots.states[slot] === SlotState.dirty;
    const epoch = epochOf(cache.words, slot);
    const fresh = cache.makeWritable(slot, sharing);
    path.slots[level] = fresh;
    slots.unpin(slot);
    setBounds(tree, level);
    const isSame = wasDirty && fresh === slot && epochOf(cache.words, slot) === epoch;
    if (!isSame) pointFromAbove(tree, level);
  }
}

/** A tree without pages gets its first, an empty leaf that the caller puts an entry into. */
export function makeRoot(tree: ChangingTree): void {
  const { path } = tree;
  assert(tree.root.a === 0, "a tree has one root");
  path.top = 0;
  path.positions[0] = 0;
  path.slots[0] = newPage(tree, 0, 0, KEY_MAX);
  path.firsts[0] = 0;
  path.lasts[0] = KEY_MAX;
  pointFromAbove(tree, 0);
}

/** Makes a zero entry for `key` at the path's position, which is writable. @returns its word */
export function insertEntry(tree: ChangingTree, key: number): number {
  makeRoom(tree, 0, key);
  const { path } = tree;
  return openGap(tree, path.slots[0] as number, path.positions[0] as number, 0, key);
}

/** After entries of the path's leaf have been taken out: it goes away when it is empty or thin. */
export function settleLeaf(tree: ChangingTree): void {
  const leaf = tree.path.slots[0] as number;
  if (countOf(tree.cache.words, leaf) === 0) removePage(tree, 0);
  else mergeThin(tree, 0);
}

/** Takes `count` entries out of a page. */
export function closeGap(
  tree: ChangingTree,
  slot: number,
  first: number,
  count: number,
  entryWords: number,
): void {
  const { words } = tree.cache;
  const before = countOf(words, slot);
  assert(first + count <= before, "entries that are taken out are there");
  const target = entryAt(slot, first, entryWords);
  const end = entryAt(slot, before, entryWords);
  words.copyWithin(target, entryAt(slot, first + count, entryWords), end);
  // What is behind the last entry is zero: pages do not keep what was taken out.
  words.fill(0, end - count * entryWords, end);
  setCount(words, slot, before - count);
}

function openGap(
  tree: ChangingTree,
  slot: number,
  index: number,
  level: number,
  key: number,
): number {
  const { words } = tree.cache;
  const stride = wordsAt(tree, level);
  const count = countOf(words, slot);
  assert(count < entriesMax(stride) && index <= count, "there is room for an entry");
  const at = entryAt(slot, index, stride);
  words.copyWithin(at + stride, at, entryAt(slot, count, stride));
  words.fill(0, at, at + stride);
  words[at] = key;
  setCount(words, slot, count + 1);
  return at;
}

/** Where the next entry goes at a level: in the leaf at the position, above behind it. */
function insertionAt(path: TreePath, level: number): number {
  return (path.positions[level] as number) + (level === 0 ? 0 : 1);
}

/** The path's page at `level` gets room for an entry with `key`; the path follows it. */
function makeRoom(tree: ChangingTree, level: number, key: number): void {
  const { cache, path } = tree;
  const { words } = cache;
  const stride = wordsAt(tree, level);
  const left = path.slots[level] as number;
  const count = countOf(words, left);
  if (count < entriesMax(stride)) return;
  if (level === path.top) growRoot(tree);
  // Who appends goes on appending: the left page stays full.
  const keep = insertionAt(path, level) === count ? count : count >>> 1;
  const isAppend = keep === count;
  const splitKey = isAppend ? key : (words[entryAt(left, keep, stride)] as number);
  makeRoom(tree, level + 1, splitKey);
  const right = newPage(tree, level, splitKey, path.lasts[level] as number);
  const from = entryAt(left, keep, stride);
  words.copyWithin(entryAt(right, 0, stride), from, entryAt(left, count, stride));
  setCount(words, right, count - keep);
  if (!isAppend) closeGap(tree, left, keep, count - keep, stride);
  words[left * PAGE_WORDS + HeaderWord.lastKey] = splitKey - 1;
  const above = path.slots[level + 1] as number;
  const at = openGap(tree, above, insertionAt(path, level + 1), level + 1, splitKey);
  pointerOf(cache, right, scratch);
  writePointerWords(words, at + 1, scratch);
  if (key < splitKey) {
    path.lasts[level] = splitKey - 1;
    return;
  }
  path.slots[level] = right;
  path.firsts[level] = splitKey;
  path.positions[level] = (path.positions[level] as number) - keep;
  path.positions[level + 1] = (path.positions[level + 1] as number) + 1;
}

function growRoot(tree: ChangingTree): void {
  const { cache, path } = tree;
  const below = path.slots[path.top] as number;
  const level = path.top + 1;
  assert(level <= LEVELS_MAX, "a tree of 2^32 keys is not that high");
  const slot = newPage(tree, level, 0, KEY_MAX);
  const at = openGap(tree, slot, 0, level, 0);
  pointerOf(cache, below, scratch);
  writePointerWords(cache.words, at + 1, scratch);
  path.top = level;
  path.slots[level] = slot;
  path.positions[level] = 0;
  path.firsts[level] = 0;
  path.lasts[level] = KEY_MAX;
  pointFromAbove(tree, level);
  cache.levelMax = Math.max(cache.levelMax, level);
}

/** The path's page at `level` is empty: it goes, and its entry above. */
function removePage(tree: ChangingTree, level: number): void {
  const { cache, path } = tree;
  cache.dropPage(path.slots[level] as number, tree.sharing);
  if (level === path.top) {
    copyPointer(EMPTY, tree.root);
    return;
  }
  removeChild(tree, level + 1, path.positions[level + 1] as number);
}

/** Takes the entry out; what was below it belongs to the page before it from now on. */
function removeChild(tree: ChangingTree, level: number, index: number): void {
  const { cache, path } = tree;
  const { words } = cache;
  const slot = path.slots[level] as number;
  const first = words[entryAt(slot, 0, INNER_ENTRY_WORDS)] as number;
  closeGap(tree, slot, index, 1, INNER_ENTRY_WORDS);
  if (countOf(words, slot) === 0) {
    removePage(tree, level);
    return;
  }
  words[entryAt(slot, 0, INNER_ENTRY_WORDS)] = first;
  mergeThin(tree, level);
}

/** Joins the path's page with one beside it when both are in memory and fit well. */
function mergeThin(tree: ChangingTree, level: number): void {
  const { cache, path } = tree;
  const { words } = cache;
  const slot = path.slots[level] as number;
  if (level === path.top) {
    if (level > 0 && countOf(words, slot) === 1) dropRoot(tree);
    return;
  }
  const capacity = entriesMax(wordsAt(tree, level));
  const limit = Math.floor(capacity * MERGED_SHARE_MAX) - countOf(words, slot);
  if (countOf(words, slot) > capacity / 2) return;
  const index = path.positions[level + 1] as number;
  const right = besides(tree, level, index + 1);
  if (right >= 0 && countOf(words, right) <= limit) {
    joinRight(tree, level, right);
    return;
  }
  const left = besides(tree, level, index - 1);
  if (left >= 0 && countOf(words, left) <= limit) joinLeft(tree, level, left);
}

/** Slot of the page that entry `index` above `level` names, when it is in memory; else -1. */
function besides(tree: ChangingTree, level: number, index: number): number {
  const { cache, path } = tree;
  const above = path.slots[level + 1] as number;
  if (index < 0 || index >= countOf(cache.words, above)) return -1;
  readPointerWords(cache.words, entryAt(above, index, INNER_ENTRY_WORDS) + 1, scratch);
  const slot = cache.slots.slotOf(scratch.a);
  if (slot < 0) return -1;
  const state = cache.slots.states[slot];
  return state === SlotState.loading || state === SlotState.failed ? -1 : slot;
}

function joinRight(tree: ChangingTree, level: number, right: number): void {
  const { cache, path } = tree;
  const { words } = cache;
  const stride = wordsAt(tree, level);
  const slot = path.slots[level] as number;
  const [count, more] = [countOf(words, slot), countOf(words, right)];
  const from = entryAt(right, 0, stride);
  words.copyWithin(entryAt(slot, count, stride), from, from + more * stride);
  setCount(words, slot, count + more);
  const lastKey = words[right * PAGE_WORDS + HeaderWord.lastKey] as number;
  words[slot * PAGE_WORDS + HeaderWord.lastKey] = lastKey;
  cache.dropPage(right, tree.sharing);
  removeChild(tree, level + 1, (path.positions[level + 1] as number) + 1);
}

function joinLeft(tree: ChangingTree, level: number, left: number): void {
  const { cache, path } = tree;
  const { words } = cache;
  const stride = wordsAt(tree, level);
  const slot = path.slots[level] as number;
  const [count, more] = [countOf(words, slot), countOf(words, left)];
  const target = entryAt(slot, 0, stride);
  words.copyWithin(target + more * stride, target, target + count * stride);
  const from = entryAt(left, 0, stride);
  words.copyWithin(target, from, from + more * stride);
  setCount(words, slot, count + more);
  const firstKey = words[left * PAGE_WORDS + HeaderWord.firstKey] as number;
  words[slot * PAGE_WORDS + HeaderWord.firstKey] = firstKey;
  cache.dropPage(left, tree.sharing);
  // The entry of the left one goes; the one behind it begins where that began.
  const above = path.slots[level + 1] as number;
  const index = (path.positions[level + 1] as number) - 1;
  const key = words[entryAt(above, index, INNER_ENTRY_WORDS)] as number;
  words[entryAt(above, index + 1, INNER_ENTRY_WORDS)] = key;
  path.positions[level + 1] = index;
  removeChild(tree, level + 1, index);
}

/** The only page below the root is the root from now on. */
function dropRoot(tree: ChangingTree): void {
  const { cache, path, root } = tree;
  const slot = path.slots[path.top] as number;
  readPointerWords(cache.words, entryAt(slot, 0, INNER_ENTRY_WORDS) + 1, root);
  cache.dropPage(slot, tree.sharing);
  path.top--;
}

/** The pointer to the path's page at `level`, in the page above or in the root. */
function pointFromAbove(tree: ChangingTree, level: number): void {
  const { cache, path, root } = tree;
  pointerOf(cache, path.slots[level] as number, scratch);
  if (level === path.top) {
    copyPointer(scratch, root);
    return;
  }
  const index = path.positions[level + 1] as number;
  const at = entryAt(path.slots[level + 1] as number, index, INNER_ENTRY_WORDS);
  writePointerWords(cache.words, at + 1, scratch);
}

function setBounds(tree: ChangingTree, level: number): void {
  const { cache, path } = tree;
  const at = (path.slots[level] as number) * PAGE_WORDS;
  cache.words[at + HeaderWord.firstKey] = path.firsts[level] as number;
  cache.words[at + HeaderWord.lastKey] = path.lasts[level] as number;
}

function newPage(tree: ChangingTree, level: number, firstKey: number, lastKey: number): number {
  const { kind, tree: number } = tree;
  const entryWords = wordsAt(tree, level);
  const place = { a: 0, b: 0, generation: 0, epoch: 0 };
  const range = { count: 0, entryWords, firstKey, lastKey };
  return tree.cache.newPage({ kind, level, tree: number, ...place, ...range });
}

/** What points to the page in `slot`. */
function pointerOf(cache: PageCache, slot: number, into: RootPointer): void {
  const header = readHeader(cache.slots.view, slot * BLOCK_BYTES);
  into.a = header.a;
  into.b = header.b;
  into.generation = header.generation;
  into.level = header.level;
  into.epoch = header.epoch;
}
