/**
 * Membership: the seam where it is decided which children are in sync (safety rules 6 and 12).
 *
 * A mirror stops using a child as soon as that has failed, but acknowledges no change or flush
 * before the child's removal is decided. With metadata (not in this version) the decision is
 * durable on a majority of the voters; without (`meta=none`) nobody needs to be asked.
 */

import type { Child } from "./child.ts";

export interface Membership {
  /**
   * Decides that `child` is out, then calls `decided`, once: inside of the call or later. False: it
   * cannot be decided any more, and nothing that depends on it may be acknowledged.
   */
  decideOut(child: Child, decided: (isDecided: boolean) => void): void;
}

/** `meta=none`: the decision lives and dies with the process. */
export const UNRECORDED_MEMBERSHIP: Membership = {
  decideOut: (_child, decided) => decided(true),
};
