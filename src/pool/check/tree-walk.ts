/**
 * TreeWalk: goes through all pages of one tree, in order of keys, and shows them.
 *
 * It reads by the pool's page cache, so that it sees what is not on the disks yet, but it goes by
 * the entries of the pages alone and compares each page with the pointer that leads to it. A copy
 * of one page per level is held: pages come and go in the cache meanwhile. Nothing may change the
 * tree while it is walked.
 */

import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { PageCache } from "../pages/page-cache.ts";
import {
  HEADER_WORDS,
  INNER_ENTRY_WORDS,
  PAGE_WORDS,
  type PageHeader,
  readHeader,
} from "../pages/page-format.ts";
import { ABSENT, MISSING, type PageTree } from "../pages/page-tree.ts";
import {
  copyPointer,
  emptyPointer,
  readPointerWords,
  type RootPointer,
} from "../pages/root-pointer.ts";
import { LEVELS_MAX } from "../pages/tree-change.ts";
import type { Address } from "../pool-layout.ts";
import { loadPath } from "./load-path.ts";

/** Who is shown what a tree consists of. */
export interface TreeVisitor {
  /** Both copies of a page, once per page. */
  page(a: Address, b: Address): void;
  /** An entry of a leaf: words[at...]. */
  entry(words: Uint32Array, at: number): void;
  /** For people. The walk goes on beside it. */
  problem(message: string): void;
}

export interface TreeWalkOptions {
  readonly reactor: Reactor;
  readonly cache: PageCache;
  /** The pool's own: a second one over the same pages would repair them for itself. */
  readonly tree: PageTree;
  /** For messages. */
  readonly name: string;
}

export class TreeWalk {
  readonly #options: TreeWalkOptions;
  readonly #tree: PageTree;
  readonly #visitor: TreeVisitor;
  /** The page that is being gone through, by level. */
  readonly #pages: Uint32Array[] = [];

  constructor(options: TreeWalkOptions, visitor: TreeVisitor) {
    this.#options = options;
    this.#visitor = visitor;
    this.#tree = options.tree;
  }

  async run(): Promise<void> {
    const root = emptyPointer();
    copyPointer(this.#tree.root, root);
    if (root.a === 0) return;
    if (root.level > LEVELS_MAX) this.#problem(`its root is of level ${root.level}`);
    else await this.#visit(root, 0);
  }

  /** The page that `pointer` leads to and all below it; `key`: the smallest that may be in it. */
  async #visit(pointer: RootPointer, key: number): Promise<void> {
    const { level } = pointer;
    this.#visitor.page(pointer.a, pointer.b);
    const words = await this.#copyOf(key, level);
    if (words === null) {
      this.#problem(`both copies of the page of level ${level} from key ${key} on are lost`);
      return;
    }
    const header = readHeader(new DataView(words.buffer), 0);
    this.#compare(header, pointer);
    if (level === 0) {
      for (let index = 0; index < header.count; index++) {
        this.#visitor.entry(words, HEADER_WORDS + index * header.entryWords);
      }
      return;
    }
    const child = emptyPointer(); // of this level alone, so that it stays while its page is visited
    for (let index = 0; index < header.count; index++) {
      const at = HEADER_WORDS + index * INNER_ENTRY_WORDS;
      readPointerWords(words, at + 1, child);
      if (child.level === level - 1) await this.#visit(child, words[at] as number);
      else this.#problem(`a page of level ${level} points to one of level ${child.level}`);
    }
  }

  /** @returns null: neither copy can be had */
  async #copyOf(key: number, level: number): Promise<Uint32Array | null> {
    const { cache } = this.#options;
    for (;;) {
      const slot = this.#tree.slotOnPath(key, level);
      if (slot === MISSING) {
        await loadPath(this.#options.reactor, this.#tree, key);
        continue;
      }
      assert(slot !== ABSENT, "the level is one of the tree's");
      if (slot < 0) return null;
      this.#pages[level] ??= new Uint32Array(PAGE_WORDS);
      const copy = this.#pages[level];
      copy.set(cache.words.subarray(slot * PAGE_WORDS, (slot + 1) * PAGE_WORDS));
      return copy;
    }
  }

  #compare(header: PageHeader, pointer: RootPointer): void {
    const { a, b, level } = pointer;
    const isIt = header.a === a && header.b === b && header.level === level;
    if (!isIt) this.#problem(`the page at ${a} says that it is another one, at ${header.a}`);
    if (header.tree !== this.#tree.tree) this.#problem(`the page at ${a} is another tree's`);
  }

  #problem(message: string): void {
    this.#visitor.problem(`${this.#options.name}: ${message}`);
  }
}
