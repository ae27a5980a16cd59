// Tests of the heap slab space: rounding, limits, ids that come back zero-filled.

import { deepStrictEqual, notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { SLAB_BYTES_MAX } from "./slab.ts";
import { HeapSlabSpace } from "./slab-space-heap.ts";

test("allocate rounds up to pages and counts when a length is odd", () => {
  const space = new HeapSlabSpace();
  const slab = space.allocate(5000);
  strictEqual(slab.lengthBytes, 8192);
  strictEqual(slab.bytes.length, 8192);
  strictEqual(slab.words.length, 2048);
  strictEqual(slab.view.byteLength, 8192);
  strictEqual(space.allocatedBytes, 8192);
  strictEqual(space.get(slab.id), slab);
});

test("allocate refuses when the space's or the slab's limit would be passed", () => {
  const space = new HeapSlabSpace({ limitBytes: 8192 });
  space.allocate(4096);
  throws(() => space.allocate(4097), { code: "out-of-memory" });
  space.allocate(4096);
  throws(() => space.allocate(1), { code: "out-of-memory" });
  throws(() => new HeapSlabSpace().allocate(SLAB_BYTES_MAX + 1), { code: "out-of-memory" });
});

test("release gives the id and zero-filled memory again when the next slab is made", () => {
  const space = new HeapSlabSpace({ limitBytes: 4096 });
  const first = space.allocate(4096);
  first.bytes.fill(7);
  space.release(first);
  strictEqual(space.allocatedBytes, 0);
  const second = space.allocate(4096);
  strictEqual(second.id, first.id);
  notStrictEqual(second, first);
  deepStrictEqual(second.bytes, new Uint8Array(4096));
});

test("get and release assert when the slab is not one of this space's", () => {
  const space = new HeapSlabSpace();
  const slab = space.allocate(1);
  throws(() => space.get(slab.id + 1), { code: "assertion-failed" });
  throws(() => space.get(0), { code: "assertion-failed" });
  space.release(slab);
  throws(() => space.release(slab), { code: "assertion-failed" });
  throws(() => space.get(slab.id), { code: "assertion-failed" });
});
