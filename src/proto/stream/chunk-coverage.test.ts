// Tests of the coverage of a read by chunks, against an array of flags.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { ChunkCoverage, COVERAGE_RANGES_MAX } from "./chunk-coverage.ts";

test("ChunkCoverage agrees with an array of flags", () => {
  for (let seed = 0; seed < 3000; seed++) {
    const prng = new Prng(seed);
    const length = 1 + prng.below(40);
    const covered = new Array<boolean>(length).fill(false);
    const coverage = new ChunkCoverage();
    for (let round = 0; round < 40; round++) {
      const start = prng.below(length);
      const end = start + 1 + prng.below(Math.min(8, length - start));
      const isFree = covered.slice(start, end).every((each) => !each);
      // A refusal ends the read, so that what follows it does not matter.
      if (!isFree && prng.chance(0.9)) continue;
      strictEqual(coverage.add(start, end), isFree, `seed ${seed}: [${start}, ${end})`);
      if (!isFree) break;
      covered.fill(true, start, end);
      strictEqual(coverage.covers(0, length), covered.every(Boolean));
    }
  }
});

test("ChunkCoverage keeps a bounded number of ranges", () => {
  const coverage = new ChunkCoverage();
  for (let index = 0; index < COVERAGE_RANGES_MAX; index++) {
    strictEqual(coverage.add(10 * index, 10 * index + 1), true);
  }
  strictEqual(coverage.add(100_000, 100_001), false);
  strictEqual(coverage.add(1, 2), true, "it joins a range");
  coverage.clear();
  strictEqual(coverage.add(0, 5), true);
  strictEqual(coverage.covers(0, 5), true);
});
