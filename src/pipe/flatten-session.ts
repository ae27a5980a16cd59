/**
 * FlattenSession: a flatten that runs until it has ended or is closed. Owns the run.
 */

import type { Pool } from "../pool/pool.ts";
import { BLOCK_BYTES } from "../pool/pool-layout.ts";
import type { FlattenProgress } from "./version-protocol.ts";

export class FlattenSession {
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #doneBlocks = 0;
  #totalBlocks = 0;
  #isFinished = false;
  #failure: unknown = null;

  constructor(pool: Pick<Pool, "flatten">, volume: string) {
    this.#ended = pool
      .flatten(volume, {
        signal: this.#stop.signal,
        onProgress: (doneBlocks, allBlocks) => {
          this.#doneBlocks = doneBlocks;
          this.#totalBlocks = allBlocks;
        },
      })
      .then(
        () => {
          this.#isFinished = true;
        },
        (thrown: unknown) => {
          this.#failure = thrown;
        },
      );
  }

  /** @throws what it failed with */
  get progress(): FlattenProgress {
    if (this.#failure !== null) throw this.#failure;
    return {
      doneBytes: this.#doneBlocks * BLOCK_BYTES,
      totalBytes: this.#totalBlocks * BLOCK_BYTES,
      isFinished: this.#isFinished,
    };
  }

  /** Settles when nothing of it runs any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}
