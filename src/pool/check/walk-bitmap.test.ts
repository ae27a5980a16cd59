// Bitmaps of walks: what two refer to, and where finds and map differ.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { WalkBitmap } from "./walk-bitmap.ts";

test("WalkBitmap sees a block that two refer to, and none outside of its range", () => {
  const bitmap = new WalkBitmap(64, 100);
  strictEqual(bitmap.find(70), true);
  strictEqual(bitmap.find(70), false);
  strictEqual(bitmap.find(71), true);
  for (const outside of [0, 63, 164, 1e9]) {
    strictEqual(bitmap.find(outside), true);
    strictEqual(bitmap.find(outside), true);
  }
});

test("WalkBitmap lists the runs on which finds and map disagree", () => {
  const bitmap = new WalkBitmap(32, 70);
  bitmap.map(32, 0b0111);
  bitmap.map(64, 0xffff_ffff);
  // Beyond the end, and before the beginning: not looked at.
  bitmap.map(96, 0xffff_ffc0);
  bitmap.map(0, 0xffff_ffff);
  for (const block of [32, 35, 36]) bitmap.find(block);
  for (let block = 64; block < 95; block++) bitmap.find(block);
  deepStrictEqual(
    [...bitmap.differences()],
    [
      { first: 33, count: 2, isOrphan: true },
      { first: 35, count: 2, isOrphan: false },
      { first: 95, count: 1, isOrphan: true },
    ],
  );
});

test("WalkBitmap agrees with sets", () => {
  const random = new Prng(1);
  for (let round = 0; round < 100; round++) {
    const count = 1 + random.below(300);
    const bitmap = new WalkBitmap(320, count);
    const [found, mapped] = [new Set<number>(), new Set<number>()];
    for (let block = 320; block < 320 + count; block++) {
      if (random.chance(0.3) && bitmap.find(block)) found.add(block);
    }
    for (let block = 320; block < 320 + count; block += 32) {
      let bits = 0;
      for (let bit = 0; bit < 32; bit++) {
        if (!random.chance(0.3)) continue;
        bits |= 1 << bit;
        if (block + bit < 320 + count) mapped.add(block + bit);
      }
      bitmap.map(block, bits);
    }
    const differing = [...bitmap.differences()].flatMap(({ first, count: length, isOrphan }) =>
      Array.from({ length }, (_, index) => `${first + index} ${isOrphan}`),
    );
    const expected = [...found.symmetricDifference(mapped)].sort((a, b) => a - b);
    deepStrictEqual(
      differing,
      expected.map((block) => `${block} ${mapped.has(block)}`),
    );
  }
});
