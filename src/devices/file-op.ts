/**
 * FileOp: one request's operations on a file. Pooled by its device; at most one in flight.
 */

import type { Request } from "../block/request.ts";
import type { PoolBuffer } from "../reactor/buffer-pool.ts";
import { IoOp, type IoVector } from "../reactor/io.ts";

/** What the completion in flight is a step of. */
export const FileStep = {
  idle: 0,
  /** Reading or writing the request's own memory. */
  transfer: 1,
  /** The same through a buffer that direct I/O can use. */
  bounce: 2,
  /** The one fsync of a flush, or behind a write-zeroes with FUA. */
  sync: 3,
  allocate: 4,
  /** Writing zeroes where the file system cannot allocate or deallocate them. */
  zeroes: 5,
  /** Reading what compare looks at. */
  compare: 6,
  seek: 7,
} as const;
export type FileStep = (typeof FileStep)[keyof typeof FileStep];

/** Gets each completion. */
export interface FileOpOwner {
  fileOpCompleted(op: FileOp, result: number): void;
}

export class FileOp extends IoOp {
  readonly #owner: FileOpOwner;
  step: FileStep = FileStep.idle;
  request: Request | null = null;
  /** Bytes of the request done so far. */
  done = 0;
  /** The compare half of compare-and-write has succeeded. */
  compared = false;
  /** The allocation in flight punches a hole, rather than zeroes. */
  isPunch = false;
  /** A durable write that found no space is tried again without being durable. */
  isProbe = false;
  /** Made at the first request with several segments, then kept. */
  vector: IoVector | null = null;
  bounce: PoolBuffer | null = null;
  /** Where in the request the bounce buffer's bytes begin: a small one is used again and again. */
  bounceStart = 0;
  next: FileOp | null = null;

  constructor(owner: FileOpOwner) {
    super();
    this.#owner = owner;
  }

  // hot path
  override complete(result: number): void {
    this.#owner.fileOpCompleted(this, result);
  }
}
