/**
 * InSyncSet: which children of a mirror hold the same, and the way out of it.
 *
 *   in sync --takeOut--> out, undecided --membership--> out, decided: what was parked goes on
 *                                        +--cannot decide--> nothing is acknowledged any more
 *
 * A child that is out is asked nothing more, at once; but what depends on its being out is not
 * acknowledged before that is decided (safety rule 6). The last child never leaves.
 */

import { assert } from "../util/assert.ts";
import type { Child } from "./child.ts";
import type { ChildFault } from "./child-state.ts";
import type { Membership } from "./membership.ts";
import type { MirrorTask } from "./mirror-task.ts";

export interface InSyncOwner {
  childFaulted(child: Child, fault: ChildFault): void;
  /** Everything is decided, or cannot be: end it. */
  unparked(task: MirrorTask): void;
}

export class InSyncSet {
  /** Bits of the children in sync; never 0. */
  mask: number;
  /** Taken out, but not yet decided. */
  #undecidedMask = 0;
  /** A removal can never be decided: what depends on it must not be acknowledged. */
  cannotDecide = false;
  #parked: MirrorTask[] = [];
  readonly #membership: Membership;
  readonly #owner: InSyncOwner;

  constructor(children: readonly Child[], membership: Membership, owner: InSyncOwner) {
    this.mask = maskOf(children);
    this.#membership = membership;
    this.#owner = owner;
  }

  /** Hot path. */
  has(child: Child): boolean {
    return (this.mask & child.bit) !== 0;
  }

  get hasOne(): boolean {
    return (this.mask & (this.mask - 1)) === 0;
  }

  /** Every removal so far is decided. Hot path. */
  get isDecided(): boolean {
    return this.#undecidedMask === 0;
  }

  /** Keeps the task until everything is decided. */
  park(task: MirrorTask): void {
    this.#parked.push(task);
  }

  /** From now on `child` is asked nothing. False: it is the last one in sync, and stays. */
  takeOut(child: Child, fault: ChildFault): boolean {
    assert(this.has(child), "a child is taken out once");
    if (this.mask === child.bit) return false;
    this.mask &= ~child.bit;
    this.#undecidedMask |= child.bit;
    child.state = { name: "faulted", fault };
    this.#owner.childFaulted(child, fault);
    this.#membership.decideOut(child, (isDecided) => this.#decided(child, isDecided));
    return true;
  }

  #decided(child: Child, isDecided: boolean): void {
    if (!isDecided) this.cannotDecide = true;
    this.#undecidedMask &= ~child.bit;
    if (this.#undecidedMask !== 0) return;
    const tasks = this.#parked;
    this.#parked = [];
    for (const task of tasks) this.#owner.unparked(task);
  }
}

export function maskOf(children: readonly Child[]): number {
  return children.reduce((mask, { bit }) => mask | bit, 0);
}
