// Positions of scrubs, as they are kept.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { Prng } from "../../util/prng.ts";
import { decodePosition, encodePosition, SCRUB_START } from "./scrub-position.ts";

test("a position is the same after it was kept", () => {
  const position = {
    objectId: 2 ** 25 - 1,
    nextBlock: 2 ** 32,
    doneBytes: 2 ** 50 + 1,
    damagedCount: 3,
    healedCount: 2,
    badCopies: 1,
  };
  deepStrictEqual(decodePosition(encodePosition(position)), position);
  deepStrictEqual(decodePosition(encodePosition(SCRUB_START)), SCRUB_START);
});

test("what is no position is none", () => {
  strictEqual(decodePosition(undefined), null);
  strictEqual(decodePosition(new Uint8Array(47)), null);
  strictEqual(decodePosition(new Uint8Array(48)), null);
  strictEqual(decodePosition(new Uint8Array(48).fill(255)), null);
  const random = new Prng(1);
  for (let round = 0; round < 1000; round++) {
    const bytes = encodePosition(SCRUB_START);
    bytes[random.below(48)] = random.below(256);
    decodePosition(bytes);
  }
});
