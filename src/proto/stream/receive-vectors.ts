/**
 * ReceiveVectors: vectors for receives of the rest of a payload and what follows it; pooled per
 * service, because native memory is never given back and connections come and go.
 */

import type { Io, IoVector } from "../../reactor/io.ts";

const RANGE_COUNT = 2;

export class ReceiveVectors {
  readonly #io: Io;
  readonly #free: IoVector[] = [];

  constructor(io: Io) {
    this.#io = io;
  }

  /** An empty vector; the caller gives it back when its receive has ended. Hot path. */
  take(): IoVector {
    const vector = this.#free.pop() ?? this.#io.vector(RANGE_COUNT);
    vector.clear();
    return vector;
  }

  // hot path
  give(vector: IoVector): void {
    this.#free.push(vector);
  }
}
