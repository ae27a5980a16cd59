// Tests of the generator: the numbers of a seed never change, and they are uniform enough.

import { deepStrictEqual, notDeepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "./prng.ts";

const draws = (prng: Prng, count: number) => Array.from({ length: count }, () => prng.nextUint32());

test("Prng gives the numbers it always gave when the seed is the same", () => {
  // Seeds of fixed bugs stay in the tree: a change here throws all of them away.
  deepStrictEqual(draws(new Prng(1), 4), GOLDEN_NUMBERS_OF_SEED_1);
  deepStrictEqual(draws(new Prng("1"), 4), GOLDEN_NUMBERS_OF_SEED_1);
});

test("Prng gives other numbers when the seed differs", () => {
  const first = new Set<number>();
  for (let seed = 0; seed < 1000; seed += 1) {
    first.add(new Prng(seed).nextUint32());
  }
  strictEqual(first.size, 1000);
});

test("below is uniform and within its limit when the limit is small", () => {
  const prng = new Prng("below");
  const counts = new Array<number>(10).fill(0);
  for (let draw = 0; draw < 100_000; draw += 1) {
    const value = prng.below(10);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  strictEqual(counts.length, 10);
  for (const count of counts) {
    strictEqual(count > 9500 && count < 10_500, true, `counts ${counts}`);
  }
});

test("below stays a safe integer within its limit when the limit is huge", () => {
  const prng = new Prng("huge");
  let high = 0;
  for (let draw = 0; draw < 10_000; draw += 1) {
    const value = prng.below(Number.MAX_SAFE_INTEGER);
    strictEqual(Number.isSafeInteger(value) && value < Number.MAX_SAFE_INTEGER, true);
    high += value > Number.MAX_SAFE_INTEGER / 2 ? 1 : 0;
  }
  strictEqual(high > 4700 && high < 5300, true);
});

test("below, chance and pick refuse when the argument makes no sense", () => {
  const prng = new Prng(1);
  for (const limit of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    throws(() => prng.below(limit), { code: "assertion-failed" });
  }
  for (const probability of [-0.1, 1.1, Number.NaN]) {
    throws(() => prng.chance(probability), { code: "assertion-failed" });
  }
  throws(() => prng.pick([]), { code: "assertion-failed" });
  throws(() => new Prng(0.5), { code: "assertion-failed" });
});

test("chance never or always hits when the probability is 0 or 1", () => {
  const prng = new Prng("chance");
  for (let draw = 0; draw < 1000; draw += 1) {
    strictEqual(prng.chance(0), false);
    strictEqual(prng.chance(1), true);
  }
});

test("float stays in [0, 1) and centres on a half when drawn often", () => {
  const prng = new Prng("float");
  let sum = 0;
  for (let draw = 0; draw < 100_000; draw += 1) {
    const value = prng.float();
    strictEqual(value >= 0 && value < 1, true);
    sum += value;
  }
  strictEqual(Math.abs(sum / 100_000 - 0.5) < 0.01, true);
});

test("fork gives an independent generator when the label or the moment differs", () => {
  const parent = new Prng(7);
  const same = new Prng(7);
  deepStrictEqual(draws(parent.fork("disk"), 8), draws(same.fork("disk"), 8));
  const disk = draws(parent.fork("disk"), 8);
  notDeepStrictEqual(disk, draws(same.fork("network"), 8));
  notDeepStrictEqual(disk, draws(parent.fork("disk"), 8));
});

test("fill overwrites every byte when the length is not a multiple of four", () => {
  const prng = new Prng("fill");
  for (let length = 0; length < 20; length += 1) {
    const seen = new Uint8Array(length);
    for (let round = 0; round < 40; round += 1) {
      const bytes = new Uint8Array(length);
      prng.fill(bytes);
      bytes.forEach((byte, index) => {
        seen[index] = (seen[index] ?? 0) | byte;
      });
    }
    strictEqual(
      seen.every((byte) => byte === 0xff),
      true,
      `length ${length}`,
    );
  }
});

test("pick returns each element when drawn often", () => {
  const prng = new Prng("pick");
  const seen = new Set(Array.from({ length: 100 }, () => prng.pick(["a", "b", "c"])));
  deepStrictEqual([...seen].sort(), ["a", "b", "c"]);
});

const GOLDEN_NUMBERS_OF_SEED_1 = [1_258_591_824, 372_947_730, 36_866_773, 3_158_311_978];
