// Tests of NumberIndex against a Map.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../util/prng.ts";
import { NumberIndex } from "./number-index.ts";

test("an index does what a Map does, with keys of 48 bits that lie close together", () => {
  const prng = new Prng("number-index");
  const index = new NumberIndex();
  const model = new Map<number, number>();
  for (let step = 0; step < 20_000; step++) {
    const key = prng.below(32) * 2 ** 42 + prng.below(40);
    if (prng.chance(0.55)) {
      index.set(key, step);
      model.set(key, step);
    } else if (model.delete(key)) index.delete(key);
    strictEqual(index.get(key), model.get(key) ?? -1);
    strictEqual(index.size, model.size);
  }
  for (const [key, value] of model) strictEqual(index.get(key), value);
  throws(() => index.delete(77));
});
