// Tests of the ranges of Dataset Management.

import { strictEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeRange, rangeBlocks, rangeCountOf, rangeStart } from "./dataset-range.ts";

test("encodeRange writes 16 bytes as the spec lays them out", () => {
  const view = new DataView(new ArrayBuffer(32));
  strictEqual(encodeRange(view, 16, 0x1_2345_6789, 8), 16);
  const expected = "00000000" + "08000000" + "8967452301000000";
  strictEqual(Buffer.from(view.buffer).toString("hex", 16), expected);
  strictEqual(rangeCountOf(0), 1);
  strictEqual(rangeCountOf(0xffff_ffff), 256);
});

test("rangeStart and rangeBlocks give what encodeRange was given", () => {
  const view = new DataView(new ArrayBuffer(64));
  const blocks = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(fc.maxSafeNat(), blocks, fc.nat(48), (start, count, at) => {
      encodeRange(view, at, start, count);
      strictEqual(rangeStart(view, at), start);
      strictEqual(rangeBlocks(view, at), count);
    }),
  );
});
