// Tests of metadata contexts: which query means which context, and what a listener may offer.

import { doesNotThrow, strictEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { BASE_ALLOCATION, checkContexts, queryMatches } from "./meta-context.ts";

test("queryMatches selects by exact name, and by namespace for LIST only", () => {
  for (const [query, listed, set] of [
    ["base:allocation", true, true],
    ["base:", true, false],
    ["base:allocation:", false, false],
    ["base:alloc", false, false],
    ["base", false, false],
    ["", false, false],
    [":", false, false],
    [":allocation", false, false],
    ["BASE:", false, false],
    ["bas:", false, false],
    ["qemu:", false, false],
  ] as const) {
    strictEqual(queryMatches(query, BASE_ALLOCATION, true), listed, query);
    strictEqual(queryMatches(query, BASE_ALLOCATION, false), set, query);
  }
});

test("checkContexts refuses a list that clients could not use", () => {
  const named = (id: number, name: string) => ({ id, name, offeredBy: () => true });
  doesNotThrow(() => checkContexts([]));
  doesNotThrow(() => checkContexts([BASE_ALLOCATION, named(1, "x-penstock:a:b")]));
  for (const contexts of [
    [BASE_ALLOCATION, named(0, "x-penstock:instance")],
    [named(1, "no-namespace")],
    [named(1, "x-penstock:")],
    [named(1, ":leaf")],
    [named(1, "x y:leaf")],
    [named(1, `x:${"l".repeat(255)}`)],
    Array.from({ length: 9 }, (_, id) => named(id, `x:${id}`)),
  ]) {
    throws(() => checkContexts(contexts), { code: "assertion-failed" });
  }
});
