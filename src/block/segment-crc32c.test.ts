// Tests of CRC32C over segments: every start and length over uneven segments.

import { strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { HeapSlabSpace } from "../reactor/slab-space-heap.ts";
import { crc32c } from "../util/crc32c.ts";
import { copyToSegments } from "./segment-copy.ts";
import { crc32cOfSegments } from "./segment-crc32c.ts";
import { SegmentList } from "./segments.ts";

test("crc32cOfSegments is the checksum of the bytes in a row when they are scattered", () => {
  const slabs = new HeapSlabSpace();
  const [first, second] = [slabs.allocate(4096), slabs.allocate(4096)];
  const segments = new SegmentList();
  for (const [index, length] of [3, 1, 24, 2].entries()) {
    segments.push((index % 2 === 0 ? first : second).id, 300 - index * 100, length);
  }
  const bytes = Uint8Array.from({ length: 30 }, (_, index) => index * 37);
  copyToSegments(slabs, segments, 0, bytes, 0, 30);
  for (let start = 0; start <= 30; start++) {
    for (let length = 0; start + length <= 30; length++) {
      const seed = crc32c(bytes, 0, start);
      const expected = crc32c(bytes, 0, start + length);
      strictEqual(crc32cOfSegments(slabs, segments, start, length, seed), expected);
    }
  }
  throws(() => crc32cOfSegments(slabs, segments, 29, 2), { code: "assertion-failed" });
});
