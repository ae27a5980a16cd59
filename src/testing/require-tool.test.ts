// Tests of the look-up of foreign tools, and of the list that continuous integration installs.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { DEBIAN_PACKAGE_BY_TOOL, missingTools } from "./require-tool.ts";

test("missingTools gives false when every tool is there", () => {
  strictEqual(missingTools(), false);
  strictEqual(missingTools("sh", "/dev/null"), false);
});

test("missingTools names each missing tool when some are not there", () => {
  strictEqual(missingTools("sh", "penstock-a", "penstock-b"), "missing: penstock-a, penstock-b");
  strictEqual(missingTools("/dev/penstock-nothing"), "missing: /dev/penstock-nothing");
});

test(".ci/run installs exactly the packages when the tools of tests are listed", () => {
  const script = readFileSync(join(import.meta.dirname, "../../.ci/run"), "utf8");
  const list = /packages=\(\n([^)]*)\)/.exec(script)?.[1] ?? "";
  const installed = list.split("\n").map((line) => line.trim());
  deepStrictEqual(
    installed.filter((name) => name !== ""),
    [...new Set(Object.values(DEBIAN_PACKAGE_BY_TOOL))].sort(),
  );
});
