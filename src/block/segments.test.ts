// Tests of segment lists: growth to the limit, and ranges of other lists.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { SEGMENT_COUNT_MAX, SegmentList } from "./segments.ts";

function listOf(...segments: readonly (readonly [number, number, number])[]): SegmentList {
  const list = new SegmentList();
  for (const [slab, offset, length] of segments) list.push(slab, offset, length);
  return list;
}

function contentOf(list: SegmentList): number[][] {
  return Array.from({ length: list.count }, (_, index) => [
    list.slabId(index),
    list.offset(index),
    list.length(index),
  ]);
}

test("push keeps every segment when the list grows to its limit", () => {
  const list = new SegmentList();
  for (let index = 0; index < SEGMENT_COUNT_MAX; index++) list.push(index + 1, index * 512, 512);
  strictEqual(list.count, 256);
  strictEqual(list.lengthBytes, 256 * 512);
  deepStrictEqual(
    contentOf(list),
    Array.from({ length: 256 }, (_, index) => [index + 1, index * 512, 512]),
  );
  throws(() => list.push(1, 0, 512), { code: "assertion-failed" });
});

test("push keeps offsets up to the end of the largest slab", () => {
  deepStrictEqual(contentOf(listOf([1, 2 ** 30 - 512, 512])), [[1, 2 ** 30 - 512, 512]]);
});

test("clear empties the list and copyFrom replaces it", () => {
  const list = listOf([1, 0, 512], [2, 512, 1024]);
  const copy = listOf([9, 9, 9]);
  copy.copyFrom(list);
  deepStrictEqual(contentOf(copy), contentOf(list));
  strictEqual(copy.lengthBytes, 1536);
  list.clear();
  strictEqual(list.count, 0);
  strictEqual(list.lengthBytes, 0);
  strictEqual(copy.count, 2);
});

test("appendRange takes any range when it lies within the other list", () => {
  const list = listOf([1, 100, 3], [2, 200, 1], [1, 300, 4]);
  const bytes = contentOf(list).flatMap(([slab, offset, length]) =>
    Array.from({ length: length as number }, (_, index) => [slab, (offset as number) + index]),
  );
  for (let start = 0; start <= 8; start++) {
    for (let length = 0; start + length <= 8; length++) {
      const part = listOf([7, 7, 7]);
      part.appendRange(list, start, length);
      const taken = contentOf(part)
        .slice(1)
        .flatMap(([slab, offset, count]) =>
          Array.from({ length: count as number }, (_, index) => [slab, (offset as number) + index]),
        );
      deepStrictEqual(taken, bytes.slice(start, start + length));
      strictEqual(part.lengthBytes, 7 + length);
    }
  }
  throws(() => new SegmentList().appendRange(list, 5, 4), { code: "assertion-failed" });
});
