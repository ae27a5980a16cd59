// Tests of planDisk: what a pool can be made of.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { planDisk } from "./disk-plan.ts";

test("planDisk takes sources that keep what they have, and gives their text back", () => {
  const cases: readonly (readonly [text: string, canonical: string])[] = [
    ["/dev/sdb", "file:///dev/sdb"],
    ["/x/y.img?size=1GiB", "file:///x/y.img?size=1GiB"],
    ["file:///x/y#disk1", "file:///x/y"],
    ["malloc:///m?size=64MiB", "malloc:///m?size=64MiB"],
    ["nbd://h/x", "nbd://h/x"],
    ["nvmf://h/nqn.2026-11.x:y", "nvmf://h/nqn.2026-11.x:y"],
  ];
  for (const [text, canonical] of cases) strictEqual(planDisk(text).text, canonical);
  deepStrictEqual(planDisk("/dev/sdb").stage.path, "/dev/sdb");
});

test("planDisk refuses what is no disk, or another's, too", () => {
  const cases: readonly (readonly [text: string, code: string, offset: number])[] = [
    ["/a/b | limit?iops=5", "not-one-stage", 0],
    ["mirror(/a/b, /c/d)", "not-a-disk", 0],
    ["lvol:///p/v", "not-a-disk", 0],
    ["null:///n?size=1MiB", "not-a-disk", 0],
    ["tap:///gold", "not-a-disk", 0],
    ["/a/b?shared=1", "not-a-disk", 5],
    ["/a/b?sice=1MiB", "unknown-option", 5],
  ];
  for (const [text, code, offset] of cases) {
    throws(
      () => planDisk(text),
      (error: { code: string; offset: number }) => {
        deepStrictEqual([error.code, error.offset], [code, offset], text);
        return true;
      },
    );
  }
});
