/** walkPool: what the trees of a pool refer to, counted, and compared with what its maps say. */

import { assert } from "../../util/assert.ts";
import type { PoolParts } from "../recovery/pool-parts.ts";

export interface PoolWalkResult {
  /** Mapped by volumes. */
  readonly dataBlocks: number;
  /** Of all trees, both copies. */
  readonly pageBlocks: number;
  /** Labels and log. */
  readonly heldBlocks: number;
  /** All others. */
  readonly freeBlocks: number;
  /** For people; none: all is as it must be. At most 100. */
  readonly problems: readonly string[];
}

/** The pool is quiet, or read-only. Nothing of it is changed on the disks. */
export function walkPool(_parts: PoolParts): Promise<PoolWalkResult> {
  assert(false, "not written yet");
}
