/**
 * SpaceFold: puts what the chunk table knows into the space trees, for a checkpoint.
 *
 * Changing a space tree takes blocks for its pages, which changes bitmaps again; but a leaf is
 * copied once per generation, so that comes to an end. `prepare` does most of it while I/O goes on
 * and loads what is missing; `fold` does the rest at once. In flight: one load.
 */

import { Status } from "../../block/status.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache, PageWaiter } from "../pages/page-cache.ts";
import { FAILED, MISSING, type PageTree } from "../pages/page-tree.ts";
import type { ChunkTable } from "./chunk-table.ts";
import type { PageStock } from "./page-stock.ts";

export interface SpaceFoldOptions {
  readonly cache: PageCache;
  readonly table: ChunkTable;
  readonly stock: PageStock;
  treeOf(disk: number): PageTree;
  /** Pages to have in stock before the trees are changed. */
  pagesWanted(): number;
}

/** Bad copies that one checkpoint writes anew. */
const REPAIRS_MAX = 16;

export class SpaceFold implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  readonly #options: SpaceFoldOptions;
  #done: ((status: Status) => void) | null = null;
  /** Chunks that `prepare` still takes on: later ones are left to `fold`. */
  #left = 0;
  #repairs = 0;

  constructor(options: SpaceFoldOptions) {
    this.#options = options;
  }

  prepare(done: (status: Status) => void): void {
    assert(this.#done === null, "one fold is prepared at a time");
    this.#done = done;
    this.#left = this.#options.table.dirty.length;
    this.#repairs = REPAIRS_MAX;
    this.#continue();
  }

  /** All changes are in the trees afterwards, unless a page is missing: then false. */
  fold(): boolean {
    const { table } = this.#options;
    assert(this.#done === null, "nothing is being prepared while it is folded");
    while (table.dirty.length > 0) if (this.#step() === MISSING) return false;
    return true;
  }

  /** A bitmap for the stock is there. */
  chunksCame(): void {
    if (this.#done !== null && this.nextWaiter === null && !this.#isLoading) this.#continue();
  }

  pageReady(): void {
    this.#isLoading = false;
    this.#continue();
  }

  #isLoading = false;

  #continue(): void {
    const { stock, table } = this.#options;
    while (this.#repairs > 0) {
      if (!this.#repair()) return;
    }
    stock.refill(this.#options.pagesWanted());
    if (stock.isLoading) return;
    while (this.#left > 0 && table.dirty.length > 0) {
      const record = table.dirty.at(-1) as number; // there is one
      if (this.#step() === MISSING) {
        this.#load(this.#options.treeOf(table.diskOf(record)), table.chunkOf(record));
        return;
      }
      this.#left--;
    }
    const done = this.#done;
    assert(done !== null, "preparing ends once");
    this.#done = null;
    done(Status.ok);
  }

  #load(tree: PageTree, key: number): void {
    this.#isLoading = true;
    tree.load(key, this);
  }

  /** One chunk. MISSING: nothing has changed. */
  #step(): number {
    const { cache, table } = this.#options;
    const record = table.dirty.pop();
    assert(record !== undefined, "there is a chunk to be folded");
    const tree = this.#options.treeOf(table.diskOf(record));
    const at = tree.put(table.chunkOf(record));
    if (at === MISSING) {
      table.dirty.push(record);
      return MISSING;
    }
    // A leaf that is lost: its chunks are not used any more, whatever is freed there.
    if (at === FAILED) table.setClean(record);
    else table.store(record, cache.words, at + 1);
    table.drop(record);
    return at;
  }

  /** Has one page written anew whose copy is bad. False: a page on its way is loaded first. */
  #repair(): boolean {
    const { repairs } = this.#options.cache;
    const repair = repairs.at(-1);
    if (repair === undefined || this.#options.stock.blocks < this.#options.pagesWanted()) {
      this.#repairs = 0;
      return true;
    }
    const found = repair.owner.touch(repair.key);
    if (found === MISSING) {
      this.#isLoading = true;
      repair.owner.load(repair.key, this);
      return false;
    }
    repairs.pop();
    this.#repairs--;
    return true;
  }
}
