/** The lower bound of a key against a search from the front. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { HEADER_WORDS, PAGE_WORDS } from "./page-format.ts";
import { lowerBound, setCount } from "./tree-search.ts";

const WORDS = 5;
const SLOT = 1;

function pageOf(keys: readonly number[]): Uint32Array {
  const words = new Uint32Array(2 * PAGE_WORDS);
  const base = SLOT * PAGE_WORDS + HEADER_WORDS;
  for (const [index, key] of keys.entries()) words[base + index * WORDS] = key;
  setCount(words, SLOT, keys.length);
  return words;
}

test("the lower bound is that of a search from the front, at any density of keys", () => {
  const random = new Prng("lower bound");
  for (let round = 0; round < 300; round++) {
    const gap = 1 + random.below(1 + random.below(1 << (1 + random.below(24))));
    const keys: number[] = [];
    let key = random.below(3) === 0 ? 0 : random.below(1000);
    for (let left = random.below(201); left > 0 && key <= 0xffff_ffff; left--) {
      keys.push(key);
      key += 1 + random.below(gap);
    }
    if (random.below(4) === 0 && (keys.at(-1) ?? 0) < 0xffff_ffff) keys.push(0xffff_ffff);
    const words = pageOf(keys);
    const near = keys.flatMap((each) => [each - 1, each, each + 1]).filter((each) => each >= 0);
    for (const wanted of [...near, 0, 2 ** 31, 2 ** 32 - 1, 2 ** 32, random.below(key + 1)]) {
      const found = keys.findIndex((each) => each >= wanted);
      const expected = found < 0 ? keys.length : found;
      assert.equal(lowerBound(words, SLOT, WORDS, wanted), expected, `${wanted} in ${keys}`);
    }
  }
});
