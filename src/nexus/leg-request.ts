/**
 * LegRequest: what one child is asked on behalf of a client's request. Pooled by its child.
 *
 *   idle --submit--> in flight --complete--> idle            (its task hears how it ended)
 *                       \--let go--> orphan --complete--> idle   (nobody hears)
 *
 * Its segments are a copy of the list, not of the bytes. An orphan has no task any more: whatever
 * it says, and whenever, changes nothing. Until then a pin keeps its memory from other uses.
 */

import { Request, type MemoryPin } from "../block/request.ts";
import type { Child } from "./child.ts";
import type { MirrorTask } from "./mirror-task.ts";

/** Gets each leg request back when its child has ended it. */
export interface LegOwner {
  legEnded(leg: LegRequest): void;
}

export class LegRequest extends Request {
  readonly child: Child;
  /** Null while idle, and of an orphan. */
  task: MirrorTask | null = null;
  /** On the reactor's clock. */
  submittedMs = 0;
  /** Of an orphan with memory. */
  pin: MemoryPin | null = null;
  /** The child's list of what is in flight, oldest first; orphans are not in it. */
  older: LegRequest | null = null;
  newer: LegRequest | null = null;
  /** The child's list of idle ones. */
  nextFree: LegRequest | null = null;
  readonly #owner: LegOwner;

  constructor(child: Child, owner: LegOwner) {
    super();
    this.child = child;
    this.#owner = owner;
  }

  // hot path
  override complete(): void {
    this.#owner.legEnded(this);
  }
}
