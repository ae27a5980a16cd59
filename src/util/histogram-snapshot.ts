/**
 * A histogram as plain values: between threads, over the RPC, and subtracted from a later one to
 * see what came in between. Pure.
 */

import type { Histogram } from "./histogram.ts";
import { assert } from "./assert.ts";

/** Only buckets that are not empty, in order. The three lists are of one length. */
export interface HistogramSnapshot {
  readonly count: number;
  readonly sum: number;
  /** Of each bucket: the smallest value, ... */
  readonly lowest: readonly number[];
  /** ... the smallest value beyond it, ... */
  readonly ends: readonly number[];
  /** ... and how many values. */
  readonly counts: readonly number[];
}

export const EMPTY_SNAPSHOT: HistogramSnapshot = {
  count: 0,
  sum: 0,
  lowest: [],
  ends: [],
  counts: [],
};

/** @param histogram null: nothing was recorded */
export function snapshotOf(histogram: Histogram | null): HistogramSnapshot {
  if (histogram === null) return EMPTY_SNAPSHOT;
  const { count, sum } = histogram;
  const lowest: number[] = [];
  const ends: number[] = [];
  const counts: number[] = [];
  histogram.forEachBucket((from, end, inside) => {
    lowest.push(from);
    ends.push(end);
    counts.push(inside);
  });
  return { count, sum, lowest, ends, counts };
}

/**
 * What was recorded between two snapshots of a histogram. Where it was begun anew in between (a
 * pipe was opened again), all that `after` has.
 */
export function snapshotBetween(
  before: HistogramSnapshot,
  after: HistogramSnapshot,
): HistogramSnapshot {
  if (before.count > after.count) return after;
  const earlier = new Map(before.lowest.map((from, at) => [from, before.counts[at] as number]));
  const lowest: number[] = [];
  const ends: number[] = [];
  const counts: number[] = [];
  for (const [at, from] of after.lowest.entries()) {
    const count = (after.counts[at] as number) - (earlier.get(from) ?? 0);
    if (count <= 0) continue;
    lowest.push(from);
    ends.push(after.ends[at] as number);
    counts.push(count);
  }
  return {
    count: after.count - before.count,
    sum: Math.max(after.sum - before.sum, 0),
    lowest,
    ends,
    counts,
  };
}

/** All values of several histograms with the same buckets. */
export function snapshotSum(snapshots: readonly HistogramSnapshot[]): HistogramSnapshot {
  const byLowest = new Map<number, { end: number; count: number }>();
  let count = 0;
  let sum = 0;
  for (const each of snapshots) {
    count += each.count;
    sum += each.sum;
    for (const [at, from] of each.lowest.entries()) {
      const bucket = byLowest.get(from) ?? { end: each.ends[at] as number, count: 0 };
      bucket.count += each.counts[at] as number;
      byLowest.set(from, bucket);
    }
  }
  const inOrder = [...byLowest].sort(([left], [right]) => left - right);
  return {
    count,
    sum,
    lowest: inOrder.map(([from]) => from),
    ends: inOrder.map(([, { end }]) => end),
    counts: inOrder.map(([, bucket]) => bucket.count),
  };
}

/** The largest value of the bucket that the share `quantile` (0 to 1) reaches; null: no values. */
export function snapshotQuantile(snapshot: HistogramSnapshot, quantile: number): number | null {
  assert(quantile >= 0 && quantile <= 1, `quantile from 0 to 1: ${quantile}`);
  const total = snapshot.counts.reduce((all, count) => all + count, 0);
  if (total === 0) return null;
  const rank = Math.max(Math.ceil(quantile * total), 1);
  let seen = 0;
  for (const [at, count] of snapshot.counts.entries()) {
    seen += count;
    if (seen >= rank) return (snapshot.ends[at] as number) - 1;
  }
  return null;
}

/** How many values lie below `limit`; those of a bucket that it cuts are left out. */
export function snapshotBelow(snapshot: HistogramSnapshot, limit: number): number {
  let below = 0;
  for (const [at, end] of snapshot.ends.entries()) {
    if (end > limit) break;
    below += snapshot.counts[at] as number;
  }
  return below;
}
