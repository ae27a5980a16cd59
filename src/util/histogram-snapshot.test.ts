// Tests of histogram snapshots: what lies between two, sums, quantiles, what lies below a limit.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Histogram } from "./histogram.ts";
import {
  EMPTY_SNAPSHOT,
  snapshotBelow,
  snapshotBetween,
  snapshotOf,
  snapshotQuantile,
  snapshotSum,
} from "./histogram-snapshot.ts";

const OPTIONS = { precisionBits: 4, valueMax: 2 ** 36 - 1 } as const;
const VALUES = fc.array(fc.oneof(fc.nat(200), fc.nat(2 ** 31 - 1)), { maxLength: 200 });

function histogramOf(...lists: readonly (readonly number[])[]): Histogram {
  const histogram = new Histogram(OPTIONS);
  for (const values of lists) for (const value of values) histogram.record(value);
  return histogram;
}

test("a snapshot of nothing is empty, whoever did not record", () => {
  deepStrictEqual(snapshotOf(null), EMPTY_SNAPSHOT);
  deepStrictEqual(snapshotOf(new Histogram(OPTIONS)), EMPTY_SNAPSHOT);
  strictEqual(snapshotQuantile(EMPTY_SNAPSHOT, 0.5), null);
  strictEqual(snapshotBelow(EMPTY_SNAPSHOT, 1e9), 0);
});

test("what lies between two snapshots is what was recorded in between", () => {
  fc.assert(
    fc.property(VALUES, VALUES, (first, second) => {
      const between = snapshotBetween(
        snapshotOf(histogramOf(first)),
        snapshotOf(histogramOf(first, second)),
      );
      deepStrictEqual(between, snapshotOf(histogramOf(second)));
    }),
  );
});

test("a histogram that was begun anew counts as a whole", () => {
  const after = snapshotOf(histogramOf([5]));
  deepStrictEqual(snapshotBetween(snapshotOf(histogramOf([1, 2, 3])), after), after);
});

test("the sum of snapshots is the snapshot of all values", () => {
  fc.assert(
    fc.property(VALUES, VALUES, (first, second) => {
      const sum = snapshotSum([snapshotOf(histogramOf(first)), snapshotOf(histogramOf(second))]);
      deepStrictEqual(sum, snapshotOf(histogramOf(first, second)));
    }),
  );
});

test("quantiles are those of the sorted values, within a bucket's width", () => {
  fc.assert(
    fc.property(VALUES, fc.double({ min: 0, max: 1, noNaN: true }), (values, quantile) => {
      const found = snapshotQuantile(snapshotOf(histogramOf(values)), quantile);
      const sorted = values.toSorted((left, right) => left - right);
      const exact = sorted[Math.max(Math.ceil(quantile * sorted.length), 1) - 1];
      if (exact === undefined) strictEqual(found, null);
      else
        ok(found !== null && found >= exact && found <= exact * (1 + 1 / 16), `${found} ${exact}`);
    }),
  );
});

test("what lies below a power of two is counted exactly", () => {
  fc.assert(
    fc.property(VALUES, fc.nat(35), (values, exponent) => {
      const limit = 2 ** exponent;
      const exact = values.filter((value) => value < limit).length;
      strictEqual(snapshotBelow(snapshotOf(histogramOf(values)), limit), exact);
    }),
  );
});
