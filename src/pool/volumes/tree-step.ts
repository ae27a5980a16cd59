/**
 * TreeStep: looks into a tree, in the order of its keys, for who may wait for pages by promises:
 * imports. When one leaf is missing those behind it are asked for as well.
 */

import type { Reactor } from "../../reactor/reactor.ts";
import { assert } from "../../util/assert.ts";
import type { PageWaiter } from "../pages/page-cache.ts";
import { ABSENT, MISSING, type PageTree } from "../pages/page-tree.ts";

const KEYS_END = 2 ** 32;
const LEAVES_AHEAD = 32;

/** After `tree.atLeast(key)` said MISSING: where the missing page is. */
export function keyToLoad(tree: PageTree, key: number): number {
  if (tree.find(key) === MISSING) return key;
  // The leaf of `key` is there and ends before any larger one: the next is missing; or a page above
  // it is, which a leaf that was found by a hint does not need.
  const end = tree.leafEnd(key);
  if (end < 0) return key;
  assert(end > key && end < KEYS_END, "a page that is missing has keys");
  return end;
}

export class TreeStep implements PageWaiter {
  nextWaiter: PageWaiter | null = null;
  readonly #reactor: Reactor;
  #resolve: (() => void) | null = null;

  constructor(reactor: Reactor) {
    this.#reactor = reactor;
  }

  /** As `tree.find`, but never MISSING. */
  async find(tree: PageTree, key: number): Promise<number> {
    for (;;) {
      const at = tree.find(key);
      if (at !== MISSING) return at;
      await this.#load(tree, key);
    }
  }

  /** As `tree.atLeast`, but never MISSING; null: none. */
  async atLeast(tree: PageTree, key: number): Promise<number | null> {
    if (key >= KEYS_END) return null;
    for (;;) {
      const at = tree.atLeast(key);
      if (at !== MISSING) return at === ABSENT ? null : at;
      await this.#load(tree, keyToLoad(tree, key));
    }
  }

  pageReady(): void {
    const resolve = this.#resolve;
    assert(resolve !== null, "a page comes once");
    this.#resolve = null;
    this.#reactor.deliverLater(resolve);
  }

  #load(tree: PageTree, key: number): Promise<void> {
    assert(this.#resolve === null, "one step at a time");
    return new Promise((resolve) => {
      this.#resolve = resolve;
      tree.load(key, this);
      tree.prefetchBehind(key, LEAVES_AHEAD);
    });
  }
}
