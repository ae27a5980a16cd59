/** PageTree: see the contract. Bodies follow. */

import { assert } from "../../util/assert.ts";
import type { PageCache, PageWaiter } from "./page-cache.ts";
import type { RootPointer } from "./root-pointer.ts";

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
  /** The entry is words[at...]; gone when this returns. */
  entry(words: Uint32Array, at: number): void;
}

export class PageTree {
  readonly root: RootPointer;
  readonly sharedThrough: number = 0;

  constructor(_cache: PageCache, _kind: TreeKind, _tree: number, root: RootPointer) {
    this.root = root;
  }

  find(_key: number): number {
    assert(false, "written soon");
  }

  atLeast(_key: number): number {
    assert(false, "written soon");
  }

  leafEnd(_key: number): number {
    assert(false, "written soon");
  }

  put(_key: number): number {
    assert(false, "written soon");
  }

  removeInLeaf(_first: number, _end: number, _sink: EntrySink | null): number {
    assert(false, "written soon");
  }

  load(_key: number, _waiter: PageWaiter): void {
    assert(false, "written soon");
  }

  prefetch(_keys: Uint32Array, _count: number): void {
    assert(false, "written soon");
  }

  /** Slot of the page at `level` on the path to `key`; ABSENT: the tree is not as high. */
  slotOnPath(_key: number, _level: number): number {
    assert(false, "written soon");
  }
}
