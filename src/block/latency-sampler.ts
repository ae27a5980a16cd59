/**
 * LatencySampler: how long requests take at one place, measured at some of them.
 *
 * Reading the clock twice for each request at each stage would cost more than most stages do. One
 * in SAMPLE_EVERY is timed, one at a time: from the next request on after the sample before has
 * ended. The histogram's memory is taken with the first sample. Hot path, all of it.
 */

import type { Clock } from "../reactor/clock.ts";
import { Histogram } from "../util/histogram.ts";

export const SAMPLE_EVERY = 64;

/** Nanoseconds up to 68 s, each within 1/8: 2 KiB. */
const BUCKETS = { precisionBits: 3, valueMax: 2 ** 36 - 1 } as const;
const NS_PER_MS = 1e6;

export class LatencySampler {
  /** Nanoseconds; null while nothing was measured. */
  histogram: Histogram | null = null;
  readonly #clock: Clock;
  /** Requests up to the next one that is timed, which is the first one, too. */
  #untilNext = 1;
  #timed: object | null = null;
  #startMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `request` sets out. */
  begin(request: object): void {
    if (--this.#untilNext === 0) this.#begin(request);
  }

  /** `request` has come back. */
  end(request: object): void {
    if (request === this.#timed) this.#end();
  }

  #begin(request: object): void {
    if (this.#timed !== null) {
      this.#untilNext = 1;
      return;
    }
    this.#untilNext = SAMPLE_EVERY;
    this.#timed = request;
    this.#startMs = this.#clock.nowMs();
  }

  #end(): void {
    this.#timed = null;
    this.histogram ??= new Histogram(BUCKETS);
    this.histogram.record(Math.max(this.#clock.nowMs() - this.#startMs, 0) * NS_PER_MS);
  }
}
