/** Checkpointer: makes what is in memory the state on disk. */

import { assert } from "../../util/assert.ts";

export type CheckpointState = "in use" | "exported" | "destroyed";

export class Checkpointer {
  /** Of the last label that is durable. */
  generation = 0;

  /** One begins soon. Idempotent while one is asked for. */
  request(_reason: string): void {
    assert(false, "not written yet");
  }

  /** One that begins now, or after the one under way. @throws PenstockError `pool-faulted` */
  run(_state: CheckpointState): Promise<void> {
    assert(false, "not written yet");
  }
}
