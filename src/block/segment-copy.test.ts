// Tests of copies between segments and memory: every start and length over uneven segments.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { HeapSlabSpace } from "../reactor/slab-space-heap.ts";
import {
  compareSegments,
  copyBytes,
  copyFromSegments,
  copyToSegments,
  zeroSegments,
} from "./segment-copy.ts";
import { SegmentList } from "./segments.ts";

const LENGTHS = [3, 1, 4, 2];

/** Two slabs, four segments out of order: ten bytes in all. */
function scattered() {
  const slabs = new HeapSlabSpace();
  const [first, second] = [slabs.allocate(64), slabs.allocate(64)];
  const segments = new SegmentList();
  for (const [index, length] of LENGTHS.entries()) {
    segments.push((index % 2 === 0 ? first : second).id, 40 - index * 10, length);
  }
  return { slabs, segments, first, second };
}

test("copyFromSegments gives back what copyToSegments put when any range is taken", () => {
  const source = Uint8Array.from({ length: 20 }, (_, index) => index + 1);
  for (let start = 0; start <= 10; start++) {
    for (let length = 0; start + length <= 10; length++) {
      const { slabs, segments } = scattered();
      copyToSegments(slabs, segments, start, source, 5, length);
      const whole = new Uint8Array(12);
      copyFromSegments(slabs, segments, 0, whole, 1, 10);
      const expected = new Uint8Array(12);
      expected.set(source.subarray(5, 5 + length), 1 + start);
      deepStrictEqual(whole, expected);
      const part = new Uint8Array(length);
      copyFromSegments(slabs, segments, start, part, 0, length);
      deepStrictEqual(part, source.slice(5, 5 + length));
    }
  }
});

test("zeroSegments leaves the bytes around the segments alone when it zeroes", () => {
  const { slabs, segments, first, second } = scattered();
  first.bytes.fill(9);
  second.bytes.fill(9);
  zeroSegments(slabs, segments);
  const nines = (bytes: Uint8Array) => bytes.reduce((sum, byte) => sum + (byte === 9 ? 1 : 0), 0);
  strictEqual(nines(first.bytes), 4096 - 7);
  strictEqual(nines(second.bytes), 4096 - 3);
});

test("compareSegments counts the equal beginning when one byte differs", () => {
  const { slabs, segments } = scattered();
  const same = Uint8Array.from({ length: 10 }, (_, index) => index + 1);
  copyToSegments(slabs, segments, 0, same, 0, 10);
  strictEqual(compareSegments(slabs, segments, 0, same, 0, 10), 10);
  for (let at = 0; at < 10; at++) {
    const other = same.slice();
    other[at] = 99;
    strictEqual(compareSegments(slabs, segments, 0, other, 0, 10), at);
    strictEqual(compareSegments(slabs, segments, at, other, at, 10 - at), 0);
  }
});

test("copies assert when they would leave the segments or the memory", () => {
  const { slabs, segments } = scattered();
  const small = new Uint8Array(4);
  throws(() => copyFromSegments(slabs, segments, 8, small, 0, 3), { code: "assertion-failed" });
  throws(() => copyToSegments(slabs, segments, 0, small, 0, 11), { code: "assertion-failed" });
  throws(() => copyBytes(small, 0, new Uint8Array(2), 0, 4), { code: "assertion-failed" });
});
