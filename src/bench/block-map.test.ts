// Tests of BlockMap: generations and claims do not touch each other.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { BlockMap } from "./block-map.ts";
import { ANY_GENERATION } from "./sector-stamp.ts";

test("claimFrom gives each block once, the next free one for one that is taken", () => {
  const map = new BlockMap(4);
  deepStrictEqual(
    [2, 2, 2, 2].map((block) => map.claimFrom(block)),
    [2, 3, 0, 1],
  );
  map.release(3);
  strictEqual(map.claimFrom(0), 3);
});

test("generations stay through claims, and claims through generations", () => {
  const map = new BlockMap(2);
  strictEqual(map.generationOf(0), ANY_GENERATION);
  map.set(0, 0);
  strictEqual(map.claimFrom(0), 0);
  strictEqual(map.generationOf(0), 0);
  for (const generation of [1, 2 ** 31 - 2, ANY_GENERATION, 5]) {
    map.set(0, generation);
    strictEqual(map.generationOf(0), generation);
    strictEqual(map.claimFrom(0), 1, "it is still taken");
    map.release(1);
  }
  map.release(0);
  strictEqual(map.generationOf(0), 5);
  strictEqual(map.claimFrom(0), 0);
  deepStrictEqual([map.countKnown(), map.generationOf(1)], [1, ANY_GENERATION]);
});

test("a map has a bounded number of blocks", () => {
  throws(() => new BlockMap(0), /blocks/);
  throws(() => new BlockMap(2 ** 28 + 1), /blocks/);
});
