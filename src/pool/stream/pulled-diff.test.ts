// PulledDiff: extents join, the walk waits for its taker, and both end whoever ends first.

import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import { setImmediate as nextRound } from "node:timers/promises";
import { test } from "node:test";
import { type DiffExtent, type ExtentSink, PulledDiff } from "./pulled-diff.ts";

async function all(diff: PulledDiff): Promise<DiffExtent[]> {
  const found: DiffExtent[] = [];
  for (let next = await diff.next(); next.length > 0; next = await diff.next()) {
    found.push(...next);
  }
  return found;
}

/** Single blocks, every other one; counts how far it has come. */
function walkOf(count: number, progress: { told: number } = { told: 0 }) {
  return async (sink: ExtentSink): Promise<void> => {
    for (let first = 0; first < count; first++) {
      const wait = sink.extent(first * 2, 1, "data");
      if (wait !== undefined) await wait;
      progress.told++;
    }
  };
}

test("extents that touch and are alike are one, others are not", async () => {
  const diff = new PulledDiff(async (sink) => {
    await sink.extent(0, 1, "data");
    await sink.extent(1, 2, "data");
    await sink.extent(3, 1, "zero");
    await sink.extent(5, 1, "zero");
    await sink.extent(6, 4, "zero");
  });
  deepStrictEqual(await all(diff), [
    { first: 0, count: 3, kind: "data" },
    { first: 3, count: 1, kind: "zero" },
    { first: 5, count: 5, kind: "zero" },
  ]);
  await diff.close();
});

test("nothing is no extent, and each of many is taken once", async () => {
  deepStrictEqual(await all(new PulledDiff(async () => undefined)), []);
  const found = await all(new PulledDiff(walkOf(5000)));
  deepStrictEqual(
    found.map(({ first }) => first),
    Array.from({ length: 5000 }, (_, at) => at * 2),
  );
});

test("a walk that nobody takes from waits, and ends when it is closed", async () => {
  const progress = { told: 0 };
  const diff = new PulledDiff(walkOf(100_000, progress));
  await nextRound();
  const before = progress.told;
  strictEqual(before < 1000, true, `${before}`);
  await nextRound();
  strictEqual(progress.told, before);
  await diff.close();
  await diff.close();
  await rejects(diff.next(), { code: "aborted" });
});

test("a taker that waits is told of the close, and of the walk's failure", async () => {
  const never = Promise.withResolvers<void>();
  const diff = new PulledDiff(() => never.promise);
  const asked = rejects(diff.next(), { code: "aborted" });
  await nextRound();
  const closed = diff.close();
  await asked;
  never.resolve();
  await closed;
  const failed = new PulledDiff(async (sink) => {
    await sink.extent(0, 1, "data");
    throw new Error("media");
  });
  await rejects(all(failed), /media/);
  await failed.close();
});
