/**
 * Which child a read goes to. Pure but for the turn of the round robin.
 *
 * `least-loaded`: the one with the fewest requests in flight, in turns where several have as few.
 * `local`: the same among the children on this machine, or among all where none of these is left.
 */

import type { Child } from "./child.ts";
import { maskOf } from "./in-sync-set.ts";

export const READ_POLICIES = ["local", "least-loaded"] as const;
export type ReadPolicy = (typeof READ_POLICIES)[number];

export class ReadChooser {
  readonly policy: ReadPolicy;
  readonly #children: readonly Child[];
  readonly #localMask: number;
  #turn = 0;

  constructor(policy: ReadPolicy, children: readonly Child[]) {
    this.policy = policy;
    this.#children = children;
    this.#localMask = maskOf(children.filter(({ isLocal }) => isLocal));
  }

  /** @param mask the children that may be asked. @returns null when there are none. Hot path. */
  choose(mask: number): Child | null {
    const local = mask & this.#localMask;
    const allowed = this.policy === "local" && local !== 0 ? local : mask;
    const children = this.#children;
    const { length } = children;
    let best: Child | null = null;
    for (let step = 1; step <= length; step++) {
      const child = children[(this.#turn + step) % length] as Child; // below `length`
      if ((allowed & child.bit) === 0) continue;
      if (best === null || child.inFlight < best.inFlight) best = child;
    }
    if (best !== null) this.#turn = best.index;
    return best;
  }
}
