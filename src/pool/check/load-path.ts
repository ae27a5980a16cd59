/** loadPath: waits, by a promise, for the page that a step on a tree has missed. */

import type { Reactor } from "../../reactor/reactor.ts";
import type { PageWaiter } from "../pages/page-cache.ts";
import type { PageTree } from "../pages/page-tree.ts";

/** Settles when the first missing page on the path to `key` has come, or cannot be had. */
export function loadPath(reactor: Reactor, tree: PageTree, key: number): Promise<void> {
  return new Promise((resolve) => {
    const waiter: PageWaiter = {
      nextWaiter: null,
      pageReady: () => reactor.deliverLater(resolve),
    };
    tree.load(key, waiter);
  });
}
