// Tests of Histogram: every value lies in its bucket, buckets join without gaps and are narrow,
// quantiles agree with a sorted list, nothing is lost in adding.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Histogram } from "./histogram.ts";

interface Bucket {
  readonly lowest: number;
  readonly end: number;
  readonly count: number;
}

function bucketsOf(histogram: Histogram): Bucket[] {
  const buckets: Bucket[] = [];
  histogram.forEachBucket((lowest, end, count) => buckets.push({ lowest, end, count }));
  return buckets;
}

function filled(values: readonly number[], precisionBits?: number): Histogram {
  const valueMax = Number.MAX_SAFE_INTEGER;
  const options = precisionBits === undefined ? { valueMax } : { valueMax, precisionBits };
  const histogram = new Histogram(options);
  for (const value of values) histogram.record(value);
  return histogram;
}

/** All magnitudes alike. */
const anyValue = fc
  .tuple(fc.integer({ min: 0, max: 53 }), fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([bits, part]) => Math.min(Math.floor(2 ** bits * part), Number.MAX_SAFE_INTEGER));

test("a value lies in its bucket, which is narrow", () => {
  fc.assert(
    fc.property(anyValue, fc.integer({ min: 1, max: 12 }), (value, bits) => {
      const [bucket, ...others] = bucketsOf(filled([value], bits));
      ok(bucket !== undefined && others.length === 0);
      strictEqual(bucket.count, 1);
      ok(bucket.lowest <= value && value < bucket.end, `${bucket.lowest} ${value} ${bucket.end}`);
      ok(bucket.end - bucket.lowest <= Math.max(value / 2 ** bits, 1));
    }),
  );
});

test("buckets join: the value before a bucket's lowest is in the one before", () => {
  const around = Array.from({ length: 53 }, (_, bits) => 2 ** bits).flatMap((value) =>
    [value - 1, value, value + 1].filter((each) => each <= Number.MAX_SAFE_INTEGER),
  );
  const buckets = bucketsOf(filled(around));
  for (const [index, { lowest }] of buckets.entries()) {
    if (lowest === 0) continue;
    const [bucket] = bucketsOf(filled([lowest - 1]));
    strictEqual(bucket?.end, lowest);
    ok((buckets[index - 1]?.end ?? 0) <= lowest);
  }
});

test("quantiles are those of a sorted list, to the width of a bucket", () => {
  fc.assert(
    fc.property(
      fc.array(anyValue, { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (values, quantile) => {
        const histogram = filled(values);
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(Math.ceil(quantile * values.length), 1) - 1] ?? -1;
        const found = histogram.quantile(quantile);
        ok(found >= exact && found <= Math.max(exact * (1 + 1 / 64), exact), `${found} ${exact}`);
        strictEqual(histogram.quantile(1), sorted.at(-1));
        strictEqual(histogram.min, sorted[0]);
        strictEqual(histogram.count, values.length);
      },
    ),
  );
});

test("add gives what recording everything in one would have given", () => {
  fc.assert(
    fc.property(fc.array(anyValue), fc.array(anyValue), (one, other) => {
      const sum = filled(one);
      sum.add(filled(other));
      const all = filled([...one, ...other]);
      deepStrictEqual(bucketsOf(sum), bucketsOf(all));
      strictEqual(sum.count, all.count);
      strictEqual(sum.min, all.min);
      strictEqual(sum.max, all.max);
    }),
  );
});

test("countBelow is exact at powers of two", () => {
  const values = [0, 1, 63, 64, 127, 128, 129, 1000, 1023, 1024, 5000];
  const histogram = filled(values);
  for (let limit = 1; limit <= 8192; limit *= 2) {
    strictEqual(histogram.countBelow(limit), values.filter((value) => value < limit).length);
  }
  strictEqual(histogram.countBelow(Number.POSITIVE_INFINITY), values.length);
});

test("what is beyond the largest value is counted in the last bucket, and max stays exact", () => {
  const histogram = new Histogram({ valueMax: 1000 });
  histogram.record(1e12);
  histogram.record(10);
  deepStrictEqual([histogram.count, histogram.max, histogram.quantile(1)], [2, 1e12, 1e12]);
  strictEqual(bucketsOf(histogram).at(-1)?.count, 1);
});

test("an empty or cleared one says zero everywhere; the sum keeps fractions", () => {
  const histogram = new Histogram();
  const shown = (): number[] => [histogram.count, histogram.mean, histogram.quantile(0.5)];
  deepStrictEqual(shown(), [0, 0, 0]);
  histogram.record(1.5);
  histogram.record(2);
  deepStrictEqual([histogram.sum, histogram.mean, histogram.quantile(0.5)], [3.5, 1.75, 1.5]);
  histogram.clear();
  deepStrictEqual([...shown(), ...bucketsOf(histogram)], [0, 0, 0]);
});

test("wrong options and quantiles are refused", () => {
  throws(() => new Histogram({ precisionBits: 0 }), /precision bits/);
  throws(() => new Histogram({ precisionBits: 13 }), /precision bits/);
  throws(() => new Histogram({ valueMax: 0 }), /largest value/);
  throws(() => new Histogram().quantile(1.1), /quantile/);
  throws(() => new Histogram().add(new Histogram({ precisionBits: 3 })), /same buckets/);
});
