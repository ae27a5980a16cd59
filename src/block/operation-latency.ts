/**
 * OperationLatency: how long the requests of a share's clients took, each of them, by kind. The
 * share has read the clock anyway. A histogram's memory is taken with its first request.
 */

import { Histogram } from "../util/histogram.ts";

/** Nanoseconds up to 68 s, each within 1/16: 4 KiB. */
const BUCKETS = { precisionBits: 4, valueMax: 2 ** 36 - 1 } as const;
const NS_PER_MS = 1e6;

export class OperationLatency {
  reads: Histogram | null = null;
  writes: Histogram | null = null;
  /** Flushes, discards, write-zeroes, block status. */
  others: Histogram | null = null;

  // hot path
  recordRead(latencyMs: number): void {
    this.reads ??= new Histogram(BUCKETS);
    this.reads.record(Math.max(latencyMs, 0) * NS_PER_MS);
  }

  // hot path
  recordWrite(latencyMs: number): void {
    this.writes ??= new Histogram(BUCKETS);
    this.writes.record(Math.max(latencyMs, 0) * NS_PER_MS);
  }

  recordOther(latencyMs: number): void {
    this.others ??= new Histogram(BUCKETS);
    this.others.record(Math.max(latencyMs, 0) * NS_PER_MS);
  }
}
