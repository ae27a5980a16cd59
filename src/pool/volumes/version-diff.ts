/**
 * diffVersions: which blocks of two versions of one family differ, by walking both trees side by
 * side. What both have at the same place, page or block, is passed over: so it costs what differs.
 *
 * In the background: one page is being loaded at a time, and others get their turn between steps.
 * The versions may change meanwhile (a volume that is being written), and then each step shows
 * what is there at that moment; they must not be deleted.
 */

import { assert } from "../../util/assert.ts";
import { PenstockError } from "../../util/errors.ts";
import { loadPath } from "../check/load-path.ts";
import { FAILED, MISSING, type PageTree } from "../pages/page-tree.ts";
import { emptyPointer } from "../pages/root-pointer.ts";
import { countOf, entryAt, lowerBound } from "../pages/tree-search.ts";
import { yieldTurn } from "../recovery/await-call.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";
import { KEYS_END } from "./edge-step.ts";
import { addressOfEntry } from "./mapping-entry.ts";
import { MAPPING_ENTRY_WORDS, type VolumeState } from "./volume-state.ts";

/** data: mapped, and the content may be another one; zero: not mapped any more. */
export type DiffKind = "data" | "zero";

export interface DiffSink {
  /** Blocks of the volume, in their order; neighbours may be told apart. */
  extent(first: number, count: number, kind: DiffKind): void | Promise<void>;
}

/** So many steps are taken before others get their turn. */
const STEPS_MAX = 64;

/**
 * Of `b` against `a`; null: all that `b` maps. From block `from` on.
 * @throws PenstockError `family-differs`, `snapshot-not-found` (one was deleted meanwhile),
 *   `media-error` (a page of one is lost)
 */
export async function diffVersions(
  parts: PoolParts,
  a: VolumeState | null,
  b: VolumeState,
  from: number,
  sink: DiffSink,
): Promise<void> {
  const { reactor } = parts.environment;
  if (a !== null && a.family !== b.family) throw differs(a, b);
  const run = new RunSink(sink);
  const step = new DiffStep(parts, a, b);
  let key = from;
  for (let steps = 1; key < KEYS_END; steps++) {
    checkThere(a);
    checkThere(b);
    const found = step.look(key);
    if (found === FAILED) throw lostPage(b);
    if (found === MISSING) {
      await loadPath(reactor, step.stuckTree, step.stuckKey);
      continue;
    }
    const { extents } = step;
    for (const { first, count, kind } of extents) {
      const told = run.add(first, count, kind);
      if (told !== undefined) await told;
    }
    key = step.end;
    if (steps % STEPS_MAX === 0) await yieldTurn(reactor);
  }
  await run.end();
}

interface Extent {
  first: number;
  count: number;
  kind: DiffKind;
}

/** One step: a piece that both have, or a leaf of each. */
class DiffStep {
  stuckTree: PageTree;
  stuckKey = 0;
  /** First key behind what was looked at. */
  end = 0;
  extents: Extent[] = [];
  readonly #parts: PoolParts;
  readonly #a: PageTree | null;
  readonly #b: PageTree;
  readonly #pointers = [emptyPointer(), emptyPointer()] as const;

  constructor(parts: PoolParts, a: VolumeState | null, b: VolumeState) {
    this.#parts = parts;
    this.#a = a?.tree ?? null;
    this.#b = b.tree;
    this.stuckTree = b.tree;
  }

  /** @returns 0, MISSING or FAILED */
  look(key: number): number {
    this.extents = [];
    const common = this.#common(key);
    if (common !== 0) return Math.min(common, 0);
    const before = this.#a === null ? NO_LEAF : this.#leafOf(this.#a, key);
    if (typeof before === "number") return before;
    const now = this.#leafOf(this.#b, key);
    if (typeof now === "number") return now;
    this.end = Math.min(before.end, now.end);
    this.#compare(before, now, key);
    return 0;
  }

  /** 1: both have the same page on the path to `key`, `end` is behind it; 0: none; MISSING... */
  #common(key: number): number {
    const [a, b] = [this.#a, this.#b];
    if (a === null || a.root.a === 0 || b.root.a === 0) return 0;
    const [before, now] = this.#pointers;
    for (let level = Math.min(a.root.level, b.root.level); level >= 0; level--) {
      const first = a.pointerAt(key, level, before);
      if (first < 0) return this.#stuck(a, key, first);
      const firstEnd = endOf(a, level);
      const second = b.pointerAt(key, level, now);
      if (second < 0) return this.#stuck(b, key, second);
      if (before.a !== now.a) continue;
      this.end = Math.min(firstEnd, endOf(b, level));
      return 1;
    }
    return 0;
  }

  #leafOf(tree: PageTree, key: number): Leaf | number {
    if (tree.root.a === 0) return NO_LEAF;
    const slot = tree.slotOnPath(key, 0);
    if (slot < 0) return this.#stuck(tree, key, slot);
    return { slot, end: endOf(tree, 0) };
  }

  /** Of both leaves what lies in [key, end), which is merged as it is sorted. */
  #compare(before: Leaf, now: Leaf, key: number): void {
    const { words } = this.#parts.cache;
    const a = new LeafCursor(words, before, key, this.end);
    const b = new LeafCursor(words, now, key, this.end);
    while (a.key < this.end || b.key < this.end) {
      if (a.key < b.key) this.#add(a.key, "zero");
      else if (a.key > b.key || a.address !== b.address) this.#add(b.key, "data");
      const least = Math.min(a.key, b.key);
      if (a.key === least) a.next();
      if (b.key === least) b.next();
    }
  }

  #add(block: number, kind: DiffKind): void {
    const last = this.extents.at(-1);
    if (last !== undefined && last.kind === kind && last.first + last.count === block) last.count++;
    else this.extents.push({ first: block, count: 1, kind });
  }

  #stuck(tree: PageTree, key: number, found: number): number {
    assert(found === MISSING || found === FAILED, "the level is one of the tree's");
    this.stuckTree = tree;
    this.stuckKey = key;
    return found;
  }
}

interface Leaf {
  readonly slot: number;
  /** First key that belongs to the next one. */
  readonly end: number;
}

/** Of an empty tree. */
const NO_LEAF: Leaf = { slot: -1, end: KEYS_END };

/** Goes through the entries of a leaf from a key on. */
class LeafCursor {
  /** Of the entry that it is at; the end: none is left. */
  key: number;
  readonly #words: Uint32Array;
  readonly #slot: number;
  readonly #end: number;
  #index: number;

  constructor(words: Uint32Array, { slot }: Leaf, key: number, end: number) {
    this.#words = words;
    this.#slot = slot;
    this.#end = end;
    this.#index = slot < 0 ? 0 : lowerBound(words, slot, MAPPING_ENTRY_WORDS, key);
    this.key = this.#keyNow();
  }

  get address(): number {
    return addressOfEntry(this.#words, this.#at);
  }

  next(): void {
    this.#index++;
    this.key = this.#keyNow();
  }

  get #at(): number {
    return entryAt(this.#slot, this.#index, MAPPING_ENTRY_WORDS);
  }

  #keyNow(): number {
    if (this.#slot < 0 || this.#index >= countOf(this.#words, this.#slot)) return this.#end;
    return Math.min(this.#words[this.#at] as number, this.#end);
  }
}

/** Joins extents of neighbouring steps. */
class RunSink {
  readonly #sink: DiffSink;
  #run: Extent | null = null;

  constructor(sink: DiffSink) {
    this.#sink = sink;
  }

  add(first: number, count: number, kind: DiffKind): void | Promise<void> {
    const run = this.#run;
    if (run !== null && run.kind === kind && run.first + run.count === first) {
      run.count += count;
      return undefined;
    }
    this.#run = { first, count, kind };
    return run === null ? undefined : this.#sink.extent(run.first, run.count, run.kind);
  }

  end(): void | Promise<void> {
    const run = this.#run;
    this.#run = null;
    return run === null ? undefined : this.#sink.extent(run.first, run.count, run.kind);
  }
}

/** Behind the page at `level` that the last look at `tree` came to. */
function endOf(tree: PageTree, level: number): number {
  return level === tree.root.level ? KEYS_END : (tree.path.lasts[level] as number) + 1;
}

/** @throws PenstockError `snapshot-not-found`: pages of what is being deleted are not all there */
export function checkThere(version: VolumeState | null): void {
  if (version === null || !version.isDeleting) return;
  throw new PenstockError({
    code: "snapshot-not-found",
    message: `${version.name} has been deleted meanwhile`,
    details: { name: version.name },
  });
}

function differs(a: VolumeState, b: VolumeState): PenstockError {
  return new PenstockError({
    code: "family-differs",
    message: `${a.name} and ${b.name} have no origin in common: all of both differs`,
    details: { a: a.name, b: b.name },
  });
}

function lostPage(b: VolumeState): PenstockError {
  return new PenstockError({
    code: "media-error",
    message: `both copies of a page of ${b.name}, or of what it is compared with, are lost`,
    details: { name: b.name },
  });
}
