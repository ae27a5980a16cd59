// Tests of extent lists: joining and the limit.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { test } from "node:test";
import { EXTENT_COUNT_MAX, ExtentFlag, ExtentList } from "./extents.ts";

test("push joins ranges when their flags are the same", () => {
  const list = new ExtentList();
  const hole = ExtentFlag.hole | ExtentFlag.zero;
  for (const [length, flags] of [
    [512, 0],
    [512, 0],
    [1024, hole],
    [512, ExtentFlag.zero],
    [512, ExtentFlag.zero],
    [512, 0],
  ] as const) {
    list.push(length, flags);
  }
  deepStrictEqual(list.lengths, [1024, 1024, 1024, 512]);
  deepStrictEqual(list.flags, [0, hole, ExtentFlag.zero, 0]);
  strictEqual(list.lengthBytes, 3584);
  strictEqual(list.count, 4);
});

test("the list says that it is full at its limit, and is empty again when cleared", () => {
  const list = new ExtentList();
  for (let index = 0; index < EXTENT_COUNT_MAX; index++) {
    strictEqual(list.isFull, false);
    list.push(512, index % 2);
  }
  strictEqual(list.isFull, true);
  list.clear();
  strictEqual(list.isFull, false);
  strictEqual(list.count, 0);
  strictEqual(list.lengthBytes, 0);
});

test("copyFrom takes over what the other list holds, and nothing of what was there", () => {
  const from = new ExtentList();
  from.push(512, 0);
  from.push(1024, ExtentFlag.zero);
  const to = new ExtentList();
  to.push(4096, ExtentFlag.hole);
  to.copyFrom(from);
  deepStrictEqual(
    [to.lengths, to.flags, to.lengthBytes],
    [[512, 1024], [0, ExtentFlag.zero], 1536],
  );
  from.clear();
  strictEqual(to.count, 2);
});
