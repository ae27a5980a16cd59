/**
 * Histogram: counts of values in log-linear buckets, as HdrHistogram has them.
 *
 *   0 1 2 ... 127 | 128 130 132 ... 254 | 256 260 ... 508 | 512 520 ...
 *     width 1     |      width 2        |    width 4      |  width 8
 *
 * Each power of two is cut into the same number of buckets, so a bucket is never wider than a fixed
 * part of its values: 1/64 unless asked otherwise. All memory is taken at the start; `record`
 * allocates nothing. The unit is the owner's (nanoseconds, bytes).
 */

import { assert } from "./assert.ts";

export interface HistogramOptions {
  /** Buckets of each power of two: 2 to the power of this, 1 to 12; default 6. */
  readonly precisionBits?: number;
  /** Larger values are counted in the last bucket; default 2^42 - 1 (73 minutes of nanoseconds). */
  readonly valueMax?: number;
}

const PRECISION_BITS_DEFAULT = 6;
const PRECISION_BITS_MAX = 12;
const VALUE_MAX_DEFAULT = 2 ** 42 - 1;
const UINT32_RANGE = 2 ** 32;

export class Histogram {
  /** Values recorded. */
  count = 0;
  sum = 0;
  /** The smallest and the largest value recorded; 0 while there is none. */
  min = 0;
  max = 0;
  readonly precisionBits: number;
  readonly valueMax: number;
  readonly #counts: Float64Array;

  constructor(options: HistogramOptions = {}) {
    const { precisionBits = PRECISION_BITS_DEFAULT, valueMax = VALUE_MAX_DEFAULT } = options;
    assert(
      Number.isInteger(precisionBits) && precisionBits >= 1 && precisionBits <= PRECISION_BITS_MAX,
      `precision bits 1 to ${PRECISION_BITS_MAX}: ${precisionBits}`,
    );
    assert(Number.isSafeInteger(valueMax) && valueMax >= 1, `bad largest value: ${valueMax}`);
    this.precisionBits = precisionBits;
    this.valueMax = valueMax;
    this.#counts = new Float64Array(bucketOf(valueMax, precisionBits) + 1);
  }

  /** The mean of the values, exact; 0 while there is none. */
  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  /** Counts `value`, at least 0; fractions are dropped. Hot path. */
  record(value: number): void {
    const whole = value > this.valueMax ? this.valueMax : Math.floor(value);
    const at = bucketOf(whole, this.precisionBits);
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.sum += value;
    if (this.count === 0 || value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    this.count++;
  }

  /** Adds all values of `other`, which has the same buckets. */
  add(other: Histogram): void {
    assert(
      other.precisionBits === this.precisionBits && other.valueMax === this.valueMax,
      "histograms are added that have the same buckets",
    );
    if (other.count === 0) return;
    for (let at = 0; at < this.#counts.length; at++) {
      this.#counts[at] = (this.#counts[at] as number) + (other.#counts[at] as number);
    }
    this.min = this.count === 0 ? other.min : Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    this.count += other.count;
    this.sum += other.sum;
  }

  clear(): void {
    this.#counts.fill(0);
    this.count = 0;
    this.sum = 0;
    this.min = 0;
    this.max = 0;
  }

  /**
   * The value that a share of `quantile` (0 to 1) of all values does not exceed: the largest of its
   * bucket, never beyond `max`. 0 while there is none.
   */
  quantile(quantile: number): number {
    assert(quantile >= 0 && quantile <= 1, `quantile from 0 to 1: ${quantile}`);
    if (this.count === 0) return 0;
    const rank = Math.max(Math.ceil(quantile * this.count), 1);
    if (rank >= this.count) return this.max;
    let seen = 0;
    for (let at = 0; at < this.#counts.length; at++) {
      seen += this.#counts[at] as number;
      if (seen < rank) continue;
      const largest = lowestOf(at + 1, this.precisionBits) - 1;
      return Math.max(Math.min(largest, this.max), this.min);
    }
    return this.max;
  }

  /**
   * How many values lie below `limit`. Exact where `limit` begins a bucket (every power of two
   * does); else the values in its bucket are left out.
   */
  countBelow(limit: number): number {
    if (limit > this.valueMax) return this.count;
    const end = bucketOf(Math.max(Math.floor(limit), 0), this.precisionBits);
    let below = 0;
    for (let at = 0; at < end; at++) below += this.#counts[at] as number;
    return below;
  }

  /** Calls back with each bucket that is not empty, in order: [lowest, end) and its count. */
  forEachBucket(visit: (lowest: number, end: number, count: number) => void): void {
    for (let at = 0; at < this.#counts.length; at++) {
      const count = this.#counts[at] as number;
      if (count === 0) continue;
      visit(lowestOf(at, this.precisionBits), lowestOf(at + 1, this.precisionBits), count);
    }
  }
}

/** The bucket of a whole number from 0 to 2^53 - 1. Hot path. */
function bucketOf(value: number, precisionBits: number): number {
  const linear = 2 << precisionBits;
  if (value < linear) return value;
  // The highest bit of a 53-bit number, by its upper or its lower half.
  const highest =
    value < UINT32_RANGE ? 31 - Math.clz32(value) : 63 - Math.clz32(value / UINT32_RANGE);
  const shift = highest - precisionBits;
  // Division by a power of two is exact; 2 ** shift is looked up.
  const mantissa = Math.floor(value / (POWERS[shift] as number));
  return ((shift - 1) << precisionBits) + linear + (mantissa - (linear >> 1));
}

/** The smallest value of a bucket. */
function lowestOf(bucket: number, precisionBits: number): number {
  const linear = 2 << precisionBits;
  if (bucket < linear) return bucket;
  const half = linear >> 1;
  const shift = Math.floor((bucket - linear) / half) + 1;
  return (half + ((bucket - linear) % half)) * (POWERS[shift] as number);
}

const POWERS: readonly number[] = Array.from({ length: 54 }, (_, exponent) => 2 ** exponent);
